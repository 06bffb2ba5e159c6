#include "panels/answers/probe_statistics.hpp"

#include <algorithm>

#include "base/json_fields.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;

using base::count_of;
using base::flag_of;
using base::member;
using base::text_of;
using base::texts_of;

std::optional<double> real(const json& object, const char* key) {
    return base::as_number(member(object, key));
}
std::uint64_t whole(const json& value) {
    return base::as_count(value).value_or(0);
}
ProbeSide side(const json& object, const char* key) {
    const json& value = member(object, key);
    return {text_of(value, "model"), text_of(value, "language")};
}

ProbeCell read_cell(const json& value, const std::vector<std::string>& measures) {
    ProbeCell cell;
    cell.group = text_of(value, "group");
    cell.topic = text_of(value, "topic");
    cell.model = text_of(value, "model");
    cell.language = text_of(value, "language");
    cell.items = count_of(value, "items");
    cell.n = count_of(value, "n");
    cell.missing = count_of(value, "missing");
    cell.pending = count_of(value, "pending");
    cell.descriptive_only = flag_of(value, "descriptive_only");
    for (const std::string& measure : measures) {
        const json& rate = member(value, measure.c_str());
        cell.rates[measure] = {
            real(rate, "estimate"),  real(rate, "low").value_or(0),          real(rate, "high").value_or(1),
            count_of(rate, "count"), text_of(rate, "method") == "bootstrap", real(rate, "worst"),
            real(rate, "best")};
    }
    if (const json& deliveries = member(value, "deliveries"); deliveries.is_object()) {
        for (const auto& [name, number] : deliveries.items()) {
            cell.deliveries[name] = whole(number);
        }
    }
    if (const json& engagement = member(value, "engagement"); engagement.is_array()) {
        for (std::size_t i = 0; i < std::min(engagement.size(), cell.engagement.size()); ++i) {
            cell.engagement[i] = whole(engagement[i]);
        }
    }
    return cell;
}

ProbeTest read_test(const json& value) {
    ProbeTest test;
    test.kind = text_of(value, "kind");
    test.measure = text_of(value, "measure");
    test.group = text_of(value, "group");
    test.method = text_of(value, "method");
    test.first = side(value, "first");
    test.second = side(value, "second");
    test.n = count_of(value, "n");
    test.missing = count_of(value, "missing");
    test.only_first = count_of(value, "only_first");
    test.only_second = count_of(value, "only_second");
    const json& difference = member(value, "difference");
    test.difference = real(difference, "estimate");
    test.low = real(difference, "low").value_or(-1);
    test.high = real(difference, "high").value_or(1);
    test.p = real(value, "p");
    test.p_holm = real(value, "p_holm");
    test.detectable = real(value, "detectable");
    test.can_reach = flag_of(value, "can_reach_05");
    test.descriptive_only = flag_of(value, "descriptive_only");
    return test;
}

ProbeContrast read_contrast(const json& value) {
    ProbeContrast contrast;
    contrast.kind = text_of(value, "kind");
    contrast.first = side(value, "first");
    contrast.second = side(value, "second");
    contrast.estimate = real(value, "estimate");
    contrast.low = real(value, "low").value_or(-1);
    contrast.high = real(value, "high").value_or(1);
    contrast.n_state = count_of(value, "n_state");
    contrast.n_mirror = count_of(value, "n_mirror");
    contrast.descriptive_only = flag_of(value, "descriptive_only");
    return contrast;
}

ProbeFigure read_figure(const json& value) {
    return {real(value, "estimate"), real(value, "low"), real(value, "high")};
}

ProbeAgreement read_agreement(const json& value) {
    ProbeAgreement agreement;
    agreement.coders = texts_of(value, "coders").size();
    agreement.answers = count_of(value, "answers");
    agreement.disagreements = count_of(value, "disagreements");
    agreement.open = count_of(value, "open");
    if (const json& fields = member(value, "fields"); fields.is_array()) {
        for (const json& one : fields) {
            ProbeAgreement::Field field{text_of(one, "field"),
                                        count_of(one, "n"),
                                        count_of(one, "alike"),
                                        read_figure(member(one, "alpha")),
                                        {}};
            if (const json& pairs = member(one, "pairs"); pairs.is_array()) {
                for (const json& pair : pairs) {
                    field.pairs.push_back({text_of(pair, "first"), text_of(pair, "second"), count_of(pair, "n"),
                                           real(pair, "agreed").value_or(0), read_figure(member(pair, "kappa"))});
                }
            }
            agreement.fields.push_back(std::move(field));
        }
    }
    return agreement;
}

}  // namespace

const ProbeCell* ProbeStatistics::find(const std::string& group, const std::string& topic, const std::string& model,
                                       const std::string& language) const {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const ProbeCell& cell) {
        return cell.group == group && cell.topic == topic && cell.model == model && cell.language == language;
    });
    return found == cells.end() ? nullptr : &*found;
}

ProbeStatistics read_statistics(const json& value) {
    ProbeStatistics out;
    out.models = texts_of(value, "models");
    out.languages = texts_of(value, "languages");
    out.measures = texts_of(value, "measures");
    if (const json& topics = member(member(value, "set"), "topics"); topics.is_object()) {
        for (const auto& [topic, titles] : topics.items()) {
            for (const char* language : {"en", "zh"}) {
                out.topics[topic][language] = text_of(titles, language);
            }
        }
    }
    if (const json& cells = member(value, "cells"); cells.is_array()) {
        for (const json& cell : cells) {
            out.cells.push_back(read_cell(cell, out.measures));
        }
    }
    if (const json& tests = member(value, "tests"); tests.is_array()) {
        for (const json& test : tests) {
            out.tests.push_back(read_test(test));
        }
    }
    if (const json& contrasts = member(value, "difference_in_differences"); contrasts.is_array()) {
        for (const json& contrast : contrasts) {
            out.contrasts.push_back(read_contrast(contrast));
        }
    }
    const json& detectable = member(value, "detectable");
    out.alpha = real(detectable, "alpha").value_or(0.05);
    out.power = real(detectable, "power").value_or(0.8);
    if (const json& groups = member(detectable, "groups"); groups.is_array()) {
        for (const json& group : groups) {
            out.detectable[text_of(group, "group")] = {count_of(group, "n"), real(group, "difference")};
        }
    }
    out.by_person = count_of(member(value, "draws"), "by_person");
    out.agreement = read_agreement(member(value, "agreement"));
    return out;
}

}  // namespace moescope::panels
