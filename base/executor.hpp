// One thread that does small things in order.
#pragma once

#include <functional>
#include <memory>

namespace moescope::base {

class Executor {
 public:
    Executor();
    /// Does what is queued, then joins.
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// From any thread. After finish() nothing is done any more. `work` must not throw.
    void post(std::function<void()> work);
    /// Does what is queued, then joins. From one thread, which is not the executor's.
    void finish();

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace moescope::base
