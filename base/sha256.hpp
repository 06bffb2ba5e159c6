// SHA-256 in lower-case hexadecimal, as it stands in manifests and file names.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace moescope::base {

class Sha256 {
 public:
    Sha256();  ///< Throws Error when the crypto library refuses.
    ~Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    void add(std::string_view bytes);
    std::string finish();  ///< 64 characters; call once, last

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

std::string sha256(std::string_view bytes);
/// Of a whole file, read in pieces; `check` is called before each MiB and may throw. Throws Error naming the file when
/// it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path, const std::function<void()>& check = {});

}  // namespace moescope::base
