// The report's own words: everything that it names has a text in both languages, and no text is left over.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "base/step_values.hpp"
#include "base/stop_reason.hpp"
#include "nodes/protocol/run_state.hpp"
#include "report/report_html.hpp"
#include "tests/paths.hpp"

namespace {

using moescope::report::html::Words;
namespace base = moescope::base;
namespace fs = std::filesystem;

const fs::path kAssets = moescope::test::source_assets();

nlohmann::json texts(const char* language) {
    std::ifstream in(kAssets / "languages" / language / "report.json");
    return nlohmann::json::parse(in);
}

std::string sources() {
    std::ostringstream all;
    for (const auto& entry : fs::directory_iterator(kAssets.parent_path() / "report")) {
        if (entry.path().extension() == ".cpp") {
            all << std::ifstream(entry.path()).rdbuf() << '\n';
        }
    }
    return all.str();
}

/// Keys that are data: charted statistics, labels, reasons, states.
std::vector<std::string> named_by_tables() {
    std::vector<std::string> keys;
    for (const base::StepValue& row : base::kStepValues) {
        if (row.chart == base::StepChart::own) {
            keys.emplace_back(row.key);
        }
    }
    for (const auto delivery : moescope::probes::kDeliveries) {
        keys.emplace_back(moescope::probes::delivery_name(delivery));
    }
    for (int level = -1; level <= 4; ++level) {
        keys.push_back("engagement_" + std::to_string(level));
    }
    for (const auto reason : base::kStopReasons) {
        keys.emplace_back(base::stop_name(reason));
    }
    using State = moescope::protocol::RunState;
    for (const State state : {State::planned, State::running, State::paused, State::done, State::stopped, State::failed,
                              State::interrupted}) {
        keys.emplace_back(moescope::protocol::run_state_name(state));
    }
    keys.insert(keys.end(), {"en", "zh", "engaged", "refused"});
    return keys;
}

TEST(Words, EveryChartedStatisticAndEveryLabelHasAName) {
    for (const std::string& key : named_by_tables()) {
        EXPECT_TRUE(Words::has(key)) << key << " is in no report.json of assets/languages";
    }
}

TEST(Words, EveryWordOfTheSourcesHasAText) {
    const std::string code = sources();
    const std::regex use(R"re(\b(?:words\(|series\(|Chart chart\{)"([a-z_0-9]+)")re");
    std::size_t found = 0;
    for (std::sregex_iterator it(code.begin(), code.end(), use), end; it != end; ++it, ++found) {
        const std::string key = (*it)[1];
        EXPECT_TRUE(Words::has(key) || key.back() == '_') << key;  // a number follows: named_by_tables() has those
    }
    EXPECT_GT(found, 60u);
}

TEST(Words, TheProgramHasTheTextsOfBothFilesAndUsesAll) {
    const std::string code = sources();
    const std::vector<std::string> tables = named_by_tables();
    const nlohmann::json english = texts("en"), chinese = texts("zh");
    ASSERT_GT(english.size(), 100u);
    EXPECT_EQ(english.size(), chinese.size());
    for (const auto& [name, text] : english.items()) {
        ASSERT_EQ(name.rfind("report.", 0), 0u) << name;
        const std::string key = name.substr(7);
        EXPECT_EQ(Words("en")(key), base::escape_html(text.get<std::string>())) << key;
        EXPECT_EQ(Words("zh")(key), base::escape_html(chinese.at(name).get<std::string>())) << key;
        EXPECT_TRUE(code.find('"' + key + '"') != std::string::npos ||
                    std::find(tables.begin(), tables.end(), key) != tables.end())
            << key << " is used nowhere";
    }
    EXPECT_EQ(Words("en")("no <such> word"), "no &lt;such&gt; word");
}

}  // namespace
