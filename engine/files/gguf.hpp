// Strict reader of the header of a GGUF file (versions 2 and 3): key-value pairs and tensor descriptions, not the
// weights. The file is untrusted: every count, length, type, dimension and offset is checked against the size of the
// file. Libllama aborts on some damaged files, so this check comes first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moescope::engine {

struct GgufTensor {
    std::string name;
    std::string type;                  ///< "F32", "Q4_K", ...
    std::vector<std::uint64_t> shape;  ///< as stored: the fastest dimension first
    std::uint64_t offset = 0;          ///< bytes from the start of the file
    std::uint64_t bytes = 0;
    std::uint64_t elements = 0;
    std::size_t part = 0;  ///< of read_gguf_model: the file that holds it
};

struct GgufHeader {
    std::uint32_t version = 0;
    std::map<std::string, nlohmann::json> values;  ///< scalars and strings; strings are valid UTF-8
    std::map<std::string, std::uint64_t> arrays;   ///< key -> number of elements; the elements are checked and skipped
    /// key -> bytes from the start of the file to the array: u32 type of its elements, u64 their number, the elements
    std::map<std::string, std::uint64_t> array_offsets;
    std::vector<GgufTensor> tensors;
    std::uint64_t data_offset = 0;  ///< bytes from the start of the file
};

/// Throws Error: what is wrong at which place, without the name of the file.
GgufHeader read_gguf(const std::filesystem::path& path);

/// A whole number under `key`, which files store in any of the integer types; 0 when it is missing, negative or of
/// another kind.
std::uint64_t count_of(const GgufHeader& header, const std::string& key);

/// The file of a model that has several ("NAME-00001-of-00003.gguf", as llama-gguf-split names them): which of them.
struct GgufPart {
    std::uint64_t number = 1, count = 1;  ///< from 1
};
/// Throws Error, without the name of the file, when what it says of parts is no number.
GgufPart part_of(const GgufHeader& header);
/// All files of the model that the file belongs to, in order; the file itself when it is whole. They need not exist.
/// Throws Error when its name does not tell the others', or tells of parts that the file knows nothing of.
std::vector<std::filesystem::path> gguf_parts(const std::filesystem::path& path, const GgufPart& part);

struct GgufModel {
    GgufHeader header;  ///< of the first file, with the tensors of all
    std::vector<std::filesystem::path> parts;
};
/// `path`: any part, or a whole file. Every part is read and checked as read_gguf does, and whether all tensors are
/// there that the first part counts. Throws Error that names the file, unless it is `path` itself.
GgufModel read_gguf_model(const std::filesystem::path& path);

/// Name of the value of the key general.file_type, for example "Q4_K_M"; "" when unknown.
std::string gguf_file_type_name(std::uint64_t file_type);

}  // namespace moescope::engine
