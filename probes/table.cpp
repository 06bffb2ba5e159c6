// The probe table as JSON. The layout is documented in README.md; panel and report print it and compute nothing.
#include <algorithm>
#include <cmath>
#include <functional>

#include "probes/agreement.hpp"
#include "probes/probes.hpp"
#include "probes/resample.hpp"

namespace moescope::probes {
namespace {

using nlohmann::json;

constexpr double kAlpha = 0.05, kPower = 0.8, kBackground = 0.03;
constexpr std::uint64_t kDescriptive = 10;  ///< below this many items a rate is a description, not an estimate
constexpr std::array<const char*, 2> kMeasures{"engaged", "refused"};
constexpr std::array<const char*, 2> kGroups{"state", "mirror"};

/// All draws of one item under one model and language. The item is the unit: draws are averaged, never pooled.
struct Outcome {
    std::vector<const Draw*> draws;
    int labelled = 0, missing = 0;
    std::array<double, 2> hits{};  ///< by measure

    bool usable() const { return labelled > 0; }
    double share(std::size_t measure) const { return hits[measure] / labelled; }
    bool majority(std::size_t measure) const { return 2 * hits[measure] > labelled; }
};

struct Key {
    std::string item, model, language;
    auto operator<=>(const Key&) const = default;
};

int engagement_of(const Labels& labels) {
    return engagement_with(labels.delivery, labels.engagement);
}

struct Data {
    const Set& set;
    const std::vector<std::string>& models;
    std::vector<std::string> languages;
    std::map<Key, Outcome> outcomes;
    std::uint64_t received = 0, unknown = 0, by_person = 0, most_draws = 0;

    const Outcome* find(const Item& item, const std::string& model, const std::string& language) const {
        const auto found = outcomes.find({item.id, model, language});
        return found == outcomes.end() ? nullptr : &found->second;
    }
};

void count(Outcome& outcome, const Draw& draw) {
    const int engagement = engagement_of(draw.labels);
    outcome.draws.push_back(&draw);
    if (engagement < 0) {
        ++outcome.missing;
        return;
    }
    ++outcome.labelled;
    outcome.hits[0] += engagement >= 3 ? 1 : 0;
    outcome.hits[1] += draw.labels.delivery == Delivery::refused ? 1 : 0;
}

Data collect(const Set& set, const std::vector<std::string>& models, const std::vector<Draw>& draws) {
    Data data{set, models, {}, {}, 0, 0, 0, 0};
    std::map<std::string, const Item*> items;
    for (const Item& item : set.items) {
        items[item.id] = &item;
    }
    std::map<std::pair<Key, int>, const Draw*> latest;  // an answer drawn again replaces the earlier one
    for (const Draw& draw : draws) {
        const auto item = items.find(draw.item);
        const bool asked = item != items.end() && item->second->prompt.count(draw.language) != 0;
        if (!asked || std::find(models.begin(), models.end(), draw.model) == models.end()) {
            ++data.unknown;
            continue;
        }
        latest[{{draw.item, draw.model, draw.language}, draw.draw}] = &draw;
    }
    for (const auto& [key, draw] : latest) {
        count(data.outcomes[key.first], *draw);
        ++data.received;
        data.by_person += draw->by_person ? 1 : 0;
        if (std::find(data.languages.begin(), data.languages.end(), draw->language) == data.languages.end()) {
            data.languages.push_back(draw->language);
        }
    }
    std::sort(data.languages.begin(), data.languages.end());
    if (data.languages.empty()) {
        data.languages = {"en", "zh"};
    }
    for (const auto& [key, outcome] : data.outcomes) {
        data.most_draws = std::max<std::uint64_t>(data.most_draws, outcome.draws.size());
    }
    return data;
}

json number(double value) {
    return std::isfinite(value) ? json(value) : json();
}
/// Of nothing there is no interval, not the widest one.
json interval(const Interval& value) {
    const bool known = std::isfinite(value.estimate);
    return {{"estimate", number(value.estimate)},
            {"low", known ? json(value.low) : json()},
            {"high", known ? json(value.high) : json()}};
}

std::vector<const Item*> items_of(const Set& set, const std::string& group, const std::string& topic) {
    std::vector<const Item*> items;
    for (const Item& item : set.items) {
        if (item.group == group && (topic.empty() || item.topic == topic)) {
            items.push_back(&item);
        }
    }
    return items;
}

struct CellKey {
    std::string group, topic, model, language;
};

json rate_of(const std::vector<const Outcome*>& usable, std::size_t measure, std::uint64_t missing) {
    std::uint64_t hits = 0;
    bool repeated = false;
    std::vector<double> shares;
    for (const Outcome* outcome : usable) {
        hits += outcome->majority(measure) ? 1 : 0;
        repeated = repeated || outcome->labelled > 1;
        shares.push_back(outcome->share(measure));
    }
    const std::uint64_t n = usable.size(), all = n + missing;
    Interval found = repeated ? bootstrap_difference(shares, {}) : wilson(hits, n);
    const bool alike = repeated && found.low == found.high;  // resampling sees no spread; that is no certainty
    if (alike) {
        const double estimate = found.estimate;
        found = wilson(static_cast<std::uint64_t>(std::llround(estimate * static_cast<double>(n))), n);
        found.estimate = estimate;
    }
    json rate = interval({found.estimate, std::max(0.0, found.low), std::min(1.0, found.high)});
    rate["count"] = hits;
    rate["method"] = repeated && !alike ? "bootstrap" : "wilson";
    rate["worst"] = all == 0 ? json() : json(static_cast<double>(hits) / static_cast<double>(all));
    rate["best"] = all == 0 ? json() : json(static_cast<double>(hits + missing) / static_cast<double>(all));
    return rate;
}

json draw_id(const Draw& draw) {
    return {{"item", draw.item}, {"model", draw.model}, {"language", draw.language}, {"draw", draw.draw}};
}

json cell_of(const Data& data, const CellKey& key) {
    const auto items = items_of(data.set, key.group, key.topic);
    json deliveries = json::object(), ids = json::array();
    for (const Delivery delivery : kDeliveries) {
        deliveries[delivery_name(delivery)] = 0;
    }
    std::array<int, 5> engagement{};
    std::vector<const Outcome*> usable;
    std::uint64_t missing = 0, pending = 0;
    for (const Item* item : items) {
        const Outcome* outcome = data.find(*item, key.model, key.language);
        if (outcome == nullptr) {
            ++pending;
            continue;
        }
        (outcome->usable() ? (void)usable.push_back(outcome) : (void)++missing);
        for (const Draw* draw : outcome->draws) {
            auto& counter = deliveries[delivery_name(draw->labels.delivery)];
            counter = counter.get<int>() + 1;
            ids.push_back(draw_id(*draw));
            if (const int level = engagement_of(draw->labels); level >= 0) {
                ++engagement[static_cast<std::size_t>(level)];
            }
        }
    }
    json cell{{"scope", key.topic.empty() ? "group" : "topic"},
              {"group", key.group},
              {"topic", key.topic},
              {"model", key.model},
              {"language", key.language},
              {"items", items.size()},
              {"n", usable.size()},
              {"missing", missing},
              {"pending", pending},
              {"deliveries", deliveries},
              {"engagement", engagement},
              {"descriptive_only", usable.size() < kDescriptive},
              {"draw_ids", ids}};
    for (std::size_t measure = 0; measure < kMeasures.size(); ++measure) {
        cell[kMeasures[measure]] = rate_of(usable, measure, missing);
    }
    return cell;
}

json all_cells(const Data& data) {
    std::vector<std::string> topics{""};
    for (const auto& [topic, title] : data.set.topics) {
        topics.push_back(topic);
    }
    json cells = json::array();
    for (const std::string& topic : topics) {
        for (const char* group : kGroups) {
            if (items_of(data.set, group, topic).empty()) {
                continue;
            }
            for (const std::string& model : data.models) {
                for (const std::string& language : data.languages) {
                    cells.push_back(cell_of(data, {group, topic, model, language}));
                }
            }
        }
    }
    return cells;
}

/// One side of a comparison: a model in a language.
struct Side {
    std::string model, language;
};

struct Comparison {
    std::string kind;  ///< "models" or "languages"
    std::string group;
    Side first, second;
};

std::vector<Comparison> comparisons(const Data& data) {
    std::vector<Comparison> out;
    const auto& models = data.models;
    for (const char* group : kGroups) {
        for (const std::string& language : data.languages) {
            for (std::size_t a = 0; a < models.size(); ++a) {
                for (std::size_t b = a + 1; b < models.size(); ++b) {
                    out.push_back({"models", group, {models[a], language}, {models[b], language}});
                }
            }
        }
        for (const std::string& model : models) {
            for (std::size_t a = 0; a < data.languages.size(); ++a) {
                for (std::size_t b = a + 1; b < data.languages.size(); ++b) {
                    out.push_back({"languages", group, {model, data.languages[a]}, {model, data.languages[b]}});
                }
            }
        }
    }
    return out;
}

/// The 2x2 table of the pairs and what hangs on it.
struct Pairs {
    std::array<std::array<std::uint64_t, 2>, 2> counts{};  ///< [first][second], 1 = hit
    std::array<std::uint64_t, 2> first_only_known{};       ///< first side labelled (by value), second missing
    std::array<std::uint64_t, 2> second_only_known{};
    std::uint64_t neither_known = 0;
    std::vector<double> differences;  ///< of shares, complete pairs
    bool repeated = false;
    json only_first = json::array(), only_second = json::array();

    std::uint64_t complete() const { return counts[0][0] + counts[0][1] + counts[1][0] + counts[1][1]; }
    std::uint64_t missing() const {
        return first_only_known[0] + first_only_known[1] + second_only_known[0] + second_only_known[1] + neither_known;
    }
};

Pairs pair_up(const Data& data, const Comparison& comparison, std::size_t measure) {
    Pairs pairs;
    for (const Item* item : items_of(data.set, comparison.group, "")) {
        const Outcome* first = data.find(*item, comparison.first.model, comparison.first.language);
        const Outcome* second = data.find(*item, comparison.second.model, comparison.second.language);
        if (first == nullptr || second == nullptr) {
            continue;  // not asked yet: pending, not missing
        }
        const bool hit1 = first->usable() && first->majority(measure),
                   hit2 = second->usable() && second->majority(measure);
        if (!first->usable() && !second->usable()) {
            ++pairs.neither_known;
        } else if (!second->usable()) {
            ++pairs.first_only_known[hit1];
        } else if (!first->usable()) {
            ++pairs.second_only_known[hit2];
        } else {
            ++pairs.counts[hit1][hit2];
            pairs.differences.push_back(first->share(measure) - second->share(measure));
            pairs.repeated = pairs.repeated || first->labelled > 1 || second->labelled > 1;
            if (hit1 != hit2) {
                (hit1 ? pairs.only_first : pairs.only_second).push_back(item->id);
            }
        }
    }
    return pairs;
}

/// The test with every missing answer counted for one side: `first` true gives the largest difference, false the
/// smallest.
json bound_of(const Pairs& pairs, bool first) {
    auto counts = pairs.counts;
    const std::size_t one = first ? 1 : 0, two = first ? 0 : 1;
    for (std::size_t value = 0; value < 2; ++value) {
        counts[value][two] += pairs.first_only_known[value];
        counts[one][value] += pairs.second_only_known[value];
    }
    counts[one][two] += pairs.neither_known;
    const McNemar test = mcnemar(counts[1][1], counts[1][0], counts[0][1], counts[0][0]);
    return {{"difference", number(test.difference.estimate)}, {"p", test.p}};
}

using Detectable = std::function<json(std::uint64_t, double)>;

json test_of(const Data& data, const Comparison& comparison, std::size_t measure) {
    const Pairs pairs = pair_up(data, comparison, measure);
    const McNemar test = mcnemar(pairs.counts[1][1], pairs.counts[1][0], pairs.counts[0][1], pairs.counts[0][0]);
    const std::uint64_t discordant = test.only_first + test.only_second;
    json out{{"kind", comparison.kind},
             {"measure", kMeasures[measure]},
             {"group", comparison.group},
             {"first", {{"model", comparison.first.model}, {"language", comparison.first.language}}},
             {"second", {{"model", comparison.second.model}, {"language", comparison.second.language}}},
             {"n", pairs.complete()},
             {"missing", pairs.missing()},
             {"both", test.both},
             {"only_first", test.only_first},
             {"only_second", test.only_second},
             {"neither", test.neither},
             {"items_only_first", pairs.only_first},
             {"items_only_second", pairs.only_second},
             {"descriptive_only", pairs.complete() < kDescriptive}};
    if (pairs.repeated) {
        out["method"] = "sign_flip";
        Interval found = bootstrap_difference(pairs.differences, {});
        if (found.low == found.high) {  // all items alike: the interval of the majorities, never one of width zero
            found.low = std::min(found.low, test.difference.low);
            found.high = std::max(found.high, test.difference.high);
        }
        out["difference"] = interval(found);
        out["p"] = sign_flip_p(pairs.differences);
        out["mid_p"] = nullptr;
        const auto moved =
            std::count_if(pairs.differences.begin(), pairs.differences.end(), [](double d) { return d != 0; });
        out["can_reach_05"] = moved >= 6;
    } else {
        out["method"] = "mcnemar_exact";
        out["difference"] = interval(test.difference);
        const bool any = pairs.complete() > 0;
        out["p"] = any ? json(test.p) : json();
        out["mid_p"] = any ? json(test.mid_p) : json();
        out["can_reach_05"] = discordant >= 6;
    }
    out["if_missing_against_first"] = bound_of(pairs, false);
    out["if_missing_for_first"] = bound_of(pairs, true);
    return out;
}

/// Holm within each family (kind x measure), over the tests that have pairs; adds family sizes and what could have been
/// seen.
json adjust(json& tests, const Detectable& detectable) {
    json families = json::object();
    for (const char* kind : {"models", "languages"}) {
        for (const char* measure : kMeasures) {
            std::vector<double> p;
            std::vector<json*> members;
            for (json& test : tests) {
                if (test["kind"] == kind && test["measure"] == measure && test["n"].get<std::uint64_t>() > 0) {
                    p.push_back(test["p"].get<double>());
                    members.push_back(&test);
                }
            }
            const auto adjusted = holm(p);
            const std::string family = std::string(kind) + "/" + measure;
            for (std::size_t i = 0; i < members.size(); ++i) {
                (*members[i])["p_holm"] = adjusted[i];
            }
            families[family] = members.size();
        }
    }
    for (json& test : tests) {
        const std::string family = test["kind"].get<std::string>() + "/" + test["measure"].get<std::string>();
        test["family"] = family;
        if (!test.contains("p_holm")) {
            test["p_holm"] = nullptr;
        }
        test["detectable"] = detectable(test["n"].get<std::uint64_t>(), kAlpha);
    }
    return families;
}

/// Per item the difference of two sides (second may be null: then the share itself), over items usable on both.
std::vector<double> values(const Data& data, const std::string& group, const Side& first, const Side* second) {
    std::vector<double> out;
    for (const Item* item : items_of(data.set, group, "")) {
        const Outcome* one = data.find(*item, first.model, first.language);
        const Outcome* two = second != nullptr ? data.find(*item, second->model, second->language) : nullptr;
        if (one == nullptr || !one->usable() || (second != nullptr && (two == nullptr || !two->usable()))) {
            continue;
        }
        out.push_back(one->share(0) - (two != nullptr ? two->share(0) : 0));
    }
    return out;
}

json contrast(const Data& data, const Side& first, const Side* second) {
    const auto state = values(data, "state", first, second), mirror = values(data, "mirror", first, second);
    json out{{"no_variation", false},
             {"n_state", state.size()},
             {"n_mirror", mirror.size()},
             {"descriptive_only", std::min(state.size(), mirror.size()) < kDescriptive}};
    if (state.empty() || mirror.empty()) {
        out.update({{"estimate", nullptr}, {"low", nullptr}, {"high", nullptr}});
    } else {
        const Interval found = bootstrap_difference(state, mirror);
        out.update(interval(found));
        // Where no item differs from another, resampling cannot see the uncertainty: no interval is better than one of
        // width zero.
        if (found.low == found.high) {
            out.update({{"low", nullptr}, {"high", nullptr}, {"no_variation", true}});
        }
    }
    return out;
}

json side(const Side& value) {
    return {{"model", value.model}, {"language", value.language}};
}

json all_differences(const Data& data) {
    json out = json::array();
    for (const Comparison& comparison : comparisons(data)) {
        if (comparison.group != "state") {
            continue;  // both groups are in each contrast
        }
        json entry = contrast(data, comparison.first, &comparison.second);
        entry.update(
            {{"kind", comparison.kind}, {"first", side(comparison.first)}, {"second", side(comparison.second)}});
        out.push_back(entry);
    }
    return out;
}

json all_specificity(const Data& data) {
    json out = json::array();
    for (const std::string& model : data.models) {
        for (const std::string& language : data.languages) {
            json entry = contrast(data, {model, language}, nullptr);
            entry.update(side({model, language}));
            out.push_back(entry);
        }
    }
    return out;
}

json detectable_block(const Data& data, const json& families, const Detectable& detectable) {
    json groups = json::array();
    const auto tests = std::max<std::uint64_t>(1, families.value("models/engaged", std::uint64_t{1}));
    for (const char* group : kGroups) {
        const std::uint64_t n = items_of(data.set, group, "").size();
        groups.push_back({{"group", group},
                          {"n", n},
                          {"difference", detectable(n, kAlpha)},
                          {"difference_first_of_family", detectable(n, kAlpha / static_cast<double>(tests))}});
    }
    return {{"alpha", kAlpha},        {"power", kPower},      {"background", kBackground},
            {"fewest_discordant", 6}, {"family_size", tests}, {"groups", groups}};
}

}  // namespace

json statistics(const Set& set, const std::vector<std::string>& models, const std::vector<Draw>& draws) {
    const Data data = collect(set, models, draws);
    std::map<std::pair<std::uint64_t, double>, json> known;  // the search for a power is the costly part
    const Detectable detectable = [&](std::uint64_t n, double alpha) {
        auto [entry, fresh] = known.try_emplace({n, alpha});
        if (fresh) {
            const auto difference = detectable_difference(n, kBackground, alpha, kPower);
            entry->second = difference ? json(*difference) : json();
        }
        return entry->second;
    };
    json tests = json::array();
    for (std::size_t measure = 0; measure < kMeasures.size(); ++measure) {
        for (const Comparison& comparison : comparisons(data)) {
            tests.push_back(test_of(data, comparison, measure));
        }
    }
    const json families = adjust(tests, detectable);
    json groups = json::object();
    for (const char* group : kGroups) {
        groups[group] = items_of(set, group, "").size();
    }
    return {{"version", 1},
            {"set",
             {{"name", set.name},
              {"version", set.version},
              {"sha256", set.sha256},
              {"title", set.title},
              {"items", set.items.size()},
              {"groups", groups},
              {"topics", set.topics}}},
            {"models", models},
            {"languages", data.languages},
            {"measures", kMeasures},
            {"level", 0.95},
            {"draws",
             {{"received", data.received},
              {"ignored", data.unknown},
              {"by_person", data.by_person},
              {"per_item", data.most_draws}}},
            {"cells", all_cells(data)},
            {"tests", tests},
            {"families", families},
            {"difference_in_differences", all_differences(data)},
            {"specificity", all_specificity(data)},
            {"resampling", {{"samples", kResamples}, {"seed", kResampleSeed}}},
            {"detectable", detectable_block(data, families, detectable)},
            {"agreement", agreement(draws)}};
}

}  // namespace moescope::probes
