#include "routing/chunk_codec.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <zstd.h>

#include "base/checksums.hpp"
#include "base/crc32c.hpp"
#include "base/little_endian.hpp"
#include "routing/number_codes.hpp"

namespace moescope::routing {

namespace {

constexpr int kLevel = 3;  // higher ones gain nothing: what is left after the coding below has no repetitions
constexpr std::uint8_t kEscape = 255;

using Bytes = std::vector<std::byte>;

/// Numbers byte by byte: all lowest bytes, then all next ones. The upper ones are nearly all alike and cost nothing.
template <class T>
void put_planes(Bytes& out, std::span<const T> values) {
    static_assert(std::is_unsigned_v<T>);
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
        for (const T value : values) {
            out.push_back(static_cast<std::byte>(value >> (8 * byte)));
        }
    }
}

/// The reverse, for `count` numbers at the beginning of `bytes`, which must hold them.
template <class T>
std::vector<T> planes(std::span<const std::byte> bytes, std::size_t count) {
    std::vector<T> values(count, 0);
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
        const std::byte* from = bytes.data() + byte * count;
        for (std::size_t i = 0; i < count; ++i) {
            values[i] = static_cast<T>(values[i] | static_cast<T>(static_cast<T>(from[i]) << (8 * byte)));
        }
    }
    return values;
}

std::uint32_t zigzag(std::int64_t value) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(value) << 1) ^
                                      static_cast<std::uint64_t>(value >> 63));
}
std::int32_t unzigzag(std::uint32_t value) {
    return static_cast<std::int32_t>((value >> 1) ^ (~(value & 1) + 1));
}

/// 0 stands for the value that is expected, everything else is the value + 2 (ids begin at -1).
std::uint32_t expected_or(std::int32_t value, std::int32_t expected) {
    return value == expected ? 0 : static_cast<std::uint32_t>(value) + 2;
}
/// The reverse; damaged values count as not known.
std::int32_t taken(std::uint32_t code, std::int32_t expected) {
    if (code == 0) {
        return expected;
    }
    const std::uint32_t value = code - 2;
    return value <= static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max())
               ? static_cast<std::int32_t>(value)
               : -1;
}

constexpr std::size_t kTokenColumns = 9;

Bytes tokens_of(const Chunk& chunk) {
    const std::size_t count = chunk.tokens;
    std::vector<std::vector<std::uint32_t>> columns(kTokenColumns, std::vector<std::uint32_t>(count));
    std::vector<std::int32_t> token_of_piece(chunk.pieces.size(), -1);
    std::int64_t position = -1, document = 0;
    for (std::size_t at = 0; at < count; ++at) {
        const std::int32_t follows = at + 1 < count ? chunk.token[at + 1] : -1;
        columns[0][at] = zigzag(chunk.position[at] - (position + 1));
        columns[1][at] = chunk.piece[at];
        columns[2][at] = expected_or(chunk.token[at], token_of_piece[chunk.piece[at]]);
        columns[3][at] = expected_or(chunk.next[at], follows);
        columns[4][at] = expected_or(chunk.predicted[at], chunk.next[at]);
        columns[5][at] = std::bit_cast<std::uint32_t>(chunk.log_probability[at]);
        columns[6][at] = zigzag(static_cast<std::int32_t>(chunk.document[at] - static_cast<std::uint32_t>(document)));
        columns[7][at] = chunk.language[at];
        columns[8][at] = chunk.group[at];
        position = chunk.position[at];
        document = chunk.document[at];
        token_of_piece[chunk.piece[at]] = chunk.token[at];
    }
    Bytes out;
    out.reserve(count * kTokenColumns * 4);
    for (const auto& column : columns) {
        put_planes<std::uint32_t>(out, column);
    }
    return out;
}

void put_texts(Bytes& out, const std::vector<std::string>& texts) {
    base::Writer writer(out);
    writer.put(static_cast<std::uint32_t>(texts.size()));
    for (const std::string& text : texts) {
        writer.put(static_cast<std::uint32_t>(text.size()));
    }
    for (const std::string& text : texts) {
        writer.put_bytes(text.data(), text.size());
    }
}

bool get_texts(base::Reader& reader, std::vector<std::string>& texts) {
    std::vector<std::uint32_t> sizes;
    if (!reader.get_array(sizes, reader.get<std::uint32_t>())) {
        return false;
    }
    texts.clear();
    texts.reserve(sizes.size());
    for (const std::uint32_t size : sizes) {
        texts.push_back(reader.get_string(size));
        if (!reader.good()) {
            return false;
        }
    }
    return true;
}

/// Calls visit(layer, rank, at, place in [R][T][K]) for every chosen expert, in the order in which they are kept: one
/// rank of one layer after another, as those are alike.
template <class Visit>
void for_each_chosen(const Chunk& chunk, const Visit& visit) {
    for (std::size_t layer = 0; layer < chunk.shape.layers; ++layer) {
        for (std::size_t rank = 0; rank < chunk.shape.per_token; ++rank) {
            for (std::size_t at = 0; at < chunk.tokens; ++at) {
                const std::size_t cell = chunk.cell(layer, at);
                if (rank < chunk.chosen[cell]) {
                    visit(rank, at, cell * chunk.shape.per_token + rank);
                }
            }
        }
    }
}

/// No decision chooses an expert twice. The ids are in range.
bool all_distinct(const Chunk& chunk) {
    std::vector<std::size_t> seen(chunk.shape.experts, 0);  // the decision that chose the expert last, from 1
    for (std::size_t cell = 0; cell < chunk.chosen.size(); ++cell) {
        const std::uint16_t* ids = chunk.ids.data() + cell * chunk.shape.per_token;
        for (std::size_t rank = 0; rank < chunk.chosen[cell]; ++rank) {
            if (std::exchange(seen[ids[rank]], cell + 1) == cell + 1) {
                return false;
            }
        }
    }
    return true;
}

Bytes ids_of(const Chunk& chunk) {
    const bool wide = chunk.shape.experts > 256;
    Bytes low, high;
    low.reserve(chunk.ids.size());
    for_each_chosen(chunk, [&](std::size_t, std::size_t, std::size_t place) {
        low.push_back(static_cast<std::byte>(chunk.ids[place]));
        if (wide) {
            high.push_back(static_cast<std::byte>(chunk.ids[place] >> 8));
        }
    });
    low.insert(low.end(), high.begin(), high.end());
    return low;
}

/// The best expert's code, and for the others how far each lies below the one before: those distances are small.
Bytes weights_of(const Chunk& chunk) {
    std::vector<std::uint16_t> best, escaped;
    std::vector<std::uint8_t> below;
    std::vector<float> raw;
    std::vector<std::int16_t> before(chunk.tokens);
    for_each_chosen(chunk, [&](std::size_t rank, std::size_t at, std::size_t place) {
        const std::int16_t code = weight_code(chunk.weights[place]);
        if (code == kRawWeight) {
            raw.push_back(chunk.weights[place]);
        }
        if (rank == 0) {
            best.push_back(static_cast<std::uint16_t>(code));
        } else {
            const auto distance = static_cast<std::uint16_t>(before[at] - code);  // modulo 2^16 for those that rise
            below.push_back(distance < kEscape ? static_cast<std::uint8_t>(distance) : kEscape);
            if (distance >= kEscape) {
                escaped.push_back(distance);
            }
        }
        before[at] = code;
    });
    Bytes out;
    put_planes<std::uint16_t>(out, best);
    put_planes<std::uint8_t>(out, below);
    put_planes<std::uint16_t>(out, escaped);
    base::Writer(out).put_array(std::span<const float>(raw));
    return out;
}

/// Empty when nothing is known.
Bytes codes_of(const Chunk& chunk, const std::vector<float>& values, std::uint16_t (*code_of)(float)) {
    std::vector<std::uint16_t> codes;
    bool known = false;
    for (std::size_t cell = 0; cell < values.size(); ++cell) {
        if (chunk.chosen[cell] > 0) {
            codes.push_back(code_of(values[cell]));
            known = known || codes.back() != kUnknownCode;
        }
    }
    Bytes out;
    if (known) {
        put_planes<std::uint16_t>(out, codes);
    }
    return out;
}

Bytes loads_of(const Chunk& chunk) {
    Bytes out;
    base::Writer writer(out);
    for (const LoadSample& sample : chunk.loads) {
        writer.put(sample.step);
        writer.put_array(std::span<const std::uint64_t>(sample.counts));
    }
    return out;
}

constexpr unsigned kDecisions = kIds | kWeights | kMargins | kEntropies;  // need to know how many experts are chosen

/// The kinds of columns that a part is needed for.
unsigned columns_of(std::uint32_t kind) {
    switch (static_cast<Part>(kind)) {
        case Part::tokens:
        case Part::texts:
            return kTokens;
        case Part::chosen:
            return kDecisions;
        case Part::ids:
            return kIds;
        case Part::weights:
            return kWeights;
        case Part::margins:
            return kMargins;
        case Part::entropies:
            return kEntropies;
        case Part::loads:
            return kLoads;
    }
    return 0;
}

}  // namespace

std::vector<std::byte> encode_chunk(const Chunk& chunk) {
    std::vector<PartEntry> entries;
    Bytes packed;
    const auto put = [&](Part kind, const Bytes& raw) {
        const std::size_t begin = packed.size(), room = ZSTD_compressBound(raw.size());
        packed.resize(begin + room);
        const std::size_t size = ZSTD_compress(packed.data() + begin, room, raw.data(), raw.size(), kLevel);
        if (ZSTD_isError(size) != 0) {
            throw Error(say("a piece of the trace can't be packed: {}", ZSTD_getErrorName(size)));
        }
        packed.resize(begin + size);
        const auto bytes = std::span<const std::byte>(packed).subspan(begin);
        entries.push_back({static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(raw.size()),
                           static_cast<std::uint32_t>(size), base::crc32c(bytes)});
    };
    if (chunk.tokens > 0) {
        put(Part::tokens, tokens_of(chunk));
        Bytes texts;
        put_texts(texts, chunk.pieces);
        put_texts(texts, chunk.names);
        put(Part::texts, texts);
        Bytes chosen;
        put_planes<std::uint16_t>(chosen, chunk.chosen);
        put(Part::chosen, chosen);
        put(Part::ids, ids_of(chunk));
        if (!chunk.weights.empty()) {
            put(Part::weights, weights_of(chunk));
        }
        for (const auto& [kind, codes] : {std::pair(Part::margins, codes_of(chunk, chunk.margin, margin_code)),
                                          std::pair(Part::entropies, codes_of(chunk, chunk.entropy, entropy_code))}) {
            if (!codes.empty()) {
                put(kind, codes);
            }
        }
    }
    if (!chunk.loads.empty()) {
        put(Part::loads, loads_of(chunk));
    }
    Bytes out;
    base::Writer writer(out);
    writer.put(kChunkMark);
    writer.put(static_cast<std::uint32_t>(entries.size()));
    writer.put(chunk.first);
    writer.put(static_cast<std::uint32_t>(chunk.tokens));
    writer.put(static_cast<std::uint32_t>(chunk.loads.size()));
    for (const PartEntry& entry : entries) {
        writer.put(entry.kind);
        writer.put(entry.raw);
        writer.put(entry.packed);
        writer.put(entry.crc);
    }
    writer.put(base::crc32c(out));
    out.insert(out.end(), packed.begin(), packed.end());
    return out;
}

std::optional<ChunkHeader> read_chunk_header(std::span<const std::byte> bytes, const Shape& shape) {
    base::Reader reader(bytes);
    ChunkHeader header;
    const auto mark = reader.get<std::uint32_t>();
    const auto parts = reader.get<std::uint32_t>();
    header.first = reader.get<std::uint64_t>();
    header.tokens = reader.get<std::uint32_t>();
    header.samples = reader.get<std::uint32_t>();
    if (!reader.good() || mark != kChunkMark || parts > kMostParts) {
        return std::nullopt;
    }
    for (std::uint32_t i = 0; i < parts; ++i) {
        PartEntry part;
        part.kind = reader.get<std::uint32_t>();
        part.raw = reader.get<std::uint32_t>();
        part.packed = reader.get<std::uint32_t>();
        part.crc = reader.get<std::uint32_t>();
        header.packed_bytes += part.packed;
        // What was checked against a part would not hold for another one of its kind.
        const bool twice = std::any_of(header.parts.begin(), header.parts.end(),
                                       [&](const PartEntry& before) { return before.kind == part.kind; });
        if (twice || part.raw > kMostPartBytes || part.packed > kMostPartBytes) {
            return std::nullopt;
        }
        header.parts.push_back(part);
    }
    header.header_bytes = bytes.size() - reader.left() + sizeof(std::uint32_t);
    const auto crc = reader.get<std::uint32_t>();
    if (!reader.good() ||
        (base::kChecksumsCount && crc != base::crc32c(bytes.first(header.header_bytes - sizeof(std::uint32_t))))) {
        return std::nullopt;
    }
    // A checksum is no proof of good will: the sizes of the columns are held to what a writer makes at most. Both
    // factors are below 2^21, so that the products fit.
    constexpr std::size_t kMostCells = 2 * kChosenOfChunk;
    if (header.tokens > kMostChunkTokens || header.tokens * shape.layers * shape.per_token > kMostCells ||
        header.samples > kMostCells || header.samples * shape.layers * shape.experts > kMostCells ||
        header.first > std::numeric_limits<std::uint64_t>::max() / 2) {
        return std::nullopt;
    }
    return header;
}

bool holds_wanted(const PartEntry& part, unsigned wanted) {
    return (columns_of(part.kind) & wanted) != 0;
}

ChunkDecoder::ChunkDecoder(const ChunkHeader& header, const Shape& shape)
    : shape_(shape), samples_(header.samples), chunk_(std::make_shared<Chunk>()) {
    chunk_->first = header.first;
    chunk_->shape = shape;
    chunk_->tokens = header.tokens;
}

bool ChunkDecoder::take(const PartEntry& part, std::span<const std::byte> packed) {
    if ((base::kChecksumsCount && base::crc32c(packed) != part.crc) ||
        ZSTD_getFrameContentSize(packed.data(), packed.size()) != part.raw) {
        return false;
    }
    raw_.resize(part.raw);
    if (ZSTD_decompress(raw_.data(), raw_.size(), packed.data(), packed.size()) != part.raw) {
        return false;
    }
    switch (static_cast<Part>(part.kind)) {
        case Part::tokens:
            return take_tokens(raw_);
        case Part::texts:
            return take_texts(raw_);
        case Part::chosen:
            return take_chosen(raw_);
        case Part::ids:
            return take_ids(raw_);
        case Part::weights:
            return take_weights(raw_);
        case Part::margins:
            return take_codes(raw_, chunk_->margin, margin_of_code);
        case Part::entropies:
            return take_codes(raw_, chunk_->entropy, entropy_of_code);
        case Part::loads:
            return take_loads(raw_);
    }
    return true;  // of a later version
}

bool ChunkDecoder::take_tokens(std::span<const std::byte> raw) {
    const std::size_t count = chunk_->tokens;
    if (raw.size() != count * kTokenColumns * 4) {
        return false;
    }
    std::size_t column = 0;
    const auto next_column = [&] { return planes<std::uint32_t>(raw.subspan(column++ * count * 4), count); };
    const auto positions = next_column();
    chunk_->piece = next_column();
    const auto tokens = next_column(), nexts = next_column(), predicted = next_column(), logs = next_column(),
               documents = next_column(), languages = next_column(), groups = next_column();
    std::vector<std::int32_t> token_of_piece;
    std::uint32_t position = std::numeric_limits<std::uint32_t>::max(), document = 0;
    for (std::size_t at = 0; at < count; ++at) {
        const std::uint32_t piece = chunk_->piece[at];
        if (piece >= count || languages[at] >= kNoExpert || groups[at] >= kNoExpert) {
            return false;
        }
        token_of_piece.resize(std::max<std::size_t>(token_of_piece.size(), piece + 1), -1);
        position += 1 + static_cast<std::uint32_t>(unzigzag(positions[at]));
        document += static_cast<std::uint32_t>(unzigzag(documents[at]));
        chunk_->position.push_back(static_cast<std::int32_t>(position));
        chunk_->document.push_back(document);
        chunk_->token.push_back(taken(tokens[at], token_of_piece[piece]));
        chunk_->log_probability.push_back(std::bit_cast<float>(logs[at]));
        chunk_->language.push_back(static_cast<std::uint16_t>(languages[at]));
        chunk_->group.push_back(static_cast<std::uint16_t>(groups[at]));
        token_of_piece[piece] = chunk_->token.back();
    }
    for (std::size_t at = 0; at < count; ++at) {
        chunk_->next.push_back(taken(nexts[at], at + 1 < count ? chunk_->token[at + 1] : -1));
        chunk_->predicted.push_back(taken(predicted[at], chunk_->next[at]));
    }
    return true;
}

bool ChunkDecoder::take_texts(std::span<const std::byte> raw) {
    base::Reader reader(raw);
    return get_texts(reader, chunk_->pieces) && get_texts(reader, chunk_->names) && reader.left() == 0;
}

bool ChunkDecoder::take_chosen(std::span<const std::byte> raw) {
    const std::size_t cells = shape_.layers * chunk_->tokens;
    if (raw.size() != cells * 2) {
        return false;
    }
    chunk_->chosen = planes<std::uint16_t>(raw, cells);
    for (const std::uint16_t chosen : chunk_->chosen) {
        if (chosen > shape_.per_token) {
            return false;
        }
        all_chosen_ += chosen;
        decisions_ += chosen > 0 ? 1 : 0;
    }
    has_chosen_ = true;
    return true;
}

bool ChunkDecoder::take_ids(std::span<const std::byte> raw) {
    const bool wide = shape_.experts > 256;
    if (!has_chosen_ || raw.size() != all_chosen_ * (wide ? 2 : 1)) {
        return false;
    }
    chunk_->ids.assign(chunk_->chosen.size() * shape_.per_token, kNoExpert);
    std::size_t next = 0;
    bool good = true;
    for_each_chosen(*chunk_, [&](std::size_t, std::size_t, std::size_t place) {
        auto id = static_cast<std::uint16_t>(raw[next]);
        if (wide) {
            id = static_cast<std::uint16_t>(id | static_cast<std::uint16_t>(raw[all_chosen_ + next]) << 8);
        }
        ++next;
        good = good && id < shape_.experts;
        chunk_->ids[place] = id;
    });
    return good && all_distinct(*chunk_);
}

bool ChunkDecoder::take_weights(std::span<const std::byte> raw) {
    const std::size_t others = all_chosen_ - decisions_;
    if (!has_chosen_ || raw.size() < decisions_ * 2 + others) {
        return false;
    }
    const auto best = planes<std::uint16_t>(raw, decisions_);
    const auto below = raw.subspan(decisions_ * 2, others);
    const auto rest = raw.subspan(decisions_ * 2 + others);
    const auto escapes = static_cast<std::size_t>(std::count(below.begin(), below.end(), std::byte{kEscape}));
    if (rest.size() < escapes * 2 || (rest.size() - escapes * 2) % sizeof(float) != 0) {
        return false;
    }
    const auto escaped = planes<std::uint16_t>(rest, escapes);
    const auto floats = rest.subspan(escapes * 2);
    chunk_->weights.assign(chunk_->chosen.size() * shape_.per_token, std::numeric_limits<float>::quiet_NaN());
    std::vector<std::int16_t> before(chunk_->tokens);
    std::size_t of_best = 0, of_below = 0, of_escaped = 0, of_floats = 0;
    bool good = true;
    for_each_chosen(*chunk_, [&](std::size_t rank, std::size_t at, std::size_t place) {
        std::uint16_t code = 0;
        if (rank == 0) {
            code = best[of_best++];
        } else {
            const auto byte = static_cast<std::uint8_t>(below[of_below++]);
            const std::uint16_t distance = byte == kEscape ? escaped[of_escaped++] : byte;
            code = static_cast<std::uint16_t>(before[at] - distance);
        }
        before[at] = static_cast<std::int16_t>(code);
        float& weight = chunk_->weights[place];
        if (before[at] != kRawWeight) {
            weight = weight_of_code(before[at]);
        } else if ((of_floats + 1) * sizeof(float) <= floats.size()) {
            std::memcpy(&weight, floats.data() + of_floats++ * sizeof(float), sizeof weight);
        } else {
            good = false;
        }
    });
    return good && of_floats * sizeof(float) == floats.size();
}

bool ChunkDecoder::take_codes(std::span<const std::byte> raw, std::vector<float>& into,
                              float (*value_of)(std::uint16_t)) {
    if (!has_chosen_ || raw.size() != decisions_ * 2) {
        return false;
    }
    const auto codes = planes<std::uint16_t>(raw, decisions_);
    into.assign(chunk_->chosen.size(), std::numeric_limits<float>::quiet_NaN());
    std::size_t next = 0;
    for (std::size_t cell = 0; cell < into.size(); ++cell) {
        if (chunk_->chosen[cell] > 0) {
            into[cell] = value_of(codes[next++]);
        }
    }
    return true;
}

bool ChunkDecoder::take_loads(std::span<const std::byte> raw) {
    const std::size_t cells = shape_.layers * shape_.experts;
    if (raw.size() != samples_ * (cells + 1) * 8) {
        return false;
    }
    base::Reader reader(raw);
    for (std::uint32_t i = 0; i < samples_; ++i) {
        LoadSample sample;
        sample.step = reader.get<std::int64_t>();
        reader.get_array(sample.counts, cells);
        chunk_->loads.push_back(std::move(sample));
    }
    return reader.good();
}

std::shared_ptr<Chunk> ChunkDecoder::finish(unsigned wanted) {
    if (chunk_->tokens > 0 &&
        (((wanted & kTokens) != 0 && (chunk_->token.empty() || chunk_->pieces.empty())) ||
         ((wanted & kDecisions) != 0 && chunk_->chosen.empty()) || ((wanted & kIds) != 0 && chunk_->ids.empty()))) {
        return nullptr;
    }
    // Places of texts are checked here, as the two parts come one after the other.
    const auto inside = [](const auto& places, const auto& texts) {
        return std::all_of(places.begin(), places.end(), [&](std::size_t place) { return place < texts.size(); });
    };
    if (!inside(chunk_->piece, chunk_->pieces) || !inside(chunk_->language, chunk_->names) ||
        !inside(chunk_->group, chunk_->names)) {
        return nullptr;
    }
    if (!chunk_->weights.empty() || !chunk_->margin.empty() || !chunk_->entropy.empty()) {
        chunk_->rounded.assign(chunk_->tokens, 1);
    }
    return chunk_;
}

}  // namespace moescope::routing
