// The node's process as a child: started, watched and ended. Belongs to the thread that starts it: the kernel ends the
// child when that thread ends (a workbench that is killed leaves no node behind; what the node has written to its
// journal stays).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file_io.hpp"
#include "base/sentence.hpp"

namespace moescope::client {

class ChildProcess {
 public:
    ChildProcess() = default;
    ~ChildProcess();  ///< SIGKILL, if it still runs
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    /// Runs `program` with `arguments`; its stdout and stderr are appended to `log`. Throws std::runtime_error.
    void start(const std::filesystem::path& program, const std::vector<std::string>& arguments,
               const std::filesystem::path& log) {
        start(program, arguments, log, nullptr);
    }
    struct Pipes {
        base::Descriptor to, from;  ///< its stdin and stdout
    };
    /// The same, but for what it reads and prints, which go through pipes.
    Pipes start_with_pipes(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                           const std::filesystem::path& log) {
        Pipes pipes;
        start(program, arguments, log, &pipes);
        return pipes;
    }
    bool running() const { return process_ > 0; }
    int process() const { return process_; }
    /// A descriptor that becomes readable when the child ends, -1 where the kernel has none. The caller closes it.
    int open_watch() const;
    /// How it ended, once it has: "the node ended by signal 9 (Killed)". Never waits. running() is false afterwards.
    std::optional<base::Sentence> poll_end();
    /// Of the latest one that ended: its exit status, 0 when a signal ended it.
    int last_status() const { return last_status_; }
    void send_signal(int signal) const;

 private:
    void start(const std::filesystem::path& program, const std::vector<std::string>& arguments,
               const std::filesystem::path& log, Pipes* pipes);

    int process_ = 0;
    int last_status_ = 0;
};

/// The last line that says something in a file from that byte on, at most 300 bytes.
std::string last_line(const std::filesystem::path& file, std::uint64_t from);

}  // namespace moescope::client
