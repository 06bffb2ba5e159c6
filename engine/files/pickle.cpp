#include <algorithm>
#include <array>
#include <string_view>

#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"
#include "engine/files/inspect_parts.hpp"

namespace moescope::engine {
namespace {

constexpr std::uint64_t kSearchedBytes = 256U << 10;

// PyTorch's zip archives hold ARCHIVE/data.pkl. The names stand in front of each file's data and again at the end of
// the archive.
bool zip_holds_pickle(const std::filesystem::path& path) {
    FileReader file(path);
    const std::string front = file.text(std::min(file.size(), kSearchedBytes), base::marked("a zip archive"));
    if (file.left() > kSearchedBytes) {
        file.skip(file.left() - kSearchedBytes, base::marked("a zip archive"));
    }
    const std::string back = file.text(file.left(), base::marked("a zip archive"));
    return front.find(".pkl") != std::string::npos || back.find(".pkl") != std::string::npos;
}

// Protocols 0 and 1 have no mark; they start with one of these operations and end with a full stop, the operation STOP.
bool is_text_pickle(const std::filesystem::path& path, const std::string& start) {
    constexpr std::array<std::string_view, 9> kStarts = {
        "(dp", "(lp", "(ip", "c__builtin__\n", "ccopy_reg\n", "ccollections\n", "ctorch", "cnumpy", "cos\n"};
    if (std::none_of(kStarts.begin(), kStarts.end(), [&](std::string_view s) { return start.starts_with(s); })) {
        return false;
    }
    FileReader file(path);
    file.skip(file.size() - 1, base::marked("a pickle"));
    return file.text(1, base::marked("a pickle")) == ".";
}

}  // namespace

bool looks_like_pickle(const std::filesystem::path& path, const std::string& start) {
    const auto byte = [&](std::size_t i) { return i < start.size() ? static_cast<unsigned char>(start[i]) : 0U; };
    if (byte(0) == 0x80 && byte(1) >= 1 && byte(1) <= 5) {
        // A safetensors file whose header has 0x180 .. 0x580 bytes starts the same way; only there a brace follows the
        // length.
        const bool safetensors = start.size() > 8 && start[8] == '{' &&
                                 std::all_of(start.begin() + 2, start.begin() + 8, [](char c) { return c == 0; });
        return !safetensors;
    }
    if (start.starts_with("PK\x03\x04") || start.starts_with("PK\x05\x06")) {
        return zip_holds_pickle(path);
    }
    return is_text_pickle(path, start);
}

}  // namespace moescope::engine
