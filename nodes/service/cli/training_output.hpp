// What training says on the command line, whoever starts it.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/training_job.hpp"

namespace moescope::node {

/// Every value of the table under its key, null where it was not computed; "part_ms.data" is data within part_ms.
nlohmann::json step_json(const protocol::StepRecord& step);
/// "step     10 / 200   cross-entropy 4.1234 ..."; every tenth step, the first and the last.
void print_step(const protocol::StepRecord& step, int planned);
/// What the record of an evaluation says.
void print_evaluation(const nlohmann::json& record);
/// The last line of a run.
nlohmann::json final_line(const TrainingResult& result);

/// Which of several processes the others wait for.
std::string ranks_text(const protocol::RankRecord& sums);

/// The range of a whole number of the configuration, for the option of the same name.
CLI::Validator range_of(const std::string& key);

}  // namespace moescope::node
