// One answer of one model: the same code for the Compare panel, the command line and the probes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/routing_order.hpp"

namespace moescope::node {

struct GenerationRequest {
    std::uint32_t run = 0;
    std::string model;           ///< name, for people; with the set of changes where it is one with a set
    ModelSource path;            ///< file, checkpoint folder or server
    std::string model_sha256;    ///< when known
    std::string model_title;     ///< what the library calls it; empty where it does not
    CheckpointHolds::Hold hold;  ///< of a checkpoint of the session: it is kept until the order is gone
    std::string prompt, group;
    std::optional<std::string> system;  ///< text of a system turn; without one the template puts its own
    bool chat = true;                   ///< in the model's chat template, when it has one
    int max_tokens = 256;
    int alternatives = 0;
    int threads = 0;  ///< 0: a fair share of the cores
    double temperature = 0, top_p = 0.95, min_p = 0.05;
    int top_k = 40;
    std::uint64_t seed = 1;
    RoutingOrder routing;
};

/// Reads an order from command parameters; every value is checked against a range. Throws CommandError. Does not
/// resolve the model.
GenerationRequest parse_generation(const nlohmann::json& parameters);

struct GenerationResult {
    protocol::RunState state = protocol::RunState::failed;  ///< done, stopped (by a person) or failed
    std::string stop;                                       ///< a name of base/stop_reason.hpp
    Sentence message;                                       ///< of a failed one
    std::vector<Sentence> notes;                            ///< what was otherwise than asked; of a server
    std::string text;                                       ///< bytes; need not be valid UTF-8
    std::string shown;  ///< what the model read before it: the prompt as its chat template wrote it; empty when unknown
    int prompt_tokens = 0, tokens = 0;
    double prompt_ms = 0, tokens_per_second = 0;
    bool process_died = false;
    nlohmann::json computed = nlohmann::json::object();  ///< computed_by(), once the model was open
    Sentence routing_problem;  ///< why the routing that was asked for could not be recorded; empty: it was
};

/// Asks an open model. `on_part` gets tokens and routing as they come; `replay` belongs to the order. Does not throw
/// for what the model or its process does.
GenerationResult generate_with(WorkerProcess& process, const GenerationRequest& order, const ReplayFile& replay,
                               const OnPart& on_part, const std::atomic<bool>& cancel);

/// `count` answers, the i-th drawn with the seed plus i; the tokens of answer i come as those of run order.run + i.
/// Otherwise as generate_with.
std::vector<GenerationResult> generate_several(WorkerProcess& process, const GenerationRequest& order,
                                               const ReplayFile& replay, int count, const OnPart& on_part,
                                               const std::atomic<bool>& cancel);

/// Throws CommandError when a system text cannot go with what else is asked.
void check_system(const std::optional<std::string>& system, bool chat);
/// How a prompt is put to models, for the manifest of a run: "chat", "system" where there is one, and the day that chat
/// templates are told, "template_date".
void put_question(nlohmann::json& manifest, const std::optional<std::string>& system, bool chat);
/// "shown" of a record, when it is known.
void put_shown(nlohmann::json& record, const GenerationResult& result);

/// The word of generation_ended for a state: "cancelled" for a stopped answer.
const char* answer_state_name(protocol::RunState state);

/// An answer as records hold it: shortened when it is too long for one (its tokens have records of their own).
std::string text_for_record(std::string text);

/// A generation with its records, on a thread of its own. Waits for its turn (see GenerationQueue).
class GenerationJob final : public Job {
 public:
    GenerationJob(NodeParts parts, GenerationRequest order);
    ~GenerationJob() override;

    std::uint32_t run() const override { return order_.run; }
    void request_stop() override { cancel_ = true; }
    /// True when this answers the very same question for another comparison and has not been told to stop.
    bool repeats(const GenerationRequest& order) const;
    bool finished() const override { return finished_; }
    void wait() override;

 private:
    void main();
    GenerationResult answer();
    WorkerPool::Lease wait_for_model();
    void announce(int threads);
    void write_end(const GenerationResult& result);

    NodeParts parts_;
    const GenerationRequest order_;
    std::optional<GenerationQueue::Place> place_;  ///< until the answer has ended
    std::atomic<bool> cancel_{false}, finished_{false};
    std::thread thread_;
};

}  // namespace moescope::node
