// The operations of a GPU without one: the very kernels, run on the CPU (emulation.hpp). For tests; slow.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "kernels/ops.hpp"

namespace moescope::kernels::cuda {

/// "cuda-emulated". `library_products`: products, and attention with rounded operands, as the CPU computes them, in
/// place of a library's; otherwise those of the own kernels.
std::unique_ptr<Ops> emulated_ops(bool library_products = true);

/// What operations did to the device; whoever looks keeps it longer than them.
struct EmulatedUse {
    std::uint64_t allocations = 0, waits = 0;
    std::uint64_t captures = 0, starts = 0;  ///< of graphs
};

/// Memory that the host can't touch, as that of a GPU in a slot: who reads or writes it while no Door is open is ended
/// by SIGSEGV. Used by one thread at a time.
class EmulatedMemory {
 public:
    EmulatedMemory() = default;
    EmulatedMemory(const EmulatedMemory&) = delete;
    EmulatedMemory& operator=(const EmulatedMemory&) = delete;
    ~EmulatedMemory();

    /// Null when there is none.
    void* take(std::uint64_t bytes);
    void give_back(void* memory);

    /// All of it can be touched while one is there: what the device computes, and what reads it from outside.
    class Door {
     public:
        explicit Door(EmulatedMemory& memory) : memory_(memory) { memory_.turn(+1); }
        ~Door() { memory_.turn(-1); }
        Door(const Door&) = delete;
        Door& operator=(const Door&) = delete;

     private:
        EmulatedMemory& memory_;
    };

 private:
    void turn(int doors);
    std::map<void*, std::uint64_t> blocks_;  ///< whole pages
    int doors_ = 0;
};

/// What a test wants of it besides.
struct EmulatedGpu {
    std::string name = "cuda-emulated";
    std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes
    /// Copies to the host that go well; then it is lost, and each throws.
    std::uint64_t lost_after = std::numeric_limits<std::uint64_t>::max();
    bool captures = true;        ///< false: it refuses to
    bool float8 = true;          ///< as of compute capability 9.0 or later
    EmulatedUse* use = nullptr;  ///< counted there; null: nowhere
    /// Where its memory is; null: the host's. With it operations are only begun by the calls and done when the host
    /// waits, so that who reads what is not yet there is found out. By the thread that makes it, which has no other.
    std::shared_ptr<EmulatedMemory> apart = {};
};
std::unique_ptr<Ops> emulated_ops(const EmulatedGpu& gpu, bool library_products = true);

}  // namespace moescope::kernels::cuda
