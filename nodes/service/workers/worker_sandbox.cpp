#include "nodes/service/workers/worker_sandbox.hpp"

#include <algorithm>
#include <cstdlib>
#include <link.h>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "base/json_fields.hpp"
#include "nodes/service/library/model_library.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// What libraries, the dynamic loader and the C library read while a program runs; nothing of a person's.
constexpr const char* kOfTheSystem[] = {
    "/usr",        "/lib",  "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/nvidia", "/proc", "/sys",   "/dev/urandom",     "/dev/random"};

/// The folders of the libraries that are loaded: others that these ask for lie there, too.
std::set<fs::path> library_folders() {
    std::set<fs::path> folders;
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t /*size*/, void* into) {
            const fs::path file = info->dlpi_name != nullptr ? info->dlpi_name : "";
            if (file.is_absolute()) {
                static_cast<std::set<fs::path>*>(into)->insert(file.parent_path());
            }
            return 0;
        },
        &folders);
    return folders;
}

/// Not the folder itself: it may be a person's, with the program in it.
void add_libraries_of(const fs::path& folder, base::SandboxRules& rules) {
    constexpr int kMost = 100'000;
    int looked = 0;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end && looked < kMost; it.increment(error)) {
        ++looked;
        if (it->path().filename().string().find(".so") != std::string::npos) {
            rules.read.push_back(it->path());
        }
    }
}

void add_libraries(base::SandboxRules& rules, const Paths& paths) {
    rules.read.insert(rules.read.end(), std::begin(kOfTheSystem), std::end(kOfTheSystem));
    rules.read.push_back(paths.cache / "cuda");  // the libraries of the toolkit, which the plugin looks for there
    std::set<fs::path> folders = library_folders();
    std::error_code error;
    for (const fs::path& file : {paths.program, paths.gpu_plugin, paths.ggml_module, fs::path(paths.gpu_driver)}) {
        if (const fs::path whole = fs::canonical(file, error); !error) {
            folders.insert(whole.parent_path());
        }
    }
    const char* more = std::getenv("LD_LIBRARY_PATH");
    for (std::string_view rest = more != nullptr ? more : ""; !rest.empty();) {
        const std::string_view one = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        if (!one.empty()) {
            folders.insert(fs::path(one));
        }
    }
    for (const fs::path& folder : folders) {
        const std::string name = folder.string();
        if (!name.starts_with("/usr/") && !name.starts_with("/lib")) {
            add_libraries_of(folder, rules);
        }
    }
}

void add_devices(base::SandboxRules& rules) {
    rules.devices = {"/dev/null", "/dev/zero"};
    std::error_code error;
    for (fs::directory_iterator it("/dev", error), end; !error && it != end; it.increment(error)) {
        if (it->path().filename().string().starts_with("nvidia")) {
            rules.devices.push_back(it->path());
            rules.local_sockets = true;
        }
    }
}

/// A file with the others of its model, or a folder. What links in the folder lead to is a part of it: caches of
/// Hugging Face consist of them.
void add_model(std::vector<fs::path>& read, const fs::path& path) {
    constexpr int kMostLinks = 10'000;
    std::error_code error;
    if (!fs::is_directory(path, error)) {
        const std::vector<fs::path> files = files_of_model(path);
        read.insert(read.end(), files.begin(), files.end());
        if (path.filename() != "model.safetensors") {
            return;
        }
    }
    const fs::path folder = fs::is_directory(path, error) ? path : path.parent_path();  // the whole model then
    read.push_back(folder);
    int links = 0;
    for (fs::directory_iterator it(folder, error), end; !error && it != end && links < kMostLinks;
         it.increment(error)) {
        std::error_code inner;
        if (it->is_symlink(inner) && it->is_regular_file(inner)) {
            read.push_back(it->path());
            ++links;
        }
    }
}

bool is_switched_off() {
    const char* wanted = std::getenv(kSandboxVariable);
    return wanted != nullptr && std::string_view(wanted) == "off";
}

}  // namespace

base::Sentence sandbox_problem() {
    return is_switched_off()
               ? base::say("the processes of models may open any file and reach the network, as {} is off",
                           kSandboxVariable)
               : base::sandbox_here().why_not;
}

std::optional<base::SandboxRules> sandbox_rules(const json& request, const Paths& paths) {
    if (is_switched_off() || base::text_of(request, "op") == "served" || request.contains("server")) {
        return std::nullopt;
    }
    base::SandboxRules rules;
    add_libraries(rules, paths);
    add_devices(rules);
    for (const char* key : {"path", "from"}) {
        if (const std::string path = base::text_of(request, key); !path.empty()) {
            add_model(rules.read, path);
        }
    }
    if (const std::string lent = base::text_of(request, "lent"); !lent.empty()) {
        rules.read.emplace_back(lent);
    }
    if (const std::string output = base::text_of(request, "output"); !output.empty()) {
        rules.write.emplace_back(output);
    }
    for (const char* key : {"to", "whole", "scratch"}) {  // of an export, in a folder that was made for it
        if (const std::string path = base::text_of(request, key); !path.empty()) {
            rules.write.push_back(fs::path(path).parent_path());
        }
    }
    return rules;
}

}  // namespace moescope::node
