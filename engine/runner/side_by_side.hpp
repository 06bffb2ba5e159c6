// The same model several times at once, for measurements that are made of many independent readings.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/runner/routed_model.hpp"

namespace moescope::engine {

/// work(model, i) for every i below `count`, each model of `copies` (one or more) on a thread of its own, the first on
/// the calling one. False when `cancel` turned true meanwhile: what had not begun is left out. The first exception of
/// any of them ends all, and is thrown here.
template <class Work>
bool side_by_side(const std::vector<std::unique_ptr<RoutedModel>>& copies, std::size_t count,
                  const std::atomic<bool>& cancel, const Work& work) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::exception_ptr problem;
    const auto take_turns = [&](RoutedModel& model) {
        try {
            for (std::size_t i = next++; i < count && !failed && !cancel; i = next++) {
                work(model, i);
            }
        } catch (...) {
            failed = true;
            const std::lock_guard lock(mutex);
            problem = problem == nullptr ? std::current_exception() : problem;
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < copies.size(); ++i) {
            threads.emplace_back([&, i] { take_turns(*copies[i]); });
        }
        take_turns(*copies.front());
    }
    if (problem != nullptr) {
        std::rethrow_exception(problem);
    }
    return !cancel;
}

}  // namespace moescope::engine
