// bin/NAME of a bundle: runs lib/moescope/programs/NAME with the bundle's libraries. A static program that needs
// nothing of the machine, so that it also can say what is missing.
//
// Drivers for graphics belong to the machine and are loaded into the workbench. They need at least the machine's own C
// library, libstdc++ and X libraries; our programs need at least those of the machine that built the bundle. So the
// newer ones of the two are taken: the machine's where its C library is as new as the bundle's, else the bundle's.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/bundle_layout.hpp"

namespace {

using namespace moescope::base;

struct Version {
    int major = 0, minor = 0;
    bool operator<(const Version& other) const {
        return major != other.major ? major < other.major : minor < other.minor;
    }
};

/// Where a system keeps its libraries: Debian and its kin, then the others.
constexpr const char* kSystemFolders[] = {
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"};

bool is_file(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

/// A file as memory, read only; empty when it can't be read.
class Mapped {
 public:
    explicit Mapped(const std::string& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat status {};
        if (file >= 0 && ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
            const auto bytes = static_cast<std::size_t>(status.st_size);
            void* memory = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
            if (memory != MAP_FAILED) {
                text_ = {static_cast<const char*>(memory), bytes};
            }
        }
        if (file >= 0) {
            ::close(file);
        }
    }
    ~Mapped() {
        if (!text_.empty()) {
            ::munmap(const_cast<char*>(text_.data()), text_.size());
        }
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    std::string_view text() const { return text_; }

 private:
    std::string_view text_;
};

/// "2.36" at `at`; stops at what is no number.
std::optional<Version> version_at(std::string_view text, std::size_t at) {
    const auto number = [&]() -> std::optional<int> {
        int value = 0;
        const std::size_t start = at;
        for (; at < text.size() && at - start < 4 && text[at] >= '0' && text[at] <= '9'; ++at) {
            value = value * 10 + (text[at] - '0');
        }
        return at == start ? std::nullopt : std::optional(value);
    };
    const auto major = number();
    if (!major || at >= text.size() || text[at++] != '.') {
        return std::nullopt;
    }
    const auto minor = number();
    return minor ? std::optional(Version{*major, *minor}) : std::nullopt;
}

/// Of glibc, which says it in a sentence of its own: "... stable release version 2.36."
std::optional<Version> libc_version(const std::string& path) {
    const Mapped file(path);
    constexpr std::string_view kSentence = " release version ";
    for (std::size_t at = file.text().find(kSentence); at != std::string_view::npos;
         at = file.text().find(kSentence, at + 1)) {
        if (const auto version = version_at(file.text(), at + kSentence.size())) {
            return version;
        }
    }
    return std::nullopt;
}

/// The newest of the versions GLIBCXX_3.4.N that a libstdc++ offers, as {4, N}.
std::optional<Version> cxx_version(const std::string& path) {
    const Mapped file(path);
    constexpr std::string_view kName = "GLIBCXX_3.";
    std::optional<Version> newest;
    for (std::size_t at = file.text().find(kName); at != std::string_view::npos; at = file.text().find(kName, at + 1)) {
        const auto version = version_at(file.text(), at + kName.size());
        if (version && (!newest || *newest < *version)) {
            newest = version;
        }
    }
    return newest;
}

std::string in_system(const char* name) {
    for (const char* folder : kSystemFolders) {
        const std::string path = std::string(folder) + "/" + name;
        if (is_file(path)) {
            return path;
        }
    }
    return {};
}

/// What the program is run with.
struct Start {
    std::string loader;
    std::vector<std::string> folders;  ///< in which libraries are looked for, first to last
};

Start start_from(const std::string& parts) {
    const std::string libc = parts + "/" + kLibcFolder, cxx = parts + "/" + kCxxFolder,
                      drivers = parts + "/" + kDriverFolder;
    const auto ours = libc_version(libc + "/libc.so.6");
    const std::string system_libc = in_system("libc.so.6"), system_loader = std::string("/lib64/") + kLoader;
    const auto theirs = system_libc.empty() ? std::nullopt : libc_version(system_libc);
    const char* forced = std::getenv("MOESCOPE_OWN_LIBC");  // of tests: as if the machine had none
    const bool own = !ours || !theirs || *theirs < *ours || !is_file(system_loader) || forced != nullptr;
    Start start;
    start.loader = own ? libc + "/" + kLoader : system_loader;
    if (own) {
        start.folders = {libc, cxx, parts, drivers};
    } else {
        const std::string system_cxx = in_system("libstdc++.so.6");
        const auto our_cxx = cxx_version(cxx + "/libstdc++.so.6");
        const auto their_cxx = system_cxx.empty() ? std::nullopt : cxx_version(system_cxx);
        if (our_cxx && (!their_cxx || *their_cxx < *our_cxx)) {
            start.folders.push_back(cxx);
        }
        start.folders.push_back(parts);
    }
    for (const char* folder : kSystemFolders) {
        start.folders.emplace_back(folder);
    }
    if (!own) {
        start.folders.push_back(drivers);
        start.folders.push_back(cxx);
    }
    // Containers name the folder of NVIDIA's driver there. Ours stay first.
    if (const char* more = std::getenv("LD_LIBRARY_PATH"); more != nullptr && *more != '\0') {
        start.folders.emplace_back(more);
    }
    return start;
}

int fail(const std::string& name, const std::string& why) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), why.c_str());
    return 127;
}

/// The folder above; "" for "/name".
std::string parent(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

int main(int argc, char** argv) {
    char buffer[4096];
    const ssize_t length = ::readlink("/proc/self/exe", buffer, sizeof buffer);
    if (length <= 0 || length == static_cast<ssize_t>(sizeof buffer)) {
        return fail("moescope", "the program cannot find its own folder: is /proc mounted?");
    }
    const std::string self(buffer, static_cast<std::size_t>(length)),
        folder = parent(self), name = self.substr(folder.size() + 1), prefix = parent(folder),
        parts = prefix + "/" + kPartsFolder, program = parts + "/" + kProgramsFolder + "/" + name;
    if (prefix.find_first_of(":;$") != std::string::npos) {
        return fail(name, "the dynamic loader cannot work below a folder with ':', ';' or '$' in its name: " + prefix +
                              "; move the folder or rename it");
    }
    if (!is_file(program)) {
        return fail(name, program + " is missing; unpack the whole archive, and leave " + name + " in its folder bin");
    }
#ifdef MOESCOPE_X86_64_V3
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) {
        return fail(name, "this processor has no AVX2, which the archive is built for; build Moescope here with ./run");
    }
#endif
    const Start start = start_from(parts);
    std::string path;
    for (const std::string& one : start.folders) {
        path += (path.empty() ? "" : ":") + one;
    }
    std::string loader = start.loader, option = "--library-path", file = program;
    std::vector<char*> arguments{loader.data(), option.data(), path.data(), file.data()};
    for (int i = 1; i < argc; ++i) {
        arguments.push_back(argv[i]);
    }
    arguments.push_back(nullptr);
    ::execv(loader.c_str(), arguments.data());
    return fail(name, "the loader " + loader + " cannot be started: " + std::strerror(errno));
}
