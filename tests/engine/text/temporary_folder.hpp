// A folder that exists as long as the test that uses it.
#pragma once

#include <unistd.h>

#include "tests/files.hpp"

namespace moescope::engine {

class TemporaryFolder : public moescope::test::TemporaryFolder {
 public:
    // In memory where there is such a place: the tests with random damage write tens of thousands of files.
    TemporaryFolder()
        : moescope::test::TemporaryFolder(::access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                                          : std::filesystem::temp_directory_path()) {}

    std::filesystem::path write(const std::string& name, const std::string& bytes) const {
        moescope::test::write_text(path() / name, bytes);
        return path() / name;
    }
};

}  // namespace moescope::engine
