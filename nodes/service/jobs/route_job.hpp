// One run of kind `route` on a thread of its own: texts are read with the routers watched, or what changes of the
// routers do is measured, or another program's recording is taken in. The same code for the window and the command
// line.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/text/corpus.hpp"
#include "nodes/history/session.hpp"
#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/recorded_texts.hpp"
#include "nodes/service/jobs/recording.hpp"
#include "nodes/service/jobs/routing_order.hpp"

namespace moescope::node {

/// An answer that was given, in Compare or to a probe: whose routing is asked for.
struct NamedAnswer {
    std::uint32_t run = 0;
    std::string item, model, language;  ///< of an answer to a probe; item empty: of a comparison
    int draw = 0;
};

struct RouteRequest {
    using What = history::RouteRun::What;
    What what = What::read;
    std::uint32_t run = 0;
    std::uint32_t base = 0;    ///< of an effect: the run of the untouched reading
    std::string title, group;  ///< for people; the client's id of runs that belong together

    std::string model;           ///< name, for people; with the set of changes where it is one with a set
    std::filesystem::path path;  ///< file or checkpoint folder
    std::string model_sha256;    ///< when known
    std::string model_title;     ///< what its file is called now; empty where the library does not know it
    CheckpointHolds::Hold hold;  ///< of a checkpoint of the session
    RoutingOrder routing;        ///< the detail is always there

    // What is read, one of them:
    std::string text;
    bool chat = false;
    std::optional<std::string> system;
    std::optional<NamedAnswer> from;       ///< `text`, `chat`, `system` and `answer` come from it
    std::string answer;                    ///< bytes, after the text
    std::vector<std::int32_t> answer_ids;  ///< its tokens, where it is this model's
    std::string data;                      ///< "manpages", a file or a folder
    std::int64_t tokens = 0;               ///< of `data`, at most
    std::optional<NamedTokens> tokens_of;  ///< that a run of the session has read

    int controls = 8;  ///< of an effect
    std::uint64_t seed = 1;
    int layer = 0;  ///< of a sweep
    std::vector<std::string> texts;
    RecordingOrder recording;  ///< of an import
};

/// Read an order from command parameters; every value is checked against a range. Throw CommandError and base::Error.
/// They do not resolve models, and do not look up answers.
RouteRequest parse_read(const nlohmann::json& parameters);
RouteRequest parse_effect(const nlohmann::json& parameters);
RouteRequest parse_sweep(const nlohmann::json& parameters);
RouteRequest parse_import(const nlohmann::json& parameters);
/// Throws CommandError for an effect of nothing; for who knows the set of the model.
void check_effect(const RouteRequest& order);
/// Fills in what the order's answer was, from the history of its run with text. After the model is known. Throws
/// CommandError when there is no such answer.
void take_answer(RouteRequest& order, const history::Session& history);

struct RouteResult {
    protocol::RunState state = protocol::RunState::failed;
    Sentence message;
    nlohmann::json found;  ///< docs/protocol.md, record `routing_result`; null: nothing
    /// Of an effect: the same for its untouched reading.
    nlohmann::json found_untouched;
    std::vector<Sentence> doubts;  ///< about an import
    std::uint64_t tokens = 0, counts = 0;
};

class RouteJob final : public Job {
 public:
    RouteJob(NodeParts parts, RouteRequest order);
    ~RouteJob() override;

    std::uint32_t run() const override { return order_.run; }
    std::uint32_t base() const { return order_.base; }
    void request_stop() override { cancel_ = true; }
    bool finished() const override { return finished_; }
    void wait() override;
    const RouteResult& result() const { return result_; }  ///< once finished

 private:
    using Clock = std::chrono::steady_clock;

    void main();
    void announce(std::uint32_t run, const std::string& name, RouteRequest::What what, const RoutingOrder& routing);
    nlohmann::json manifest(RouteRequest::What what, const RoutingOrder& routing) const;
    void work();
    void read(WorkerProcess& model, nlohmann::json request);
    void read_corpus(WorkerProcess& model, nlohmann::json request, const engine::Corpus& corpus);
    void read_recorded(WorkerProcess& model, nlohmann::json request, const NamedTokens& wanted);
    void effect(WorkerProcess& model, nlohmann::json request);
    void sweep(WorkerProcess& model, nlohmann::json request);
    void import();
    /// Waits for the answer of the model's process; what it sends on the way becomes records and progress.
    nlohmann::json ask(WorkerProcess& model, const nlohmann::json& request);
    void on_part(WorkerMessageKind kind, std::span<const std::byte> body);
    void show(protocol::TaskKind kind, double fraction = -1, double seconds_left = -1, const Sentence& detail = {});
    void write_end();
    void end_run(std::uint32_t run, const nlohmann::json& found);
    Sentence doing() const;

    NodeParts parts_;
    const RouteRequest order_;
    const RoutingOrder untouched_;  ///< of the reading without changes
    RouteResult result_;
    Clock::time_point started_;  ///< reading
    std::uint64_t wanted_ = 0;   ///< tokens that are read in all; 0: not known yet
    std::atomic<bool> cancel_{false}, finished_{false};
    std::thread thread_;
};

}  // namespace moescope::node
