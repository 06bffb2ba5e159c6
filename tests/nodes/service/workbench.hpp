// The node as a workbench uses it: over its socket, with the client that the window uses.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>

#include "nodes/client/client.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {

using client::CommandResult;
using client::Snapshot;
using history::RunState;

class Workbench {
 public:
    explicit Workbench(const std::filesystem::path& session)
        : Workbench(client::ClientOptions{node_program(), session, {}, {}}) {}
    explicit Workbench(const client::ClientOptions& options)
        : client_(options, [this] {
              {
                  const std::lock_guard lock(mutex_);
                  ++changes_;
              }
              wake_.notify_all();
          }) {}

    client::NodeClient& client() { return client_; }

    /// Waits for a snapshot that fits; fails the test after half a minute.
    std::shared_ptr<const Snapshot> wait(const char* what, const std::function<bool(const Snapshot&)>& fits) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        for (;;) {
            std::unique_lock lock(mutex_);
            const std::uint64_t seen = changes_;
            lock.unlock();
            auto snapshot = client_.snapshot();
            if (fits(*snapshot)) {
                return snapshot;
            }
            lock.lock();
            if (!wake_.wait_until(lock, deadline, [&] { return changes_ != seen; })) {
                ADD_FAILURE() << "waited in vain for: " << what << "; link: " << snapshot->link.message;
                return snapshot;
            }
        }
    }

    /// Sends a command and waits for its end.
    CommandResult ask(const std::string& name, const nlohmann::json& parameters) {
        return result_of(client_.send(name, parameters));
    }
    /// Waits for the end of a command that was sent.
    CommandResult result_of(client::CommandId id) {
        const auto snapshot = wait("the end of a command", [&](const Snapshot& now) {
            const auto found = now.results.find(id);
            return found != now.results.end() && found->second.state != CommandResult::State::pending;
        });
        const auto found = snapshot->results.find(id);
        return found == snapshot->results.end() ? CommandResult{} : found->second;
    }
    nlohmann::json done(const std::string& name, const nlohmann::json& parameters) {
        const auto result = ask(name, parameters);
        EXPECT_EQ(result.state, CommandResult::State::done) << name << ": " << result.error;
        return result.value;
    }
    std::string failed(const std::string& name, const nlohmann::json& parameters) {
        const auto result = ask(name, parameters);
        EXPECT_EQ(result.state, CommandResult::State::failed) << name;
        return result.error.english();
    }

 private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::uint64_t changes_ = 0;
    client::NodeClient client_;
};

inline const history::TrainingRun* training(const Snapshot& snapshot, std::uint32_t run) {
    const auto found = snapshot.training.find(run);
    return found == snapshot.training.end() ? nullptr : found->second.get();
}

inline std::function<bool(const Snapshot&)> in_state(std::uint32_t run, RunState state) {
    return [=](const Snapshot& snapshot) {
        const auto* found = training(snapshot, run);
        return found != nullptr && found->state == state;
    };
}

inline bool has_event(const history::TrainingRun& run, const std::string& kind) {
    for (const auto& event : run.events) {
        if (event.kind == kind) {
            return true;
        }
    }
    return false;
}

}  // namespace moescope::test
