#include "nodes/service/workers/worker_pool.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "engine/model/machine_memory.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {

namespace {

constexpr std::size_t kMostIdle = 3;

/// Bytes on disk, a fair estimate of what a model takes in memory.
std::uint64_t model_bytes(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
        const auto size = std::filesystem::file_size(path, error);
        return error ? 0 : size;
    }
    std::uint64_t total = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
        if (entry.is_regular_file(error)) {
            total += entry.file_size(error);
        }
    }
    return total;
}

/// The same path can hold another file tomorrow.
std::string model_key(const std::filesystem::path& path, int threads) {
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(path, error).time_since_epoch().count();
    return fmt::format("{}|{}|{}|{}", path.string(), model_bytes(path), changed, threads);
}

}  // namespace

WorkerPool::WorkerPool(std::filesystem::path program)
    : program_(std::move(program)), spawner_([this] { spawn_loop(); }) {}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        idle_.clear();
    }
    {
        const std::lock_guard lock(spawn_mutex_);
        stopping_ = true;
    }
    spawn_wake_.notify_all();
    spawner_.join();
}

void WorkerPool::spawn_loop() {
    std::unique_lock lock(spawn_mutex_);
    for (;;) {
        spawn_wake_.wait(lock, [this] { return stopping_ || !spawn_requests_.empty(); });
        if (spawn_requests_.empty()) {
            return;
        }
        auto request = std::move(spawn_requests_.front());
        spawn_requests_.pop_front();
        lock.unlock();
        try {
            request.set_value(std::make_unique<WorkerProcess>(program_));
        } catch (...) {
            request.set_exception(std::current_exception());
        }
        lock.lock();
    }
}

std::unique_ptr<WorkerProcess> WorkerPool::start() {
    std::promise<std::unique_ptr<WorkerProcess>> promise;
    auto future = promise.get_future();
    {
        const std::lock_guard lock(spawn_mutex_);
        spawn_requests_.push_back(std::move(promise));
    }
    spawn_wake_.notify_one();
    return future.get();
}

void WorkerPool::make_room(std::uint64_t bytes) {
    // Half as much again as the file: weights, key/value cache and buffers.
    while (!idle_.empty() && engine::available_memory() < bytes + bytes / 2) {
        idle_.pop_back();
    }
}

WorkerPool::Lease WorkerPool::acquire(const std::filesystem::path& model, int threads,
                                      const std::atomic<bool>& cancel) {
    const std::string key = model_key(model, threads);
    const std::uint64_t bytes = model_bytes(model);
    {
        const std::lock_guard lock(mutex_);
        const auto found = std::find_if(idle_.begin(), idle_.end(), [&](const Idle& idle) { return idle.key == key; });
        if (found != idle_.end()) {
            Lease lease(*this, std::move(found->process));
            lease.key_ = key;
            lease.bytes_ = bytes;
            lease.info = std::move(found->info);
            idle_.erase(found);
            return lease;
        }
        make_room(bytes);
    }
    Lease lease(*this, start());
    lease.key_ = key;
    lease.bytes_ = bytes;
    lease.info = lease->open(model, threads, cancel);
    return lease;
}

WorkerPool::Lease::~Lease() {
    if (process_) {
        pool_->give_back(*this);
    }
}

void WorkerPool::give_back(Lease& lease) {
    // A process without a model (it could not be opened) is not worth keeping.
    if (!lease.process_->alive() || lease.info.is_null()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    idle_.push_front({lease.key_, lease.bytes_, std::move(lease.info), std::move(lease.process_)});
    while (idle_.size() > kMostIdle) {
        idle_.pop_back();
    }
    make_room(0);
}

int ThreadShare::Slot::threads() const {
    return std::max(1, cores() / std::max(1, share_.running_.load()));
}

}  // namespace moescope::node
