// The plugin: compiled with MPI's headers, opened by mpi_comm.cpp.
#include "engine/comm/mpi_plugin.hpp"

#include <algorithm>
#include <cstdio>
#include <mpi.h>
#include <vector>

namespace moescope::engine::comm {
namespace {

/// MPI counts in int.
constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
constexpr int kTag = 1;

/// Of the process, as MPI itself is.
std::vector<MPI_Request>& requests() {
    static std::vector<MPI_Request> list;
    return list;
}

std::int32_t failed(int code, const char* what, char* error, std::int32_t size) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    std::snprintf(error, static_cast<std::size_t>(size), "%s: %s", what, text);
    return -1;
}

template <class Begin>
std::int32_t in_parts(const MpiTransfer& transfer, const Begin& begin_part) {
    std::uint64_t done = 0;
    do {
        const std::uint64_t bytes = std::min(kMost, transfer.bytes - done);
        MPI_Request request = MPI_REQUEST_NULL;
        if (const int code = begin_part(static_cast<char*>(transfer.data) + done, static_cast<int>(bytes), &request);
            code != MPI_SUCCESS) {
            return code;
        }
        requests().push_back(request);
        done += bytes;
    } while (done < transfer.bytes);
    return MPI_SUCCESS;
}

std::int32_t start(std::int32_t* rank, std::int32_t* ranks, char* error, std::int32_t size) {
    int provided = 0;
    // One thread after the other: the one that reads the command line, and the one that trains.
    if (const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided); code != MPI_SUCCESS) {
        return failed(code, "MPI could not be started", error, size);
    }
    if (provided < MPI_THREAD_SERIALIZED) {
        std::snprintf(error, static_cast<std::size_t>(size), "this MPI allows calls from one thread only");
        return -1;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    int own = 0, all = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &own);
    MPI_Comm_size(MPI_COMM_WORLD, &all);
    *rank = own;
    *ranks = all;
    return 0;
}

std::int32_t begin(const MpiTransfer* out, std::int32_t out_count, const MpiTransfer* in, std::int32_t in_count,
                   char* error, std::int32_t size) {
    requests().clear();
    for (std::int32_t i = 0; i < in_count; ++i) {
        const int code = in_parts(in[i], [&](char* data, int bytes, MPI_Request* request) {
            return MPI_Irecv(data, bytes, MPI_BYTE, in[i].rank, kTag, MPI_COMM_WORLD, request);
        });
        if (code != MPI_SUCCESS) {
            return failed(code, "data could not be received", error, size);
        }
    }
    for (std::int32_t i = 0; i < out_count; ++i) {
        const int code = in_parts(out[i], [&](char* data, int bytes, MPI_Request* request) {
            return MPI_Isend(data, bytes, MPI_BYTE, out[i].rank, kTag, MPI_COMM_WORLD, request);
        });
        if (code != MPI_SUCCESS) {
            return failed(code, "data could not be sent", error, size);
        }
    }
    return 0;
}

std::int32_t poll(char* error, std::int32_t size) {
    int done = 0;
    auto& list = requests();
    const int code = MPI_Testall(static_cast<int>(list.size()), list.data(), &done, MPI_STATUSES_IGNORE);
    return code != MPI_SUCCESS ? failed(code, "an exchange failed", error, size) : done != 0 ? 1 : 0;
}

void finish() {
    MPI_Finalize();
}

void abort(std::int32_t status) {
    MPI_Abort(MPI_COMM_WORLD, status);
}

}  // namespace
}  // namespace moescope::engine::comm

extern "C" const moescope::engine::comm::MpiPlugin* moescope_mpi_plugin() {
    using namespace moescope::engine::comm;
    static const MpiPlugin plugin = {kMpiPluginVersion, start, begin, poll, finish, abort};
    return &plugin;
}
