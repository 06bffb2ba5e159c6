#include "base/scratch_folder.hpp"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "base/atomic_files.hpp"
#include "base/error.hpp"

namespace moescope::base {
namespace fs = std::filesystem;

ScratchFolder::ScratchFolder() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "moescope-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw Error(say("the folder {} can't be made: {}", name, system_sentence(errno)));
    }
    path_ = name;
}

ScratchFolder::~ScratchFolder() {
    remove_quietly(path_);
}

}  // namespace moescope::base
