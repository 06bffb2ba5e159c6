#include "nodes/client/runtime_folder.hpp"

#include <cstdlib>
#include <string>
#include <utility>

namespace moescope::client {

namespace {

constexpr std::size_t kLongestBase = 60;  // a socket's path may have 107 bytes

}  // namespace

RuntimeFolder::RuntimeFolder() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    for (const std::string& place : {std::string(runtime != nullptr ? runtime : ""), std::string("/tmp")}) {
        if (place.empty() || place.size() > kLongestBase) {
            continue;
        }
        base::OwnedFolder::remove_abandoned(place);
        if (auto made = base::OwnedFolder::make_in(place)) {
            folder_.emplace(std::move(*made));
            return;
        }
    }
}

}  // namespace moescope::client
