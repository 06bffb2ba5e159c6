// A process gives up what it does not need before it reads a file that somebody else made: whoever takes it over
// through that file then has a process that can open nothing but what it was given, speak to nobody, and start nothing.
// Landlock (files) and seccomp (system calls), as far as the kernel has them.
#pragma once

#include <filesystem>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::base {

/// What may still be opened. Links are followed once, when the sandbox is entered. What is not there is passed over.
struct SandboxRules {
    std::vector<std::filesystem::path> read;     ///< files, and folders with everything in them
    std::vector<std::filesystem::path> write;    ///< folders in which files and folders are made, written and removed
    std::vector<std::filesystem::path> devices;  ///< read and written, never made
    /// Unix sockets may be made, as drivers of GPUs do. No other socket ever.
    bool local_sockets = false;
};

/// What holds from now on, or could hold.
struct Sandbox {
    bool files = false;  ///< nothing else can be opened
    /// No sockets, no other program, no look into other processes, no namespaces, no other way around `files`.
    bool calls = false;
    Sentence why_not;  ///< what of the two is missing and why; empty: nothing
};

/// For good, for this thread and those that it starts (`calls`: for all threads). So: before there are others. Never
/// throws; where the kernel has only a part, that part holds.
Sandbox enter_sandbox(const SandboxRules& rules);

/// What enter_sandbox() could do here. Changes nothing.
Sandbox sandbox_here();

}  // namespace moescope::base
