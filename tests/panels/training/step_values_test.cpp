// Every step value that a plot shows has its name in both languages.
#include "base/step_values.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/paths.hpp"

namespace moescope {
namespace {

TEST(StepValues, HaveTheirTextsInBothLanguages) {
    for (const char* language : {"en", "zh"}) {
        const auto texts =
            nlohmann::json::parse(std::ifstream(test::source_assets() + "/languages/" + language + "/plots.json"));
        for (const base::StepValue& row : base::kStepValues) {
            const std::string key = std::string("training.curve.") + row.key;
            EXPECT_EQ(texts.contains(key), row.plot != base::StepPlot::none) << language << ": " << key;
        }
    }
}

}  // namespace
}  // namespace moescope
