// A GPU as the operations see it, or the emulated one: memory, copies and the one stream that everything runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// Operations that were captured with all of their arguments: a CUDA graph. Goes before its device.
class Graph {
 public:
    virtual ~Graph() = default;
};

/// Not thread safe. What goes wrong on the device throws std::runtime_error with the library's name of the error.
class Device {
 public:
    virtual ~Device() = default;

    virtual std::string name() const = 0;  ///< "cuda:0"
    /// The calling thread starts kernels from now on.
    virtual void enter() {}
    virtual simt::Stream stream() const = 0;
    /// Whether products of eight-bit floats are computed there: compute capability 9.0 or later.
    virtual bool has_float8() const = 0;
    virtual std::uint64_t available_memory() const = 0;
    /// Null when there is not enough. Not zeroed.
    virtual void* allocate(std::uint64_t bytes) = 0;
    virtual void free(void* memory) = 0;
    /// Copies and fills, in the order of the stream; download waits.
    virtual void upload(void* device, const void* host, std::uint64_t bytes) = 0;
    virtual void download(void* host, const void* device, std::uint64_t bytes) = 0;
    /// `host` has the bytes after the next download() or wait().
    virtual void download_later(void* host, const void* device, std::uint64_t bytes) = 0;
    virtual void copy(void* to, const void* from, std::uint64_t bytes) = 0;
    virtual void zero(void* at, std::uint64_t bytes) = 0;
    virtual void wait() = 0;

    /// From here to end_capture() operations are kept and not done. Meanwhile uploads, downloads, waiting and taking
    /// memory are not allowed.
    virtual void begin_capture() = 0;
    virtual std::unique_ptr<Graph> end_capture() = 0;
    /// Forgets what was kept, or would have been: after a failure.
    virtual void abandon_capture() noexcept = 0;
    /// Does all of it, in the order of the stream.
    virtual void start(Graph& graph) = 0;
};

}  // namespace moescope::kernels::cuda
