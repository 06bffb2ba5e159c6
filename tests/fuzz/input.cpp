#include "tests/fuzz/input.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace moescope::fuzz {

namespace fs = std::filesystem;

namespace {

class MemoryFile {
 public:
    MemoryFile() : file_(::memfd_create("fuzz-input", MFD_CLOEXEC)) {
        if (file_ < 0 || ::fchmod(file_, 0600) != 0) {
            throw std::runtime_error("no file in memory can be made");
        }
        path_ = "/proc/self/fd/" + std::to_string(file_);
    }
    ~MemoryFile() { ::close(file_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    const fs::path& fill(const std::uint8_t* data, std::size_t size) {
        if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) {
            throw std::runtime_error("the file in memory can't be written");
        }
        return path_;
    }
    const fs::path& path() const { return path_; }

 private:
    int file_;
    fs::path path_;
};

std::uint64_t& accepted_count() {
    static std::uint64_t count = 0;
    return count;
}

MemoryFile& memory_file() {
    static MemoryFile file;
    return file;
}

}  // namespace

void expect(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "fuzz: this does not hold: %s\n", what);
        std::abort();
    }
}

void accepted() {
    ++accepted_count();
}
std::uint64_t accepted_so_far() {
    return accepted_count();
}

fs::path scratch() {
    std::error_code error;
    const fs::path memory = "/dev/shm";
    const bool usable = fs::is_directory(memory, error) && ::access(memory.c_str(), W_OK) == 0;
    return std::getenv("TMPDIR") == nullptr && usable ? memory : fs::temp_directory_path();
}

const fs::path& in_file(const std::uint8_t* data, std::size_t size) {
    return memory_file().fill(data, size);
}

InFolder::InFolder(std::initializer_list<const char*> names) {
    std::string made = (scratch() / "moescope-fuzz-XXXXXX").string();
    if (::mkdtemp(made.data()) == nullptr) {
        throw std::runtime_error("the folder " + made + " can't be made");
    }
    folder_ = made;
    for (const char* name : names) {
        fs::create_directories((folder_ / name).parent_path());
        fs::create_symlink(memory_file().path(), folder_ / name);
    }
}

InFolder::~InFolder() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

const fs::path& InFolder::with(const std::uint8_t* data, std::size_t size) const {
    (void)in_file(data, size);
    return folder_;
}

}  // namespace moescope::fuzz
