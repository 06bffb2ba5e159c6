// Which row of a run's columns a step that is looked at stands for.
#include "panels/experts/old_steps.hpp"

#include <gtest/gtest.h>

#include "nodes/history/run_table.hpp"

namespace {

using namespace moescope;

TEST(RowUpTo, IsTheLastThatIsNotAfter) {
    history::TrainingRun run;
    std::vector<history::TableRow> rows;
    EXPECT_FALSE(panels::row_up_to(run, 5));
    for (const std::uint64_t step : {2, 3, 4, 9}) {
        protocol::StepRecord record;
        record.step = step;
        record.loss = 1;
        history::steps_of(run, rows).add(history::row_of(record), {{1, step}});
    }
    EXPECT_FALSE(panels::row_up_to(run, 1));
    EXPECT_EQ(run.step[*panels::row_up_to(run, 2)], 2);
    EXPECT_EQ(run.step[*panels::row_up_to(run, 4)], 4);
    EXPECT_EQ(run.step[*panels::row_up_to(run, 9)], 9);
    EXPECT_EQ(run.step[*panels::row_up_to(run, 1000)], 9);
}

}  // namespace
