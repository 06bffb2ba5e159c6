#include "kernels/cuda/runtime_device.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace moescope::kernels::cuda {
namespace {

/// A stream, destroyed with its owner.
class OwnStream {
 public:
    OwnStream() = default;
    ~OwnStream() {
        if (stream_ != nullptr) {
            static_cast<void>(cudaStreamDestroy(stream_));
        }
    }
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;

    cudaError_t make() { return cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking); }
    cudaStream_t get() const { return stream_; }

 private:
    cudaStream_t stream_ = nullptr;
};

/// Page-locked memory of the host, from which the device copies while the host goes on, and an event that tells when
/// it has.
class Stage {
 public:
    static constexpr std::uint64_t kBytes = std::uint64_t{1} << 20;

    Stage() = default;
    ~Stage() {
        if (free_again_ != nullptr) {
            static_cast<void>(cudaEventDestroy(free_again_));
        }
        if (memory_ != nullptr) {
            static_cast<void>(cudaFreeHost(memory_));
        }
    }
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    cudaError_t make() {
        const cudaError_t error = cudaMallocHost(&memory_, kBytes);
        return error != cudaSuccess ? error : cudaEventCreateWithFlags(&free_again_, cudaEventDisableTiming);
    }
    /// Copies at most kBytes; `host` may be used again when it returns.
    cudaError_t upload(void* device, const void* host, std::uint64_t bytes, cudaStream_t stream) {
        cudaError_t error = cudaEventSynchronize(free_again_);  // at once when nothing was recorded yet
        if (error != cudaSuccess) {
            return error;
        }
        std::memcpy(memory_, host, bytes);
        error = cudaMemcpyAsync(device, memory_, bytes, cudaMemcpyHostToDevice, stream);
        return error != cudaSuccess ? error : cudaEventRecord(free_again_, stream);
    }

 private:
    void* memory_ = nullptr;
    cudaEvent_t free_again_ = nullptr;
};

/// Copies to page-locked memory, which the host takes over once it has waited.
class Arrivals {
 public:
    Arrivals() = default;
    ~Arrivals() {
        if (memory_ != nullptr) {
            static_cast<void>(cudaFreeHost(memory_));
        }
    }
    Arrivals(const Arrivals&) = delete;
    Arrivals& operator=(const Arrivals&) = delete;

    cudaError_t make() { return cudaMallocHost(reinterpret_cast<void**>(&memory_), kBytes); }
    bool has_room(std::uint64_t bytes) const { return bytes <= kBytes - used_; }
    /// Where there is room.
    cudaError_t start(void* host, const void* device, std::uint64_t bytes, cudaStream_t stream) {
        const cudaError_t error = cudaMemcpyAsync(memory_ + used_, device, bytes, cudaMemcpyDeviceToHost, stream);
        if (error == cudaSuccess) {
            copies_.push_back({host, used_, bytes});
            used_ += bytes;
        }
        return error;
    }
    /// The stream is done with them.
    void take_over() {
        for (const Copy& one : copies_) {
            std::memcpy(one.host, memory_ + one.at, one.bytes);
        }
        copies_.clear();
        used_ = 0;
    }

 private:
    static constexpr std::uint64_t kBytes = std::uint64_t{4} << 20;
    struct Copy {
        void* host;
        std::uint64_t at, bytes;
    };
    std::byte* memory_ = nullptr;
    std::uint64_t used_ = 0;
    std::vector<Copy> copies_;
};

/// A CUDA graph that is ready to start.
class RuntimeGraph final : public Graph {
 public:
    RuntimeGraph(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
    ~RuntimeGraph() override {
        if (made_ != nullptr && cudaSetDevice(device_) == cudaSuccess) {
            static_cast<void>(cudaStreamSynchronize(stream_));  // it may be at work
            static_cast<void>(cudaGraphExecDestroy(made_));
        }
    }
    RuntimeGraph(const RuntimeGraph&) = delete;
    RuntimeGraph& operator=(const RuntimeGraph&) = delete;

    /// Its memory on the device is taken here and not at its first start.
    cudaError_t make(cudaGraph_t captured) {
        const cudaError_t error = cudaGraphInstantiate(&made_, captured, 0);
        return error != cudaSuccess ? error : cudaGraphUpload(made_, stream_);
    }
    cudaError_t start() { return cudaGraphLaunch(made_, stream_); }

 private:
    int device_;
    cudaStream_t stream_;
    cudaGraphExec_t made_ = nullptr;
};

class RuntimeDevice final : public Device {
 public:
    explicit RuntimeDevice(int index) : index_(index), name_("cuda:" + std::to_string(index)) {
        use();
        check(stream_.make(), "making a stream");
        for (Stage& stage : stages_) {
            check(stage.make(), "taking page-locked memory");
        }
        check(arrivals_.make(), "taking page-locked memory");
    }
    ~RuntimeDevice() override {
        if (cudaSetDevice(index_) == cudaSuccess) {
            static_cast<void>(cudaStreamSynchronize(stream_.get()));
        }
    }

    std::string name() const override { return name_; }
    void enter() override { use(); }
    bool has_float8() const override {
        constexpr int kLeastCapability = 9;  // first number
        int capability = 0;
        check(cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, index_), "asking what it can");
        return capability >= kLeastCapability;
    }
    simt::Stream stream() const override { return stream_.get(); }
    std::uint64_t available_memory() const override {
        use();
        std::size_t available = 0, all = 0;
        check(cudaMemGetInfo(&available, &all), "asking for its free memory");
        return available;
    }
    void* allocate(std::uint64_t bytes) override {
        use();
        void* memory = nullptr;
        const cudaError_t error = cudaMalloc(&memory, std::max<std::uint64_t>(bytes, 1));
        if (error == cudaErrorMemoryAllocation) {
            static_cast<void>(cudaGetLastError());  // or the next launch would be taken for what failed
            return nullptr;
        }
        check(error, "taking memory");
        return memory;
    }
    void free(void* memory) override {
        // Of a destructor: what is wrong with the device by now has been said, or will be by the next operation.
        if (memory != nullptr && cudaSetDevice(index_) == cudaSuccess) {
            static_cast<void>(cudaFree(memory));  // waits for the operations before it
        }
    }
    void upload(void* device, const void* host, std::uint64_t bytes) override {
        use();
        for (std::uint64_t at = 0; at < bytes; at += Stage::kBytes) {
            check(stages_[next_].upload(static_cast<std::byte*>(device) + at, static_cast<const std::byte*>(host) + at,
                                        std::min(Stage::kBytes, bytes - at), stream_.get()),
                  "copying to it");
            next_ = (next_ + 1) % stages_.size();
        }
    }
    void download(void* host, const void* device, std::uint64_t bytes) override {
        use();
        if (bytes > 0) {
            check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_.get()), "copying from it");
        }
        synchronize();
    }
    void download_later(void* host, const void* device, std::uint64_t bytes) override {
        if (!arrivals_.has_room(bytes)) {
            return download(host, device, bytes);
        }
        use();
        check(arrivals_.start(host, device, bytes, stream_.get()), "copying from it");
    }
    void copy(void* to, const void* from, std::uint64_t bytes) override {
        use();
        if (bytes > 0) {
            check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()), "copying in its memory");
        }
    }
    void zero(void* at, std::uint64_t bytes) override {
        use();
        if (bytes > 0) {
            check(cudaMemsetAsync(at, 0, bytes, stream_.get()), "clearing its memory");
        }
    }
    void wait() override {
        use();
        synchronize();
    }
    void begin_capture() override {
        use();
        // What other threads do with the device is no part of it and no fault.
        check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "capturing operations");
    }
    std::unique_ptr<Graph> end_capture() override {
        use();
        cudaGraph_t captured = nullptr;
        check(cudaStreamEndCapture(stream_.get(), &captured), "capturing operations");
        auto graph = std::make_unique<RuntimeGraph>(index_, stream_.get());
        const cudaError_t error = graph->make(captured);
        static_cast<void>(cudaGraphDestroy(captured));
        check(error, "making a graph of operations");
        return graph;
    }
    void abandon_capture() noexcept override {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        if (cudaStreamIsCapturing(stream_.get(), &status) != cudaSuccess || status != cudaStreamCaptureStatusNone) {
            cudaGraph_t captured = nullptr;
            static_cast<void>(cudaStreamEndCapture(stream_.get(), &captured));
            if (captured != nullptr) {
                static_cast<void>(cudaGraphDestroy(captured));
            }
        }
        static_cast<void>(cudaGetLastError());  // or the next launch would be taken for what failed
    }
    void start(Graph& graph) override {
        use();
        check(static_cast<RuntimeGraph&>(graph).start(), "starting a graph of operations");
    }

 private:
    void synchronize() {
        check(cudaStreamSynchronize(stream_.get()), "waiting for it");
        arrivals_.take_over();
    }
    void use() const { check(cudaSetDevice(index_), "choosing it"); }
    void check(cudaError_t error, const char* doing) const { cuda::check(error, name_, doing); }

    int index_;
    std::string name_;
    OwnStream stream_;
    std::array<Stage, 4> stages_;
    std::size_t next_ = 0;
    Arrivals arrivals_;
};

}  // namespace

void check(cudaError_t error, const std::string& device, const char* doing) {
    if (error != cudaSuccess) {
        throw std::runtime_error(device + ": " + doing + " failed: " + cudaGetErrorName(error) + ", " +
                                 cudaGetErrorString(error));
    }
}

std::unique_ptr<Device> runtime_device(int index) {
    return std::make_unique<RuntimeDevice>(index);
}

}  // namespace moescope::kernels::cuda
