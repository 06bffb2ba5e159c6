// What a model's process is asked about routing: "route", "read", "effect" and "sweep", and answers whose routers are
// watched or changed. What goes to the node on the way is in worker_wire.hpp.
//
// A request says what is watched and changed: "detail" ("ids", "weights" or "scores"), "interventions" (a list),
// "replay" (a trace, where a replay is among them), "name" (of the model, for people) and "threads" (0 or nothing: as
// before). And which text is read: "text" (as it is, or with "chat" and perhaps "system" in the template), after it
// perhaps an answer as "answer" (a text) or "answer_ids" (tokens); or "tokens" (a .npy file).
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/sha256.hpp"
#include "engine/runner/language_model.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// {"op":"route"}. Sends the trace as lines of text (routing/trace_lines.hpp) as it grows. The answer: {"op":"ended",
/// "tokens", "complete", "doubts": [sentences], "mean_log_probability" of those that have one, "agreement":
/// {"decisions","equal"} with scores, "replay": {"decisions" of the trace, "taken": those that found their place in the
/// text, "altered": those of them that were made with other experts than the trace has (routing::ReplayCount)} with a
/// replay}. Throws Error.
nlohmann::json route_text(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                          const std::atomic<bool>& cancel);

/// What a token stands for, as a part of the sum by which recorded tokens are told from those of another tokenizer.
void add_piece(base::Sha256& sum, std::string_view piece);

/// {"op":"read", "run"} and, in the place of a text, perhaps "documents": [{"text","language","group"}], of each at
/// most "longest" tokens, or with {"ids","pieces_sha256"} and perhaps "next" in the place of the text: tokens that were
/// read before, and what followed them; "first_token" and "first_document" (0): their numbers in the trace of the run,
/// which may be read in several requests; "most_tokens" of this one; "total" of all, for the progress. Sends the trace
/// in pieces and the progress. The answer: {"op":"ended", "complete", "documents"} and RoutingStream::summary(). Throws
/// Error.
nlohmann::json read_texts(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                          const std::atomic<bool>& cancel);

/// {"op":"effect", "run", "base" (the run of the untouched reading), "controls", "seed"}. Sends the traces of both and
/// the progress. The answer: {"op":"ended", "complete"} and what docs/protocol.md says of the result of an effect,
/// without the runs' numbers and names. Throws Error.
nlohmann::json measure_effect(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                              const std::atomic<bool>& cancel);

/// {"op":"sweep", "layer", "texts": [...]}. Sends the progress. The answer: {"op":"ended", "complete", "layer",
/// "texts", "tokens", "loss", "experts":
/// [{"expert","tokens","kl","loss","control_kl","control_loss","above_kl","above_loss"}]}, each figure
/// {"mean","low","high"} (engine/runner/sweep.hpp). Throws Error.
nlohmann::json sweep_texts(engine::LanguageModel& model, const nlohmann::json& request, WorkerWriter& writer,
                           const std::atomic<bool>& cancel);

/// As LanguageModel::answer(), with the routers watched and changed as the request says: "routing" is the detail that
/// is recorded, nothing: not recorded; "run" the number of the first answer. Answers whose routers are watched come one
/// after the other. A model whose routers can't be watched just answers, unless they are to be changed.
struct AnswersWithRouting {
    std::vector<engine::GenerateResult> results;
    base::Sentence problem;  ///< why nothing was recorded, of a model that has experts
};
/// Throws Error.
AnswersWithRouting answer_with_routing(engine::LanguageModel& model, const engine::ShownPrompt& prompt,
                                       const engine::GenerateRequest& wanted, int count, const nlohmann::json& request,
                                       const engine::OnAnswerToken& on_token, WorkerWriter& writer,
                                       const std::atomic<bool>& cancel);

}  // namespace moescope::node
