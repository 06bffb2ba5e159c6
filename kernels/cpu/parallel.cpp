#include "kernels/cpu/parallel.hpp"

#include <algorithm>
#include <thread>

namespace moescope::kernels {
namespace {

thread_local Operands thread_operands = Operands::f32;

}  // namespace

Operands operands() {
    return thread_operands;
}
void set_operands(Operands value) {
    thread_operands = value;
}

#ifdef MOESCOPE_OPENMP
void set_workers(int count) {
    omp_set_num_threads(std::max(1, count));
}
int workers() {
    return omp_get_max_threads();
}
int hardware_workers() {
    return std::max(1, omp_get_num_procs());
}
#else
void set_workers(int) {}
int workers() {
    return 1;
}
int hardware_workers() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
#endif

}  // namespace moescope::kernels
