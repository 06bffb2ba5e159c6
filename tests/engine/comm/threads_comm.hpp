// Ranks as threads of one process, for tests: the same operations without MPI.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm::test {

/// What the ranks of one run share.
struct Meeting {
    explicit Meeting(int ranks) : gone(static_cast<std::size_t>(ranks), false) {}
    std::mutex mutex;
    std::condition_variable change;
    std::map<std::pair<int, int>, std::deque<std::vector<std::byte>>> on_the_way;  ///< from, to
    std::vector<bool> gone;
};

class ThreadsComm final : public ExchangeComm {
 public:
    ThreadsComm(Meeting& meeting, int rank, std::chrono::milliseconds patience = std::chrono::seconds(60))
        : meeting_(meeting), rank_(rank), patience_(patience) {}
    /// A rank whose Comm goes has ended.
    ~ThreadsComm() override { leave(); }
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(meeting_.gone.size()); }
    int neighbours() const override { return size(); }
    void abort() noexcept override { leave(); }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        std::unique_lock lock(meeting_.mutex);
        for (const Outgoing& part : out) {
            const auto* bytes = static_cast<const std::byte*>(part.data);
            if (part.bytes > 0) {
                meeting_.on_the_way[{rank_, part.rank}].emplace_back(bytes, bytes + part.bytes);
            }
        }
        meeting_.change.notify_all();
        for (const Incoming& part : in) {
            if (part.bytes == 0) {
                continue;
            }
            auto& queue = meeting_.on_the_way[{part.rank, rank_}];
            const auto arrived = [&] { return !queue.empty() || meeting_.gone[static_cast<std::size_t>(part.rank)]; };
            if (patience == Patience::endless) {
                meeting_.change.wait(lock, arrived);
            } else if (!meeting_.change.wait_for(lock, patience_, arrived)) {
                throw Error(base::Sentence::verbatim("the other ranks did not answer"));
            }
            if (queue.empty()) {
                throw Error(base::Sentence::verbatim("rank " + std::to_string(part.rank) + " has ended"));
            }
            if (queue.front().size() != part.bytes) {
                throw Error(base::Sentence::verbatim("sizes that do not fit"));
            }
            std::memcpy(part.data, queue.front().data(), part.bytes);
            queue.pop_front();
        }
    }

    void leave() noexcept {
        const std::lock_guard lock(meeting_.mutex);
        meeting_.gone[static_cast<std::size_t>(rank_)] = true;
        meeting_.change.notify_all();
    }
    Meeting& meeting_;
    const int rank_;
    const std::chrono::milliseconds patience_;
};

/// Runs `work` as so many ranks, each with its own Comm; gives what each threw, "" when nothing.
inline std::vector<std::string> run_ranks(int ranks, const std::function<void(std::shared_ptr<Comm>)>& work) {
    Meeting meeting(ranks);
    std::vector<std::string> problems(static_cast<std::size_t>(ranks));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
        threads.emplace_back([&, rank] {
            try {
                work(std::make_shared<ThreadsComm>(meeting, rank));
            } catch (const std::exception& problem) {
                problems[static_cast<std::size_t>(rank)] = problem.what();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    return problems;
}

}  // namespace moescope::engine::comm::test
