// The node behind the wire: carries out commands, owns the jobs, tells viewers the state.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/scratch_folder.hpp"
#include "kernels/devices.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/history/step_finder.hpp"
#include "nodes/service/commands/fair_lane.hpp"
#include "nodes/service/commands/transfer_table.hpp"
#include "nodes/service/jobs/disk_guard.hpp"
#include "nodes/service/jobs/experiment_queue.hpp"
#include "nodes/service/jobs/generation.hpp"
#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/model_export.hpp"
#include "nodes/service/jobs/note_book.hpp"
#include "nodes/service/jobs/probe_job.hpp"
#include "nodes/service/jobs/route_job.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/device_use.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/transport/node_server.hpp"

namespace moescope::node {

struct ServeOptions {
    std::filesystem::path socket;                      ///< empty, and no `listen`: stdin and stdout
    std::optional<transport::ListenAddress> listen{};  ///< for viewers of other machines
    /// Without a viewer and without work the node ends after so long; nothing: it stays.
    std::optional<std::chrono::seconds> linger{};
    std::filesystem::path session;
    /// Shows what the session holds, and what its writer adds about a second later, and writes nothing to it: for one
    /// that is in use or may not be written. What would have to write is refused.
    bool read_only = false;
    std::chrono::milliseconds keep_models = WorkerPool::kKeep;  ///< how long an idle model stays open
    std::optional<std::uint64_t> disk_reserve{};                ///< see DiskGuard; nothing: as the session has it
};

class Service final : public transport::RequestHandler {
 public:
    /// Opens the session, marks what was interrupted, starts listening. Throws std::runtime_error with one sentence.
    Service(const Paths& paths, ServeOptions options);
    ~Service() override;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    static std::vector<std::string> command_names();        ///< all that on_request() knows
    std::uint16_t port() const { return server_->port(); }  ///< of `listen`, 0 without
    /// Publishes gauges and waits until `stop` says so (asked about ten times a second), node.stop came, or the only
    /// viewer of stdio left. Then ends all jobs after a checkpoint.
    void run(const std::function<bool()>& stop);

    void on_request(const transport::Asker& asker, std::string id, std::string command, nlohmann::json parameters,
                    std::function<void(nlohmann::json)> reply) override;
    std::vector<std::string> on_abandoned(const std::vector<std::string>& ids) override;
    void on_range(const transport::Asker& who, transport::RangeRequest request,
                  std::function<void(transport::RangeAnswer)> reply) override;
    void on_viewers(std::size_t count) override;

 private:
    using Action = void (Service::*)(const nlohmann::json& parameters, Reply reply);
    /// Each has a thread of its own, so that pause and stop never wait behind work that takes longer, and long work
    /// waits for its own kind alone: a report does not wait for the export of a model. On each the viewers take turns,
    /// so that none of them waits for all that another has asked.
    enum class Lane {
        quick,
        slow,  ///< reads or writes files
        // Seconds and more. All but the first and the last four show a task that can be cancelled.
        servers,  ///< asks another program
        reports,
        traces,   ///< traces and curves of other tools and for them
        models,   ///< exports of models
        replays,  ///< reads recorded runs whole, and their data
        devices,  ///< opens GPUs, to look at them and to plan runs for them; shows no task
        files,    ///< opens, packs and compares what is fetched and sent
        ranges,   ///< reads and writes a part of it
        steps,    ///< reads single steps of runs from the journal; shows no task
        count
    };
    struct Command {
        Action action;
        Lane lane;
        bool recorded;       ///< must not be done twice when it is sent again
        bool reads = false;  ///< also while the session is open for reading only
        protocol::Right needs = protocol::Right::operator_;
    };
    static constexpr std::uint64_t kNode = 0;  ///< whose turn it is when no viewer has asked
    /// Who sent a command.
    struct Asker {
        std::uint64_t viewer = kNode;
        std::string id;  ///< of the command, for FairLane::drop; empty: it is carried out, though its viewer leaves
        protocol::Right right = protocol::Right::admin;
    };
    FairLane& lane(Lane which) { return lanes_[static_cast<std::size_t>(which)]; }
    /// Of the command that a lane carries out now; for its thread alone.
    Asker& asker(Lane which) { return askers_[static_cast<std::size_t>(which)]; }
    /// Carries out the rest of a command in its turn on another lane; what `work` throws becomes the answer.
    void go_on(Lane which, const Asker& who, const Reply& reply, std::function<void()> work);
    /// Throws CommandError: the viewer has no right to that, or names what it may not name.
    nlohmann::json allowed(const transport::Asker& asker, const std::string& name, const Command& command,
                           nlohmann::json parameters);
    static Sentence needs_right(const std::string& name, protocol::Right needed, protocol::Right has);
    bool offers_model(const std::string& name);
    /// The folder in which viewers of other machines read and write.
    void make_shared_folder();
    /// Where an output goes: as it is named, but what lies in that folder of a session that is open for reading only
    /// goes to a folder of this process, from where files.open takes it.
    std::filesystem::path output_place(const std::filesystem::path& named);
    std::filesystem::path output_in_stead(const std::filesystem::path& named);  ///< empty: there is none
    void open_packed_session(const std::string& version, const Reply& reply);
    bool idle();                       ///< no viewer, and nothing goes on
    static Outcome not_carried_out();  ///< of a command whose turn did not come before the node's end
    static const std::map<std::string, Command>& commands();
    nlohmann::json earlier_answer(const std::string& id) const;  ///< null when the command is new
    void record_answer(const std::string& id, const nlohmann::json& answer);
    /// Does the work; what it throws becomes the answer.
    static void carry_out(const Reply& reply, const std::function<void()>& work);
    void log(const char* level, const char* source, const Sentence& text);

    // Each carries out one command of docs/protocol.md. They run on an executor's thread and throw to fail.
    void catalogue(const nlohmann::json& parameters, Reply reply);
    void train_plan(const nlohmann::json& parameters, Reply reply);
    void train_start(const nlohmann::json& parameters, Reply reply);
    void train_pause(const nlohmann::json& parameters, Reply reply);
    void train_resume(const nlohmann::json& parameters, Reply reply);
    void train_stop(const nlohmann::json& parameters, Reply reply);
    void train_checkpoint(const nlohmann::json& parameters, Reply reply);
    void train_step(const nlohmann::json& parameters, Reply reply);
    void train_set(const nlohmann::json& parameters, Reply reply);
    void train_expert(const nlohmann::json& parameters, Reply reply);
    void train_steps(const nlohmann::json& parameters, Reply reply);
    void train_fork(const nlohmann::json& parameters, Reply reply);
    void reproduce_check(const nlohmann::json& parameters, Reply reply);
    void reproduce_start(const nlohmann::json& parameters, Reply reply);
    void begin_experiment(history::Experiment experiment, const Reply& reply);
    /// Does it on this lane, or on that of devices where one of the runs would have to open another device than the
    /// processor: that may take a second.
    void where_device_may_be_opened(bool on_processor, const Reply& reply, std::function<void()> work);
    std::uint64_t memory_for_runs() const;
    /// Throws when the run's device can't be used or when there is not enough memory.
    RunRoom check_room(const engine::RunConfig& config);
    /// Throws CommandError once the node ends, for what takes long.
    void refuse_at_the_end() const;
    /// Gives the run its number and name and starts it.
    void start_run(TrainingRequest order, const std::string& title, const Reply& reply);
    void train_continue(const nlohmann::json& parameters, Reply reply);
    void experiment_start(const nlohmann::json& parameters, Reply reply);
    void experiment_cancel(const nlohmann::json& parameters, Reply reply);
    void generate_start(const nlohmann::json& parameters, Reply reply);
    void generate_cancel(const nlohmann::json& parameters, Reply reply);
    void probe_start(const nlohmann::json& parameters, Reply reply);
    void probe_pause(const nlohmann::json& parameters, Reply reply);
    void probe_resume(const nlohmann::json& parameters, Reply reply);
    void probe_cancel(const nlohmann::json& parameters, Reply reply);
    void probe_label(const nlohmann::json& parameters, Reply reply);
    void probe_merge(const nlohmann::json& parameters, Reply reply);
    void probe_plan(const nlohmann::json& parameters, Reply reply);
    void route_start(const nlohmann::json& parameters, Reply reply);
    void route_effect(const nlohmann::json& parameters, Reply reply);
    void route_sweep(const nlohmann::json& parameters, Reply reply);
    void route_import(const nlohmann::json& parameters, Reply reply);
    void route_export(const nlohmann::json& parameters, Reply reply);
    void route_cancel(const nlohmann::json& parameters, Reply reply);
    void curves_import(const nlohmann::json& parameters, Reply reply);
    void curves_export(const nlohmann::json& parameters, Reply reply);
    void interventions_save(const nlohmann::json& parameters, Reply reply);
    void interventions_remove(const nlohmann::json& parameters, Reply reply);
    void notes_add(const nlohmann::json& parameters, Reply reply);
    void notes_edit(const nlohmann::json& parameters, Reply reply);
    void notes_remove(const nlohmann::json& parameters, Reply reply);
    void notes_list(const nlohmann::json& parameters, Reply reply);
    void models_add(const nlohmann::json& parameters, Reply reply);
    void models_remove(const nlohmann::json& parameters, Reply reply);
    void models_ask(const nlohmann::json& parameters, Reply reply);
    void models_inspect(const nlohmann::json& parameters, Reply reply);
    void models_export(const nlohmann::json& parameters, Reply reply);
    void models_device(const nlohmann::json& parameters, Reply reply);
    void report_write(const nlohmann::json& parameters, Reply reply);
    void files_list(const nlohmann::json& parameters, Reply reply);
    void files_open(const nlohmann::json& parameters, Reply reply);
    void files_receive(const nlohmann::json& parameters, Reply reply);
    void files_hash(const nlohmann::json& parameters, Reply reply);
    void files_finish(const nlohmann::json& parameters, Reply reply);
    void files_close(const nlohmann::json& parameters, Reply reply);
    void node_disk(const nlohmann::json& parameters, Reply reply);
    void task_cancel(const nlohmann::json& parameters, Reply reply);
    void node_stop(const nlohmann::json& parameters, Reply reply);

    void read_new_events();  ///< into history_
    void show_earlier_runs();
    void close_interrupted_run(history::RunHeader& run, std::uint64_t checkpoint);
    /// What computes models: as models.device has set it, else empty (see engine::ModelDevice).
    std::string device_of_models();
    /// The same for GGUF files; empty, which is the processor, where that device can't compute them.
    std::string device_of_gguf_models();
    /// On their lane: what devices there are, for the gauges.
    void look_at_devices();
    void tell_of_codings(std::uint32_t run);  ///< the statistics of a probe run that other coders' codings came to
    void count_probes();  ///< statistics of the probe runs that no job looks after; on the slow lane
    /// Of a session that is open for reading only: what another program has written since the last look.
    void follow_writer();
    /// What is wrong with the list of models is said once.
    void tell_of_library();
    /// On the slow lane: models that were added or replaced by others since.
    void look_at_models();
    void end_jobs();
    void watch_disk();  ///< says when the journal could not be made durable
    Sentence state_sentence();
    /// Throws CommandError: the disk has not the room that a run of this configuration leaves free.
    void require_disk(const engine::RunConfig& config) const;
    void reap();
    void publish(bool everything);
    nlohmann::json node_gauges();
    nlohmann::json process_gauges();
    nlohmann::json model_gauges();
    /// The models of a training run: as it is now, and its checkpoints.
    std::vector<protocol::ModelEntry> models_of(const RunStatus& run);

    NodeParts parts();
    void command_training(const nlohmann::json& parameters, TrainingCommand::Kind kind, Reply reply);
    /// Hands a command over to a run. Throws CommandError when the run is not active.
    void hand_over(std::uint32_t run, TrainingCommand command, Reply reply);
    /// Of this session, with what its events say. Throws CommandError when there is none.
    history::RunHeader known_run(std::uint32_t run);
    /// Of a run that has a job, also one that waits for its turn and stands in no record.
    std::optional<protocol::RunKind> active_kind(std::uint32_t run);
    /// Throws CommandError: the run is of another kind, or there is none. One that has ended is right.
    void require_kind(std::uint32_t run, protocol::RunKind kind);
    /// Throws CommandError when more of its routing may come, from this node or another.
    void refuse_while_it_goes_on(std::uint32_t run);
    /// Looks models up; checkpoints of the session have the names of history::CheckpointName. For the model as it is
    /// now a run that goes on saves a checkpoint first, and for the latest one when it has none yet. Then calls `then`
    /// on the thread of a lane, or replies with the failure. What `then` gets is named by its step.
    void with_models(std::vector<std::string> names, Reply reply,
                     std::function<void(const std::vector<ProbeModel>&)> then);
    ProbeModel find_model(const std::string& asked);  ///< also with a set of changes
    ProbeModel find_plain_model(const std::string& name);
    /// "MODEL|SET" as two, when the session has that set; else `set` is empty.
    history::ModelWithSet model_and_set(const std::string& name);
    ProbeModel find_checkpoint(history::CheckpointName name);
    /// The run that has to save a checkpoint before this one can be opened; null when none has.
    std::shared_ptr<TrainingJob> has_to_save(const history::CheckpointName& name);
    /// Writes a model as a task that can be cancelled, on the lane of models. The answer of models.export.
    nlohmann::json write_model(const ModelExport& order);
    /// A person has cancelled the task, or the node ends.
    bool is_to_end(const BoardTask& task) const { return ending_ || task.cancelled(); }
    /// With the lock of the jobs held. Throws CommandError when another answer must not be started now.
    void check_room(const GenerationRequest& order) const;
    // service_experiments.cpp
    ExperimentQueue::StateOf experiment_states();
    /// Its runs that wait will not begin, and the one that goes on stops. Throws CommandError when there is none.
    void cancel_experiment(std::uint32_t number);
    void not_begun(std::uint32_t run, protocol::RunState state, const Sentence& why);
    /// Of the thread that runs the service: shows how far experiments are, and lets the next run begin.
    void advance_experiments();
    void begin_experiment_run(const ExperimentQueue::Next& next);
    void remember_unfinished(const std::map<std::uint32_t, std::shared_ptr<TrainingJob>>& trainings);
    std::shared_ptr<TrainingJob> training(std::uint32_t run);
    std::shared_ptr<ProbeJob> probe(std::uint32_t run);
    void start_probe(ProbeRequest order, const std::vector<ProbeModel>& models);
    /// Finds the model and the answer that the order names, and starts it.
    void start_route(RouteRequest order, const Reply& reply);
    void run_route(RouteRequest order, const Reply& reply);

    const Paths paths_;
    const ServeOptions options_;
    std::unique_ptr<sessions::Session> session_;
    StatusBoard board_;
    DatasetStore datasets_;
    ModelLibrary models_;
    WorkerPool workers_;
    ThreadShare threads_;
    GenerationQueue turns_;
    CheckpointHolds holds_;
    DiskGuard disk_;
    kernels::Devices devices_;
    ExperimentQueue experiments_;
    std::unique_ptr<JournalWriter> journal_;  ///< null while the session is open for reading only

    // Of the thread that runs the service.
    history::Session history_;        ///< as far as the events have been read
    sessions::Position read_to_;      ///< of the events channel
    sessions::Position followed_to_;  ///< of the journal
    bool writer_ = false;             ///< somebody else writes to the session
    std::chrono::steady_clock::time_point counted_at_;
    std::set<std::uint32_t> counted_;  ///< probe runs whose last statistics are known; of the slow lane

    std::mutex outputs_mutex_;
    std::optional<base::ScratchFolder> outputs_folder_;  ///< see output_place()

    std::mutex jobs_mutex_;
    std::map<std::uint32_t, std::shared_ptr<TrainingJob>> trainings_;
    std::map<std::uint32_t, std::shared_ptr<GenerationJob>> generations_;
    std::map<std::uint32_t, std::shared_ptr<ProbeJob>> probes_;
    std::map<std::uint32_t, std::shared_ptr<RouteJob>> routes_;
    bool closing_ = false;                   ///< no new jobs
    std::atomic<std::uint32_t> outputs_{0};  ///< reports and exports so far: their tasks are numbered

    std::mutex experiment_mutex_;  ///< of one that begins: their numbers follow each other
    std::mutex device_list_mutex_;
    std::vector<protocol::DeviceEntry> device_list_;  ///< of the latest look; empty before the first
    std::string device_of_models_;                    ///< see device_of_models()

    /// Under which the session keeps it, in bytes; below 0: as DiskGuard computes it.
    static constexpr const char* kDiskReserve = "disk_reserve";
    TransferTable transfers_;
    std::optional<history::StepFinder> step_finder_;  ///< of the lane of steps

    NoteBook notes_;

    std::mutex sets_mutex_;
    std::map<std::string, nlohmann::json> sets_;  ///< of changes to routers that the session has: items by name

    std::atomic<bool> stop_{false}, ending_{false};
    std::atomic<bool> looking_at_models_{false}, looking_at_devices_{false};
    std::atomic<bool> experiment_begins_{false};            ///< a run is on its way to its job
    std::map<std::string, std::string> shown_experiments_;  ///< their tasks as they stand on the board
    std::uint64_t published_board_ = 0, published_models_ = 0;
    std::map<std::string, std::string> published_;  ///< each gauge as it was last sent
    std::map<std::string, std::size_t> left_out_;   ///< entries of each list that did not fit
    DeviceUses device_uses_;
    nlohmann::json device_use_;  ///< of the latest look, at the time of processes_
    nlohmann::json processes_;   ///< of the latest look, see process_gauges()
    std::chrono::steady_clock::time_point looked_at_processes_;
    std::map<std::string, std::uint64_t> checkpoint_bytes_;            ///< by path; a complete checkpoint never changes
    std::array<Asker, static_cast<std::size_t>(Lane::count)> askers_;  ///< see asker()
    std::array<FairLane, static_cast<std::size_t>(Lane::count)> lanes_;
    std::unique_ptr<transport::NodeServer> server_;
};

/// The changes of a model that is named with a set. Throws CommandError when the order has other changes.
void take_set(RoutingOrder& order, const ProbeModel& model);

/// A configuration file. Throws CommandError or engine::Error naming the file.
engine::RunConfig read_run_config(const std::filesystem::path& path);
/// A preset by name. Throws CommandError or engine::Error.
engine::RunConfig find_preset(const std::string& name, const Paths& paths);
/// What `config` (a whole one) or `preset` (a name) of a command says. Throws CommandError, also when both are given,
/// or engine::Error.
engine::RunConfig wanted_config(const Parameters& parameters, const Paths& paths);
/// Names of all presets.
std::vector<std::string> preset_names(const Paths& paths);
nlohmann::json plan_json(const engine::RunPlan& plan);

}  // namespace moescope::node
