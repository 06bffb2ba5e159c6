// Counts what a program asks of the heap, by who asks: operator new and the C functions are replaced for the whole
// program (counting_allocator.cpp), so link it only into a test of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace moescope::engine::test {

/// Where the call came from: this program with the C++ library, the matrix library (oneDNN), the threads of OpenMP.
enum class Asker { program, matrices, threads, count };

struct Allocations {
    struct Share {
        std::uint64_t calls = 0, bytes = 0;
        std::uint64_t most_held = 0;  ///< bytes that were taken and not yet given back, at their most
    };
    std::array<Share, static_cast<int>(Asker::count)> by{};
    std::string first;  ///< the function in which the program first asked; empty when it did not
    const Share& of(Asker asker) const { return by[static_cast<std::size_t>(asker)]; }
};

/// Counts in all threads from here to stop(). One at a time.
void start_counting();
Allocations stop_counting();

}  // namespace moescope::engine::test
