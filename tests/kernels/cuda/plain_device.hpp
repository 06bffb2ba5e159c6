// A device that is this machine's memory, for tests of products.
#pragma once

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/cuda/device.hpp"

namespace moescope::kernels::cuda {

class PlainDevice final : public Device {
 public:
    std::string name() const override { return "plain"; }
    simt::Stream stream() const override { return {}; }
    bool has_float8() const override { return true; }
    std::uint64_t available_memory() const override { return std::numeric_limits<std::uint64_t>::max(); }
    void* allocate(std::uint64_t bytes) override { return std::malloc(bytes); }
    void free(void* memory) override { std::free(memory); }
    void upload(void* device, const void* host, std::uint64_t bytes) override { std::memcpy(device, host, bytes); }
    void download(void* host, const void* device, std::uint64_t bytes) override { std::memcpy(host, device, bytes); }
    void download_later(void* host, const void* device, std::uint64_t bytes) override { download(host, device, bytes); }
    void copy(void* to, const void* from, std::uint64_t bytes) override { std::memcpy(to, from, bytes); }
    void zero(void* at, std::uint64_t bytes) override { std::memset(at, 0, bytes); }
    void wait() override {}
    void begin_capture() override { throw std::logic_error("products capture nothing"); }
    std::unique_ptr<Graph> end_capture() override { return nullptr; }
    void abandon_capture() noexcept override {}
    void start(Graph& /*graph*/) override {}
};

}  // namespace moescope::kernels::cuda
