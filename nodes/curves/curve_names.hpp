// What other tools call the values that we have too. Pure.
#pragma once

#include <string>
#include <string_view>

namespace moescope::curves {

/// The key of ours that a curve of this name means (of base::kStepValues, or protocol::kEvaluation...); empty when it
/// means nothing of ours, or says another unit. Names are compared in any case, with the folder that stands for
/// training in front ("train/loss", "Train-Loss") and with the name of a run ("run - train/loss").
std::string key_of_name(std::string_view name, std::string_view unit);
/// The name in event files of a value of ours: "train/part_ms/attention", "eval/loss/en".
std::string tag_of_key(std::string_view key);
/// The unit of a value of ours; empty: none.
std::string_view unit_of_key(std::string_view key);

}  // namespace moescope::curves
