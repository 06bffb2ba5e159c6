#include "panels/routing/change_list.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/text.hpp"
#include "nodes/history/checkpoint_name.hpp"

namespace moescope::panels {
namespace {

using Kind = Change::Kind;
using nlohmann::json;

constexpr std::array<const char*, kChangeKinds> kNames = {"knock_out", "force", "bias", "limit_k", "zero", "replay"};
constexpr std::string_view kRun = "run:";
constexpr std::size_t kShownOfField = 60;  ///< bytes

bool same_place(const Change& a, const Change& b) {
    return a.layer == b.layer && a.expert == b.expert;
}

/// Both can't be in one list: the later one takes the place.
bool contradict(const Change& a, const Change& b) {
    if (a.kind == Kind::replay || b.kind == Kind::replay) {
        return a.kind == b.kind;
    }
    if (a.kind == b.kind) {
        return same_place(a, b);
    }
    const auto is = [&](Kind one, Kind other) {
        return (a.kind == one && b.kind == other) || (a.kind == other && b.kind == one);
    };
    return same_place(a, b) && (is(Kind::knock_out, Kind::force) || is(Kind::knock_out, Kind::zero));
}

std::string place_text(const ui::Language& text, const Change& change) {
    const std::string layer = std::to_string(change.layer), expert = std::to_string(change.expert);
    if (change.layer == routing::kEvery) {
        return change.expert == routing::kEvery ? std::string(text("change.place.all"))
                                                : text.format("change.place.expert", {{"expert", expert}});
    }
    return change.expert == routing::kEvery ? text.format("change.place.layer", {{"layer", layer}})
                                            : text.format("change.place", {{"layer", layer}, {"expert", expert}});
}

}  // namespace

const char* change_kind_name(Kind kind) {
    return kNames[static_cast<std::size_t>(kind)];
}

std::string replay_source(std::uint32_t run) {
    return std::string(kRun) + std::to_string(run);
}

std::uint32_t replayed_run(std::string_view source) {
    if (!source.starts_with(kRun)) {
        return 0;
    }
    source.remove_prefix(kRun.size());
    std::uint32_t run = 0;
    const auto [end, error] = std::from_chars(source.data(), source.data() + source.size(), run);
    return error == std::errc() && end == source.data() + source.size() ? run : 0;
}

json items_of(const std::vector<Change>& changes) {
    json items = json::array();
    for (const Change& change : changes) {
        json item = {{"kind", change_kind_name(change.kind)}};
        const bool placed = change.kind != Kind::replay;
        if (placed && change.layer != routing::kEvery) {
            item["layer"] = change.layer;
        }
        if (placed && change.kind != Kind::limit && change.expert != routing::kEvery) {
            item["expert"] = change.expert;
        }
        if (change.kind == Kind::bias) {
            item["value"] = change.bias;
        } else if (change.kind == Kind::limit) {
            item["experts"] = change.experts;
        } else if (change.kind == Kind::replay) {
            item["source"] = change.source;
        }
        items.push_back(std::move(item));
    }
    return items;
}

std::vector<Change> changes_from(const json& items) {
    if (!items.is_array()) {
        routing::interventions_from_json(items);  // says what it has to be
        return {};
    }
    std::vector<Change> changes;
    // One by one: together they would lose their order.
    for (const json& item : items) {
        const routing::Interventions one = routing::interventions_from_json(json::array({item}));
        for (const routing::ExpertPlace& place : one.knocked_out) {
            changes.push_back({.kind = Kind::knock_out, .layer = place.layer, .expert = place.expert});
        }
        for (const routing::ExpertPlace& place : one.forced) {
            changes.push_back({.kind = Kind::force, .layer = place.layer, .expert = place.expert});
        }
        for (const routing::ExpertPlace& place : one.zeroed) {
            changes.push_back({.kind = Kind::zero, .layer = place.layer, .expert = place.expert});
        }
        for (const routing::AddedBias& bias : one.biases) {
            changes.push_back(
                {.kind = Kind::bias, .layer = bias.place.layer, .expert = bias.place.expert, .bias = bias.value});
        }
        for (const routing::ChosenLimit& limit : one.limits) {
            changes.push_back({.kind = Kind::limit, .layer = limit.layer, .experts = limit.experts});
        }
        if (!one.replay.source.empty()) {
            changes.push_back({.kind = Kind::replay, .source = one.replay.source});
        }
    }
    return changes;
}

std::vector<Change> changes_or_none(const json& items) {
    try {
        return changes_from(items);
    } catch (const base::Error&) {
        return {};
    }
}

std::string change_text(const ui::Language& text, const Change& change) {
    if (change.kind == Kind::replay) {
        const std::uint32_t run = replayed_run(change.source);
        return run != 0 ? text.format("change.is.replay", {{"run", std::to_string(run)}})
                        : text.format("change.is.replay_of", {{"source", base::shortened(change.source, 60)}});
    }
    const std::string what =
        change.kind == Kind::bias    ? text.format("change.is.bias", {{"value", text.number(change.bias, 4)}})
        : change.kind == Kind::limit ? text.format(change.experts == 1 ? "change.is.limit_k.one" : "change.is.limit_k",
                                                   {{"n", std::to_string(change.experts)}})
                                     : std::string(text(std::string("change.is.") + change_kind_name(change.kind)));
    return text.format("change.one", {{"place", place_text(text, change)}, {"what", what}});
}

std::string changes_text(const ui::Language& text, const std::vector<Change>& changes) {
    if (changes.size() == 1) {
        return change_text(text, changes.front());
    }
    std::string all;
    for (int i = 0; i < kChangeKinds; ++i) {
        const auto kind = static_cast<Kind>(i);
        const auto n = static_cast<std::uint64_t>(
            std::count_if(changes.begin(), changes.end(), [&](const Change& change) { return change.kind == kind; }));
        if (n > 0) {
            const std::string key = std::string("change.count.") + change_kind_name(kind);
            base::append_to_list(all, text.format(key, {{"n", text.number(n)}}), text("common.comma"));
        }
    }
    return all.empty() ? std::string(text("change.none")) : all;
}

std::vector<Change> changes_at(Kind kind, std::string_view layers, std::string_view experts, float bias,
                               int most_experts) {
    // Each part of one list with each of the other, as the command line has them: "3:0-4,3:7". Nothing typed: all.
    const auto parts = [](std::string_view list) {
        list = base::trimmed(list);
        std::vector<std::string> all;
        for (std::size_t begin = 0; begin <= list.size();) {
            const std::size_t end = std::min(list.find(',', begin), list.size());
            all.emplace_back(list.empty() ? "*" : base::trimmed(list.substr(begin, end - begin)));
            begin = end + 1;
        }
        return all;
    };
    // Of the field that it stands in: whoever fills in two has not written LAYER:EXPERT.
    const auto check = [](const std::string& place, const base::Sentence& problem) {
        try {
            routing::parse_places(place);
        } catch (const base::Error&) {
            throw base::Error(problem);
        }
    };
    const std::vector<std::string> all_layers = parts(layers), all_experts = parts(kind == Kind::limit ? "*" : experts);
    for (const std::string& layer : all_layers) {
        check(layer + ":0", base::say("'{}' in the field of layers is none: write one as 3, several as 0-4 or 1,3, all "
                                      "as *",
                                      base::one_line(layer, kShownOfField)));
    }
    for (const std::string& expert : all_experts) {
        check("0:" + expert, base::say("'{}' in the field of experts is none: write one as 5, several as 0-4 or 1,3, "
                                       "all as *",
                                       base::one_line(expert, kShownOfField)));
    }
    std::vector<Change> changes;
    for (const std::string& layer : all_layers) {
        for (const std::string& expert : all_experts) {
            std::string place = layer;
            place.append(":").append(expert);
            for (const routing::ExpertPlace& at : routing::parse_places(place)) {
                Change change{.kind = kind, .layer = at.layer, .expert = at.expert};
                if (kind == Kind::bias) {
                    change.bias = bias;
                } else if (kind == Kind::limit) {
                    change.experts = most_experts;
                }
                changes.push_back(std::move(change));
            }
        }
    }
    return changes;
}

const char* set_name_problem(std::string_view name) {
    constexpr std::size_t kLongest = 60;
    if (base::trimmed(name).empty()) {
        return "change.name.none";
    }
    if (name.size() > kLongest) {
        return "change.name.long";
    }
    return history::is_set_name(name) ? nullptr : "change.name.sign";
}

void ChangeList::step(std::vector<Change> next) {
    if (next == changes_) {
        return;
    }
    changes_ = std::move(next);
    ++version_;
}

bool ChangeList::add(const std::vector<Change>& more) {
    std::vector<Change> next = changes_;
    for (const Change& change : more) {
        if (std::find(next.begin(), next.end(), change) != next.end()) {
            continue;
        }
        next.erase(
            std::remove_if(next.begin(), next.end(), [&](const Change& other) { return contradict(change, other); }),
            next.end());
        next.push_back(change);
    }
    const bool other = next != changes_;
    step(std::move(next));
    return other;
}

void ChangeList::remove(std::size_t index) {
    if (index >= changes_.size()) {
        return;
    }
    std::vector<Change> next = changes_;
    next.erase(next.begin() + static_cast<std::ptrdiff_t>(index));
    step(std::move(next));
}

void ChangeList::replace(std::size_t index, Change change) {
    if (index >= changes_.size()) {
        return;
    }
    std::vector<Change> next = changes_;
    next[index] = std::move(change);
    step(std::move(next));
}

void ChangeList::set(std::vector<Change> changes) {
    step(std::move(changes));
}

bool ChangeList::remove_at(int layer, int expert) {
    std::vector<Change> next;
    for (const Change& change : changes_) {
        if (change.kind == Kind::replay || change.kind == Kind::limit || change.layer != layer ||
            change.expert != expert) {
            next.push_back(change);
        }
    }
    const bool found = next.size() != changes_.size();
    step(std::move(next));
    return found;
}

std::vector<Change> ChangeList::at(int layer, int expert) const {
    std::vector<Change> found;
    for (const Change& change : changes_) {
        if (change.kind != Kind::replay && change.kind != Kind::limit && change.layer == layer &&
            change.expert == expert) {
            found.push_back(change);
        }
    }
    return found;
}

}  // namespace moescope::panels
