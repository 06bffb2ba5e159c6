// The one way kernels use several cores.
//
// A kernel cuts its work by shape (blocks of rows, experts, heads), never by the number of threads, and each index
// writes its own output. So results are bit-equal for any number of threads. Without MOESCOPE_OPENMP the loops run on
// the calling thread.
#pragma once

#include <cstdint>

#ifdef MOESCOPE_OPENMP
#include <omp.h>
#endif

namespace moescope::kernels {

/// How many threads loops started from the calling thread will use. At least 1.
void set_workers(int count);
int workers();
/// Whether the caller is inside such a loop already.
bool in_parallel();
/// Cores of this machine that the process may use.
int hardware_workers();

/// How numbers enter a matrix product: as they are; rounded to bfloat16 (to nearest, ties to even); or that, and those
/// of the experts' grouped products to eight bits with a scale per tile (kernels/cpu/float8_product.hpp). Sums are
/// float.
enum class Operands { f32, bf16, fp8 };
/// Rounded elements that a worker holds at a time; a product with more is computed in pieces.
inline constexpr std::int64_t kOperandRoom = std::int64_t{1} << 20;

struct OperandMode {
    Operands operands = Operands::f32;
    /// [kOperandRoom] for rounded copies; in a loop's caller one such room for each worker. Null: a product takes
    /// memory for the time of its call.
    std::uint16_t* room = nullptr;
};
/// Of the calling thread, and of the loops that it starts.
OperandMode operand_mode();
void set_operand_mode(const OperandMode& mode);
inline Operands operands() {
    return operand_mode().operands;
}

/// Until the end of the scope. `room` [workers, kOperandRoom] or null, see OperandMode.
class OperandsScope {
 public:
    explicit OperandsScope(Operands value, std::uint16_t* room = nullptr) : before_(operand_mode()) {
        set_operand_mode({value, room});
    }
    ~OperandsScope() { set_operand_mode(before_); }
    OperandsScope(const OperandsScope&) = delete;
    OperandsScope& operator=(const OperandsScope&) = delete;

 private:
    OperandMode before_;
};

/// Calls body(index, worker) for every index in [0, count); worker < workers() tells which scratch to use. Must not
/// throw.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
#ifdef MOESCOPE_OPENMP
    if (count > 1 && omp_get_max_threads() > 1 && omp_in_parallel() == 0) {
        const OperandMode of_caller = operand_mode();
#pragma omp parallel for schedule(dynamic, 1)
        for (std::int64_t index = 0; index < count; ++index) {
            const int worker = omp_get_thread_num();
            set_operand_mode(
                {of_caller.operands, of_caller.room == nullptr ? nullptr : of_caller.room + worker * kOperandRoom});
            body(index, worker);
        }
        return;
    }
#endif
    for (std::int64_t index = 0; index < count; ++index) {
        body(index, 0);
    }
}

/// Cuts [0, count) into blocks of `block` and calls body(begin, end, worker) for each.
template <class Body>
void parallel_blocks(std::int64_t count, std::int64_t block, const Body& body) {
    parallel_for((count + block - 1) / block, [&](std::int64_t index, int worker) {
        const std::int64_t begin = index * block;
        body(begin, begin + block < count ? begin + block : count, worker);
    });
}

}  // namespace moescope::kernels
