// One thread that works for several in turn: a piece for each of them, however many one has waiting.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/executor.hpp"

namespace moescope::node {

/// Thread safe, but for finish().
class FairLane {
 public:
    /// Exactly one of the two is called, once, unless the work is dropped. Neither may throw.
    struct Work {
        std::function<void()> carry_out;  ///< on the lane's thread
        std::function<void()> give_up;    ///< instead, on any thread, when the lane was closed before its turn came
        std::string id = {};              ///< for drop(); empty: it can't be
    };
    ~FairLane() { finish(); }

    /// The pieces of one `who` are done in order.
    void post(std::uint64_t who, Work work);
    /// Takes back what still waits under that id; then neither of its functions is called. False when its turn has
    /// come, or there is none.
    bool drop(const std::string& id);
    /// What waits is given up from now on; does not wait for that.
    void close();
    /// close(), and waits until the piece in work is done and the others are given up.
    void finish();

 private:
    void do_next();

    std::mutex mutex_;
    std::map<std::uint64_t, std::deque<Work>> waiting_;  ///< by who; none is empty
    std::uint64_t latest_ = 0;                           ///< whose piece was taken last
    bool closed_ = false;
    base::Executor executor_;  ///< last: its thread uses the others
};

}  // namespace moescope::node
