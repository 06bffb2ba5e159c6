// What a checkpoint of a run of the session is called where a model is asked for: "checkpoint:7" the latest one of run
// 7, "checkpoint:7:250" the one of step 250, "checkpoint:7:now" the model as it is now, for which a run that goes on
// saves one. And a model with a set of changes to its routers, which the session has saved: "MODEL|SET". Pure.
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

/// 1 to 60 bytes of valid UTF-8 on one line, without "|": a name that a set of changes may have.
bool is_set_name(std::string_view name);
/// "MODEL|SET", taken apart at the last "|". Whether there is such a set is another question.
struct ModelWithSet {
    std::string model, set;
    bool operator==(const ModelWithSet&) const = default;
};
/// Nothing for a name that can't be one.
std::optional<ModelWithSet> model_with_set(std::string_view name);
std::string to_text(const ModelWithSet& name);

/// What a person reads where a model is named: "run 7, step 250" for a checkpoint, "MODEL with SET" for one with a set
/// (a set with "/" in its name is taken for a part of a path), any other name as it is.
base::Sentence model_sentence(const std::string& name);
/// A sentence of the node as a person reads it: values that are the name of a checkpoint, at any depth, become
/// model_sentence. What routing/ and engine/ say of a model has its name only.
base::Sentence with_model_sentences(const base::Sentence& sentence);

}  // namespace moescope::history
