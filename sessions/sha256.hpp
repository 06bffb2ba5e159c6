// SHA-256 of bytes and files, as 64 lower-case hexadecimal digits.
#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace moescope::sessions {

std::string sha256_hex(std::span<const std::byte> data);
/// Throws std::runtime_error naming the file when it can't be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace moescope::sessions
