#include "base/scratch_folder.hpp"

#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <utility>

#include "base/error.hpp"

namespace moescope::base {
namespace fs = std::filesystem;

namespace {

OwnedFolder make_owned() {
    std::error_code error;
    const fs::path place = fs::temp_directory_path(error);
    OwnedFolder::remove_abandoned(place);
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
