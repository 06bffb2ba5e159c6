#include "routing/expert_loads.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "routing/router_spec.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

/// Throws Error, a sentence without a subject.
ExpertLoads loads_of(const json& given) {
    const json& rows = given.is_object() ? base::member(given, "loads") : given;
    if (!rows.is_array() || rows.empty()) {
        throw Error(
            say("has no list of layers, each a list of the loads of its experts; write [[1, 2, 3], [4, 5, 6]], "
                "or this as \"loads\" of an object"));
    }
    if (rows.size() > static_cast<std::size_t>(kMostLayers)) {
        throw Error(say("has {} layers, more than the {} that are read", rows.size(), kMostLayers));
    }
    ExpertLoads loads;
    loads.layers = rows.size();
    const auto first = static_cast<std::size_t>(
        std::find_if(rows.begin(), rows.end(), [](const json& row) { return !row.is_null(); }) - rows.begin());
    if (first == rows.size()) {
        throw Error(say("has no layer with experts"));
    }
    for (std::size_t layer = 0; layer < rows.size(); ++layer) {
        const json& row = rows[layer];
        if (row.is_null()) {
            loads.dense.resize(loads.layers, 0);
            loads.dense[layer] = 1;
            continue;
        }
        if (!row.is_array() || row.empty()) {
            throw Error(say("has no list of loads for layer {}", layer));
        }
        if (row.size() > static_cast<std::size_t>(kMostExperts)) {
            throw Error(
                say("has {} experts in layer {}, more than the {} that are read", row.size(), layer, kMostExperts));
        }
        loads.experts = layer == first ? row.size() : loads.experts;
        if (row.size() != loads.experts) {
            throw Error(say("has {} experts in layer {} but {} in layer {}", row.size(), layer, loads.experts, first));
        }
        if (row.size() > kMostLoads / loads.layers) {
            throw Error(say("has {} layers of {} experts, more than the {} loads that are read", loads.layers,
                            row.size(), kMostLoads));
        }
        loads.load.resize(layer * loads.experts, 0.0);  // dense layers before it
        for (std::size_t expert = 0; expert < row.size(); ++expert) {
            const std::optional<double> load = base::as_number(row[expert]);
            if (!load || !(*load >= 0 && *load <= kMostLoad)) {
                throw Error(
                    say("has no number from 0 to {:g} as the load of expert {} in layer {}", kMostLoad, expert, layer));
            }
            loads.load.push_back(*load);
        }
    }
    loads.load.resize(loads.layers * loads.experts, 0.0);
    return loads;
}

}  // namespace

ExpertLoads parse_expert_loads(std::string_view text) {
    const base::ParsedJson parsed = base::read_json(text, kLoadsBytes);
    if (!parsed.value) {
        throw Error(parsed.problem);
    }
    return loads_of(*parsed.value);
}

ExpertLoads read_expert_loads(const std::filesystem::path& path) {
    const json given = base::read_json_file(path, kLoadsBytes);
    try {
        return loads_of(given);
    } catch (const Error& error) {
        throw Error(say("{} {}", path, error));
    }
}

}  // namespace moescope::routing
