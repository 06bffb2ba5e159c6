// Which runs of a session have a routing, and which of them belong together: the same text, the same training run.
// Pure; made of a snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/checkpoint_name.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// What is there of a reading, or of an answer, that did not come to its end.
struct CutOff {
    std::uint64_t tokens = 0, wanted = 0;  ///< in its trace; of so many, 0: not known
    history::RunState state = history::RunState::stopped;
    base::Sentence why;  ///< empty: a person cancelled it
};
/// Nothing while its run goes on, when it came to its end, and of a trace whose run is not known.
std::optional<CutOff> cut_off(const client::Snapshot& snapshot, const history::RunRouting& routing);
/// "incomplete: 20 of 20,000 tokens (cancelled)"; `longest`: bytes of the reason, in one line.
std::string cut_off_text(const ui::Language& text, const CutOff& cut, std::size_t longest);

struct RoutedRun {
    std::shared_ptr<const history::RunRouting> routing;  ///< never null
    std::string model;  ///< as it was asked for: "checkpoint:3:250", "qwen3-mini|no maths"; empty: not known
    /// Of a training run of this session with its step, and without changes to the router.
    std::optional<history::CheckpointName> checkpoint;
    std::uint32_t training = 0;  ///< the training run that the model comes from, changed or not; 0: another model
    bool alive = false;          ///< its run has not ended
    std::optional<CutOff> cut;   ///< its run ended before all was read
    /// The parameters of `route.start` that say what is read; null when that can't be read again.
    nlohmann::json text;

    std::uint32_t run() const { return routing->run; }
    /// Name of its files: "route-12".
    std::string file_name() const { return "route-" + std::to_string(run()); }
};

/// Nothing when the session has no routing of that run.
std::optional<RoutedRun> routed_run(const client::Snapshot& snapshot, std::uint32_t run);
/// All that have any token or count, newest first.
std::vector<RoutedRun> routed_runs(const client::Snapshot& snapshot);
/// Both read the same and could be read again.
bool same_text(const RoutedRun& a, const RoutedRun& b);
/// Layers with a router, experts and experts per token are the same.
bool same_shape(const RoutedRun& a, const RoutedRun& b);
/// What is read, for people: "the built-in text, 8,000 tokens", “The router”, "answer 5". `parameters`:
/// RoutedRun::text.
std::string text_name(const ui::Language& text, const nlohmann::json& parameters);
/// The newest one to compare `first` with, of the same text and shape; one that was read to its end before others.
/// Nothing without any.
std::optional<std::uint32_t> default_second(const std::vector<RoutedRun>& runs, const RoutedRun& first);

/// Readings of checkpoints of one training run of the same text and shape, by step; of several of one step the newest.
/// What was not read to its end is none of them.
struct CheckpointSeries {
    std::uint32_t training = 0;
    std::vector<RoutedRun> runs;  ///< by step, two or more
};
/// Those that `shown` belongs to first, then the newest.
std::vector<CheckpointSeries> checkpoint_series(const client::Snapshot& snapshot, std::uint32_t shown);

/// Of scores that are recorded at once.
inline constexpr std::uint64_t kMostScoreBytes = std::uint64_t{48} << 20;
/// What the scores of so many tokens take, about. `experts`: of all layers together.
std::uint64_t score_bytes(std::uint64_t experts, std::uint64_t tokens);
/// Experts of all layers with a router together, as far as the session says it: of what was trained in it, and of
/// models that have read something in it. 0: not known.
std::uint64_t experts_of_model(const client::Snapshot& snapshot, const std::string& model);
/// How much of each decision a reading that a person starts here records: scores, with which margins and entropies
/// come, as long as they stay small; else weights. `experts`: of all layers together.
const char* reading_detail(std::uint64_t experts, std::uint64_t tokens);
/// The parameters of `route.start` that read with every kept checkpoint of a training run what `text` says, about
/// `tokens` of them: one command for each, all of the same `group`.
std::vector<nlohmann::json> read_checkpoints(const history::TrainingRun& run, const nlohmann::json& text,
                                             std::uint64_t tokens, const std::string& group);
/// The text that comes with the program, English and Chinese in turn; kBuiltInTokens of it.
inline constexpr std::uint64_t kBuiltInTokens = 4096;
nlohmann::json built_in_text();

}  // namespace moescope::panels
