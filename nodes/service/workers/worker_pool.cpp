#include "nodes/service/workers/worker_pool.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "base/json_fields.hpp"
#include "base/process_memory.hpp"
#include "engine/model/machine_memory.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/model_library.hpp"

namespace moescope::node {

using base::say;

namespace {

constexpr std::size_t kMostIdle = 3;
constexpr std::uint64_t kTight = std::uint64_t{512} << 20;  ///< bytes left on the machine
constexpr std::chrono::seconds kLongestLook{1};             ///< between two looks at the idle models
constexpr std::chrono::milliseconds kLookForCancel{20};

/// The same path can hold another file tomorrow, and a server can be spoken to in another way.
std::string model_key(const ModelSource& source, std::uint64_t bytes) {
    if (source.is_server()) {
        return source.string() + "|" + source.server.dump();
    }
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(source.path, error).time_since_epoch().count();
    return fmt::format("{}|{}|{}|{}", source.string(), bytes, changed, source.device);
}

}  // namespace

WorkerPool::WorkerPool(std::filesystem::path program, std::chrono::milliseconds keep)
    : program_(std::move(program)), keep_(keep), spawner_([this] { spawn_loop(); }) {}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        models_.clear();
    }
    {
        const std::lock_guard lock(spawn_mutex_);
        stopping_ = true;
    }
    spawn_wake_.notify_all();
    spawner_.join();
}

void WorkerPool::spawn_loop() {
    const Clock::duration look = std::clamp<Clock::duration>(keep_ / 4, std::chrono::milliseconds(10), kLongestLook);
    std::unique_lock lock(spawn_mutex_);
    for (;;) {
        spawn_wake_.wait_for(lock, look, [this] { return stopping_ || !spawn_requests_.empty(); });
        if (spawn_requests_.empty()) {
            if (stopping_) {
                return;
            }
            lock.unlock();
            tidy();
            lock.lock();
            continue;
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

std::list<WorkerPool::Model>::iterator WorkerPool::least_lately_used() {
    auto oldest = models_.end();
    for (auto model = models_.begin(); model != models_.end(); ++model) {
        if (model->idle()) {
            oldest = model;
        }
    }
    return oldest;
}

/// With the lock held. A process may take its time to end: the caller does that without the lock.
void WorkerPool::put_away(std::list<Model>::iterator model, Processes& gone) {
    gone.push_back(std::move(model->process));
    models_.erase(model);
}

void WorkerPool::make_room(std::uint64_t bytes) {
    while (engine::available_memory() < bytes) {
        Processes gone;  // ends after the lock: its memory is free before the next look
        const std::lock_guard lock(mutex_);
        const auto oldest = least_lately_used();
        if (oldest == models_.end()) {
            return;
        }
        put_away(oldest, gone);
    }
}

void WorkerPool::tidy() {
    Processes gone;
    {
        const std::lock_guard lock(mutex_);
        for (auto oldest = least_lately_used(); oldest != models_.end() && Clock::now() - oldest->since >= keep_;
             oldest = least_lately_used()) {
            put_away(oldest, gone);
        }
        if (gone.empty() && !models_.empty() && engine::available_memory() < kTight) {
            if (const auto oldest = least_lately_used(); oldest != models_.end()) {
                put_away(oldest, gone);
            }
        }
    }
}

nlohmann::json WorkerPool::ask_once(const nlohmann::json& request, const base::Sentence& doing,
                                    const std::atomic<bool>& cancel) {
    return start()->ask(
        request, doing, [](WorkerMessageKind, std::span<const std::byte>) {}, cancel, std::chrono::milliseconds(0));
}

WorkerPool::Lease WorkerPool::acquire(const std::string& name, const ModelSource& source,
                                      const std::atomic<bool>& cancel) {
    const std::uint64_t bytes = source.is_server() ? 0 : model_bytes(source.path);
    const std::string key = model_key(source, bytes);
    std::unique_lock lock(mutex_);
    auto found = std::find_if(models_.begin(), models_.end(), [&](const Model& model) { return model.key == key; });
    if (found == models_.end()) {
        found = models_.emplace(models_.begin());
        found->key = key;
        found->source = source;
        found->bytes = bytes;
    }
    Model& model = *found;
    model.name = name;
    if (!model.idle()) {
        const std::uint64_t ticket = ++last_ticket_;
        model.waiting.push_back(ticket);
        while (model.in_use || model.waiting.front() != ticket) {
            if (cancel) {
                std::erase(model.waiting, ticket);
                freed_.notify_all();
                throw WorkerError(say("cancelled before its turn"), false);
            }
            freed_.wait_for(lock, kLookForCancel);
        }
        model.waiting.pop_front();
    }
    model.in_use = true;
    return Lease(*this, model);
}

void WorkerPool::load(Model& model, int threads, const std::atomic<bool>& cancel) {
    // Half as much again as on disk: weights, key/value cache and buffers.
    make_room(model.bytes + model.bytes / 2);
    auto process = start();
    WorkerProcess& fresh = *process;
    {
        const std::lock_guard lock(mutex_);
        model.process.swap(process);
        model.info = nullptr;
    }
    auto info = fresh.open(model.source, threads, cancel);
    const std::lock_guard lock(mutex_);
    model.info = std::move(info);
}

void WorkerPool::give_back(Model& model) {
    Processes gone;
    {
        const std::lock_guard lock(mutex_);
        model.in_use = false;
        model.since = Clock::now();
        const auto here =
            std::find_if(models_.begin(), models_.end(), [&](const Model& other) { return &other == &model; });
        models_.splice(models_.begin(), models_, here);
        // A process without a model (it could not be opened) is not worth keeping.
        if (!model.process || !model.process->alive() || model.info.is_null()) {
            gone.push_back(std::move(model.process));
            model.info = nullptr;
            if (model.waiting.empty()) {
                models_.erase(here);
            }
        }
        std::size_t idle = 0;
        for (const Model& other : models_) {
            idle += other.idle() ? 1 : 0;
        }
        if (idle > kMostIdle) {
            put_away(least_lately_used(), gone);
        }
    }
    freed_.notify_all();
}

std::vector<protocol::ProcessMemory> WorkerPool::processes() const {
    std::vector<protocol::ProcessMemory> list;
    {
        const std::lock_guard lock(mutex_);
        for (const Model& model : models_) {
            if (model.process) {
                list.push_back(
                    {protocol::ProcessMemory::Kind::model, model.name, model.process->process(), 0, model.in_use});
            }
        }
    }
    for (auto& process : list) {
        process.bytes = base::process_memory(process.process);
    }
    return list;
}

std::uint64_t WorkerPool::idle_memory() const {
    std::vector<pid_t> idle;  // looking at those in use would take its time for nothing
    {
        const std::lock_guard lock(mutex_);
        for (const Model& model : models_) {
            if (model.process && !model.in_use) {
                idle.push_back(model.process->process());
            }
        }
    }
    std::uint64_t bytes = 0;
    for (const pid_t process : idle) {
        bytes += base::process_memory(process);
    }
    return bytes;
}

WorkerPool::Lease::~Lease() {
    if (pool_ != nullptr) {
        pool_->give_back(*model_);
    }
}

const nlohmann::json& WorkerPool::Lease::open(int threads, const std::atomic<bool>& cancel) {
    if (!model_->process || !model_->process->alive() || model_->info.is_null()) {
        pool_->load(*model_, threads, cancel);
    }
    return model_->info;
}

WorkerProcess& WorkerPool::Lease::operator*() const {
    return *model_->process;
}

nlohmann::json computed_by(const nlohmann::json& opened) {
    nlohmann::json computed = nlohmann::json::object();
    for (const char* key : {"device", "disabled_experts"}) {
        if (const nlohmann::json& value = base::member(opened, key); !value.is_null()) {
            computed[key] = value;
        }
    }
    return computed;
}

base::Sentence why_processor(const nlohmann::json& opened) {
    return base::sentence_in(opened, "why_processor");
}

int ThreadShare::Slot::threads() const {
    return std::max(1, cores() / std::max(1, share_.running_.load()));
}

}  // namespace moescope::node
