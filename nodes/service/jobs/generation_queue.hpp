// Comparisons take turns: the answers of one group are written side by side, those of another wait until the first are
// done. Otherwise a few hasty starts would load a model many times over.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>

namespace moescope::node {

/// Thread safe.
class GenerationQueue {
 public:
    /// A place in the queue, from its making to its end.
    class Place {
     public:
        /// `group` empty: alone.
        Place(GenerationQueue& turns, std::string group);
        ~Place();
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        /// Waits until the first in the queue belongs to the same group; false when `cancel` turned true before.
        bool wait(const std::atomic<bool>& cancel);
        /// True when wait() would not wait.
        bool is_next() const;

     private:
        bool is_next_locked() const;

        GenerationQueue& turns_;
        const std::string group_;
        std::list<const Place*>::iterator at_;
    };

 private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::list<const Place*> queue_;
};

}  // namespace moescope::node
