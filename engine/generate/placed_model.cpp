#include "engine/generate/placed_model.hpp"

#include <vector>

namespace moescope::engine {

PlacedModel::PlacedModel(std::shared_ptr<const LoadedModel> model, std::unique_ptr<kernels::Ops> ops)
    : model_(std::move(model)), ops_(std::move(ops)), parameters_(model_->parameters) {
    ops_->enter();
    if (!ops_->host_memory()) {
        const std::uint64_t bytes = model_->layout.floats * sizeof(float);
        copy_ = Block(*ops_, bytes);
        ops_->upload(copy_.data(), parameters_, bytes);
        parameters_ = reinterpret_cast<const float*>(copy_.data());
    }
    if (!model_->disabled.empty()) {
        const auto experts = static_cast<std::size_t>(model_->config.model.experts);
        std::vector<std::uint8_t> marks(model_->layout.layers.size() * experts, 0);
        for (const auto& [layer, expert] : model_->disabled) {
            marks[static_cast<std::size_t>(layer) * experts + static_cast<std::size_t>(expert)] = 1;
        }
        disabled_ = Block(*ops_, marks.size());
        ops_->upload(disabled_.data(), marks.data(), marks.size());
    }
}

}  // namespace moescope::engine
