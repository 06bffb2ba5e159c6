// Model processes that are kept warm: a model that was used a moment ago answers again without being loaded.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "nodes/service/workers/worker_process.hpp"

namespace moescope::node {

/// Thread safe.
class WorkerPool {
 public:
    explicit WorkerPool(std::filesystem::path program);
    ~WorkerPool();  ///< ends all idle processes; leases must be gone
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// A model's process for one user at a time; goes back to the pool (or is dropped, when it died) at the end.
    class Lease {
     public:
        Lease(WorkerPool& pool, std::unique_ptr<WorkerProcess> process) : pool_(&pool), process_(std::move(process)) {}
        ~Lease();
        Lease(Lease&&) = default;
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        WorkerProcess& operator*() const { return *process_; }
        WorkerProcess* operator->() const { return process_.get(); }
        nlohmann::json info;  ///< what the process said when it opened the model

     private:
        friend class WorkerPool;
        WorkerPool* pool_;
        std::unique_ptr<WorkerProcess> process_;
        std::string key_;
        std::uint64_t bytes_ = 0;
    };

    /// A process with this model open, warm or new. Throws WorkerError.
    Lease acquire(const std::filesystem::path& model, int threads, const std::atomic<bool>& cancel);

 private:
    struct Idle {
        std::string key;
        std::uint64_t bytes = 0;
        nlohmann::json info;
        std::unique_ptr<WorkerProcess> process;
    };
    std::unique_ptr<WorkerProcess> start();
    void give_back(Lease& lease);
    void make_room(std::uint64_t bytes);
    void spawn_loop();

    const std::filesystem::path program_;
    std::mutex mutex_;
    std::list<Idle> idle_;  ///< most recently used first

    // A process is tied to the thread that started it, so all are started by one thread that lives as long as the pool.
    std::mutex spawn_mutex_;
    std::condition_variable spawn_wake_;
    std::deque<std::promise<std::unique_ptr<WorkerProcess>>> spawn_requests_;
    bool stopping_ = false;
    std::thread spawner_;
};

/// Shares the processor between the generations that run at the same time.
class ThreadShare {
 public:
    /// Counts one more running generation for its lifetime.
    class Slot {
     public:
        explicit Slot(ThreadShare& share) : share_(share) { ++share_.running_; }
        ~Slot() { --share_.running_; }
        Slot(const Slot&) = delete;
        Slot& operator=(const Slot&) = delete;
        /// Cores divided by the generations that run now, at least 1.
        int threads() const;

     private:
        ThreadShare& share_;
    };

 private:
    std::atomic<int> running_{0};
};

}  // namespace moescope::node
