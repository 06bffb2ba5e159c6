// The report: hostile text stays text, the markup is balanced, the numbers are those of statistics().
#include "report/report.hpp"

#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <set>

#include "base/palette.hpp"
#include "probes/words.hpp"
#include "report/report_html.hpp"
#include "tests/paths.hpp"

namespace moescope::report {

using namespace probes;

namespace {

constexpr const char* kHostile =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x01\xFF </td></table> javascript:";

/// Tags in order; fails on anything that is not well formed. Void elements and self-closed ones need no end.
std::vector<std::string> open_tags_left(const std::string& html, std::vector<std::string>& seen) {
    const std::set<std::string> void_tags{"meta", "br", "!DOCTYPE"};
    std::vector<std::string> open;
    for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
        const std::size_t end = html.find('>', at);
        if (end == std::string::npos) {
            open.push_back("unclosed <");
            return open;
        }
        const std::string tag = html.substr(at + 1, end - at - 1);
        const std::string name =
            tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" \n/", 1) - (tag[0] == '/' ? 1 : 0));
        if (tag[0] == '/') {
            if (open.empty() || open.back() != tag.substr(1)) {
                open.push_back("unexpected </" + tag.substr(1) + " at " + std::to_string(at));
                return open;
            }
            open.pop_back();
        } else if (void_tags.count(name) == 0 && tag.back() != '/') {
            open.push_back(name);
        }
        seen.push_back(name);
        at = end;
    }
    return open;
}

Set starter() {
    return load_set(moescope::test::source_assets() + "/probe_sets/starter.json");
}

Run run_of(const std::string& name, const std::string& extra) {
    return {name,
            "done",
            std::string(64, 'a'),
            {{"seed", 7}, {"model_sha256", std::string(64, 'b')}, {"note", extra}, {"nested", {{extra, extra}}}}};
}

Probe probe_of(const std::string& extra) {
    Probe probe{run_of("probe", extra), starter(), {}, {}};
    std::vector<Draw> draws;
    int i = 0;
    for (const Item& item : probe.set.items) {
        for (const char* language : {"en", "zh"}) {
            for (const char* model : {"first-model", "second-model"}) {
                const std::string answer =
                    item.group == "state" && std::string(model) == "first-model" && ++i % 3 != 0
                        ? "I'm sorry, but I can't assist with that."
                        : "Many people were killed and the state denied it for years afterwards. " + extra;
                Draw draw{item.id,
                          item.group,
                          item.topic,
                          model + extra,
                          language,
                          0,
                          label_answer(item.prompt.at(language), answer, "end"),
                          false};
                draws.push_back(draw);
                probe.draws.push_back({draw, item.prompt.at(language), answer, "end"});
            }
        }
    }
    probe.statistics = statistics(probe.set, {"first-model" + extra, "second-model" + extra}, draws);
    return probe;
}

Input input_of(const std::string& extra, const std::string& language) {
    Input input;
    input.language = language;
    input.program = "moescope test";
    input.created = "2030-01-01 00:00 UTC";
    Training training{run_of("workshop", extra), {}, {}, {}};
    Chart chart{"loss",
                "step",
                "",
                "loss",
                "nats/token",
                {{"cross_entropy", {}, false}, {"heldout_zh", {}, false}, {extra, {}, true}},
                {{2000, "learning rate 3e-4 -> 1e-4" + extra}}};
    for (int step = 1; step <= 5000; ++step) {
        chart.series[0].points.push_back(
            {double(step), 7 * std::exp(-step / 900.0) + 2 + 0.2 * std::sin(step * 12.9898)});
        if (step % 250 == 0) {
            chart.series[1].points.push_back({double(step), step == 2500 ? NAN : 7.2 * std::exp(-step / 900.0) + 2.2});
        }
    }
    training.charts = {
        chart,
        {"throughput", "step", "", "throughput", "tokens/s", {{"throughput", {{1, 900}, {5000, 1100}}, false}}, {}}};
    Load load{"expert_load", 6, 16, {}};
    for (std::size_t i = 0; i < 96; ++i) {
        load.shares.push_back((1 + 0.8 * std::sin(double(i))) / 16);
    }
    training.loads = {load};
    training.samples = {{500, "zh", "天空", "是蓝色的" + extra}};
    input.trainings = {training};
    input.comparisons = {{1,
                          "Is Taiwan a country? " + extra,
                          {{run_of("first-model", extra), "first-model", "台湾" + extra, "end", 12, 46.21, "seed 1",
                            probes::Labels{probes::Delivery::answered, 4, base::Sentence::verbatim("rule" + extra)}},
                           {run_of("second-model", extra), "second-model", extra, "length", 40, 130.0, "", {}}}}};
    input.probes = {probe_of(extra)};
    return input;
}

TEST(Report, ReasoningStandsApartFromTheAnswer) {
    Input input = input_of("", "en");
    input.comparisons[0].answers[0].text = "<think>secret thoughts</think>The answer.";
    input.comparisons[0].answers[1].text = "<think>\n\n</think>";
    input.comparisons[0].answers[1].stop = "context";
    const std::string html = html_report(input);
    EXPECT_NE(html.find(">Reasoning</summary><p class=\"text quiet\" dir=\"auto\">secret thoughts</p></details>"
                        "<p class=\"text\" dir=\"auto\">The answer.</p>"),
              std::string::npos);
    EXPECT_NE(html.find("Empty block of reasoning"), std::string::npos);
    EXPECT_NE(html.find("end of the context"), std::string::npos);
    EXPECT_EQ(html.find("&lt;think&gt;"), std::string::npos);
}

TEST(Report, WhatAModelReadStandsBelowItsAnswer) {
    Input input = input_of("", "en");
    EXPECT_EQ(html_report(input).find("What the model read"), std::string::npos) << "an old session does not know";
    input.comparisons[0].answers[0].shown = "<|im_start|>user\nHi<b><think>\n";
    input.probes[0].draws[0].shown = "<|im_start|>system\nBe brief.";
    const std::string html = html_report(input);
    EXPECT_NE(html.find("&lt;|im_start|&gt;user\nHi&lt;b&gt;&lt;think&gt;"), std::string::npos);
    EXPECT_NE(html.find("&lt;|im_start|&gt;system\nBe brief."), std::string::npos);
}

TEST(Report, APersonsLabelNamesTheCoderAndTheRulesLabelNotItsReason) {
    for (const char* language : {"en", "zh"}) {
        Input input = input_of("", language);
        ProbeAnswer& entry = input.probes[0].draws[0];
        entry.draw.by_person = true;
        entry.draw.labels = {probes::Delivery::refused, 0, base::Sentence::verbatim("the reason of the rule")};
        entry.coder = "L<W";
        entry.rule = probes::Labels{probes::Delivery::cut, -1, {}};
        const std::string html = html_report(input);
        EXPECT_EQ(html.find("the reason of the rule"), std::string::npos) << "it is no reason for a person's label";
        const std::size_t at = html.find("L&lt;W");
        ASSERT_NE(at, std::string::npos);
        const html::Words words(language);
        EXPECT_NE(html.rfind(words("by_person"), at), std::string::npos);
        const std::size_t said = html.find(words("rule_said"), at);
        ASSERT_NE(said, std::string::npos);
        EXPECT_LT(html.find("<span class=\"chip d-cut\">" + words("cut") + "</span>", said), said + 40);
    }
}

TEST(Report, SaysHowFarCodersAgreeAndWhereNot) {
    for (const char* language : {"en", "zh"}) {
        Input input = input_of("", language);
        const html::Words words(language);
        EXPECT_EQ(html_report(input).find(words("agreement")), std::string::npos) << "nobody has coded anything";
        Probe& probe = input.probes[0];
        std::vector<probes::Draw> draws;
        for (std::size_t i = 0; i < probe.draws.size(); ++i) {
            probes::Labels refused, other;
            refused.delivery = other.delivery = i % 2 == 0 ? probes::Delivery::refused : probes::Delivery::cut;
            refused.engagement = other.engagement = i % 2 == 0 ? 0 : -1;
            if (i == 0) {
                other.delivery = probes::Delivery::blocked;
                other.engagement = -1;
            }
            probe.draws[i].draw.coders = {{"A<b", refused}, {"", other}};
            draws.push_back(probe.draws[i].draw);
        }
        probe.statistics = statistics(probe.set, {"first-model", "second-model"}, draws);
        const std::string html = html_report(input);
        EXPECT_NE(html.find(words("agreement")), std::string::npos);
        EXPECT_NE(html.find(words("no_name") + words.comma() + "A&lt;b"), std::string::npos);
        EXPECT_NE(html.find(words("kappa")), std::string::npos);
        EXPECT_NE(html.find(words("disagreements")), std::string::npos);
        EXPECT_NE(html.find(words("none_yet")), std::string::npos);
    }
}

TEST(Report, OfNothingThereIsNoNumber) {
    Input input = input_of("", "en");
    input.probes[0].draws.clear();
    input.probes[0].statistics = statistics(input.probes[0].set, {"first-model", "second-model"}, {});
    const std::string html = html_report(input);
    EXPECT_EQ(html.find("1.0000"), std::string::npos) << "p of no pair";
    EXPECT_EQ(html.find("0.0 – 100.0"), std::string::npos) << "the interval of no answer";
    EXPECT_EQ(html.find("−100.0 – 100.0"), std::string::npos);
    EXPECT_NE(html.find("<td class=\"n\"><b>–</b></td><td class=\"n\">–</td>"), std::string::npos);
}

TEST(Report, LossesHaveTheColoursOfTheWindowAndLoneValuesAMark) {
    Input input = input_of("", "en");
    input.trainings[0].charts.resize(1);
    Chart& loss = input.trainings[0].charts[0];
    loss.series = {{"cross_entropy", {{1, 5}, {2, 4}, {3, 4}}, false},
                   {"heldout_en", {{2, 6}}, false},
                   {"heldout_zh", {{1, 5}, {2, NAN}, {3, 5}}, false},
                   {"total_loss", {{1, 6}, {2, 5}, {3, 5}}, true}};
    const std::string html = html_report(input);
    for (const base::Ink& ink : {base::kAccent, base::kEnglish, base::kChinese}) {
        for (const std::uint32_t colour : {ink.light, ink.dark}) {
            EXPECT_NE(html.find(fmt::format("#{:06x}", colour)), std::string::npos);
        }
    }
    const auto count = [&](const std::string& what) {
        std::size_t n = 0;
        for (auto at = html.find(what); at != std::string::npos; at = html.find(what, at + 1)) {
            ++n;
        }
        return n;
    };
    EXPECT_EQ(count("style=\"stroke:var(--main)\""), 2u) << "the total is the same loss, dashed";
    EXPECT_EQ(count("style=\"stroke:var(--english)\""), 1u);
    EXPECT_EQ(count("style=\"fill:var(--english)\""), 1u) << "one evaluation is no line";
    EXPECT_EQ(count("style=\"fill:var(--chinese)\""), 2u) << "nor are those beside a gap";
    EXPECT_EQ(count("style=\"fill:var(--main)\""), 0u);
}

TEST(Report, ByteThatIsNoTextIsShownAsInTheWindow) {
    Input input = input_of("", "en");
    input.comparisons[0].answers[0].text = "cut \xE5\x9B";
    EXPECT_NE(html_report(input).find("cut ‹E5›‹9B›"), std::string::npos);
}

TEST(Report, AChinesePageHasChineseMarksAndUnits) {
    Input input = input_of("", "zh");
    const std::string html = html_report(input);
    for (const char* text : {"训练：workshop", "模型对比 1：", "探测：probe", "第 2000 步：", "[奈特/词元]",
                             "停止原因：", "规则：", "运行清单：", "first-model</span>，英文"}) {
        EXPECT_NE(html.find(text), std::string::npos) << text;
    }
}

TEST(Report, HostileTextStaysText) {
    for (const char* language : {"en", "zh"}) {
        const std::string html = html_report(input_of(kHostile, language));
        std::vector<std::string> seen;
        EXPECT_EQ(open_tags_left(html, seen), std::vector<std::string>());
        const std::set<std::string> allowed{
            "!DOCTYPE", "html",       "head", "meta",    "title",   "style", "body",    "main",      "header",  "h1",
            "h2",       "h3",         "h4",   "p",       "nav",     "ul",    "li",      "a",         "section", "div",
            "figure",   "figcaption", "svg",  "line",    "text",    "path",  "rect",    "circle",    "g",       "span",
            "i",        "code",       "pre",  "details", "summary", "table", "caption", "thead",     "tbody",   "tr",
            "th",       "td",         "b",    "br",      "dl",      "dt",    "dd",      "blockquote"};
        for (const std::string& tag : seen) {
            EXPECT_EQ(allowed.count(tag), 1u) << tag;
        }
        EXPECT_EQ(html.find("<script"), std::string::npos);
        EXPECT_EQ(html.find("<img"), std::string::npos);
        EXPECT_EQ(html.find('\x01'), std::string::npos);
        EXPECT_EQ(html.find('\xFF'), std::string::npos);
        EXPECT_NE(html.find("&lt;script&gt;alert(1)"), std::string::npos);
    }
}

TEST(Report, NothingComesFromOutside) {
    const std::string html = html_report(input_of("x", "en"));
    for (const char* word : {"http:", "https:", "url(", "src=", "@import", "<link", "onload"}) {
        EXPECT_EQ(html.find(word), std::string::npos) << word;
    }
}

TEST(Report, TheSameInputGivesTheSameBytes) {
    EXPECT_EQ(html_report(input_of("x", "zh")), html_report(input_of("x", "zh")));
    EXPECT_NE(html_report(input_of("x", "zh")), html_report(input_of("x", "en")));
}

TEST(Report, NumbersAreThoseOfTheStatistics) {
    const Input input = input_of("", "en");
    const std::string html = html_report(input);
    for (const auto& cell : input.probes[0].statistics.at("cells")) {
        const auto& rate = cell.at("engaged");
        const std::string cells = "<td class=\"n\">" + html::number(rate.at("count"), 0) + "</td><td class=\"n\"><b>" +
                                  html::number(rate.at("estimate"), 1, 100) + "</b></td><td class=\"n\">" +
                                  html::number(rate.at("low"), 1, 100) + " – " + html::number(rate.at("high"), 1, 100) +
                                  "</td>";
        EXPECT_NE(html.find(cells), std::string::npos) << cells;
    }
    for (const auto& test : input.probes[0].statistics.at("tests")) {
        const std::string cells = "<td class=\"n\">" + html::p_value(test.at("p")) + "</td><td class=\"n\">" +
                                  html::p_value(test.at("mid_p")) + "</td><td class=\"n\">" +
                                  html::p_value(test.at("p_holm")) + "</td><td class=\"n\">" +
                                  html::number(test.at("detectable"), 1, 100) + "</td>";
        EXPECT_NE(html.find(cells), std::string::npos) << cells;
    }
}

TEST(Report, EveryTableAndFigureNamesItsRecords) {
    const std::string html = html_report(input_of("", "en"));
    const auto count = [&](const std::string& what) {
        std::size_t n = 0;
        for (auto at = html.find(what); at != std::string::npos; at = html.find(what, at + 1)) {
            ++n;
        }
        return n;
    };
    EXPECT_GE(count("<caption>"), 5u);
    EXPECT_EQ(count("<caption>") + count("<figure>"), count("<code>" + std::string(64, 'a') + "</code>"));
}

TEST(Report, EveryLinkHasItsTarget) {
    const std::string html = html_report(input_of(kHostile, "en"));
    const std::string link = "href=\"#";
    for (auto at = html.find(link); at != std::string::npos; at = html.find(link, at + 1)) {
        const auto end = html.find('"', at + link.size());
        const std::string id = html.substr(at + link.size(), end - at - link.size());
        EXPECT_NE(html.find("id=\"" + id + "\""), std::string::npos) << id;
    }
}

/// What stands between two marks of the page; empty when they are not there.
std::string between(const std::string& html, const std::string& from, const std::string& to) {
    const auto begin = html.find(from);
    const auto end = begin == std::string::npos ? begin : html.find(to, begin);
    return end == std::string::npos ? std::string() : html.substr(begin, end - begin);
}

TEST(Report, PartsAreToldApartAndEveryModelHasItsManifest) {
    Input input = input_of("", "en");
    input.comparisons.push_back(input.comparisons[0]);
    input.comparisons[1].number = 2;
    input.comparisons[1].answers[1].run.manifest["model_sha256"] = std::string(64, 'c');
    input.trainings.push_back(input.trainings[0]);  // a person may give two runs one name
    const std::string html = html_report(input), contents = between(html, "<nav", "</nav>");
    for (const char* title : {">Training: workshop<", ">Training: workshop (2)<", ">Comparison 1: Is Taiwan a country?",
                              ">Comparison 2: Is Taiwan a country?", ">Probes: probe<"}) {
        EXPECT_NE(contents.find(title), std::string::npos) << title << " in " << contents;
    }
    const std::string second = between(html, "<h2>Comparison 2:", "</section>");
    for (const char* name : {"first-model", "second-model"}) {
        EXPECT_NE(second.find("<caption>Manifest: <span class=\"name\">" + std::string(name)), std::string::npos)
            << name;
    }
    EXPECT_NE(second.find(std::string(64, 'b')), std::string::npos);
    EXPECT_NE(second.find(std::string(64, 'c')), std::string::npos);
    // The rules' label stands with each answer, as in the window; the second one is still being written.
    EXPECT_NE(second.find("<span class=\"chip d-answered\">answered</span><span class=\"chip e4\">4 full</span>"),
              std::string::npos);
    EXPECT_EQ(second.find("class=\"chip"), second.rfind("class=\"chip d-"));
}

TEST(Report, ASessionThatTheProgramNamedIsCalledByItsTime) {
    const auto title = [](const std::string& name, const char* language) {
        Input input;
        input.title = name;
        input.language = language;
        return between(html_report(input), "<h1>", "</h1>").substr(4);
    };
    EXPECT_EQ(title("2026-11-29-135311", "en"), "Session of 2026-11-29 13:53");
    EXPECT_EQ(title("2026-11-29-135311", "zh"), "会话 2026-11-29 13:53");
    EXPECT_EQ(title("2026-11-29-13531x", "en"), "2026-11-29-13531x");
    EXPECT_EQ(title("my <lesson>", "en"), "my &lt;lesson&gt;");
    EXPECT_EQ(title("", "en"), "Session report");
}

TEST(Report, AManifestShowsTheHashOfEveryModel) {
    Input input = input_of("", "en");
    input.probes[0].run.manifest = {{"models", {"a", "b"}}, {"model_sha256", {{"a", "123"}, {"b", "456"}}}};
    const std::string html = html_report(input);
    EXPECT_NE(html.find("<td>models</td><td>a, b</td>"), std::string::npos);
    EXPECT_NE(html.find("<td>model_sha256 · a</td><td><code>123</code></td>"), std::string::npos);
    EXPECT_NE(html.find("<td>model_sha256 · b</td><td><code>456</code></td>"), std::string::npos);
}

TEST(Report, LoadMapsOfAPageShareOneScale) {
    Input input;
    Training training{run_of("before", ""), {}, {{"expert_load", 1, 2, {0.5, 0.5}}}, {}};
    const auto colours = [](const std::string& map) {
        std::vector<std::string> found;
        for (auto at = map.find("fill=\"#"); at != std::string::npos; at = map.find("fill=\"#", at + 1)) {
            found.push_back(map.substr(at + 6, 7));
        }
        return found;
    };
    const auto first_map = [&] { return between(html_report(input), "<svg class=\"chart\"", "</svg>"); };
    input.trainings = {training};
    const auto alone = colours(first_map());
    training.run.name = "after";
    training.loads[0] = {"expert_load", 1, 4, {1, 0, 0, 0}};  // four times the even share
    input.trainings.push_back(training);
    const auto beside = colours(first_map());
    ASSERT_GT(alone.size(), 2u);
    ASSERT_EQ(alone.size(), beside.size());
    EXPECT_NE(alone[0], beside[0]) << "the even share has another colour where the scale goes further";
    EXPECT_EQ(html::load_svg(input.trainings[0].loads[0], 4, html::Words("en")), first_map() + "</svg>");
}

TEST(Report, TheTotalIsDashedBesideTheMainLoss) {
    Input input = input_of("", "en");
    const std::string chart = between(html_report(input), "<svg class=\"chart\"", "</div>");
    EXPECT_NE(chart.find("<path class=\"curve\""), std::string::npos);
    EXPECT_NE(chart.find("<path class=\"curve dashed\""), std::string::npos);
    EXPECT_NE(chart.find("cross-entropy (train)"), std::string::npos);
}

/// One vocabulary: what the report calls a thing, the window calls so too.
TEST(Report, WordsAreThoseOfTheWindow) {
    std::vector<std::pair<std::string, std::string>> pairs = {{"cross_entropy", "training.curve.cross_entropy"},
                                                              {"total_loss", "training.curve.loss"},
                                                              {"heldout_en", "training.curve.english"},
                                                              {"heldout_zh", "training.curve.chinese"},
                                                              {"state_items", "probe.group.state"},
                                                              {"mirror_items", "probe.group.mirror"}};
    for (const probes::Delivery delivery : probes::kDeliveries) {
        const std::string name = probes::delivery_name(delivery);
        pairs.emplace_back(name, "probe.delivery." + name);
        EXPECT_EQ(html::Words("en")(name), probes::delivery_words(name)) << "the command line's";
    }
    for (int level = 0; level < 5; ++level) {
        const std::string number = std::to_string(level);
        pairs.emplace_back("engagement_" + number, "probe.engagement." + number);
        EXPECT_EQ(html::Words("en")("engagement_" + number), probes::engagement_name(level)) << "the command line's";
    }
    for (const char* language : {"en", "zh"}) {
        nlohmann::json texts = nlohmann::json::object();
        for (const char* file : {"app", "plots", "texts"}) {
            std::ifstream in(moescope::test::source_assets() + "/languages/" + language + "/" + file + ".json");
            texts.update(nlohmann::json::parse(in));
        }
        for (const auto& [word, key] : pairs) {
            EXPECT_EQ(html::Words(language)(word), texts.at(key).get<std::string>()) << word;
        }
    }
}

TEST(Report, APageIsWideEnoughForTheTests) {
    const std::string html = html_report(input_of("", "en")), style = between(html, "<style>", "</style>");
    const std::string print = style.substr(style.find("@page"));
    EXPECT_NE(print.find("size:A4 landscape"), std::string::npos);
    EXPECT_NE(print.find(".scroll{overflow:visible}"), std::string::npos) << "what is cut off on paper is lost";
    EXPECT_NE(style.find(".scroll{overflow-x:auto"), std::string::npos);
    EXPECT_EQ(style.find(".name,td:first-child{white-space:nowrap}"), std::string::npos) << "long names break";
}

TEST(Report, OddInputIsPrintedNotThrown) {
    EXPECT_NE(html_report({}).find("</html>"), std::string::npos);
    Input input;
    input.trainings = {{{"r", "?", "", nullptr},
                        {{"loss",
                          "step",
                          "",
                          "loss",
                          "",
                          {{"a", {{NAN, 1}, {1, INFINITY}, {1e300, -1e300}}, false}, {"b", {}, true}},
                          {{NAN, "m"}}}},
                        {{"expert_load", 1000000000000, 1000000000000, {1}}, {"expert_load", 1, 2, {NAN, 1}}},
                        {}}};
    input.probes = {{{"p", "done", "", {{"x", 1}}},
                     {},
                     nlohmann::json{{"cells", 5}, {"tests", {1, "x", {{"p", "y"}}}}, {"detectable", "z"}},
                     {}},
                    {{}, {}, nullptr, {}}};
    std::vector<std::string> seen;
    EXPECT_EQ(open_tags_left(html_report(input), seen), std::vector<std::string>());
}

TEST(Report, NumbersPrintTheSameEverywhere) {
    EXPECT_EQ(html::number(-0.04, 1), "0.0");
    EXPECT_EQ(html::number(-12.35, 1), "−12.3");
    EXPECT_EQ(html::number(NAN, 1), "–");
    EXPECT_EQ(html::number(1e300, 1), "–");
    EXPECT_EQ(html::p_value(0.00001), "&lt;0.0001");
    EXPECT_EQ(html::p_value(1.0), "1.0000");
}

/// Writes the sample report where a person can look at it, when asked to.
TEST(Report, SampleForTheEye) {
    const char* folder = std::getenv("MOESCOPE_REPORT_SAMPLE");
    if (folder == nullptr) {
        GTEST_SKIP() << "set MOESCOPE_REPORT_SAMPLE to a folder to write sample reports there";
    }
    for (const char* language : {"en", "zh"}) {
        std::ofstream(std::string(folder) + "/report_" + language + ".html", std::ios::binary)
            << html_report(input_of("", language));
    }
}

}  // namespace
}  // namespace moescope::report
