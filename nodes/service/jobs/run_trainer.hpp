// What a training job asks of who trains: this process, or several others that it has started (rank_group.hpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/train/trainer.hpp"

namespace moescope::node {

/// The way of data between the ranks' GPUs, and the sentence that says so. Empty: none has one.
struct RankExchange {
    std::string way;  ///< "nccl", "host"
    base::Sentence text;
};

/// One thread. The functions mean what they mean of engine::Trainer, and throw base::Error.
class RunTrainer {
 public:
    RunTrainer() = default;
    virtual ~RunTrainer() = default;
    RunTrainer(const RunTrainer&) = delete;
    RunTrainer& operator=(const RunTrainer&) = delete;

    virtual const engine::StepStats& step() = 0;
    virtual engine::HeldOutLoss evaluate() = 0;
    virtual std::string sample(const std::string& prompt, int max_tokens) = 0;
    virtual void set(const engine::LiveValues& values) = 0;
    virtual void set_expert_disabled(int layer, int expert, bool disabled) = 0;
    virtual void set_expert_frozen(int layer, int expert, bool frozen) = 0;
    virtual void reset_expert(int layer, int expert) = 0;
    virtual void save(const std::filesystem::path& folder) = 0;
    virtual std::string parameters_sha256() = 0;
    virtual const engine::RunConfig& config() const = 0;
    virtual std::uint64_t steps_done() const = 0;
    virtual std::uint64_t memory_bytes() const = 0;  ///< of all processes
    virtual std::string why_not_recorded() const = 0;
    virtual std::string attention_by() const = 0;      ///< as engine::Trainer's
    virtual const RankExchange& exchange() const = 0;  ///< of several processes with GPUs
};

/// This process, alone or as rank 0 of several that exchange data so.
std::unique_ptr<RunTrainer> trains_here(std::unique_ptr<engine::Trainer> trainer, RankExchange exchange = {});

}  // namespace moescope::node
