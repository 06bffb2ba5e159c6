// What a model's process is asked about routing: "route" and "sweep". What they send on the way goes as bytes that the
// node passes on without looking into them: whole lines of text, each with its end.
#pragma once

#include <atomic>
#include <nlohmann/json.hpp>

#include "engine/runner/language_model.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// {"op":"route", "text" (as it is, or with "chat" in the template) or "tokens" (a .npy file), "detail": "ids",
/// "weights" or "scores", "interventions": a list, "replay": a trace, "name": of the model, for people}. Sends the
/// trace (routing/trace_lines.hpp) as it grows. The answer: {"op":"ended", "tokens", "complete", "doubts":
/// [sentences], "mean_log_probability" of those that have one, "agreement": {"decisions","equal"} with scores,
/// "replay":
/// {"decisions" of the trace, "taken": those that found their place in the text} with a replay}. Throws Error.
nlohmann::json route_text(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                          const std::atomic<bool>& cancel);

/// {"op":"sweep", "layer", "texts": [...], "name"}. Sends {"progress","total"} now and then. The answer: {"op":"ended",
/// "complete", "layer", "texts", "tokens", "loss", "experts": [{"expert","tokens","kl","loss","control_kl",
/// "control_loss","above_kl","above_loss"}]}, each figure {"mean","low","high"} (engine/runner/sweep.hpp). Throws
/// Error.
nlohmann::json sweep_texts(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                           const std::atomic<bool>& cancel);

}  // namespace moescope::node
