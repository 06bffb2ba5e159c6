// One probe run on a thread of its own: every item in every language to every model, labelled, with statistics as it
// goes.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/generation.hpp"
#include "nodes/service/jobs/job.hpp"
#include "probes/probes.hpp"

namespace moescope::node {

struct ProbeModel {
    std::string name;  ///< with the set of changes where it has one: "MODEL|SET"
    ModelSource path;
    std::string sha256;            ///< when known; of a run that goes on: as it was when the run began
    CheckpointHolds::Hold hold{};  ///< of a checkpoint of the session: it is kept until the order is gone
    RoutingOrder routing{};        ///< the changes of that set; of a run that goes on: as they were when it began
    std::string title{};           ///< what the library calls it; empty where it does not
};

struct ProbeRequest {
    std::uint32_t run = 0;
    std::string name;
    probes::Set set;       ///< only the items that are asked
    std::string set_text;  ///< the whole file, kept in the manifest so that the session stands alone
    std::vector<ProbeModel> models;
    std::vector<std::string> languages{"en", "zh"};
    int draws = 1, max_tokens = 160;
    double temperature = 0;
    std::uint64_t seed = 1;
    std::optional<std::string> system;          ///< text of a system turn before every question
    bool chat = true;                           ///< in the chat templates of the models
    bool continues = false;                     ///< the answers that the journal has already are not asked for again
    std::shared_ptr<history::Session> known{};  ///< these answers, for who has read them already; the job takes them
};

/// Reads an order from command parameters and the set from its file. Does not resolve models. Throws CommandError or
/// probes::Error.
ProbeRequest parse_probe(const nlohmann::json& parameters, const Paths& paths);
/// The rates of a run that is not asking any more, from its answers and labels.
nlohmann::json probe_statistics(sessions::Session& session, std::uint32_t run);
nlohmann::json probe_statistics(const history::ProbeRun& run);
/// What a run was asked to do, as its journal has it. Throws CommandError.
ProbeRequest probe_order(const history::RunHeader& run);
/// The order that goes on with an interrupted or stopped run. Throws CommandError.
ProbeRequest order_to_resume(const history::RunHeader& run);
/// Gives an order the models as they were found now. Throws CommandError when one is another file than when the run
/// began.
void take_models(ProbeRequest& order, const std::vector<ProbeModel>& found);
/// Is it the name of a set that comes with the program?
bool is_built_in_set(const std::string& set, const Paths& paths);
/// A set by name (in the assets) or by path.
std::filesystem::path find_probe_set(const std::string& set, const Paths& paths);
/// Keeps `count` items, taking from both groups in turn, so that a short run still compares them.
void limit_items(probes::Set& set, std::size_t count);

struct ProbeResult {
    protocol::RunState state = protocol::RunState::failed;
    Sentence message;
    std::size_t answers = 0;
    nlohmann::json statistics;
};

class ProbeJob final : public Job {
 public:
    ProbeJob(NodeParts parts, ProbeRequest order);
    ~ProbeJob() override;

    std::uint32_t run() const override { return order_.run; }
    void request_stop() override;
    bool finished() const override { return finished_; }
    void wait() override;
    void pause();  ///< after the present answer
    void resume();
    /// A person's label was stored: the statistics are computed again soon. False when the job has ended and will not.
    /// `codings`: those of other coders in the journal, too.
    bool labels_changed(bool codings = false);
    const ProbeResult& result() const { return result_; }  ///< once finished

 private:
    using Clock = std::chrono::steady_clock;
    struct Question {
        const probes::Item* item;
        std::string language;
        int draw = 0;
    };

    void main();
    void announce();
    void ask_model(const ProbeModel& model, const std::vector<Question>& questions);
    bool paused();
    bool wait_while_paused();
    void end();  ///< after the last label that came in time
    void store_answer(const ProbeModel& model, const Question& question, const GenerationResult& answer);
    void update_statistics(bool now);
    void show_progress();
    std::vector<Question> open_questions(const ProbeModel& model) const;
    double seconds_left() const;
    std::size_t answers() const;  ///< so far
    void finish(protocol::RunState state, const Sentence& message);
    void event(const std::string& kind);

    NodeParts parts_;
    ProbeRequest order_;
    ProbeResult result_;
    std::size_t planned_ = 0;
    history::Session history_;  ///< of this run; its answers so far
    double seconds_asked_ = 0;
    std::size_t asked_ = 0;
    Clock::time_point last_statistics_{};

    std::mutex mutex_;
    std::condition_variable wake_;
    bool paused_ = false;
    bool labels_changed_ = false;
    bool codings_changed_ = false;
    std::atomic<bool> stop_{false}, finished_{false};
    std::thread thread_;
};

}  // namespace moescope::node
