#include "routing/packed_trace.hpp"

#include <algorithm>
#include <utility>

#include "base/little_endian.hpp"
#include "routing/chunk_codec.hpp"

namespace moescope::routing {

namespace {

/// Checked where they are made.
RouterSpec checked(RouterSpec spec) {
    check(spec);
    return spec;
}

template <class T>
void put_array(base::Writer& writer, const std::vector<T>& values) {
    writer.put(static_cast<std::uint32_t>(values.size()));
    writer.put_array(std::span<const T>(values));
}

/// At most `most` of them; `wanted` false: they are stepped over.
template <class T>
bool get_array(base::Reader& reader, std::vector<T>& values, std::size_t most, bool wanted = true) {
    const auto count = reader.get<std::uint32_t>();
    return count <= most && (wanted ? reader.get_array(values, count) : reader.skip(count * sizeof(T)));
}

bool within(const std::vector<std::int32_t>& ids, int end) {
    return std::all_of(ids.begin(), ids.end(), [end](std::int32_t id) { return id >= 0 && id < end; });
}

bool distinct(std::vector<std::int32_t> ids) {
    std::sort(ids.begin(), ids.end());
    return std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

/// None, or one for each expert.
bool whole(const std::vector<float>& values, const Shape& shape) {
    return values.empty() || values.size() == shape.experts;
}

bool is_possible(const LayerDecision& layer, const ValueLimits& limits) {
    try {
        check(layer, limits);
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// `everything` false: without what the choice was made of.
bool get_layer(base::Reader& reader, LayerDecision& layer, const RouterSpec& spec, const Shape& shape,
               bool everything) {
    layer.layer = reader.get<std::int32_t>();
    const auto groups = static_cast<std::size_t>(std::max(spec.groups, 1));
    const bool read = get_array(reader, layer.ids, shape.per_token) &&
                      get_array(reader, layer.weights, shape.per_token) &&
                      get_array(reader, layer.logits, shape.experts, everything) &&
                      get_array(reader, layer.scores, shape.experts, everything) &&
                      get_array(reader, layer.selection, shape.experts, everything) &&
                      get_array(reader, layer.group_scores, groups, everything) &&
                      get_array(reader, layer.groups_kept, groups, everything);
    layer.margin = reader.get<float>();
    layer.entropy = reader.get<float>();
    return read && reader.good() && routed_place(spec, layer.layer) >= 0 && within(layer.ids, spec.experts) &&
           distinct(layer.ids) && within(layer.groups_kept, std::max(spec.groups, 1)) &&
           (layer.weights.empty() || layer.weights.size() == layer.ids.size()) && whole(layer.logits, shape) &&
           whole(layer.scores, shape) && whole(layer.selection, shape) &&
           (layer.group_scores.empty() || layer.group_scores.size() == groups);
}

/// As unpack_decisions(); `everything`: see get_layer().
std::optional<std::vector<LayerDecision>> unpack(std::span<const std::byte> bytes, const RouterSpec& spec,
                                                 bool everything) {
    base::Reader reader(bytes);
    const Shape shape = shape_of(spec);
    const auto count = reader.get<std::uint32_t>();
    if (!reader.good() || count > shape.layers) {
        return std::nullopt;
    }
    std::vector<LayerDecision> layers(count);
    const ValueLimits limits = limits_of(spec, true);  // what was changed is not in the bytes
    int before = -1;
    for (LayerDecision& layer : layers) {
        if (!get_layer(reader, layer, spec, shape, everything) || layer.layer <= before ||
            !is_possible(layer, limits)) {
            return std::nullopt;
        }
        before = layer.layer;
    }
    return reader.left() == 0 ? std::optional(std::move(layers)) : std::nullopt;
}

}  // namespace

std::vector<std::byte> pack(const Chunk& chunk) {
    return encode_chunk(chunk);
}

std::vector<std::byte> pack_decisions(const TokenDecisions& token) {
    std::vector<std::byte> bytes;
    base::Writer writer(bytes);
    writer.put(static_cast<std::uint32_t>(token.layers.size()));
    for (const LayerDecision& layer : token.layers) {
        writer.put(static_cast<std::int32_t>(layer.layer));
        put_array(writer, layer.ids);
        put_array(writer, layer.weights);
        put_array(writer, layer.logits);
        put_array(writer, layer.scores);
        put_array(writer, layer.selection);
        put_array(writer, layer.group_scores);
        put_array(writer, layer.groups_kept);
        writer.put(layer.margin);
        writer.put(layer.entropy);
    }
    return bytes;
}

std::optional<std::vector<LayerDecision>> unpack_decisions(std::span<const std::byte> bytes, const RouterSpec& spec) {
    return unpack(bytes, spec, true);
}

PackedTrace::PackedTrace(RouterSpec spec)
    : spec_(checked(std::move(spec))), shape_(shape_of(spec_)), limits_(limits_of(spec_, true)) {}

bool PackedTrace::append(std::vector<std::byte> packed) {
    const auto header = read_chunk_header(packed, shape_);
    if (!header || header->header_bytes + header->packed_bytes != packed.size()) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    if (!entries_.empty() && header->first < entries_.back().first + entries_.back().tokens) {
        return false;
    }
    bytes_ += packed.size();
    entries_.push_back(
        {std::make_shared<const std::vector<std::byte>>(std::move(packed)), header->first, header->tokens});
    return true;
}

bool PackedTrace::append_scores(std::uint64_t token, std::vector<std::byte> packed) {
    if (!unpack_decisions(packed, spec_)) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    if (!scores_.empty() && token <= scores_.back().token) {
        return false;
    }
    bytes_ += packed.size();
    scores_.push_back({token, std::make_shared<const std::vector<std::byte>>(std::move(packed))});
    return true;
}

std::size_t PackedTrace::chunks() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
}

std::uint64_t PackedTrace::tokens() const {
    const std::lock_guard lock(mutex_);
    return entries_.empty() ? 0 : entries_.back().first + entries_.back().tokens;
}

std::uint64_t PackedTrace::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

std::size_t PackedTrace::chunk_holding(std::uint64_t token) const {
    const std::lock_guard lock(mutex_);
    auto at = std::upper_bound(entries_.begin(), entries_.end(), token,
                               [](std::uint64_t wanted, const Entry& entry) { return wanted < entry.first; });
    while (at != entries_.begin()) {
        --at;  // pieces without tokens may stand between
        if (at->tokens > 0) {
            return token - at->first < at->tokens ? static_cast<std::size_t>(at - entries_.begin()) : entries_.size();
        }
    }
    return entries_.size();
}

std::shared_ptr<const Chunk> PackedTrace::chunk(std::size_t number, unsigned wanted) const {
    Bytes bytes;
    {
        const std::lock_guard lock(mutex_);
        if (number >= entries_.size()) {
            return nullptr;
        }
        bytes = entries_[number].bytes;
    }
    const auto header = read_chunk_header(*bytes, shape_);
    if (!header) {
        return nullptr;
    }
    ChunkDecoder decoder(*header, shape_);
    std::size_t offset = header->header_bytes;
    for (const PartEntry& part : header->parts) {
        if (holds_wanted(part, wanted) && !decoder.take(part, std::span(*bytes).subspan(offset, part.packed))) {
            return nullptr;
        }
        offset += part.packed;
    }
    const std::shared_ptr<Chunk> chunk = decoder.finish(wanted);
    if (!chunk || !possible(*chunk, limits_)) {
        return nullptr;
    }
    if (!chunk->rounded.empty()) {
        put_exact(*chunk);
    }
    return chunk;
}

/// One decision has one set of numbers, whoever shows it: what was computed takes the place of what was rounded.
void PackedTrace::put_exact(Chunk& chunk) const {
    std::vector<Scores> known;
    {
        const std::lock_guard lock(mutex_);
        const auto before = [](const Scores& entry, std::uint64_t wanted) { return entry.token < wanted; };
        const auto first = std::lower_bound(scores_.begin(), scores_.end(), chunk.first, before);
        known.assign(first, std::lower_bound(first, scores_.end(), chunk.first + chunk.tokens, before));
    }
    for (const Scores& entry : known) {
        const std::optional<std::vector<LayerDecision>> layers = unpack(*entry.bytes, spec_, false);
        const auto at = static_cast<std::size_t>(entry.token - chunk.first);
        std::size_t decided = 0, replaced = 0;
        for (std::size_t place = 0; place < shape_.layers; ++place) {
            decided += chunk.chosen[chunk.cell(place, at)] > 0 ? 1 : 0;
        }
        for (const LayerDecision& layer : *layers) {  // checked when they came
            const std::size_t cell = chunk.cell(static_cast<std::size_t>(routed_place(spec_, layer.layer)), at);
            const bool weighed = layer.weights.size() == layer.ids.size();
            if (layer.ids.empty() || layer.ids.size() != chunk.chosen[cell] || (!chunk.weights.empty() && !weighed)) {
                continue;  // of another decision, or less of this one
            }
            if (!chunk.weights.empty()) {
                std::copy(layer.weights.begin(), layer.weights.end(),
                          chunk.weights.begin() + static_cast<std::ptrdiff_t>(cell * shape_.per_token));
            }
            if (!chunk.margin.empty()) {
                chunk.margin[cell] = layer.margin;
            }
            if (!chunk.entropy.empty()) {
                chunk.entropy[cell] = layer.entropy;
            }
            ++replaced;
        }
        chunk.rounded[at] = replaced == decided ? 0 : 1;
    }
}

std::optional<std::vector<LayerDecision>> PackedTrace::scores(std::uint64_t token) const {
    Bytes bytes;
    {
        const std::lock_guard lock(mutex_);
        const auto at =
            std::lower_bound(scores_.begin(), scores_.end(), token,
                             [](const Scores& entry, std::uint64_t wanted) { return entry.token < wanted; });
        if (at == scores_.end() || at->token != token) {
            return std::nullopt;
        }
        bytes = at->bytes;
    }
    return unpack_decisions(*bytes, spec_);
}

bool PackedTrace::has_scores() const {
    const std::lock_guard lock(mutex_);
    return !scores_.empty();
}

}  // namespace moescope::routing
