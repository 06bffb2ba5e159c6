#include "routing/router_spec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

constexpr std::array kSources = {std::pair(Source::executed, "executed"), std::pair(Source::recomputed, "recomputed"),
                                 std::pair(Source::imported, "imported")};
constexpr std::size_t kMostDoubts = 32;
constexpr int kMostNumber = std::numeric_limits<int>::max();

void check_name(const std::string& name, const char* key) {
    if (name.size() > kLongestName) {
        throw Error(say("has a text of {} bytes under \"{}\"", name.size(), key));
    }
}

Source source_from(const std::string& name) {
    std::string names;
    for (const auto& [source, known] : kSources) {
        if (name == known) {
            return source;
        }
        base::append_to_list(names, known);
    }
    if (!name.empty()) {
        check_name(name, "source");
        throw Error(say("has the source '{}', which is not known; known are {}", name, names));
    }
    // Nobody says that these ids made the logits, so they are not called executed.
    return Source::imported;
}

std::string name_of(const json& value, const char* key) {
    const json& given = base::member(value, key);
    if (value.contains(key) && !given.is_string()) {
        throw Error(say("has something that is no text under \"{}\"", key));
    }
    return base::text_of(value, key);
}

int count_of(const json& value, const char* key, int otherwise, int most) {
    if (!value.contains(key)) {
        return otherwise;
    }
    const auto count = base::as_integer(value.at(key));
    if (!count || *count < 0 || *count > most) {
        throw Error(say("has something else than a whole number from 0 to {} under \"{}\"", most, key));
    }
    return static_cast<int>(*count);
}

bool flag_of(const json& value, const char* key) {
    if (value.contains(key) && !value.at(key).is_boolean()) {
        throw Error(say("has something else than true or false under \"{}\"", key));
    }
    return base::flag_of(value, key);
}

std::vector<int> layers_of(const json& value) {
    const json& given = base::member(value, "routed_layers");
    std::vector<int> layers;
    if (value.contains("routed_layers") && !given.is_array()) {
        throw Error(say("has something that is no list under \"{}\"", "routed_layers"));
    }
    if (given.size() > static_cast<std::size_t>(kMostLayers)) {
        throw Error(say("has more than {} layers", kMostLayers));
    }
    for (const json& layer : given) {
        const auto number = base::as_integer(layer);
        layers.push_back(number && *number >= 0 && *number < kMostLayers ? static_cast<int>(*number) : -1);
    }
    return layers;
}

/// Of a spec whose sizes were checked.
void check_disabled(const RouterSpec& spec) {
    std::map<int, std::set<int>> disabled;
    for (const auto& [layer, expert] : spec.disabled) {
        if (routed_place(spec, layer) < 0 || expert < 0 || expert >= spec.experts) {
            throw Error(say("names expert {} of layer {} as disabled, which it does not have", expert, layer));
        }
        disabled[layer].insert(expert);
    }
    for (const auto& [layer, experts] : disabled) {
        if (static_cast<int>(experts.size()) > spec.experts - spec.experts_per_token) {
            throw Error(say("has {} disabled experts in layer {}, which leaves too few", experts.size(), layer));
        }
    }
}

std::vector<std::pair<int, int>> disabled_of(const json& value) {
    std::vector<std::pair<int, int>> disabled;
    const json& given = base::member(value, "disabled_experts");
    if (value.contains("disabled_experts") && !given.is_array()) {
        throw Error(say("has something that is no list under \"{}\"", "disabled_experts"));
    }
    if (given.size() > kMostExpertsOfModel) {
        throw Error(say("has {} disabled experts", given.size()));
    }
    for (const json& pair : given) {
        const auto number = [&](std::size_t at) {
            const auto found = pair.is_array() && pair.size() == 2 ? base::as_integer(pair[at]) : std::nullopt;
            return found && *found >= 0 && *found < kMostNumber ? static_cast<int>(*found) : -1;  // check() refuses it
        };
        disabled.emplace_back(number(0), number(1));
    }
    return disabled;
}

}  // namespace

void check(const RouterSpec& spec) {
    check_name(spec.model, "model");
    check_name(spec.device, "device");
    check_name(spec.architecture, "architecture");
    check_name(spec.scoring, "scoring");
    check_name(spec.group_score, "group_score");
    if (!spec.scoring.empty() &&
        std::find(kKnownScorings.begin(), kKnownScorings.end(), spec.scoring) == kKnownScorings.end()) {
        throw Error(say("has the scoring '{}', which is not known", spec.scoring));
    }
    if (!spec.group_score.empty() && spec.group_score != "max" && spec.group_score != "top2") {
        throw Error(say("has groups that are scored by '{}', which is not known", spec.group_score));
    }
    if (spec.layers < 1 || spec.layers > kMostLayers) {
        throw Error(say("has {} layers; 1 to {} are possible", spec.layers, kMostLayers));
    }
    if (spec.experts < 1 || spec.experts > kMostExperts) {
        throw Error(say("has {} experts; 1 to {} are possible", spec.experts, kMostExperts));
    }
    if (spec.experts_per_token < 1 || spec.experts_per_token > spec.experts) {
        throw Error(say("chooses {} experts per token of {}", spec.experts_per_token, spec.experts));
    }
    if (spec.routed_layers.empty()) {
        throw Error(say("names no layer that has a router"));
    }
    int before = -1;
    for (const int layer : spec.routed_layers) {
        if (layer <= before || layer >= spec.layers) {
            throw Error(say("does not name its layers with a router in ascending order below {}", spec.layers));
        }
        before = layer;
    }
    const Shape shape = shape_of(spec);  // each factor is small enough for the products
    if (shape.layers * shape.per_token > kMostChosenOfToken || shape.layers * shape.experts > kMostExpertsOfModel) {
        throw Error(say("has {} layers of {} experts, more than can be shown", shape.layers, shape.experts));
    }
    if (spec.shared_experts < 0 || spec.shared_experts > kMostExperts || spec.hash_layers < 0 ||
        spec.hash_layers > kMostLayers) {
        throw Error(say("has {} shared experts and {} layers that choose by the token's id", spec.shared_experts,
                        spec.hash_layers));
    }
    if (!std::isfinite(spec.scale)) {
        throw Error(say("has something that is no number under \"{}\"", "scale"));
    }
    if (spec.groups < 1 || spec.groups > spec.experts || spec.groups_kept < 1 || spec.groups_kept > spec.groups) {
        throw Error(say("keeps {} of {} groups of {} experts", spec.groups_kept, spec.groups, spec.experts));
    }
    check_disabled(spec);
}

Shape shape_of(const RouterSpec& spec) {
    return {spec.routed_layers.size(), static_cast<std::size_t>(spec.experts),
            static_cast<std::size_t>(spec.experts_per_token)};
}

int routed_place(const RouterSpec& spec, int layer) {
    const auto found = std::lower_bound(spec.routed_layers.begin(), spec.routed_layers.end(), layer);
    return found != spec.routed_layers.end() && *found == layer ? static_cast<int>(found - spec.routed_layers.begin())
                                                                : -1;
}

const char* source_name(Source source) {
    for (const auto& [known, name] : kSources) {
        if (source == known) {
            return name;
        }
    }
    return "";
}

const char* detail_name(Detail detail) {
    switch (detail) {
        case Detail::ids:
            return "ids";
        case Detail::weights:
            return "weights";
        case Detail::scores:
            break;
    }
    return "scores";
}

std::optional<Detail> detail_named(std::string_view name) {
    for (const Detail detail : {Detail::ids, Detail::weights, Detail::scores}) {
        if (name == detail_name(detail)) {
            return detail;
        }
    }
    return std::nullopt;
}

json router_to_json(const RouterSpec& spec) {
    json value = {{"layers", spec.layers},
                  {"experts", spec.experts},
                  {"experts_per_token", spec.experts_per_token},
                  {"shared_experts", spec.shared_experts},
                  {"routed_layers", spec.routed_layers},
                  {"hash_layers", spec.hash_layers},
                  {"groups", spec.groups},
                  {"groups_kept", spec.groups_kept},
                  {"selection_bias", spec.selection_bias},
                  {"normalise", spec.normalise},
                  {"scale", spec.scale},
                  {"source", source_name(spec.source)}};
    for (const auto& [key, text] : {std::pair("model", &spec.model), std::pair("architecture", &spec.architecture),
                                    std::pair("scoring", &spec.scoring), std::pair("group_score", &spec.group_score),
                                    std::pair("device", &spec.device)}) {
        if (!text->empty()) {
            value[key] = *text;
        }
    }
    if (!spec.disabled.empty()) {
        value["disabled_experts"] = spec.disabled;
    }
    for (const Sentence& doubt : spec.doubts) {
        value["doubts"].push_back(base::sentence_to_json(doubt));
    }
    return value;
}

RouterSpec router_from_json(const json& value) {
    if (!value.is_object()) {
        throw Error(say("does not say which router it is of"));
    }
    RouterSpec spec;
    spec.model = name_of(value, "model");
    spec.architecture = name_of(value, "architecture");
    spec.scoring = name_of(value, "scoring");
    spec.group_score = name_of(value, "group_score");
    spec.layers = count_of(value, "layers", 0, kMostNumber);
    spec.experts = count_of(value, "experts", 0, kMostNumber);
    spec.experts_per_token = count_of(value, "experts_per_token", 0, kMostNumber);
    spec.shared_experts = count_of(value, "shared_experts", 0, kMostNumber);
    spec.routed_layers = layers_of(value);
    spec.hash_layers = count_of(value, "hash_layers", 0, kMostNumber);
    spec.groups = count_of(value, "groups", 1, kMostNumber);
    spec.groups_kept = count_of(value, "groups_kept", 1, kMostNumber);
    spec.selection_bias = flag_of(value, "selection_bias");
    spec.normalise = flag_of(value, "normalise");
    spec.scale = value.contains("scale") ? base::number_of(value, "scale") : 1.0;  // NaN is refused by check()
    spec.source = source_from(name_of(value, "source"));
    spec.device = base::shown_name(name_of(value, "device"));
    spec.disabled = disabled_of(value);
    const json& doubts = base::member(value, "doubts");
    if (value.contains("doubts") && !doubts.is_array()) {
        throw Error(say("has something that is no list under \"{}\"", "doubts"));
    }
    // One place is for saying how many are left out.
    const std::size_t kept = doubts.size() > kMostDoubts ? kMostDoubts - 1 : doubts.size();
    for (std::size_t i = 0; i < kept; ++i) {
        const std::string text = doubts[i].is_string() ? doubts[i].get<std::string>() : std::string();
        if (Sentence doubt = base::sentence_from_json(doubts[i], text); !doubt.empty()) {
            spec.doubts.push_back(std::move(doubt));
        }
    }
    if (kept < doubts.size()) {
        spec.doubts.push_back(say("{} more doubts are left out", doubts.size() - kept));
    }
    check(spec);
    return spec;
}

}  // namespace moescope::routing
