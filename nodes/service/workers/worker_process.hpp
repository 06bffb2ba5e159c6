// The node's side of a model's process: start it, ask it, notice when it dies, end it when it does not obey.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/atomic_files.hpp"
#include "base/error.hpp"
#include "nodes/service/library/model_source.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// The model's process says no, or is gone. One sentence for a person.
class WorkerError : public base::Error {
 public:
    WorkerError(const base::Sentence& message, bool process_died) : base::Error(message), died(process_died) {}
    bool died;
};

/// What a model sends on the way to its answer; never a `json`.
using OnPart = std::function<void(WorkerMessageKind kind, std::span<const std::byte> body)>;

/// The sentences in the list that an answer has under `key`: its "notes", its "doubts".
std::vector<base::Sentence> sentences_in(const nlohmann::json& answer, const char* key);

/// The reason in what a process wrote before it died: a failed check of ggml without the place where it was built, what
/// an exception said, else the last line. Short and fit to be shown; empty when there is none.
std::string last_words(const std::string& log);

/// One model's process. The caller's program ignores SIGPIPE: writing to a dead process is then an error code. One
/// thread at a time, except cancel() and process().
class WorkerProcess {
 public:
    /// Starts `program worker`. The calling thread must live as long as the process (the kernel ends the child with
    /// it); WorkerPool sees to that. Throws WorkerError.
    explicit WorkerProcess(const std::filesystem::path& program);
    ~WorkerProcess();  ///< closes the pipe, and kills what has not left after 200 ms
    WorkerProcess(const WorkerProcess&) = delete;
    WorkerProcess& operator=(const WorkerProcess&) = delete;

    /// Opens a model; gives what the process says about it. Throws WorkerError. `cancel` turning true kills the
    /// process.
    nlohmann::json open(const ModelSource& source, int threads, const std::atomic<bool>& cancel);
    /// Sends `request` and waits for {"op":"ended"}; what comes before it goes to `on_part` on the calling thread.
    /// Files that it names under "tokens" and "replay" are lent to the process, which can't open others than its model.
    /// When `cancel` turns true the process is told, and killed if it has not obeyed two seconds later. Throws
    /// WorkerError, and what `on_part` throws.
    nlohmann::json ask(const nlohmann::json& request, const base::Sentence& doing, const OnPart& on_part,
                       const std::atomic<bool>& cancel, std::chrono::milliseconds patience = std::chrono::seconds(2));

    pid_t process() const { return process_; }
    bool alive() const { return alive_; }

 private:
    [[noreturn]] void throw_dead(const base::Sentence& doing);
    base::Sentence end_of_process();

    pid_t process_ = -1;
    int to_ = -1, from_ = -1, errors_ = -1;
    bool alive_ = false;
    bool killed_by_us_ = false;
    std::optional<base::WorkFolder> lent_;  ///< what the process may read beside its model
    std::unique_ptr<WorkerWriter> writer_;
    std::unique_ptr<WorkerReader> reader_;
};

}  // namespace moescope::node
