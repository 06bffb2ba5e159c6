// One training run on a thread of its own: loads the data, steps the trainer, writes what happened, obeys commands
// between steps.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/model/config.hpp"
#include "engine/train/plan.hpp"
#include "engine/train/trainer.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/rank_launch.hpp"
#include "nodes/service/jobs/run_trainer.hpp"

namespace moescope::node {

/// The run and step that a fork begins from.
struct ForkPoint {
    std::uint32_t run = 0;
    std::uint64_t step = 0;
};

/// What to train. `start_training` and `continue_training` make one.
class RecordedRun;

struct TrainingRequest {
    std::uint32_t run = 0;
    std::string name;
    engine::RunConfig config;
    std::string data = "manpages";
    bool paused = false;              ///< wait for resume or single steps before the first one
    bool faults_end_the_run = false;  ///< nobody is there to resume: a NaN ends the run instead of pausing it
    bool continues = false;  ///< emit a rewind; go on from `checkpoint`, or from the beginning when that is empty
    std::filesystem::path checkpoint;
    std::uint64_t checkpoint_step = 0;
    /// Weights to start from instead of random ones (see engine::open_weights); their shape is that of `config`.
    std::filesystem::path init;
    /// A new run from `checkpoint` of another one, with the settings of `config`.
    std::optional<ForkPoint> fork;
    std::vector<std::pair<int, int>> disabled, frozen;  ///< layer and expert: those of the fork's checkpoint stay so
    /// What a person did just before a step, in order: {"knobs": ...} or {"expert": ...}; for a replay.
    std::multimap<std::uint64_t, nlohmann::json> changes;
    /// Of the manifest of a run that goes on: where it came from, and what stayed disabled or frozen from there.
    nlohmann::json origin = nlohmann::json::object();
    std::vector<std::uint64_t> damaged;  ///< steps of checkpoints that were there and can't be gone on from
    /// Ranks that train it together with this process, which a launcher started with them; null: none. Then the job
    /// starts as many processes as the configuration says, if they are several.
    std::shared_ptr<RankLaunch> ranks;
    Sentence alone;               ///< why a run of several processes goes on in one; empty: it does not
    std::string earlier_device;   ///< of a run that goes on on another one
    std::uint64_t last_step = 0;  ///< end after this step, the schedule being that of `config`; 0: its number of steps
    std::shared_ptr<RecordedRun> recorded;  ///< that this one repeats and is compared with; null: none
};

/// What a run starts from, opened.
struct Beginning {
    std::shared_ptr<const engine::LoadedModel> weights;  ///< null: random numbers or a checkpoint
    std::shared_ptr<const engine::Tokenizer> tokenizer;  ///< null: the data bring their own
};
/// Throws base::Error.
Beginning open_beginning(const TrainingRequest& order);
/// Throws base::Error, and what `check` throws.
std::unique_ptr<engine::Trainer> make_trainer(const TrainingRequest& order, std::shared_ptr<const engine::Dataset> data,
                                              const Beginning& beginning, const engine::StopCheck& check,
                                              std::unique_ptr<kernels::Ops> ops, const engine::TrainingRanks& ranks);
/// What the other ranks have to know of an order, and the reverse.
nlohmann::json order_of_ranks(const TrainingRequest& order);
TrainingRequest request_of_ranks(const nlohmann::json& order);

/// How a run ended.
struct TrainingResult {
    protocol::RunState state = protocol::RunState::failed;  ///< done, stopped or failed
    Sentence message;
    std::uint64_t steps = 0;
    double loss = 0, cross_entropy = 0, seconds = 0;  ///< of the last step
    std::string parameters_sha256;
    std::filesystem::path checkpoint;  ///< the last complete one, may be empty
    std::optional<engine::HeldOutLoss> held_out;
    std::optional<protocol::RankRecord> ranks;  ///< of several processes: sums over the steps
    std::string exchange;  ///< of several processes with GPUs: the way of their data (RankExchange::way)
};

struct TrainingCommand {
    enum class Kind { pause, resume, step, stop, checkpoint, set, expert };
    Kind kind = Kind::pause;
    std::uint64_t count = 1;   ///< of single steps
    engine::LiveValues knobs;  ///< of set
    nlohmann::json expert;     ///< of expert: layer, expert, action
    Reply reply;               ///< may be empty
};

/// A run's device, opened, and what the run needs there.
struct RunRoom {
    std::unique_ptr<kernels::Ops> ops;
    engine::RunPlan plan;
};

class TrainingJob final : public Job {
 public:
    /// Without a room the run opens its device itself.
    TrainingJob(NodeParts parts, TrainingRequest order, RunRoom room = {});
    ~TrainingJob() override;

    std::uint32_t run() const override { return order_.run; }
    bool on_processor() const { return order_.config.train.device == kernels::kProcessor; }
    /// Stops after the present step and a checkpoint.
    void request_stop() override;
    bool finished() const override { return finished_; }
    void wait() override;
    /// Queued; answered from the job's thread once carried out.
    void command(TrainingCommand command);
    /// Of one checkpoint of it, about.
    std::uint64_t checkpoint_bytes() const { return checkpoint_bytes_; }
    /// Of the processes that train it for this one, the one that started them; below 0: there are none.
    pid_t launcher() const { return launcher_; }
    /// Once finished.
    const TrainingResult& result() const { return result_; }

 private:
    using Clock = std::chrono::steady_clock;

    void main();
    void train();
    std::uint64_t planned_steps() const;
    bool stop_wanted();
    /// Throws base::Error: it can't be used, or has not enough memory.
    void open_device();
    Sentence rewind_text() const;
    /// Whether a GPU is what went wrong.
    bool is_of_device(const std::exception& error) const;
    Sentence fault_of_device(const std::exception& error) const;
    bool load_data();      ///< false: a stop came first
    bool build_trainer();  ///< the same
    /// Other processes train for this one.
    bool starts_ranks() const { return !order_.ranks && order_.config.train.processes > 1; }
    void announce(bool with_data);
    void finish(protocol::RunState state, const Sentence& message);

    bool wait_for_work();  ///< carries out commands; false when the run is to stop
    void carry_out(TrainingCommand& command);
    void set_knobs(const engine::LiveValues& values);
    /// Keeps the first one that was made by hand while a recorded run is repeated: the likely cause of another number.
    void note_own_change(const std::function<Sentence()>& text);
    /// What a recorded run did before the next step.
    void repeat_changes();
    void repeat_knobs(const nlohmann::json& knobs);
    void change_expert(const nlohmann::json& change);
    void pause(const std::string& kind, const Sentence& why);
    void resume();

    bool one_step();                                          ///< false: the run has ended
    Sentence fault_of(const engine::StepStats& stats) const;  ///< empty when the step went well
    void tell_not_recorded();
    void tell_attention();
    void write_step(const engine::StepStats& stats);
    void add_ranks(const engine::RankStep& step, std::uint64_t number);
    void write_ranks();  ///< what was added since
    void evaluate();
    void write_samples();
    Sentence what_to_do() const;
    bool save_checkpoint();       ///< false: result_.message says why not
    bool save_last_checkpoint();  ///< tries again after each resume; false when nobody is there to resume, or at a stop
    void forget_old_checkpoints();
    /// Empty, or that the disk has less room than is kept; looks ten times a second at most. Then a checkpoint is
    /// saved, if there is room for one.
    Sentence look_at_disk();
    void event(const std::string& kind, const nlohmann::json& more);
    /// Until it goes, events say who did what they tell: "command" or "replay".
    class By;
    void show_progress();

    NodeParts parts_;
    TrainingRequest order_;
    Beginning beginning_;  ///< until the trainer has it
    std::shared_ptr<const engine::Dataset> data_;
    std::unique_ptr<kernels::Ops> ops_;  ///< of the device, until the trainer has them; null: not opened yet
    nlohmann::json device_;              ///< what is known of it; null of the processor
    engine::RunPlan plan_;
    const std::uint64_t checkpoint_bytes_;
    std::optional<Clock::time_point> looked_at_disk_;
    std::unique_ptr<RunTrainer> trainer_;
    TrainingResult result_;
    double smoothed_step_ms_ = 0;
    bool told_not_recorded_ = false, told_attention_ = false;
    std::optional<protocol::RankRecord> ranks_;  ///< of steps that were not written yet
    std::optional<std::uint64_t> last_checkpoint_;
    bool paused_ = false;
    std::uint64_t single_steps_ = 0;
    const char* by_ = nullptr;       ///< see By
    Sentence own_change_;            ///< of a repeated run: what was changed first that the recorded run does not have
    std::uint64_t faulty_step_ = 0;  ///< not 0: this step went wrong and none has gone well since; nothing is saved

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<TrainingCommand> commands_;
    bool accepting_ = true;
    std::atomic<bool> stop_{false}, finished_{false};
    std::atomic<pid_t> launcher_{-1};
    std::thread thread_;
};

/// What a fork is asked with. Nothing: the last complete checkpoint; its settings as they were in force when it was
/// saved (knobs as they had been turned); their number of steps.
struct ForkWish {
    std::optional<std::uint64_t> step;
    std::optional<nlohmann::json> config;
    std::optional<int> steps;
};
/// The order of a new run that goes on from a checkpoint of `parent`. The experts that are disabled or frozen in the
/// checkpoint stay so. Throws CommandError when there is no such checkpoint, when no step would be left, and when the
/// checkpoint cannot go on with these settings. `check` is called while checkpoints are compared with their hashes,
/// which may take long, and throws to end that.
TrainingRequest order_to_fork(sessions::Session& session, const history::RunHeader& parent, const ForkWish& wish,
                              const std::function<void()>& check = {});

/// Throws what the run would fail with at once: data that do not exist, a vocabulary that no tokenizer can have.
void check_request(const TrainingRequest& request);
/// The same of its device and of memory: the device can't be used, or the run does not fit into its memory or into
/// `available` bytes of this machine. May take a second where the device is a GPU. Of several processes all together;
/// their device is opened by each of them.
RunRoom check_room(kernels::Devices& devices, const engine::RunConfig& config, std::uint64_t available);
/// The same of several runs, for which each device is opened once.
void check_rooms(kernels::Devices& devices, const std::vector<TrainingRequest>& runs, std::uint64_t available);

/// Bytes of a checkpoint of such a run, about: parameters and two moments of the optimiser, in 32 bits each.
std::uint64_t checkpoint_bytes(const engine::RunPlan& plan);

/// The settings with which a run was started, as its journal has them. Throws CommandError.
TrainingRequest training_order(const history::RunHeader& run);
/// The order that continues a run from its last complete checkpoint (or its beginning, when it has none). Damaged
/// checkpoints of the run are removed then, and named in `damaged`. Throws CommandError when the run cannot go on, also
/// when all of its checkpoints are damaged. `check` as of order_to_fork.
TrainingRequest order_to_continue(sessions::Session& session, const history::RunHeader& run,
                                  const std::function<void()>& check = {});
/// What is said of order.damaged, which is not empty.
Sentence damaged_text(const TrainingRequest& order);
/// Lets a run of several processes go on in this one, as its journal says then, where they can't be started.
void go_on_alone(TrainingRequest& order, const Sentence& why);
/// Lets a run go on on another device. Its numbers are no longer those that it would have had, which its journal says.
void move_to_device(TrainingRequest& order, const std::string& device);

}  // namespace moescope::node
