#include "nodes/service/workers/worker_wire.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>

#include "base/file_io.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::node {

namespace {

constexpr std::size_t kHeader = 5;  // length u32 little-endian, kind u8

bool is_kind(std::uint8_t kind) {
    switch (static_cast<WorkerMessageKind>(kind)) {
        case WorkerMessageKind::json:
        case WorkerMessageKind::tokens:
        case WorkerMessageKind::lines:
        case WorkerMessageKind::routing:
        case WorkerMessageKind::chunk:
        case WorkerMessageKind::scores:
        case WorkerMessageKind::progress:
        case WorkerMessageKind::step:
        case WorkerMessageKind::ranks:
            return true;
    }
    return false;
}

}  // namespace

bool WorkerWriter::write(WorkerMessageKind kind, const std::vector<std::byte>& body) {
    if (body.size() > kLargestWorkerMessage) {
        return false;
    }
    const auto length = static_cast<std::uint32_t>(body.size());
    std::vector<std::byte> message(kHeader + body.size());
    for (std::size_t i = 0; i < 4; ++i) {
        message[i] = static_cast<std::byte>((length >> (8 * i)) & 0xff);
    }
    message[4] = static_cast<std::byte>(kind);
    if (!body.empty()) {
        std::memcpy(message.data() + kHeader, body.data(), body.size());
    }
    const std::lock_guard lock(mutex_);
    return base::write_all(descriptor_, message) == 0;
}

bool WorkerWriter::write(const nlohmann::json& value) {
    return write(WorkerMessageKind::json, protocol::encode_json(value));
}

bool WorkerReader::take(WorkerMessage& message) {
    if (buffer_.size() < kHeader) {
        return false;
    }
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        length |= std::to_integer<std::uint32_t>(buffer_[i]) << (8 * i);
    }
    const auto kind = std::to_integer<std::uint8_t>(buffer_[4]);
    if (length > kLargestWorkerMessage || !is_kind(kind)) {
        broken_ = true;
        return false;
    }
    if (buffer_.size() < kHeader + length) {
        return false;
    }
    message.kind = static_cast<WorkerMessageKind>(kind);
    message.body.assign(buffer_.begin() + kHeader, buffer_.begin() + kHeader + length);
    buffer_.erase(buffer_.begin(), buffer_.begin() + kHeader + length);
    return true;
}

WorkerReader::Status WorkerReader::read(WorkerMessage& message, int timeout_ms) {
    for (;;) {
        if (take(message)) {
            return Status::message;
        }
        if (broken_) {
            return Status::ended;
        }
        pollfd waiting{descriptor_, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, timeout_ms);
        if (ready == 0) {
            return Status::nothing;
        }
        if (ready < 0) {
            if (errno == EINTR) {
                continue;
            }
            return Status::ended;
        }
        std::array<std::byte, 65536> chunk;
        const ssize_t got = ::read(descriptor_, chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return Status::ended;
        }
        buffer_.insert(buffer_.end(), chunk.begin(), chunk.begin() + got);
    }
}

}  // namespace moescope::node
