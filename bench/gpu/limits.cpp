// gpu_limits: the device's own limits, without Moescope's engine: copies in its memory, and cuBLASLt's dense products
// of operands that are bfloat16 already. Prints what `gpu_bench --limits` reads. Needs the CUDA toolkit to be compiled.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/cublaslt.hpp"
#include "kernels/cuda/runtime_device.hpp"

namespace moescope::bench {
namespace {

using kernels::cuda::Device;
using kernels::cuda::Library;
using kernels::cuda::LibraryProduct;

constexpr int kNoDevice = 3, kTimes = 20;

/// Memory of a device, filled with numbers by chance: products of zeros take less power, and so run faster.
class Room {
 public:
    Room(Device& device, std::uint64_t bytes, bool rounded = false) : device_(device), memory_(device.allocate(bytes)) {
        if (memory_ == nullptr) {
            throw std::runtime_error("there is too little memory on the GPU");
        }
        constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;
        std::vector<std::uint32_t> piece(kPiece / sizeof(std::uint32_t));
        std::mt19937 random(7);
        for (std::uint32_t& word : piece) {  // from 0.5 to 1 and from -1 to -0.5, one float or two in bfloat16
            word = (random() & 0x807fffffu) | 0x3f000000u;
            word = rounded ? (word & 0xffff0000u) | (random() & 0x807fu) | 0x3f00u : word;
        }
        for (std::uint64_t at = 0; at < bytes; at += kPiece) {
            device_.upload(static_cast<std::byte*>(memory_) + at, piece.data(), std::min(kPiece, bytes - at));
        }
    }
    ~Room() { device_.free(memory_); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    void* at() const { return memory_; }

 private:
    Device& device_;
    void* memory_;
};

/// Destroyed with its owner.
class Event {
 public:
    explicit Event(const std::string& device) {
        kernels::cuda::check(cudaEventCreate(&event_), device, "making an event");
    }
    ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    cudaEvent_t get() const { return event_; }

 private:
    cudaEvent_t event_ = nullptr;
};

/// Seconds of one of several that follow each other, by the device's clock.
double timed(Device& device, const std::function<void()>& work) {
    for (int i = 0; i < 3; ++i) {
        work();
    }
    const Event begin(device.name()), end(device.name());
    kernels::cuda::check(cudaEventRecord(begin.get(), device.stream()), device.name(), "recording an event");
    for (int i = 0; i < kTimes; ++i) {
        work();
    }
    kernels::cuda::check(cudaEventRecord(end.get(), device.stream()), device.name(), "recording an event");
    device.wait();
    float milliseconds = 0;
    kernels::cuda::check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), device.name(), "timing");
    return milliseconds * 1e-3 / kTimes;
}

/// FLOP/s of a row-major [rows, depth] x [columns, depth]^T, as the engine's linear layers are.
double product(Device& device, Library& library, bool rounded, std::int64_t rows, std::int64_t depth,
               std::int64_t columns) {
    const std::uint64_t each = rounded ? 2 : 4;
    const auto bytes = [&](std::int64_t m, std::int64_t n, std::uint64_t size) {
        return static_cast<std::uint64_t>(m) * static_cast<std::uint64_t>(n) * size;
    };
    const Room a(device, bytes(rows, depth, each), rounded), b(device, bytes(columns, depth, each), rounded),
        c(device, bytes(rows, columns, sizeof(float)));
    LibraryProduct shape;
    shape.rounded = rounded;
    shape.transpose_a = true;
    shape.rows = columns;
    shape.columns = rows;
    shape.depth = depth;
    shape.lda = shape.ldb = depth;
    shape.ldd = columns;
    bool done = true;
    const double seconds =
        timed(device, [&] { done = library.multiply(shape, b.at(), a.at(), static_cast<float*>(c.at())) && done; });
    if (!done) {
        throw std::runtime_error("cuBLASLt refuses a dense product");
    }
    return 2.0 * static_cast<double>(rows) * static_cast<double>(depth) * static_cast<double>(columns) / seconds;
}

/// The rows and widths of the experts of a model that gpu_bench trains.
struct Experts {
    std::int64_t rows, width, inner;
};
Experts experts_of(const char* file) {
    std::ifstream stream(file);
    const nlohmann::json config = nlohmann::json::parse(stream), &model = config.at("model");
    const auto number = [](const nlohmann::json& object, const char* key) {
        return object.at(key).get<std::int64_t>();
    };
    return {number(config.at("train"), "batch") * number(model, "context") * number(model, "experts_per_token"),
            number(model, "width"), number(model, "expert_width")};
}

int run(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: gpu_limits bench/gpu/grouped.json      on cuda:0\n");
        return 2;
    }
    const Experts experts = experts_of(argv[1]);
    int count = 0;
    const cudaError_t found = cudaGetDeviceCount(&count);
    if (found != cudaSuccess || count == 0) {
        std::fprintf(stderr, "gpu_limits: no GPU: %s\n",
                     found != cudaSuccess ? cudaGetErrorString(found) : "the driver knows of none");
        return kNoDevice;
    }
    const std::unique_ptr<Device> device = kernels::cuda::runtime_device(0);
    device->enter();
    const std::unique_ptr<Library> library = kernels::cuda::cublaslt(*device);
    constexpr std::uint64_t kCopied = std::uint64_t{1} << 30;
    constexpr std::int64_t kSquare = 8192;
    double copy = 0;
    {
        const Room from(*device, kCopied), to(*device, kCopied);
        copy = 2.0 * static_cast<double>(kCopied) / timed(*device, [&] { device->copy(to.at(), from.at(), kCopied); });
    }
    std::printf(
        "{\"by\": \"cuBLASLt and the driver alone\", \"copy_bytes_per_second\": %.6e, \"bf16_flops_per_second\": %.6e, "
        "\"experts_flops_per_second\": %.6e, \"f32_flops_per_second\": %.6e}\n",
        copy, product(*device, *library, true, kSquare, kSquare, kSquare),
        product(*device, *library, true, experts.rows, experts.width, 2 * experts.inner),
        product(*device, *library, false, kSquare, kSquare, kSquare));
    return 0;
}

}  // namespace
}  // namespace moescope::bench

int main(int argc, char** argv) {
    try {
        return moescope::bench::run(argc, argv);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "gpu_limits: %s\n", problem.what());
        return 1;
    }
}
