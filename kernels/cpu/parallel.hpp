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

/// How many threads loops started from the calling thread will use, and how many matrix products may use. At least 1.
void set_workers(int count);
int workers();
/// Cores of this machine that the process may use.
int hardware_workers();

/// How numbers enter a matrix product: as they are, or rounded to bfloat16 (to nearest, ties to even). Sums are float.
enum class Operands { f32, bf16 };
/// Of the calling thread, and of the loops that it starts.
Operands operands();
void set_operands(Operands value);

/// Until the end of the scope.
class OperandsScope {
 public:
    explicit OperandsScope(Operands value) : before_(operands()) { set_operands(value); }
    ~OperandsScope() { set_operands(before_); }
    OperandsScope(const OperandsScope&) = delete;
    OperandsScope& operator=(const OperandsScope&) = delete;

 private:
    Operands before_;
};

/// Calls body(index, worker) for every index in [0, count); worker < workers() tells which scratch to use. Must not
/// throw.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
#ifdef MOESCOPE_OPENMP
    if (count > 1 && omp_get_max_threads() > 1 && omp_in_parallel() == 0) {
        const Operands of_caller = operands();
#pragma omp parallel for schedule(dynamic, 1)
        for (std::int64_t index = 0; index < count; ++index) {
            set_operands(of_caller);
            body(index, omp_get_thread_num());
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
