// Trains one model. Owned and driven by one thread (the node's training thread); it starts its own compute threads.
// Same seed, same thread count, same binary: the same bytes.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_files.hpp"
#include "engine/comm/comm.hpp"
#include "engine/model/activations.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/model/step_part.hpp"
#include "engine/text/dataset.hpp"
#include "engine/text/pieces.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// What each of several ranks did in a step. Nothing of a run of one process.
struct RankStep {
    std::size_t ranks = 0, expert_ranks = 1, layers = 0;  ///< layers: of the model and of its prediction module
    bool tokens_travel = false;  ///< rows are tokens that go to their experts; else results that every rank needs
    std::uint64_t row_bytes = 0;
    /// [ranks]: at work, and in collective operations: until the others have come and the data are there.
    std::vector<double> compute_ms, waiting_ms;
    std::vector<double> memory_bytes;  ///< [ranks], resident set
    std::vector<std::uint64_t> load;   ///< [layers][ranks], rows that the experts of a rank worked on
    std::vector<std::uint64_t> rows;   ///< [layers][ranks][expert_ranks], sent to each rank of its group
    std::vector<std::uint64_t>
        bytes;  ///< [ranks][ranks], everything that a rank sent to each until the sums were taken
    bool empty() const { return ranks == 0; }
};

/// What one step did. A value that is not computed with these settings (a balance loss without balancing, a prediction
/// loss without a prediction module, dropped choices without a capacity) is NaN; memory_bytes is left to the caller.
struct StepStats : base::StepValues {
    std::uint64_t step = 0;
    std::uint64_t tokens = 0;  ///< of this step
    std::uint64_t tokens_total = 0;
    std::vector<std::uint32_t> counts;  ///< [kLanguages][layers][experts], tokens worked on; 0 in dense layers
    std::vector<float> router_entropy;  ///< [layers], mean over tokens, divided by log experts; NaN in dense layers
    /// [layers][kExpertErrors], percent; NaN in dense layers. Empty unless this step compared them.
    std::vector<float> expert_errors;
    RankStep ranks;  ///< what each did, on rank 0
    /// Empty, or what went wrong first, in the order of the computation ("layer 3: the router's scores have NaN",
    /// "gradient norm is infinite in layer 3 experts"): the step was not applied.
    base::Sentence fault;
};

struct HeldOutLoss {
    std::array<double, kLanguages> loss{};  ///< nats per token, NaN when there is no held-out text in a language
    std::array<std::uint64_t, kLanguages> tokens{};
};

/// The processes that train one model together (engine/model/rank_work.hpp): rank 0 leads, the others follow.
struct TrainingRanks {
    std::shared_ptr<comm::Comm> world;  ///< null: this process alone
    int expert_ranks = 1;               ///< ranks that share the experts
    bool own_sequences = false;         ///< see engine/model/rank_work.hpp
    int threads = 0;                    ///< of this rank, on the processor; 0: as the configuration says
    std::string device = {};            ///< as the run's configuration has it; empty: this rank's
    /// On all ranks or on none: makes a Comm of the ranks of `world` whose data lie in `memory`, that of this rank's
    /// device, without a way through the host's. Every trainer of several ranks on devices calls it once and owns what
    /// it gives; it throws Error. Empty: data of devices go through the host's memory and `world`.
    std::function<std::unique_ptr<comm::Comm>(comm::Comm& world, std::shared_ptr<comm::Memory> memory)> open_direct =
        {};
};
/// The ranks as plans know them. Throws Error when the run can't be divided so.
RankShape shape_of(const TrainingRanks& ranks, const RunConfig& config);

/// With several ranks each makes a Trainer with the same arguments; rank 0 calls its functions, and the others follow()
/// until it is gone. A function that throws because a rank is lost leaves a trainer that can only be destroyed.
class Trainer {
 public:
    /// Allocates everything (see plan_run) and initialises the parameters from the seed. Throws Error. Here and below:
    /// `check` is called between pieces of that and throws to end it; `ops` computes, null: the processor. What
    /// computes is train.device of config(), and how many processes train is its train.processes, whatever the given
    /// configuration says.
    Trainer(const RunConfig& config, std::shared_ptr<const Dataset> data, const StopCheck& check = {},
            std::unique_ptr<kernels::Ops> ops = nullptr, const TrainingRanks& ranks = {});
    /// From a checkpoint folder; on the same device, the next step is bit-equal to what it would have been without the
    /// break. With `changed`, a fork: its settings hold from now on; they must leave every tensor's name and shape as
    /// they are. Throws Error.
    static std::unique_ptr<Trainer> load(const std::filesystem::path& checkpoint, std::shared_ptr<const Dataset> data,
                                         const RunConfig* changed = nullptr, const StopCheck& check = {},
                                         std::unique_ptr<kernels::Ops> ops = nullptr, const TrainingRanks& ranks = {});
    /// Starts with these parameters (flat buffer of make_layout(config.model)) instead of random ones. Throws Error.
    Trainer(const RunConfig& config, std::shared_ptr<const Dataset> data, std::span<const float> parameters,
            const StopCheck& check = {}, std::unique_ptr<kernels::Ops> ops = nullptr, const TrainingRanks& ranks = {});
    ~Trainer();

    /// Of the other ranks: does what rank 0 does. Throws Error.
    void follow();

    /// The result is the trainer's own and holds until the next step. After the first step no memory is asked for, but
    /// by the matrix library for its packed operands.
    const StepStats& step();
    HeldOutLoss evaluate();
    /// Continues `prompt` by at most `max_tokens` tokens, temperature 0.8, seeded by step; UTF-8 bytes.
    std::string sample(const std::string& prompt, int max_tokens);

    /// Puts live settings (see config_fields) at these values, from the next step on: all of them, or none and throws
    /// Error. A learning rate is the scheduled peak.
    void set(const LiveValues& values);
    void set(const std::string& key, double value);
    /// A disabled expert is never chosen, a frozen one no longer learns. At least experts_per_token of a layer must
    /// stay enabled. Throws Error.
    void set_expert_disabled(int layer, int expert, bool disabled);
    void set_expert_frozen(int layer, int expert, bool frozen);
    /// The expert's parameters as they were at the start, its moments zero.
    void reset_expert(int layer, int expert);

    /// Writes model.safetensors, optimizer.safetensors, config.json, tokenizer.model and state.json into an existing
    /// folder. The caller makes the folder appear atomically (base::AtomicFolder). Throws Error.
    void save(const std::filesystem::path& folder) const;
    /// The flat buffer of layout() as it stands, and its gradients after a step; for tests and export. With several
    /// ranks the whole model's.
    const ParameterLayout& layout() const;
    std::span<const float> parameters() const;
    std::span<const float> gradients() const;
    const Dataset& data() const;
    /// Hash over all parameters in a fixed order.
    std::string parameters_sha256() const;

    /// With the live settings as they stand; one of them alone: live_value.
    const RunConfig& config() const;
    std::uint64_t steps_done() const;
    std::uint64_t memory_bytes() const;  ///< held by the trainer
    /// Why the device starts the operations of steps one by one though it could record them (Ops::repeat), in its own
    /// words; empty: it records them, or never does.
    std::string why_not_recorded() const;
    /// As Ops::attention_by(), after a step.
    std::string attention_by() const;
    /// Rows of expert work that this rank sent to others and got back, forward and backward, in bytes since the start.
    std::uint64_t row_bytes_sent() const;

 private:
    Trainer();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace moescope::engine
