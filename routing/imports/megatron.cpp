#include <limits>
#include <utility>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/lines.hpp"
#include "routing/imports/import.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

constexpr std::size_t kLongestLine = std::size_t{16} << 20;

std::int64_t whole_of(const json& line, const char* key, std::int64_t most) {
    const json& value = base::member(line, key);
    if (value.is_null()) {
        throw Error(say("has no \"{}\"", key));
    }
    const auto whole = base::as_integer(value);
    if (!whole || *whole < 0 || *whole > most) {
        throw Error(say("has something else than a whole number from 0 to {} under \"{}\"", most, key));
    }
    return *whole;
}

/// Sums of the micro-batches, each of which has a count for every expert of the rank. Throws Error, a sentence without
/// a subject.
std::vector<std::uint64_t> sums_of(const json& batches) {
    std::vector<std::uint64_t> sums;
    if (!batches.is_array() || batches.empty()) {
        throw Error(say("has no counts under \"tpe\""));
    }
    for (const json& batch : batches) {
        if (!batch.is_array() || batch.empty()) {
            throw Error(say("has no list of counts in \"tpe\""));
        }
        if (batch.size() > static_cast<std::size_t>(kMostExperts)) {
            throw Error(say("has {} experts; 1 to {} are possible", batch.size(), kMostExperts));
        }
        if (!sums.empty() && batch.size() != sums.size()) {
            throw Error(say("has {} experts in one micro-batch and {} in another", sums.size(), batch.size()));
        }
        sums.resize(batch.size());
        for (std::size_t expert = 0; expert < batch.size(); ++expert) {
            const auto count = base::as_count(batch[expert]);
            if (!count) {
                throw Error(say("has a count of expert {} that is no whole number from 0 on", expert));
            }
            if (__builtin_add_overflow(sums[expert], *count, &sums[expert])) {
                throw Error(say("has counts of expert {} whose sum overflows", expert));
            }
        }
    }
    return sums;
}

}  // namespace

Import import_megatron(const std::filesystem::path& path, const ModelShape& shape) {
    base::Lines lines(path.string(), kLongestLine);
    std::vector<CountedStep> steps;
    std::size_t counts = 0, others = 0;
    std::string text;
    try {
        while (lines.next(text)) {
            if (text.find_first_not_of(" \t") == std::string::npos) {
                continue;
            }
            const base::ParsedJson parsed = base::read_json(text, kLongestLine);
            if (!parsed.value) {
                throw Error(parsed.problem);
            }
            const std::string block = base::text_of(*parsed.value, "block");
            if (!block.empty() && block != "decoder") {
                ++others;
                continue;
            }
            const std::int64_t step = whole_of(*parsed.value, "iter", std::numeric_limits<std::int64_t>::max());
            const int layer = static_cast<int>(whole_of(*parsed.value, "layer", kMostLayers - 1));
            std::vector<std::uint64_t> sums = sums_of(base::member(*parsed.value, "tpe"));
            counts += sums.size();
            if (counts > kMostCounts) {
                throw Error(
                    say("has more counts than the {} that can be read at once; take a part of the file", kMostCounts));
            }
            // A run that was resumed writes the same steps once more.
            if (steps.empty() || steps.back().step != step || steps.back().layers.contains(layer)) {
                steps.push_back({step, {}});
            }
            steps.back().layers.emplace(layer, std::move(sums));
        }
    } catch (const Error& error) {
        throw Error(say("line {} of {} {}", lines.number(), path, error.sentence()));
    }
    Import made = import_counts(std::move(steps), shape, false, path.string());
    if (others > 0) {
        made.spec.doubts.push_back(say("{} lines of blocks that predict further tokens are left out", others));
    }
    return made;
}

}  // namespace moescope::routing
