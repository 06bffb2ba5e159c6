#include "tests/faults/processes/telling.hpp"

#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace moescope::faults {

void tell(int pipe, const Note& note) {
    std::ostringstream line;
    line << static_cast<int>(note.kind) << ' ' << note.done << ' ' << note.key << ' ' << note.value << '\n';
    const std::string text = line.str();
    (void)!::write(pipe, text.data(), text.size());
}

std::vector<Note> notes_of(const std::string& told) {
    std::vector<Note> notes;
    std::istringstream lines(told.substr(0, told.rfind('\n') + 1));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        int kind = 0;
        Note note{};
        if (fields >> kind >> note.done >> note.key && std::getline(fields >> std::ws, note.value)) {
            note.kind = static_cast<Note::Kind>(kind);
            notes.push_back(note);
        }
    }
    return notes;
}

TellingChild::TellingChild(const std::function<void(int pipe)>& work) {
    int ends[2];
    if (::pipe(ends) != 0) {
        throw std::runtime_error("no pipe");
    }
    process_ = ::fork();
    if (process_ == 0) {
        ::close(ends[0]);
        work(ends[1]);
        ::_exit(0);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
}

std::vector<Note> TellingChild::notes() {
    std::string told;
    char buffer[4096];
    for (ssize_t count; (count = ::read(pipe_, buffer, sizeof buffer)) > 0;) {
        told.append(buffer, static_cast<std::size_t>(count));
    }
    ::close(pipe_);
    ::waitpid(process_, &status_, 0);
    return notes_of(told);
}

}  // namespace moescope::faults
