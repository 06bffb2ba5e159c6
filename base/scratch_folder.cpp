#include "base/scratch_folder.hpp"

#include <atomic>
#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/error.hpp"

namespace moescope::base {
namespace fs = std::filesystem;

namespace {

OwnedFolder make_owned() {
    std::error_code error;
    const fs::path place = fs::temp_directory_path(error);
    // Once is enough, as the place may hold many thousand names; a forked process is another one.
    static std::atomic<pid_t> looked{0};
    if (looked.load() != ::getpid()) {
        OwnedFolder::remove_abandoned(place);
        looked.store(::getpid());
    }
    auto owned = OwnedFolder::make_in(place);
    if (!owned) {
        throw Error(say("the folder {} can't be made: {}", place / "moescope-XXXXXX", system_sentence(errno)));
    }
    return std::move(*owned);
}

}  // namespace

ScratchFolder::ScratchFolder() : owned_(make_owned()), path_(owned_.path() / "files") {
    if (::mkdir(path_.c_str(), 0700) != 0) {
        throw Error(say("the folder {} can't be made: {}", path_, system_sentence(errno)));
    }
}

}  // namespace moescope::base
