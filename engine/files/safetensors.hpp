// safetensors, read strictly and written plainly. The file may come from anywhere: every size and offset is checked
// against the file before anything is allocated for it.
//
// Format: u64 little-endian header length N (at most 100,000,000), N bytes of JSON starting with '{', then the tensors'
// bytes. Each tensor has dtype, shape and [begin, end) within those bytes; together they cover them exactly, without
// holes or overlap.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/input_file.hpp"

namespace moescope::engine {

struct SafetensorsTensor {
    std::string dtype;  ///< "F32", "BF16", ...
    std::vector<std::uint64_t> shape;
    std::uint64_t begin = 0, end = 0;  ///< bytes, relative to the end of the header
};

struct SafetensorsHeader {
    std::uint64_t data_begin = 0;  ///< of the tensors' bytes in the file
    std::map<std::string, SafetensorsTensor> tensors;
    std::map<std::string, std::string> metadata;
};

inline constexpr std::uint64_t kSafetensorsMaxHeader = 100'000'000;

/// `prefix` is the file's beginning, header included; `file_bytes` its whole size. Throws Error naming `source`.
SafetensorsHeader parse_safetensors(std::span<const std::byte> prefix, std::uint64_t file_bytes,
                                    const std::string& source);

/// An open file whose header was checked.
class SafetensorsFile {
 public:
    /// Throws Error.
    explicit SafetensorsFile(const std::filesystem::path& path);
    const SafetensorsHeader& header() const { return header_; }
    /// Reads an F32 tensor whose size must be into.size(). Throws Error.
    void read_f32(const std::string& name, std::span<float> into) const;
    /// The same for F32, F16, BF16 and F64, turned into float. Throws Error, also for other types.
    void read_floats(const std::string& name, std::span<float> into) const;

 private:
    const SafetensorsTensor& find(const std::string& name) const;
    void read_bytes(std::uint64_t begin, std::span<std::byte> into) const;

    base::InputFile file_;
    SafetensorsHeader header_;
};

/// True for the types that read_floats takes.
bool is_float_type(const std::string& dtype);

struct SafetensorsOutput {
    std::string name;
    std::vector<std::uint64_t> shape;
    const float* data = nullptr;  ///< product(shape) values; null: `fill` makes them when their turn comes
    std::function<void(std::span<float>)> fill = {};
    // For others than F32 and for what is too large to be in memory at once:
    std::string dtype = "F32";                      ///< as a header names it
    std::function<void(std::ostream&)> write = {};  ///< instead of both above: writes exactly the bytes of the tensor
};

/// Writes tensors, sorted by name, with metadata {"format":"pt"} and `metadata`. The header is padded so that the
/// data begin at a multiple of 8. Written beside the path and renamed, so that the path never holds half a file. Throws
/// Error.
void write_safetensors(const std::filesystem::path& path, std::vector<SafetensorsOutput> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace moescope::engine
