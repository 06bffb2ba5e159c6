// One thread that does small things in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace moescope::node {

class Executor {
 public:
    Executor() : thread_([this] { loop(); }) {}
    /// Does what is queued, then joins.
    ~Executor() { finish(); }
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// From any thread. After finish() nothing is done any more.
    void post(std::function<void()> work) {
        {
            const std::lock_guard lock(mutex_);
            if (stopping_)
                return;
            queue_.push_back(std::move(work));
        }
        wake_.notify_one();
    }
    void finish() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        if (thread_.joinable())
            thread_.join();
    }

 private:
    void loop() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty())
                return;
            auto work = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            work();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> queue_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace moescope::node
