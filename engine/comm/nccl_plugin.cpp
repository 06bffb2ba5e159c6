// The plugin: compiled with NCCL's and CUDA's headers, opened by nccl_comm.cpp.
//
// Communicators do not block (ncclConfig_t.blocking = 0): every call returns at once, and its end is polled for, so
// that a rank that hangs can be told and ended. While NCCL says "in progress", its kernels are not yet in the stream,
// and nothing that comes after them may be.
#include "engine/comm/nccl_plugin.hpp"

#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>
#include <memory>
#include <nccl.h>
#include <stdexcept>
#include <string>

namespace moescope::engine::comm {

static_assert(kNcclId == NCCL_UNIQUE_ID_BYTES);
static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 30, 0), "several ranks on one GPU need 2.30");

namespace {

void check(cudaError_t error, const char* doing) {
    if (error != cudaSuccess) {
        throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorString(error));
    }
}

/// In progress is no error.
void check(ncclResult_t result, const char* doing, ncclComm_t comm = nullptr) {
    if (result != ncclSuccess && result != ncclInProgress) {
        std::string text = std::string(doing) + ": " + ncclGetErrorString(result);
        const char* more = ncclGetLastError(comm);
        if (more != nullptr && *more != '\0') {
            text += std::string(", ") + more;
        }
        throw std::runtime_error(text);
    }
}

template <class Work>
std::int32_t guarded(char* error, std::int32_t size, const Work& work) {
    try {
        return work();
    } catch (const std::exception& problem) {
        if (size > 0) {
            std::snprintf(error, static_cast<std::size_t>(size), "%s", problem.what());
        }
        return -1;
    }
}

void check_device(std::int32_t device) {
    int driver = 0, count = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        throw std::runtime_error("there is no NVIDIA driver");
    }
    check(cudaGetDeviceCount(&count), "counting GPUs");
    if (device < 0 || device >= count) {
        throw std::runtime_error("there is no GPU " + std::to_string(device) + "; the driver knows " +
                                 std::to_string(count));
    }
}

}  // namespace

/// What was begun goes through the stages in their order.
struct NcclRank {
    explicit NcclRank(std::int32_t device_index) : device(device_index) {}
    ~NcclRank() {
        static_cast<void>(cudaSetDevice(device));
        if (comm != nullptr) {  // an abort also ends its kernels, so that the stream comes to its end
            static_cast<void>(left && stage == Stage::done ? ncclCommDestroy(comm) : ncclCommAbort(comm));
        }
        if (stream != nullptr) {
            static_cast<void>(cudaStreamSynchronize(stream));
            static_cast<void>(cudaStreamDestroy(stream));
        }
        if (event != nullptr) {
            static_cast<void>(cudaEventDestroy(event));
        }
    }
    NcclRank(const NcclRank&) = delete;
    NcclRank& operator=(const NcclRank&) = delete;

    void join(const void* id, std::int32_t rank, std::int32_t ranks) {
        check_device(device);
        check(cudaSetDevice(device), "choosing the GPU");
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
        ncclUniqueId of_group;
        std::memcpy(&of_group, id, sizeof of_group);
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        check(ncclCommInitRankConfig(&comm, ranks, of_group, rank, &config), "joining the ranks");
    }

    void leave() {
        check(cudaSetDevice(device), "choosing the GPU");
        check(ncclCommFinalize(comm), "leaving the ranks", comm);
        left = true;
        stage = Stage::leaving;
    }

    void begin(const NcclTransfer* out, std::int32_t out_count, const NcclTransfer* in, std::int32_t in_count) {
        check(cudaSetDevice(device), "choosing the GPU");
        check(ncclGroupStart(), "beginning an exchange", comm);
        ncclResult_t result = ncclSuccess;
        const auto each = [&](const NcclTransfer* list, std::int32_t count, const auto& transfer) {
            for (std::int32_t i = 0; i < count && (result == ncclSuccess || result == ncclInProgress); ++i) {
                result = transfer(list[i]);
            }
        };
        each(out, out_count, [&](const NcclTransfer& part) {
            return ncclSend(part.data, part.bytes, ncclInt8, part.rank, comm, stream);
        });
        each(in, in_count, [&](const NcclTransfer& part) {
            return ncclRecv(part.data, part.bytes, ncclInt8, part.rank, comm, stream);
        });
        const ncclResult_t ended = ncclGroupEnd();
        check(result, "an exchange", comm);
        check(ended, "an exchange", comm);
        stage = Stage::starting;
    }

    /// Whether what was begun is done.
    bool poll() {
        check(cudaSetDevice(device), "choosing the GPU");
        if (stage == Stage::done) {
            return true;
        }
        ncclResult_t state = ncclSuccess;
        check(ncclCommGetAsyncError(comm, &state), "asking for errors", comm);
        check(state, stage == Stage::joining ? "joining the ranks" : "an exchange", comm);
        if (state == ncclInProgress) {
            return false;
        }
        if (stage == Stage::joining || stage == Stage::leaving) {
            stage = Stage::done;
            return true;
        }
        if (stage == Stage::starting) {
            check(cudaEventRecord(event, stream), "an exchange");
            stage = Stage::running;
        }
        const cudaError_t running = cudaEventQuery(event);
        if (running == cudaErrorNotReady) {
            return false;
        }
        check(running, "an exchange");
        stage = Stage::done;
        return true;
    }

 private:
    enum class Stage { joining, starting, running, leaving, done };
    const std::int32_t device;
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;
    ncclComm_t comm = nullptr;
    Stage stage = Stage::joining;
    bool left = false;
};

namespace {

std::int32_t check_gpu(std::int32_t device, char* error, std::int32_t size) {
    return guarded(error, size, [&] {
        check_device(device);
        return 0;
    });
}

std::int32_t make_id(void* id, char* error, std::int32_t size) {
    return guarded(error, size, [&] {
        ncclUniqueId made;
        check(ncclGetUniqueId(&made), "making an id");
        std::memcpy(id, &made, sizeof made);
        return 0;
    });
}

NcclRank* join(const void* id, std::int32_t device, std::int32_t rank, std::int32_t ranks, char* error,
               std::int32_t size) {
    std::unique_ptr<NcclRank> joined;
    guarded(error, size, [&] {
        auto made = std::make_unique<NcclRank>(device);
        made->join(id, rank, ranks);
        joined = std::move(made);
        return 0;
    });
    return joined.release();
}

std::int32_t begin(NcclRank* rank, const NcclTransfer* out, std::int32_t out_count, const NcclTransfer* in,
                   std::int32_t in_count, char* error, std::int32_t size) {
    return guarded(error, size, [&] {
        rank->begin(out, out_count, in, in_count);
        return 0;
    });
}

std::int32_t poll(NcclRank* rank, char* error, std::int32_t size) {
    return guarded(error, size, [&] { return rank->poll() ? 1 : 0; });
}

std::int32_t leave(NcclRank* rank, char* error, std::int32_t size) {
    return guarded(error, size, [&] {
        rank->leave();
        return 0;
    });
}

void release(NcclRank* rank) {
    delete rank;
}

std::int32_t library_version() {
    int version = 0;
    return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}

}  // namespace
}  // namespace moescope::engine::comm

extern "C" __attribute__((visibility("default"))) const moescope::engine::comm::NcclPlugin* moescope_nccl_plugin();
const moescope::engine::comm::NcclPlugin* moescope_nccl_plugin() {
    using namespace moescope::engine::comm;
    static const NcclPlugin plugin = {
        kNcclPluginVersion, library_version(), check_gpu, make_id, join, begin, poll, leave, release};
    return &plugin;
}
