#include "kernels/cpu/parallel.hpp"

#include <algorithm>
#include <thread>

namespace moescope::kernels {
namespace {

thread_local OperandMode mode_of_thread;

}  // namespace

OperandMode operand_mode() {
    return mode_of_thread;
}
void set_operand_mode(const OperandMode& mode) {
    mode_of_thread = mode;
}

#ifdef MOESCOPE_OPENMP
void set_workers(int count) {
    omp_set_num_threads(std::max(1, count));
}
int workers() {
    return omp_get_max_threads();
}
bool in_parallel() {
    return omp_in_parallel() != 0;
}
int hardware_workers() {
    return std::max(1, omp_get_num_procs());
}
#else
void set_workers(int) {}
int workers() {
    return 1;
}
bool in_parallel() {
    return false;
}
int hardware_workers() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
#endif

}  // namespace moescope::kernels
