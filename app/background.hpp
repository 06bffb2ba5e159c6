// Work that must not happen on the GUI thread: reading and writing files. Jobs run in order on an executor; what a job
// returns is run on the GUI thread by finish().
#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.hpp"
#include "base/sentence.hpp"

namespace moescope::app {

class Background {
 public:
    using Completion = std::function<void()>;
    using Job = std::function<Completion()>;  ///< runs on the worker; its result may be empty; must not throw

    explicit Background(std::function<void()> wake);  ///< wake: called on the worker when a completion is ready
    ~Background();                                    ///< finishes the queued jobs, drops their completions
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    void post(Job job);
    void finish();  ///< GUI thread: runs the completions that are ready

 private:
    std::function<void()> wake_;
    std::mutex mutex_;  ///< guards ready_
    std::vector<Completion> ready_;
    base::Executor executor_;  ///< last: its jobs use the others
};

/// Writes `bytes` as sessions/outputs.hpp does: whole or not at all, never over a part of a session or what is no
/// ordinary file. A file that is there is replaced: who saves has been asked. Creates missing folders. Gives a sentence
/// when it failed, else "".
base::Sentence write_file(const std::filesystem::path& path, const std::string& bytes);

}  // namespace moescope::app
