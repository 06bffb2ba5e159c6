// Stands in for NCCL and the CUDA runtime, so that the plugin's own logic (groups, stages, polling, leaving, errors)
// runs without a GPU, between threads and between processes: bytes travel through sockets. It proves nothing of NCCL or
// of a GPU. Calls that break NCCL's rules as nccl_plugin.cpp states them are refused: something put into a stream while
// NCCL is in progress, an exchange before the last one is done, a send whose size is not that of its receive.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "cuda_runtime.h"
#include "nccl.h"

namespace {

constexpr int kPolls = 3;  // until what was begun is in its stream

/// A part on its way to or from a peer: its size, then its bytes.
struct Part {
    std::byte* data;
    std::uint64_t bytes;
    std::uint64_t size = 0;  ///< as the sender told it
    std::uint64_t done = 0;  ///< of both
};

struct Peer {
    int socket = -1;
    std::deque<Part> out, in;
    bool said_goodbye = false, heard_goodbye = false;
};

thread_local int open_groups = 0;

}  // namespace

struct StandInStream {
    StandInComm* comm = nullptr;
};
struct StandInEvent {
    StandInStream* stream = nullptr;
};

struct StandInComm {
    enum class State { joining, idle, starting, running, leaving, left };

    StandInComm(const ncclUniqueId& id, int own, int ranks)
        : name(id.internal), rank(own), peers(static_cast<std::size_t>(ranks)) {}
    ~StandInComm() {
        for (const Peer& peer : peers) {
            shut(peer.socket);
        }
        shut(listening);
    }
    StandInComm(const StandInComm&) = delete;
    StandInComm& operator=(const StandInComm&) = delete;

    static void shut(int socket) {
        if (socket >= 0) {
            ::close(socket);
        }
    }
    sockaddr_un address(int of_rank, socklen_t& length) const {
        sockaddr_un made{};
        made.sun_family = AF_UNIX;
        const int written = std::snprintf(made.sun_path + 1, sizeof made.sun_path - 1, "%s-%d", name.c_str(), of_rank);
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(written));
        return made;
    }
    ncclResult_t fail(ncclResult_t with, const std::string& why) {
        result = with;
        error = why;
        return with;
    }

    void join() {
        if (listening < 0) {
            listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            socklen_t length = 0;
            const sockaddr_un own = address(rank, length);
            if (::bind(listening, reinterpret_cast<const sockaddr*>(&own), length) != 0 ||
                ::listen(listening, 64) != 0) {
                fail(ncclInvalidUsage, std::strerror(errno));
                return;
            }
        }
        bool all = true;
        for (int lower = 0; lower < rank; ++lower) {
            int& socket = peers[static_cast<std::size_t>(lower)].socket;
            if (socket >= 0) {
                continue;
            }
            const int made = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            socklen_t length = 0;
            const sockaddr_un other = address(lower, length);
            const std::int32_t mine = rank;
            if (::connect(made, reinterpret_cast<const sockaddr*>(&other), length) == 0 &&
                ::send(made, &mine, sizeof mine, MSG_NOSIGNAL) == sizeof mine) {
                socket = made;
            } else {
                shut(made);
                all = false;
            }
        }
        for (int made; (made = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
            std::int32_t other = -1;
            if (::recv(made, &other, sizeof other, MSG_WAITALL) == sizeof other && other > rank &&
                other < static_cast<int>(peers.size())) {
                peers[static_cast<std::size_t>(other)].socket = made;
            } else {
                shut(made);
            }
        }
        for (std::size_t other = 0; other < peers.size(); ++other) {
            all = all && (static_cast<int>(other) == rank || peers[other].socket >= 0);
        }
        state = all ? State::idle : state;
    }

    /// As much as goes at once. Whether all of it is done.
    bool move() {
        bool all = true;
        for (Peer& peer : peers) {
            while (!peer.out.empty() && result == ncclSuccess) {
                Part& part = peer.out.front();
                const bool head = part.done < sizeof part.size;
                const std::byte* from = head ? reinterpret_cast<const std::byte*>(&part.size) + part.done
                                             : part.data + (part.done - sizeof part.size);
                const std::uint64_t left = (head ? sizeof part.size : sizeof part.size + part.bytes) - part.done;
                const ssize_t sent = ::send(peer.socket, from, left, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent <= 0) {
                    if (errno != EAGAIN) {
                        fail(ncclRemoteError, "a peer has gone");
                    }
                    break;
                }
                part.done += static_cast<std::uint64_t>(sent);
                if (part.done == sizeof part.size + part.bytes) {
                    peer.out.pop_front();
                }
            }
            while (!peer.in.empty() && result == ncclSuccess) {
                Part& part = peer.in.front();
                const bool head = part.done < sizeof part.size;
                std::byte* to = head ? reinterpret_cast<std::byte*>(&part.size) + part.done
                                     : part.data + (part.done - sizeof part.size);
                const std::uint64_t left = (head ? sizeof part.size : sizeof part.size + part.bytes) - part.done;
                const ssize_t got = ::recv(peer.socket, to, left, MSG_DONTWAIT);
                if (got <= 0) {
                    if (got == 0 || errno != EAGAIN) {
                        fail(ncclRemoteError, "a peer has gone");
                    }
                    break;
                }
                part.done += static_cast<std::uint64_t>(got);
                if (part.done >= sizeof part.size && part.size != part.bytes) {
                    fail(ncclInvalidUsage, "a part of " + std::to_string(part.size) + " bytes came for one of " +
                                               std::to_string(part.bytes));
                } else if (part.done == sizeof part.size + part.bytes) {
                    peer.in.pop_front();
                }
            }
            all = all && peer.out.empty() && peer.in.empty();
        }
        return all && result == ncclSuccess;
    }

    void leave() {
        bool all = true;
        for (std::size_t other = 0; other < peers.size(); ++other) {
            Peer& peer = peers[other];
            if (static_cast<int>(other) == rank) {
                continue;
            }
            char word = 1;
            peer.said_goodbye = peer.said_goodbye || ::send(peer.socket, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 0;
            if (!peer.heard_goodbye) {
                const ssize_t got = ::recv(peer.socket, &word, 1, MSG_DONTWAIT);
                peer.heard_goodbye = got >= 0 || errno != EAGAIN;
            }
            all = all && peer.heard_goodbye;
        }
        state = all ? State::left : state;
    }

    const std::string name;
    const int rank;
    std::vector<Peer> peers;
    int listening = -1;
    State state = State::joining;
    int polls = 0;
    ncclResult_t result = ncclSuccess;
    std::string error;
};

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "invalid argument";
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    *count = 2;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int /*device*/) {
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
    *stream = std::make_unique<StandInStream>().release();
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) {
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const std::unique_ptr<StandInStream> owned(stream);
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
    *event = std::make_unique<StandInEvent>().release();
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    event->stream = stream;
    const bool ready = stream->comm != nullptr && stream->comm->state == StandInComm::State::running;
    return ready ? cudaSuccess : cudaErrorInvalidValue;  // before NCCL's own work stands in the stream
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    StandInComm& comm = *event->stream->comm;
    if (!comm.move()) {
        return cudaErrorNotReady;
    }
    comm.state = StandInComm::State::idle;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    const std::unique_ptr<StandInEvent> owned(event);
    return cudaSuccess;
}

ncclResult_t ncclGetVersion(int* version) {
    *version = 23203;
    return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    std::random_device random;
    *id = {};
    std::snprintf(id->internal, sizeof id->internal, "moescope-test-nccl-%08x%08x", random(), random());
    return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
    return result == ncclRemoteError ? "remote process exited or there was a network error" : "invalid usage";
}
const char* ncclGetLastError(ncclComm_t comm) {
    return comm == nullptr ? "" : comm->error.c_str();
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
    if (config->blocking != 0 || rank < 0 || rank >= ranks) {
        return ncclInvalidUsage;
    }
    *comm = std::make_unique<StandInComm>(id, rank, ranks).release();
    return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
    using State = StandInComm::State;
    if (comm->state == State::joining) {
        comm->join();
    } else if (comm->state == State::starting && ++comm->polls == kPolls) {
        comm->state = State::running;
    } else if (comm->state == State::leaving) {
        comm->leave();
    }
    const bool busy = comm->state == State::joining || comm->state == State::starting || comm->state == State::leaving;
    *state = comm->result != ncclSuccess ? comm->result : busy ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    if (comm->state != StandInComm::State::idle) {
        return comm->fail(ncclInvalidUsage, "left while something is going on");
    }
    comm->state = StandInComm::State::leaving;
    return ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    const std::unique_ptr<StandInComm> owned(comm);
    return comm->state == StandInComm::State::left ? ncclSuccess : ncclInvalidUsage;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    const std::unique_ptr<StandInComm> owned(comm);
    return ncclSuccess;
}
ncclResult_t ncclGroupStart() {
    ++open_groups;
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
    --open_groups;
    return ncclInProgress;
}

namespace {

ncclResult_t add(bool out, void* data, std::size_t bytes, int peer, ncclComm_t comm, StandInStream* stream) {
    using State = StandInComm::State;
    const bool first = comm->state == State::idle;
    if (open_groups != 1 || bytes == 0 || peer < 0 || peer >= static_cast<int>(comm->peers.size()) ||
        peer == comm->rank || (!first && (comm->state != State::starting || comm->polls > 0))) {
        return comm->fail(ncclInvalidUsage, "a part outside of its group, or before the exchange before it was done");
    }
    comm->state = State::starting;
    comm->polls = 0;
    stream->comm = comm;
    Peer& other = comm->peers[static_cast<std::size_t>(peer)];
    (out ? other.out : other.in).push_back({static_cast<std::byte*>(data), bytes, out ? bytes : 0, 0});
    return ncclSuccess;
}

}  // namespace

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t /*type*/, int peer, ncclComm_t comm,
                      StandInStream* stream) {
    return add(true, const_cast<void*>(data), count, peer, comm, stream);
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t /*type*/, int peer, ncclComm_t comm,
                      StandInStream* stream) {
    return add(false, data, count, peer, comm, stream);
}
