#include "routing/interventions.hpp"

#include <charconv>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"

namespace moescope::routing {
namespace {

using base::Error;
using base::Marked;
using base::say;
using nlohmann::json;

constexpr int kLargestNumber = 65535;                      // of a layer or an expert
constexpr std::size_t kMostPlaces = std::size_t{1} << 16;  // of one set; more than any model has
constexpr int kLargestRecordedBias = 1'000'000;

std::string shown(std::string_view text) {
    return base::one_line(text, 60);
}

void check_count(std::size_t count) {
    if (count > kMostPlaces) {
        throw Error(say("more than {} experts are named; use * for all of a layer", kMostPlaces));
    }
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(at, begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

template <class T>
bool whole(std::string_view text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

bool number(std::string_view text, int& value) {
    return whole(text, value) && value >= 0 && value <= kLargestNumber;
}

struct Range {
    int first = kEvery, last = kEvery;
};

/// "5", "0-4" or "*".
bool range(std::string_view text, Range& range) {
    if (text == "*") {
        range = {};
        return true;
    }
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) {
        const bool read = number(text, range.first);
        range.last = range.first;
        return read;
    }
    return number(text.substr(0, dash), range.first) && number(text.substr(dash + 1), range.last) &&
           range.first <= range.last;
}

/// The places of "3:0-4", added to `places`.
void read_place(std::string_view part, std::vector<ExpertPlace>& places) {
    const std::size_t colon = part.find(':');
    Range layers, experts;
    if (colon == std::string_view::npos || !range(part.substr(0, colon), layers) ||
        !range(part.substr(colon + 1), experts)) {
        throw Error(say("'{}' is no LAYER:EXPERT; write it as 3:5, 3:0-4, 3:* or *:5", shown(part)));
    }
    const auto span = [](const Range& r) { return static_cast<std::size_t>(r.last - r.first) + 1; };
    check_count(places.size() + span(layers) * span(experts));
    for (int layer = layers.first; layer <= layers.last; ++layer) {
        for (int expert = experts.first; expert <= experts.last; ++expert) {
            places.push_back({layer, expert});
        }
    }
}

void put_place(json& item, const ExpertPlace& place) {
    if (place.layer != kEvery) {
        item["layer"] = place.layer;
    }
    if (place.expert != kEvery) {
        item["expert"] = place.expert;
    }
}

/// A member that is a number of a layer or an expert, or is not there.
int place_in(const json& item, const char* key) {
    if (!item.contains(key)) {
        return kEvery;
    }
    const auto value = base::as_integer(item.at(key));
    if (!value || *value < 0 || *value > kLargestNumber) {
        throw Error(say("'{}' of an intervention is no whole number from 0 to {}", key, kLargestNumber));
    }
    return static_cast<int>(*value);
}

float checked_bias(double value, int largest) {
    if (!(std::abs(value) <= largest)) {
        throw Error(
            say("a bias has to be a number from -{} to {}: beside a larger one, scores are rounded so far that "
                "others are chosen",
                kLargestBias, kLargestBias));
    }
    return static_cast<float>(value);
}

void allow_keys(const json& item, std::initializer_list<const char*> keys) {
    for (const auto& [key, value] : item.items()) {
        bool known = key == "kind";
        for (const char* one : keys) {
            known = known || key == one;
        }
        if (!known) {
            throw Error(say("an intervention has no '{}'", shown(key)));
        }
    }
}

void read_item(const json& item, Interventions& into) {
    const std::string kind = base::text_of(item, "kind");
    const bool limits = kind == "limit_k", replays = kind == "replay";
    std::vector<ExpertPlace>* const places = kind == "knock_out" ? &into.knocked_out
                                             : kind == "force"   ? &into.forced
                                             : kind == "zero"    ? &into.zeroed
                                                                 : nullptr;
    if (places != nullptr) {
        allow_keys(item, {"layer", "expert"});
        places->push_back({place_in(item, "layer"), place_in(item, "expert")});
    } else if (kind == "bias") {
        allow_keys(item, {"layer", "expert", "value"});
        into.biases.push_back({{place_in(item, "layer"), place_in(item, "expert")},
                               checked_bias(base::number_of(item, "value"), kLargestRecordedBias)});
    } else if (limits) {
        allow_keys(item, {"layer", "experts"});
        into.limits.push_back({place_in(item, "layer"), place_in(item, "experts")});
    } else if (replays) {
        allow_keys(item, {"source"});
        into.replay.source = base::text_of(item, "source");
        if (into.replay.source.empty()) {
            throw Error(say("a replay has to name the trace that it takes the routing of"));
        }
    } else {
        throw Error(say("there is no intervention '{}'; there are knock_out, force, bias, limit_k, zero and replay",
                        shown(kind)));
    }
}

}  // namespace

std::vector<ExpertPlace> parse_places(std::string_view text) {
    std::vector<ExpertPlace> places;
    for (const std::string_view part : split(text, ',')) {
        read_place(part, places);
    }
    return places;
}

std::vector<AddedBias> parse_biases(std::string_view text) {
    std::vector<AddedBias> biases;
    for (const std::string_view part : split(text, ',')) {
        const std::size_t equal = part.find('=');
        double value = 0;
        if (equal == std::string_view::npos || !whole(part.substr(equal + 1), value)) {
            throw Error(say("'{}' is no LAYER:EXPERT=VALUE; write it as 3:5=-0.5", shown(part)));
        }
        std::vector<ExpertPlace> places;
        read_place(part.substr(0, equal), places);
        check_count(biases.size() + places.size());
        for (const ExpertPlace& place : places) {
            biases.push_back({place, checked_bias(value, kLargestBias)});
        }
    }
    return biases;
}

std::vector<ChosenLimit> parse_limits(std::string_view text) {
    std::vector<ChosenLimit> limits;
    for (const std::string_view part : split(text, ',')) {
        const std::size_t colon = part.find(':');
        Range layers;
        int experts = 0;
        const bool everywhere = colon == std::string_view::npos;
        if ((!everywhere && !range(part.substr(0, colon), layers)) ||
            !number(everywhere ? part : part.substr(colon + 1), experts)) {
            throw Error(say("'{}' is no number of experts; write it as 1, or as 3:1 for layer 3", shown(part)));
        }
        check_count(limits.size() + static_cast<std::size_t>(layers.last - layers.first) + 1);
        for (int layer = layers.first; layer <= layers.last; ++layer) {
            limits.push_back({layer, experts});
        }
    }
    return limits;
}

json items_to_json(const Interventions& interventions) {
    json items = json::array();
    const auto put_all = [&](const char* kind, const std::vector<ExpertPlace>& places) {
        for (const ExpertPlace& place : places) {
            json item = {{"kind", kind}};
            put_place(item, place);
            items.push_back(std::move(item));
        }
    };
    put_all("knock_out", interventions.knocked_out);
    put_all("force", interventions.forced);
    for (const AddedBias& bias : interventions.biases) {
        json item = {{"kind", "bias"}, {"value", bias.value}};
        put_place(item, bias.place);
        items.push_back(std::move(item));
    }
    for (const ChosenLimit& limit : interventions.limits) {
        json item = {{"kind", "limit_k"}, {"experts", limit.experts}};
        put_place(item, {limit.layer, kEvery});
        items.push_back(std::move(item));
    }
    put_all("zero", interventions.zeroed);
    if (!interventions.replay.source.empty()) {
        items.push_back({{"kind", "replay"}, {"source", interventions.replay.source}});
    }
    return items;
}

json to_json(const Interventions& interventions) {
    return {{"name", interventions.name}, {"items", items_to_json(interventions)}};
}

void check_changes(const json& items) {
    if (!items.is_array()) {
        throw Error(say("has something that is no list under \"{}\"", "interventions"));
    }
    (void)interventions_from_json(items);
}

Interventions interventions_from_json(const json& value) {
    Interventions into;
    const json& items = value.is_object() ? base::member(value, "items") : value;
    if (!items.is_array()) {
        throw Error(say("a set of interventions is a list, or has one under 'items'"));
    }
    if (value.is_object()) {
        for (const auto& [key, unused] : value.items()) {
            if (key != "name" && key != "items") {
                throw Error(say("a set of interventions has no '{}'", shown(key)));
            }
        }
        into.name = base::text_of(value, "name");
    }
    check_count(items.size());
    for (const json& item : items) {
        read_item(item, into);
    }
    return into;
}

}  // namespace moescope::routing
