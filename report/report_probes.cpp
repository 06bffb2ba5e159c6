// The probe part of the report: prints what statistics() computed, and the answers behind it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/agreement.hpp"
#include "report/report_html.hpp"

namespace moescope::report::html {
namespace {

using nlohmann::json;

/// Reading JSON that may have come from a damaged journal: what is not there is null and prints as a dash.
const json& at(const json& value, const char* key) {
    static const json kNothing;
    return value.is_object() && value.contains(key) ? value[key] : kNothing;
}
std::string text_at(const json& value, const char* key) {
    return at(value, key).is_string() ? at(value, key).get<std::string>() : std::string();
}
bool true_at(const json& value, const char* key) {
    return at(value, key).is_boolean() && at(value, key).get<bool>();
}
json list_at(const json& value, const char* key) {
    return at(value, key).is_array() ? at(value, key) : json::array();
}

std::string cell(const std::string& content, const char* kind = "") {
    return std::string("<td") + (*kind != '\0' ? " class=\"" + std::string(kind) + "\"" : "") + ">" + content + "</td>";
}
std::string figure(const std::string& content) {
    return cell(content, "n");
}

std::string head(const std::vector<std::pair<std::string, const char*>>& columns) {
    std::string out = "<thead><tr>";
    for (const auto& [title, kind] : columns) {
        out += std::string("<th scope=\"col\"") + (*kind != '\0' ? " class=\"" + std::string(kind) + "\"" : "") + ">" +
               title + "</th>";
    }
    return out + "</tr></thead>";
}

std::string table(const std::string& caption, const std::string& source, const std::string& header,
                  const std::string& rows, bool wide = false) {
    return std::string("<div class=\"scroll") + (wide ? " wide" : "") + "\"><table><caption>" + caption + "<br>" +
           source + "</caption>" + header + "<tbody>" + rows + "</tbody></table></div>";
}

std::string group_name(const std::string& group, const Words& words) {
    return group == "state" ? words("state_items") : group == "mirror" ? words("mirror_items") : escape(group);
}

/// Anchor of the answers behind a cell: group, model and language by their index, so that hostile names cannot break
/// it.
std::string anchor(const json& statistics, std::size_t probe, const std::string& group, const std::string& model,
                   const std::string& language) {
    const auto index = [&](const char* key, const std::string& name) {
        const json list = list_at(statistics, key);
        return std::to_string(std::find(list.begin(), list.end(), json(name)) - list.begin());
    };
    return "answers-" + std::to_string(probe) + (group == "state" ? "-s-" : "-m-") + index("models", model) + "-" +
           index("languages", language);
}

std::string percent_interval(const json& value) {
    const bool known = at(value, "low").is_number() && at(value, "high").is_number();
    return known ? number(at(value, "low"), 1, 100) + " – " + number(at(value, "high"), 1, 100) : "–";
}

std::string rate_columns(const json& rate, bool missing) {
    std::string out = figure(number(at(rate, "count"), 0)) +
                      figure("<b>" + number(at(rate, "estimate"), 1, 100) + "</b>") + figure(percent_interval(rate)) +
                      cell(interval_svg(rate, 0, 1, 0.5));
    return out + figure(missing ? number(at(rate, "worst"), 1, 100) + " – " + number(at(rate, "best"), 1, 100) : "");
}

std::string rate_row(const Probe& probe, const json& row, const Words& words, std::size_t index, bool topic) {
    const std::string group = text_at(row, "group"), model = text_at(row, "model"), language = text_at(row, "language");
    const std::string link = "<a href=\"#" + anchor(probe.statistics, index, group, model, language) + "\">" +
                             number(at(row, "n"), 0) + "</a>";
    std::string out = "<tr>";
    if (topic) {
        const auto found = probe.set.topics.find(text_at(row, "topic"));
        out += cell(found == probe.set.topics.end() ? escape(text_at(row, "topic")) : words.of(found->second));
    }
    out += cell(group_name(group, words)) + cell(escape(model), "name") + cell(words(language)) + figure(link) +
           figure(number(at(row, "missing"), 0));
    const bool missing = at(row, "missing").is_number() && at(row, "missing") != 0;
    out += rate_columns(at(row, "engaged"), missing);
    out += figure(number(at(at(row, "refused"), "count"), 0)) +
           figure("<b>" + number(at(at(row, "refused"), "estimate"), 1, 100) + "</b>") +
           figure(percent_interval(at(row, "refused")));
    out += cell(engagement_svg(at(row, "engagement"), words));
    if (topic) {
        return out + "</tr>";  // nearly every topic is description only; said once below the table
    }
    return out + cell(true_at(row, "descriptive_only") ? words("descriptive") : "", "note") + "</tr>";
}

std::string rates(const Probe& probe, const Words& words, std::size_t index, bool topic) {
    std::string rows;
    for (const json& row : list_at(probe.statistics, "cells")) {
        if ((text_at(row, "scope") == "topic") == topic) {
            rows += rate_row(probe, row, words, index, topic);
        }
    }
    std::vector<std::pair<std::string, const char*>> columns;
    if (topic) {
        columns.push_back({words("topic"), ""});
    }
    for (const auto& [key, kind] : std::initializer_list<std::pair<const char*, const char*>>{{"group", ""},
                                                                                              {"model", ""},
                                                                                              {"language", ""},
                                                                                              {"n", "n"},
                                                                                              {"missing", "n"},
                                                                                              {"engaged", "n"},
                                                                                              {"rate", "n"},
                                                                                              {"ci", "n"}}) {
        columns.push_back({words(key), kind});
    }
    columns.push_back({"0 · 50 · 100", "axis-head"});
    for (const auto& [key, kind] : std::initializer_list<std::pair<const char*, const char*>>{
             {"bounds", "n"}, {"refused", "n"}, {"rate", "n"}, {"ci", "n"}, {"engagement", ""}, {"note", ""}}) {
        columns.push_back({words(key), kind});
    }
    if (topic) {
        columns.pop_back();
    }
    return table(words(topic ? "topic_table" : "probe_table"), source_line(probe.run, words), head(columns), rows);
}

std::string side_name(const json& side, const Words& words) {
    return "<span class=\"name\">" + escape(text_at(side, "model")) + "</span>" + words.comma() +
           words(text_at(side, "language"));
}

std::string test_row(const json& test, const Words& words) {
    const json& difference = at(test, "difference");
    std::string note = !true_at(test, "can_reach_05") ? words("never_05") : "";
    if (true_at(test, "descriptive_only")) {
        note += (note.empty() ? "" : words.semicolon()) + words("descriptive");
    }
    if (at(test, "missing").is_number() && at(test, "missing") != 0) {
        const json &low = at(test, "if_missing_against_first"), &high = at(test, "if_missing_for_first");
        note += (note.empty() ? "" : words.semicolon()) + words("missing_range") + " " +
                number(at(low, "difference"), 1, 100) + " – " + number(at(high, "difference"), 1, 100) + words.comma() +
                "p " + p_value(at(low, "p")) + " – " + p_value(at(high, "p"));
    }
    const json& seen = at(test, "detectable");
    std::string out = "<tr>" + cell(words(text_at(test, "measure"))) + cell(group_name(text_at(test, "group"), words)) +
                      cell(side_name(at(test, "first"), words), "side-name") +
                      cell(side_name(at(test, "second"), words), "side-name");
    for (const char* key : {"n", "missing", "both", "only_first", "only_second", "neither"}) {
        out += figure(number(at(test, key), 0));
    }
    out += figure("<b>" + number(at(difference, "estimate"), 1, 100) + "</b>") + figure(percent_interval(difference)) +
           cell(interval_svg(difference, -1, 1, 0)) + figure(p_value(at(test, "p"))) +
           figure(p_value(at(test, "mid_p"))) + figure(p_value(at(test, "p_holm"))) +
           figure(seen.is_number() ? number(seen, 1, 100) : words("none_detectable"));
    // The note stands under its row: as a column it would push the numbers off the page.
    return out + "</tr>" +
           (note.empty() ? std::string()
                         : "<tr class=\"sub\"><td colspan=\"17\" class=\"note\">" + note + "</td></tr>");
}

std::string tests(const Probe& probe, const Words& words) {
    std::string rows;
    for (const json& test : list_at(probe.statistics, "tests")) {
        rows += test_row(test, words);
    }
    const std::vector<std::pair<std::string, const char*>> columns{{words("measure"), ""},
                                                                   {words("group"), ""},
                                                                   {words("first"), ""},
                                                                   {words("second"), ""},
                                                                   {words("n"), "n"},
                                                                   {words("missing"), "n"},
                                                                   {words("both"), "n"},
                                                                   {words("only_first"), "n"},
                                                                   {words("only_second"), "n"},
                                                                   {words("neither"), "n"},
                                                                   {words("difference"), "n"},
                                                                   {words("ci"), "n"},
                                                                   {"−100 · 0 · 100", "axis-head"},
                                                                   {words("p"), "n"},
                                                                   {words("mid_p"), "n"},
                                                                   {words("p_holm"), "n"},
                                                                   {words("could_see"), "n"}};
    return table(words("paired_tests"), source_line(probe.run, words), head(columns), rows, true);
}

std::string contrast_row(const std::string& name, const json& value, const Words& words) {
    return "<tr>" + cell(name) + figure(number(at(value, "n_state"), 0)) + figure(number(at(value, "n_mirror"), 0)) +
           figure("<b>" + number(at(value, "estimate"), 1, 100) + "</b>") + figure(percent_interval(value)) +
           cell(interval_svg(value, -1, 1, 0)) +
           cell(true_at(value, "no_variation")       ? words("no_variation")
                : true_at(value, "descriptive_only") ? words("descriptive")
                                                     : "",
                "note") +
           "</tr>";
}

std::string contrasts(const Probe& probe, const Words& words) {
    std::string rows;
    for (const json& value : list_at(probe.statistics, "specificity")) {
        rows += contrast_row(side_name(value, words), value, words);
    }
    for (const json& value : list_at(probe.statistics, "difference_in_differences")) {
        rows += contrast_row(side_name(at(value, "first"), words) + " − " + side_name(at(value, "second"), words),
                             value, words);
    }
    const std::vector<std::pair<std::string, const char*>> columns{
        {words("contrast"), ""},
        {words("n") + words.comma() + words("state_items"), "n"},
        {words("n") + words.comma() + words("mirror_items"), "n"},
        {words("estimate"), "n"},
        {words("ci"), "n"},
        {"−100 · 0 · 100", "axis-head"},
        {words("note"), ""}};
    return table(words("did_table"), source_line(probe.run, words), head(columns), rows) + "<p class=\"quiet\">" +
           words("did_note") + "</p>";
}

std::string detectable(const Probe& probe, const Words& words) {
    const json& block = at(probe.statistics, "detectable");
    const auto points = [&](const json& value) {
        return value.is_number() ? number(value, 1, 100) : words("none_detectable");
    };
    std::string rows;
    for (const json& group : list_at(block, "groups")) {
        rows += "<tr>" + cell(group_name(text_at(group, "group"), words)) + figure(number(at(group, "n"), 0)) +
                figure("<b>" + points(at(group, "difference")) + "</b>") +
                figure(points(at(group, "difference_first_of_family"))) + "</tr>";
    }
    const std::string caption =
        words("detectable_title") +
        words.in_brackets(words("detectable_alpha") + " " + number(at(block, "alpha"), 2) + words.comma() +
                          words("detectable_power") + " " + number(at(block, "power"), 2) + words.comma() +
                          words("detectable_background") + " " + number(at(block, "background"), 2));
    return table(caption, source_line(probe.run, words),
                 head({{words("group"), ""},
                       {words("n"), "n"},
                       {words("detectable_row"), "n"},
                       {words("detectable_first"), "n"}}),
                 rows);
}

/// "0.71 [0.52 – 0.86]".
std::string agreement_figure(const json& value, const Words& words) {
    return at(value, "estimate").is_number()
               ? "<b>" + number(at(value, "estimate"), 2) + "</b> [" + number(at(value, "low"), 2) + " – " +
                     number(at(value, "high"), 2) + "]"
               : words("no_variation");
}

std::string coder_name(const std::string& coder, const Words& words) {
    return coder.empty() ? words("no_name") : escape(coder);
}

/// Answers that coders have labelled differently, each with what they said.
std::string disagreements(const Probe& probe, const Words& words) {
    std::string rows;
    for (const ProbeAnswer& entry : probe.draws) {
        const probes::Draw& draw = entry.draw;
        if (!probes::coders_disagree(draw.coders)) {
            continue;
        }
        const auto item = std::find_if(probe.set.items.begin(), probe.set.items.end(),
                                       [&](const probes::Item& one) { return one.id == draw.item; });
        std::string said;
        for (const probes::CoderLabels& coder : draw.coders) {
            said += (said.empty() ? "" : "<br>") + coder_name(coder.coder, words) + words.colon() +
                    label_chips(coder.labels, words);
        }
        rows += "<tr>" + cell(item == probe.set.items.end() ? escape(draw.item) : words.of(item->title)) +
                cell("<span class=\"name\">" + escape(draw.model) + "</span>" + words.comma() + words(draw.language) +
                     (draw.draw > 0 ? words.comma() + words("draw") + " " + std::to_string(draw.draw) : "")) +
                cell(said) + cell(draw.consensus ? label_chips(draw.labels, words) : words("none_yet")) + "</tr>";
    }
    return rows.empty() ? rows
                        : table(words("disagreements"), source_line(probe.run, words),
                                head({{words("question"), ""},
                                      {words("answer"), ""},
                                      {words("codings"), ""},
                                      {words("consensus"), ""}}),
                                rows);
}

/// How far coders agree; nothing where no answer was coded by two.
std::string agreement(const Probe& probe, const Words& words) {
    const json& found = at(probe.statistics, "agreement");
    std::string rows;
    for (const json& field : list_at(found, "fields")) {
        const std::string what = words(text_at(field, "field") == "delivery" ? "field_delivery" : "field_engagement");
        for (const json& pair : list_at(field, "pairs")) {
            rows += "<tr>" + cell(what) +
                    cell(coder_name(text_at(pair, "first"), words) + words.comma() +
                         coder_name(text_at(pair, "second"), words)) +
                    figure(number(at(pair, "n"), 0)) + figure(number(at(pair, "agreed"), 1, 100)) +
                    cell(words("kappa")) + figure(agreement_figure(at(pair, "kappa"), words)) +
                    figure(number(at(pair, "ac1"), 2)) + "</tr>";
        }
        const json& n = at(field, "n");
        const double share = n.is_number() && n.get<double>() > 0 && at(field, "alike").is_number()
                                 ? at(field, "alike").get<double>() / n.get<double>()
                                 : std::numeric_limits<double>::quiet_NaN();
        rows += "<tr>" + cell(what) + cell(words("all_coders")) + figure(number(n, 0)) +
                figure(number(std::isfinite(share) ? json(share) : json(), 1, 100)) + cell(words("alpha")) +
                figure(agreement_figure(at(field, "alpha"), words)) + figure("–") + "</tr>";
    }
    if (rows.empty()) {
        return rows;
    }
    return table(words("agreement"), source_line(probe.run, words),
                 head({{words("label"), ""},
                       {words("coders"), ""},
                       {words("both_coded"), "n"},
                       {words("alike"), "n"},
                       {words("agreement_measure"), ""},
                       {words("estimate") + words.in_brackets(words("ci")), "n"},
                       {"AC1", "n"}}),
                 rows) +
           "<p class=\"quiet\">" + words("agreement_note") + "</p>" + disagreements(probe, words);
}

/// Which rule decided; or who did, and what the rules had said: their reason is none for a person's label.
std::string label_origin(const ProbeAnswer& entry, const Words& words) {
    if (!entry.draw.by_person) {
        return "<dt>" + words("rule") + "</dt><dd>" + escape(entry.draw.labels.rule.english()) + "</dd>";
    }
    return "<dt>" + words("label") + "</dt><dd>" + words(entry.draw.consensus ? "by_consensus" : "by_person") +
           (entry.coder.empty() ? std::string() : words.in_brackets(escape(entry.coder))) +
           (entry.rule ? words.semicolon() + words("rule_said") + " " + label_chips(*entry.rule, words)
                       : std::string()) +
           "</dd>";
}

std::string answer_details(const Probe& probe, const ProbeAnswer& entry, const Words& words) {
    const probes::Draw& draw = entry.draw;
    const auto item = std::find_if(probe.set.items.begin(), probe.set.items.end(),
                                   [&](const probes::Item& i) { return i.id == draw.item; });
    const std::string title = item == probe.set.items.end() ? escape(draw.item) : words.of(item->title);
    std::string out = "<details class=\"answer\"><summary><span class=\"title\">" + title + "</span>" +
                      label_chips(draw.labels, words);
    if (draw.draw > 0) {
        out += "<span class=\"quiet\">" + words("draw") + " " + std::to_string(draw.draw) + "</span>";
    }
    out += "</summary><dl><dt>" + words("prompt") + "</dt><dd class=\"text\" dir=\"auto\">" + escape(entry.prompt) +
           "</dd><dt>" + words("answer") + "</dt><dd>" + answer_text(entry.answer, entry.shown, words) + "</dd>" +
           label_origin(entry, words) + "<dt>" + words("stop") + "</dt><dd>" + words(entry.stop) + "</dd></dl>" +
           shown_text(entry.shown, words) + "</details>";
    return out;
}

std::string answers(const Probe& probe, const Words& words, std::size_t index) {
    std::string out = "<h3>" + words("answers") + "</h3><p class=\"quiet\">" + words("rules_note") + "</p>";
    for (const json& row : list_at(probe.statistics, "cells")) {
        if (text_at(row, "scope") != "group") {
            continue;
        }
        const std::string group = text_at(row, "group"), model = text_at(row, "model"),
                          language = text_at(row, "language");
        out += "<section id=\"" + anchor(probe.statistics, index, group, model, language) +
               "\"><h4><span class=\"name\">" + escape(model) + "</span> · " + words(language) + " · " +
               group_name(group, words) + "</h4>";
        for (const ProbeAnswer& entry : probe.draws) {
            if (entry.draw.group == group && entry.draw.model == model && entry.draw.language == language) {
                out += answer_details(probe, entry, words);
            }
        }
        out += "</section>";
    }
    return out;
}

}  // namespace

std::string label_chips(const probes::Labels& labels, const Words& words) {
    const std::string delivery = probes::delivery_name(labels.delivery);
    const int level = std::clamp(labels.engagement, -1, 4);
    return "<span class=\"chip d-" + delivery + "\">" + words(delivery) + "</span><span class=\"chip e" +
           (level < 0 ? "x" : std::to_string(level)) + "\">" + words("engagement_" + std::to_string(level)) + "</span>";
}

std::string probe_section(const Probe& probe, const Words& words, std::size_t index) {
    std::string out = "<p>" + words.of(probe.set.title) + " · " + escape(probe.set.name) + " " +
                      escape(probe.set.version) + " · " + escape(probe.set.licence) + "<br><span class=\"source\">" +
                      words("set_sha256") + words.colon() + "<code>" + escape(probe.set.sha256) + "</code></span></p>";
    out += rates(probe, words, index, false) + "<p class=\"quiet\">" + words("engaged_note") + "</p>";
    out += agreement(probe, words);
    out += detectable(probe, words) + tests(probe, words) + contrasts(probe, words) + rates(probe, words, index, true) +
           "<p class=\"quiet\">" + words("descriptive") + "</p>";
    return out + answers(probe, words, index);
}

}  // namespace moescope::report::html
