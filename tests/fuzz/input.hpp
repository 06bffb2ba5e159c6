// What the fuzz targets share. A target is one function that takes any bytes: it gives them to a parser of the program,
// takes every Error for an answer, and checks what must hold of whatever was accepted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace moescope::fuzz {

/// The form that libFuzzer asks for. Gives 0.
using Target = int (*)(const std::uint8_t* data, std::size_t size);

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const std::byte*>(data), size};
}
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// What has to hold for every input. Ends the process with the sentence when it does not.
void expect(bool holds, const char* what);

/// Said once for an input that a parser took for right: the driver wants that of one seed of each target at least, so
/// that seeds that nobody reads any more are found.
void accepted();
std::uint64_t accepted_so_far();

/// The input as a file in memory, which is replaced by each call. The path holds until the process ends; one thread.
const std::filesystem::path& in_file(const std::uint8_t* data, std::size_t size);
/// Where files are written and removed by the hundred thousand: memory, where the machine has such a folder and TMPDIR
/// names no other one.
std::filesystem::path scratch();
/// A folder in which the file of in_file() stands under these names. It is made once and removed when the process ends
/// by itself.
class InFolder {
 public:
    explicit InFolder(std::initializer_list<const char*> names);
    ~InFolder();
    InFolder(const InFolder&) = delete;
    InFolder& operator=(const InFolder&) = delete;
    const std::filesystem::path& with(const std::uint8_t* data, std::size_t size) const;
    const std::filesystem::path& path() const { return folder_; }

 private:
    std::filesystem::path folder_;
};

}  // namespace moescope::fuzz
