// What a checkpoint of a run of the session is called where a model is asked for: "checkpoint:7" the latest one of run
// 7, "checkpoint:7:250" the one of step 250, "checkpoint:7:now" the model as it is now, for which a run that goes on
// saves one. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::history {

struct CheckpointName {
    enum class Which : std::uint8_t { latest, now, step };
    std::uint32_t run = 0;
    Which which = Which::latest;
    std::uint64_t step = 0;  ///< for Which::step
    bool operator==(const CheckpointName&) const = default;
};

/// Begins like the name of a checkpoint, well formed or not: never the name of a model of the library.
bool is_checkpoint_name(std::string_view name);
/// Nothing for anything else than the three forms above; run 1 to 999,999,999, step up to 18 digits.
std::optional<CheckpointName> checkpoint_named(std::string_view name);
std::string to_text(const CheckpointName& name);
/// What a person reads where a model is named: "run 7, step 250" for a checkpoint, any other name as it is.
base::Sentence model_sentence(const std::string& name);

}  // namespace moescope::history
