// CUTLASS' grouped kernels themselves, as kinds.hpp makes them, on the processor: its sources but for those with PTX
// (cutlass_on_processor/), threads on the fibers of the emulation. What they are handed, how they find groups and
// tiles, what they read and write, and their numbers are those of a GPU; how they overlap copies with products is not.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/emulation.hpp"

// The emulation's words against those of CUDA's headers. NOLINTBEGIN
#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#define dim3 CudaDim3
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#undef __global__
#undef __device__
#undef __host__
#define __global__
#define __device__
#define __host__
#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define blockDim (::simt::block_size())
#define gridDim (::simt::grid_size())
inline int min(int a, int b) {
    return a < b ? a : b;
}
// Of kernels that are not made here.
int __dp4a(int, int, int);
unsigned __byte_perm(unsigned, unsigned, unsigned);
int __syncthreads_and(int);
__half2 __hfma2(__half2, __half2, __half2);
#include <cutlass/cutlass.h>
namespace cutlass {
inline int warp_of_block() {
    return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 32), 0);
}
}  // namespace cutlass
#define canonical_warp_idx_sync warp_of_block
#include "kernels/cuda/cutlass/kinds.hpp"
#undef dim3
// NOLINTEND

#include "base/half_floats.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cuda/grouped_library.hpp"
#include "tests/kernels/cuda/plain_device.hpp"
#include "tests/kernels/harness.hpp"

namespace cutlass::arch {
void require_aligned(const void* at, int bytes) {
    if (reinterpret_cast<std::uintptr_t>(at) % static_cast<unsigned>(bytes) != 0) {
        throw simt::Fault("an access of " + std::to_string(bytes) + " bytes that is not aligned");
    }
}
}  // namespace cutlass::arch

namespace moescope::kernels::cuda {
namespace {

using cutlass::layout::ColumnMajor;
using cutlass::layout::RowMajor;
using test::expect_close;
using test::random_floats;

template <class Kernel>
void run_kernel(typename Kernel::Params params, std::byte* shared) {
    Kernel kernel;
    kernel(params, *reinterpret_cast<typename Kernel::SharedStorage*>(shared));
}

class OnProcessor final : public GroupedKernels {
 public:
    explicit OnProcessor(int& starts) : starts_(starts) {}

    bool start(GroupedForm form, const GroupedArguments& arguments) override {
        ++starts_;
        arguments.rounded ? start_form<Rounded>(form, arguments) : start_form<Single>(form, arguments);
        return true;
    }

 private:
    template <class Kind>
    static void start_form(GroupedForm form, const GroupedArguments& arguments) {
        switch (form) {
            case GroupedForm::rows_times:
                return run<Kind, GroupedGemm<Kind, RowMajor, RowMajor>>(arguments);
            case GroupedForm::rows_times_turned:
                return run<Kind, GroupedGemm<Kind, RowMajor, ColumnMajor>>(arguments);
            case GroupedForm::gradients:
                return run<Kind, GroupedGemm<Kind, ColumnMajor, RowMajor>>(arguments);
        }
    }
    template <class Kind, class Kernel>
    static void run(const GroupedArguments& arguments) {
        constexpr int kBlocks = 3;  // fewer than tiles: each takes several
        const typename Kernel::Params params(KernelArguments<Kind, Kernel>::of(arguments, kBlocks));
        std::vector<std::byte> shared(sizeof(typename Kernel::SharedStorage) + 128, std::byte{0xff});
        std::byte* const begin = shared.data() + (128 - reinterpret_cast<std::uintptr_t>(shared.data()) % 128);
        simt::launch("of CUTLASS", run_kernel<Kernel>, simt::Dim3(kBlocks), simt::Dim3(Kernel::kThreadCount), 0, {},
                     params, begin);
    }

    int& starts_;
};

struct Case {
    std::vector<std::int32_t> offsets;
    std::int64_t n, k;
};
/// A size of more than one tile and a rest, experts without rows, all rows to one of several, one expert, sums of one
/// tile and of less, of several and a rest.
const std::vector<Case>& cases() {
    static const std::vector<Case> all{{{0, 3, 3, 140, 140}, 132, 40}, {{0, 0, 17, 17}, 12, 8}, {{0, 9}, 20, 72},
                                       {{0, 1, 34}, 140, 136},         {{0, 5, 9}, 7, 13},      {{0, 35}, 12, 21}};
    return all;
}

std::vector<float> entering(std::vector<float> values, Operands operands) {
    if (operands == Operands::bf16) {
        for (float& value : values) {
            value = base::bf16_to_float(base::float_to_bf16(value));
        }
    }
    return values;
}

class CutlassKernelsTest : public testing::TestWithParam<Operands> {
 public:
    std::unique_ptr<Products> products() {
        constexpr std::int64_t kRoom = 1 << 18;
        std::unique_ptr<Products> made =
            library_products(device_, grouped_library(device_, std::make_unique<OnProcessor>(starts_)), kRoom);
        scratch_.assign(static_cast<std::size_t>(made->operand_scratch()), 0xffff);  // NaN
        made->place_operands(scratch_.data());
        made->set_operands(GetParam());
        return made;
    }
    /// Whether the kernels take it: what they don't, others test.
    bool taken(std::int64_t n, std::int64_t k) const {
        return GetParam() == Operands::f32 || (n % 4 == 0 && k % 8 == 0);
    }
    int starts_ = 0;

 private:
    PlainDevice device_;
    std::vector<std::uint16_t> scratch_;
};

TEST_P(CutlassKernelsTest, RowsTimesMatrices) {
    for (const Case& one : cases()) {
        for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
            const std::int64_t n = one.n, k = one.k, end = one.offsets.back(), most = end + 3;
            if (!taken(n, k)) {
                continue;
            }
            const auto E = static_cast<std::int64_t>(one.offsets.size()) - 1;
            std::vector<float> a = random_floats(most * k, 1), c = random_floats(most * n, 3), expected = c;
            const std::vector<float> b = random_floats(E * n * k, 2);
            std::fill(a.begin() + end * k, a.end(), std::numeric_limits<float>::quiet_NaN());
            const std::vector<float> a_in = entering(a, GetParam()), b_in = entering(b, GetParam());
            for (std::int64_t e = 0; e < E; ++e) {
                const std::int64_t first = one.offsets[static_cast<std::size_t>(e)];
                reference::gemm(Transpose::no, op_b, one.offsets[static_cast<std::size_t>(e) + 1] - first, n, k,
                                a_in.data() + first * k, k, b_in.data() + e * n * k, op_b == Transpose::yes ? k : n,
                                0.0f, expected.data() + first * n, n);
            }
            starts_ = 0;
            products()->rows_times({one.offsets.data(), E, most}, op_b, n, k, a.data(), b.data(), c.data());
            expect_close(c, expected, 2e-5, 2e-5, "n " + std::to_string(n) + " k " + std::to_string(k));
            EXPECT_EQ(starts_, 1);
        }
    }
}

TEST_P(CutlassKernelsTest, Gradients) {
    for (const Case& one : cases()) {
        const std::int64_t n = one.n, m = one.k, end = one.offsets.back(), most = end + 3;
        if (!taken(n, 8)) {
            continue;
        }
        const auto E = static_cast<std::int64_t>(one.offsets.size()) - 1;
        std::vector<float> a = random_floats(most * m, 1), b = random_floats(most * n, 2),
                           c = random_floats(E * m * n, 3), expected = c;
        std::fill(a.begin() + end * m, a.end(), std::numeric_limits<float>::quiet_NaN());
        std::fill(b.begin() + end * n, b.end(), std::numeric_limits<float>::quiet_NaN());
        const std::vector<float> a_in = entering(a, GetParam()), b_in = entering(b, GetParam());
        for (std::int64_t e = 0; e < E; ++e) {
            const std::int64_t first = one.offsets[static_cast<std::size_t>(e)];
            reference::gemm(Transpose::yes, Transpose::no, m, n, one.offsets[static_cast<std::size_t>(e) + 1] - first,
                            a_in.data() + first * m, m, b_in.data() + first * n, n, 0.0f, expected.data() + e * m * n,
                            n);
        }
        starts_ = 0;
        products()->gradients({one.offsets.data(), E, most}, m, n, a.data(), b.data(), c.data());
        expect_close(c, expected, 2e-5, 2e-5, "m " + std::to_string(m) + " n " + std::to_string(n));
        EXPECT_EQ(starts_, 1);
    }
}

// Why those go to the tiled kernel: CUTLASS begins with what is left of a tile of k and then reads on from there.
TEST(CutlassKernels, DepthsThatEndInside16BytesWouldBeReadMisaligned) {
    constexpr std::int64_t kStride = 40, kColumns = 8;
    alignas(16) static std::array<std::uint16_t, 4 * kStride> a{};
    alignas(16) static std::array<std::uint16_t, kStride * kColumns> b{};
    alignas(16) static std::array<float, 4 * kColumns> d{};
    const void *at_a = a.data(), *at_b = b.data();
    float* at_d = d.data();
    const std::int64_t lda = kStride, ldb = kColumns, ldd = kColumns;
    int starts = 0;
    for (const std::int32_t k : {40, 36}) {
        const GroupSize size{4, kColumns, k};
        GroupedArguments arguments;
        arguments.rounded = true;
        arguments.count = 1;
        arguments.sizes = &size;
        arguments.lda = &lda;
        arguments.ldb = &ldb;
        arguments.ldd = &ldd;
        arguments.a = &at_a;
        arguments.b = &at_b;
        arguments.d = &at_d;
        OnProcessor kernels(starts);
        if (k % 8 == 0) {
            EXPECT_NO_THROW(kernels.start(GroupedForm::rows_times, arguments));
        } else {
            EXPECT_THROW(kernels.start(GroupedForm::rows_times, arguments), simt::Fault);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Both, CutlassKernelsTest, testing::Values(Operands::f32, Operands::bf16),
                         [](const auto& one) { return one.param == Operands::f32 ? "f32" : "bf16"; });

}  // namespace
}  // namespace moescope::kernels::cuda
