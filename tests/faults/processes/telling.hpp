// What a child process notes of its day, told through a pipe until it dies.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "tests/faults/disk/script.hpp"

namespace moescope::faults {

void tell(int pipe, const Note& note);
/// Of everything that was told; a line that was cut is left out.
std::vector<Note> notes_of(const std::string& told);

/// A child that tells; `work` gets the pipe and ends the process by returning.
class TellingChild {
 public:
    explicit TellingChild(const std::function<void(int pipe)>& work);
    pid_t process() const { return process_; }
    /// Waits for its end.
    std::vector<Note> notes();
    /// Of waitpid(), after notes().
    int status() const { return status_; }

 private:
    pid_t process_ = -1;
    int pipe_ = -1, status_ = 0;
};

}  // namespace moescope::faults
