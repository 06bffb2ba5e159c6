// The manual in both languages, the texts of the panels, and the way from the statistics' JSON to the probe panel.
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "panels/answers/probe_statistics.hpp"
#include "panels/manual/manual.hpp"
#include "panels/ui/text_tools.hpp"
#include "probes/probes.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using namespace moescope::panels;
using nlohmann::json;

std::string read(const std::string& path) {
    std::ifstream file(moescope::test::source_assets() + "/" + path);
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_FALSE(text.str().empty()) << path;
    return text.str();
}

TEST(Manual, EveryLinkHasItsHeading) {
    for (const char* file : {"../docs/manual-en.md", "../docs/manual-zh.md"}) {
        const ManualDocument manual = parse_manual(read(file));
        std::set<std::string> anchors;
        for (const ManualBlock& block : manual.blocks) {
            if (block.kind == ManualBlock::Kind::heading) {
                EXPECT_FALSE(block.anchor.empty());
                EXPECT_TRUE(anchors.insert(block.anchor).second) << file << ": two headings " << block.anchor;
            }
        }
        EXPECT_FALSE(manual.links.empty());
        for (const std::string& link : manual.links) {
            EXPECT_TRUE(link.starts_with("#") && anchors.count(link.substr(1)) == 1) << file << ": " << link;
        }
    }
}

TEST(Manual, LanguagesHaveTheSameShape) {
    const ManualDocument english = parse_manual(read("../docs/manual-en.md")),
                         chinese = parse_manual(read("../docs/manual-zh.md"));
    ASSERT_EQ(english.blocks.size(), chinese.blocks.size());
    for (std::size_t i = 0; i < english.blocks.size(); ++i) {
        const ManualBlock &a = english.blocks[i], &b = chinese.blocks[i];
        EXPECT_EQ(a.kind, b.kind) << a.content.text;
        EXPECT_EQ(a.level, b.level) << a.content.text;
        EXPECT_EQ(a.cells.size(), b.cells.size()) << a.content.text;
        EXPECT_EQ(a.columns == 0 ? 0 : static_cast<int>(a.cells.size()) % a.columns, 0);
        if (a.kind == ManualBlock::Kind::code) {
            EXPECT_EQ(a.content.text, b.content.text);
        }
    }
}

TEST(Manual, ReadsTheKindsItNeeds) {
    const ManualDocument manual =
        parse_manual("# A b\n\ntext **bold** `code` [x](#a-b)\n\n- one\n  1. two\n\n```\nx  y\n```\n\n|h|\n|-|\n|c|\n");
    ASSERT_EQ(manual.blocks.size(), 6u);
    EXPECT_EQ(manual.blocks[0].anchor, "a-b");
    EXPECT_EQ(manual.blocks[1].content.text, "text bold code x");
    ASSERT_EQ(manual.blocks[1].content.runs.size(), 6u);
    EXPECT_EQ(manual.blocks[1].content.runs[1].style, ManualBlock::bold);
    EXPECT_EQ(manual.blocks[1].content.runs[5].style, ManualBlock::link);
    EXPECT_EQ(manual.blocks[2].marker, "•");
    EXPECT_EQ(manual.blocks[3].marker, "1.");
    EXPECT_EQ(manual.blocks[3].level, 2);
    EXPECT_EQ(manual.blocks[4].content.text, "x  y");
    ASSERT_EQ(manual.blocks[5].cells.size(), 2u);
    EXPECT_TRUE(manual.blocks[5].cells[0].head);
    EXPECT_EQ(manual.blocks[5].cells[1].text, "c");
}

TEST(Manual, AnyBytesAreRead) {
    std::mt19937 random(1);
    static constexpr char kMarks[] = "#-*`|[]()\n 1.>ab\xE4\xBD\xFF\\_~";
    for (int round = 0; round < 3'000; ++round) {
        std::string text;
        for (std::size_t n = random() % 80; n > 0; --n) {
            text.push_back(kMarks[random() % (sizeof kMarks - 1)]);
        }
        for (const ManualBlock& block : parse_manual(text).blocks) {
            for (const ManualBlock::Run& run : block.content.runs) {
                ASSERT_LE(run.end, block.content.text.size() + 1);
            }
        }
    }
}

TEST(PanelTexts, BothLanguagesHaveTheSameKeysAndPlaceholders) {
    const json english = json::parse(read("languages/en/texts.json")),
               chinese = json::parse(read("languages/zh/texts.json"));
    const std::regex placeholder(R"(\{([a-z_]+)\})");
    const auto placeholders = [&](const std::string& text) {
        std::set<std::string> names;
        for (std::sregex_iterator it(text.begin(), text.end(), placeholder), end; it != end; ++it) {
            names.insert((*it)[1]);
        }
        return names;
    };
    EXPECT_EQ(english.size(), chinese.size());
    for (const auto& [key, value] : english.items()) {
        ASSERT_TRUE(chinese.contains(key)) << key;
        const auto a = value.get<std::string>(), b = chinese[key].get<std::string>();
        EXPECT_FALSE(a.empty() || b.empty()) << key;
        EXPECT_EQ(placeholders(a), placeholders(b)) << key;
    }
}

TEST(ProbeStatistics, ReadsWhatTheNodeComputes) {
    const probes::Set set = probes::parse_set(read("probe_sets/starter.json"), "starter.json");
    const std::vector<std::string> models = {"a", "b"};
    std::mt19937 random(9);
    std::vector<probes::Draw> draws;
    for (const probes::Item& item : set.items) {
        for (const std::string& model : models) {
            for (const char* language : {"en", "zh"}) {
                probes::Draw draw;
                draw.item = item.id;
                draw.group = item.group;
                draw.topic = item.topic;
                draw.model = model;
                draw.language = language;
                const bool refused = item.group == "state" && model == "a" && random() % 4 != 0;
                draw.labels = {refused ? probes::Delivery::refused : probes::Delivery::answered, refused ? 0 : 4,
                               base::Sentence::verbatim("test")};
                draws.push_back(draw);
            }
        }
    }
    const ProbeStatistics statistics = read_statistics(probes::statistics(set, models, draws));
    EXPECT_EQ(statistics.models, models);
    ASSERT_EQ(statistics.languages.size(), 2u);
    // Counted again from the draws: the whole group, one model, one language.
    for (const std::string& model : models) {
        for (const char* language : {"en", "zh"}) {
            for (const char* group : {"state", "mirror"}) {
                std::uint64_t n = 0, engaged = 0;
                for (const probes::Draw& draw : draws) {
                    if (draw.model == model && draw.language == language && draw.group == group) {
                        ++n;
                        engaged += draw.labels.engagement >= 3;
                    }
                }
                const ProbeCell* cell = statistics.find(group, "", model, language);
                ASSERT_NE(cell, nullptr);
                EXPECT_EQ(cell->n, n);
                const ProbeRate& rate = cell->rates.at("engaged");
                EXPECT_EQ(rate.count, engaged);
                const probes::Interval interval = probes::wilson(engaged, n);
                EXPECT_DOUBLE_EQ(rate.estimate.value(), interval.estimate);
                EXPECT_DOUBLE_EQ(rate.low, interval.low);
                EXPECT_DOUBLE_EQ(rate.high, interval.high);
            }
        }
    }
    std::size_t checked = 0;
    for (const ProbeTest& test : statistics.tests) {
        if (test.measure != "engaged" || test.kind != "models") {
            continue;
        }
        ++checked;
        const std::uint64_t same = test.n - test.only_first - test.only_second;
        EXPECT_DOUBLE_EQ(test.p.value(), probes::mcnemar(same, test.only_first, test.only_second, 0).p);
        EXPECT_GE(test.p_holm.value(), test.p.value());
    }
    EXPECT_EQ(checked, 4u);
    EXPECT_FALSE(statistics.contrasts.empty());
    EXPECT_EQ(statistics.detectable.at("state").first, 16u);
    EXPECT_FALSE(statistics.topics.empty());
}

TEST(ProbeStatistics, OddJsonGivesEmptyNumbers) {
    const probes::Set set = probes::parse_set(read("probe_sets/starter.json"), "starter.json");
    const json good = probes::statistics(set, {"a", "b"}, {});
    const json flat = good.flatten();
    std::mt19937 random(2);
    std::vector<std::string> paths;
    for (const auto& [path, value] : flat.items()) {
        paths.push_back(path);
    }
    const std::vector<json> odd = {nullptr, "text", -1, 1e300, json::array(), json::object({{"x", 1}}), true};
    for (int round = 0; round < 400; ++round) {
        json damaged = good;
        std::string path = paths[random() % paths.size()];
        for (std::size_t up = random() % 3; up > 0 && path.rfind('/') > 0; --up) {
            path.resize(path.rfind('/'));
        }
        damaged[json::json_pointer(path)] = odd[random() % odd.size()];
        EXPECT_NO_THROW(read_statistics(damaged)) << path;
    }
    EXPECT_NO_THROW(read_statistics(json()));
    EXPECT_NO_THROW(read_statistics(json::array({1, 2})));
}

}  // namespace
