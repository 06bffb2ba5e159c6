// The models that are open: one process for each, shared by everything that asks it, and kept for a while, so that a
// model that was used a moment ago answers again without being loaded.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nodes/protocol/gauges.hpp"
#include "nodes/service/library/model_source.hpp"
#include "nodes/service/workers/worker_process.hpp"

namespace moescope::node {

/// Thread safe.
class WorkerPool {
    struct Model;
    using Clock = std::chrono::steady_clock;

 public:
    /// How long a model stays open that nobody asks any more. It goes earlier when others need the memory: a model or a
    /// run that is about to start, or a machine with less than 512 MiB left.
    static constexpr std::chrono::seconds kKeep{120};

    explicit WorkerPool(std::filesystem::path program, std::chrono::milliseconds keep = kKeep);
    ~WorkerPool();  ///< ends all idle processes; leases must be gone
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// The right to ask a model, alone until the end of the lease. Then it is the next one's turn, in the order in
    /// which they came; the process stays (or is dropped, when it died).
    class Lease {
     public:
        Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), model_(other.model_) {}
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        /// Loads the model, unless it is open. Gives what the process said when it opened it. Throws WorkerError.
        const nlohmann::json& open(int threads, const std::atomic<bool>& cancel);
        /// Once it is open.
        WorkerProcess& operator*() const;
        WorkerProcess* operator->() const { return &**this; }

     private:
        friend class WorkerPool;
        Lease(WorkerPool& pool, Model& model) : pool_(&pool), model_(&model) {}
        WorkerPool* pool_;
        Model* model_;
    };

    /// Waits for those who ask the same model. Loads nothing yet. `name` is for people. Throws WorkerError when
    /// `cancel` turns true.
    Lease acquire(const std::string& name, const ModelSource& model, const std::atomic<bool>& cancel);
    /// One question to a process of its own, which ends with the answer. Throws WorkerError.
    nlohmann::json ask_once(const nlohmann::json& request, const base::Sentence& doing,
                            const std::atomic<bool>& cancel);

    /// Puts idle models away, the one that was used least lately first, until so many bytes are free or none is left.
    void make_room(std::uint64_t bytes);
    /// What each open model takes now.
    std::vector<protocol::ProcessMemory> processes() const;
    /// Bytes of the idle ones: what make_room() could free.
    std::uint64_t idle_memory() const;

 private:
    struct Model {
        std::string key, name;
        ModelSource source;
        std::uint64_t bytes = 0;                 ///< on disk
        nlohmann::json info;                     ///< null: not open
        std::unique_ptr<WorkerProcess> process;  ///< null: not started
        bool in_use = false;
        std::deque<std::uint64_t> waiting;  ///< tickets
        Clock::time_point since;            ///< of its latest use
        bool idle() const { return !in_use && waiting.empty(); }
    };
    using Processes = std::vector<std::unique_ptr<WorkerProcess>>;

    std::unique_ptr<WorkerProcess> start();
    void load(Model& model, int threads, const std::atomic<bool>& cancel);
    void give_back(Model& model);
    std::list<Model>::iterator least_lately_used();  ///< of the idle ones; with the lock held
    void put_away(std::list<Model>::iterator model, Processes& gone);
    void tidy();
    void spawn_loop();

    const std::filesystem::path program_;
    const Clock::duration keep_;
    mutable std::mutex mutex_;
    std::condition_variable freed_;
    std::list<Model> models_;  ///< most recently used first; references stay valid
    std::uint64_t last_ticket_ = 0;

    // A process is tied to the thread that started it, so all are started by one thread that lives as long as the pool.
    // It also looks after the idle ones.
    std::mutex spawn_mutex_;
    std::condition_variable spawn_wake_;
    std::deque<std::promise<std::unique_ptr<WorkerProcess>>> spawn_requests_;
    bool stopping_ = false;
    std::thread spawner_;
};

/// What a model that is open says of how it is computed, for records of its answers: "device" ("cuda:0") of a model of
/// our own engine, and "disabled_experts" ([[layer, expert]]) that it never chooses, as far as there are any. `opened`:
/// of Lease::open().
nlohmann::json computed_by(const nlohmann::json& opened);
/// Why that is the processor, of a model that was trained on another device; empty: it was not, or it is not.
base::Sentence why_processor(const nlohmann::json& opened);

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
