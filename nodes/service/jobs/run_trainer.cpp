#include "nodes/service/jobs/run_trainer.hpp"

#include <utility>

namespace moescope::node {
namespace {

class Here final : public RunTrainer {
 public:
    Here(std::unique_ptr<engine::Trainer> trainer, RankExchange exchange)
        : trainer_(std::move(trainer)), exchange_(std::move(exchange)) {}

    const engine::StepStats& step() override { return trainer_->step(); }
    engine::HeldOutLoss evaluate() override { return trainer_->evaluate(); }
    std::string sample(const std::string& prompt, int max_tokens) override {
        return trainer_->sample(prompt, max_tokens);
    }
    void set(const engine::LiveValues& values) override { trainer_->set(values); }
    void set_expert_disabled(int layer, int expert, bool disabled) override {
        trainer_->set_expert_disabled(layer, expert, disabled);
    }
    void set_expert_frozen(int layer, int expert, bool frozen) override {
        trainer_->set_expert_frozen(layer, expert, frozen);
    }
    void reset_expert(int layer, int expert) override { trainer_->reset_expert(layer, expert); }
    void save(const std::filesystem::path& folder) override { trainer_->save(folder); }
    std::string parameters_sha256() override { return trainer_->parameters_sha256(); }
    const engine::RunConfig& config() const override { return trainer_->config(); }
    std::uint64_t steps_done() const override { return trainer_->steps_done(); }
    std::uint64_t memory_bytes() const override {  // each rank has as much
        return trainer_->memory_bytes() * static_cast<std::uint64_t>(trainer_->config().train.processes);
    }
    std::string why_not_recorded() const override { return trainer_->why_not_recorded(); }
    std::string attention_by() const override { return trainer_->attention_by(); }
    const RankExchange& exchange() const override { return exchange_; }

 private:
    const std::unique_ptr<engine::Trainer> trainer_;
    const RankExchange exchange_;
};

}  // namespace

std::unique_ptr<RunTrainer> trains_here(std::unique_ptr<engine::Trainer> trainer, RankExchange exchange) {
    return std::make_unique<Here>(std::move(trainer), std::move(exchange));
}

}  // namespace moescope::node
