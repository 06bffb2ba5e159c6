#include "engine/exchange/imatrix.hpp"

#include <charconv>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/input_file.hpp"
#include "engine/error.hpp"
#include "engine/files/gguf.hpp"

namespace moescope::engine {
namespace {

constexpr float kExact = 16777216;  // 2^24: larger floats skip whole numbers

/// The layer of "blk.N.ffn_..._exps.weight.counts"; -1 for any other name. Throws Error, a sentence without a subject,
/// where N is no layer.
int layer_of(std::string_view name) {
    constexpr std::string_view kFront = "blk.", kBack = "_exps.weight.counts";
    if (!name.starts_with(kFront) || !name.ends_with(kBack)) {
        return -1;
    }
    const std::string whole_name(name);
    name.remove_prefix(kFront.size());
    int layer = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
    const bool whole = error == std::errc() && end != name.data() + name.size() && *end == '.';
    if (!whole || layer < 0 || layer >= routing::kMostLayers) {
        throw Error(
            say("has counts under '{}', which names no layer from 0 to {}", whole_name, routing::kMostLayers - 1));
    }
    return layer;
}

std::vector<std::uint64_t> counts_of(const base::InputFile& file, const GgufTensor& tensor, bool& rounded) {
    if (tensor.type != "F32" || tensor.elements > static_cast<std::uint64_t>(routing::kMostExperts)) {
        throw Error(say("has counts of {} experts as {} in '{}'", tensor.elements, tensor.type, tensor.name));
    }
    std::vector<float> values(tensor.elements);
    file.read(tensor.offset, std::as_writable_bytes(std::span(values)));
    std::vector<std::uint64_t> counts;
    for (const float value : values) {
        if (!(value >= 0) || value > 1e15f || std::trunc(value) != value) {
            throw Error(say("has the count {} in '{}', which is no whole number from 0 on", value, tensor.name));
        }
        rounded = rounded || value >= kExact;
        counts.push_back(static_cast<std::uint64_t>(value));
    }
    return counts;
}

}  // namespace

routing::Import import_imatrix(const std::filesystem::path& path, const routing::ModelShape& shape) {
    routing::CountedStep step;
    std::size_t different = 0;
    bool rounded = false;
    const base::InputFile file(path);  // says itself which file it is
    try {
        const GgufHeader header = read_gguf(path);
        for (const GgufTensor& tensor : header.tensors) {
            const int layer = layer_of(tensor.name);
            if (layer < 0) {
                continue;
            }
            std::vector<std::uint64_t> counts = counts_of(file, tensor, rounded);
            const auto [found, is_new] = step.layers.try_emplace(layer, counts);
            // Gate, up and down of a layer see the same tokens.
            different += is_new || found->second == counts ? 0 : 1;
        }
        if (step.layers.empty()) {
            throw Error(say("has no counts of experts; it is no importance matrix of a model with experts"));
        }
    } catch (const Error& error) {
        throw Error(say("{} {}", path, base::sentence_of(error)));
    }
    routing::Import made = routing::import_counts({std::move(step)}, shape, false, path.string());
    if (different > 0) {
        made.spec.doubts.push_back(say("{} tensors have other counts than the first one of their layer", different));
    }
    if (rounded) {
        made.spec.doubts.push_back(say("counts above 16777216 are rounded in this kind of file"));
    }
    return made;
}

}  // namespace moescope::engine
