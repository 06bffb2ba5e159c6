// A model that was opened for reading, on the device that computes it.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/model/arena.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// One thread at a time, which has entered ops(); so do the decoders that share one.
class PlacedModel {
 public:
    /// A device that can't read the model's own parameters gets a copy. Throws Error: there is no room for it.
    PlacedModel(std::shared_ptr<const LoadedModel> model, std::unique_ptr<kernels::Ops> ops);

    const LoadedModel& model() const { return *model_; }
    kernels::Ops& ops() const { return *ops_; }
    // Of the device.
    const float* parameters() const { return parameters_; }  ///< [layout.floats]
    /// [layers of the layout][E], 1: the expert is never chosen; null: all may be.
    const std::uint8_t* disabled_LE() const { return reinterpret_cast<const std::uint8_t*>(disabled_.data()); }

 private:
    const std::shared_ptr<const LoadedModel> model_;
    const std::unique_ptr<kernels::Ops> ops_;
    Block copy_, disabled_;  ///< empty where they are not needed
    const float* parameters_ = nullptr;
};

}  // namespace moescope::engine
