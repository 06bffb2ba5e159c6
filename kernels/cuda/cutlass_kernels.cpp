#include <array>
#include <optional>

#include "kernels/cuda/cutlass/grouped.hpp"

namespace moescope::kernels::cuda {
namespace {

class CutlassKernels final : public GroupedKernels {
 public:
    explicit CutlassKernels(Device& device) : device_(device) {}

    bool start(GroupedForm form, const GroupedArguments& arguments) override {
        Known& known = kernels_[arguments.rounded ? 1 : 0][static_cast<std::size_t>(form)];
        if (!known.blocks) {  // not before: a GPU that has to compile the kernel from PTX does so now
            known.blocks = known.kernel.blocks();
        }
        if (*known.blocks <= 0) {
            return false;
        }
        known.kernel.start(arguments, *known.blocks, device_.stream());
        return true;
    }

 private:
    struct Known {
        GroupedKernel kernel;
        std::optional<int> blocks;
    };
    using Forms = std::array<Known, 3>;  ///< in the order of GroupedForm

    Device& device_;
    std::array<Forms, 2> kernels_{
        Forms{Known{single_rows_times(), {}}, Known{single_rows_times_turned(), {}}, Known{single_gradients(), {}}},
        Forms{Known{rounded_rows_times(), {}}, Known{rounded_rows_times_turned(), {}}, Known{rounded_gradients(), {}}}};
};

}  // namespace

std::unique_ptr<GroupedKernels> cutlass_kernels(Device& device) {
    return std::make_unique<CutlassKernels>(device);
}

}  // namespace moescope::kernels::cuda
