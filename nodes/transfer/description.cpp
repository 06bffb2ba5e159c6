#include "nodes/transfer/description.hpp"

#include <algorithm>
#include <set>

#include "base/json_fields.hpp"
#include "base/sha256.hpp"

namespace moescope::transfer {

namespace {

constexpr std::size_t kLongestPart = 200, kLongestPath = 1000, kLongestVersion = 200;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 46;  // 64 TiB; the sum stays far from what can't be counted

bool is_plain_part(std::string_view part) {
    return !part.empty() && part.size() <= kLongestPart && part != "." && part != ".." && part != kNotes &&
           std::none_of(part.begin(), part.end(), [](unsigned char c) { return c < ' ' || c == 0x7f || c == '/'; });
}

/// Its parts; empty when it is no plain path below a folder.
std::vector<std::string> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    if (path.size() > kLongestPath) {
        return {};
    }
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        parts.emplace_back(path.substr(begin, end - begin));
        if (!is_plain_part(parts.back())) {
            return {};
        }
        begin = end + 1;
    }
    return parts;
}

/// Neither twice, nor one of them where another has a folder.
bool fit_together(const std::vector<FileEntry>& files) {
    std::set<std::string> names, folders;
    for (const FileEntry& file : files) {
        const auto parts = parts_of(file.path);
        if (parts.empty() || !names.insert(file.path).second) {
            return false;
        }
        std::string folder;
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            folder += (i > 0 ? "/" : "") + parts[i];
            folders.insert(folder);
        }
    }
    return std::none_of(names.begin(), names.end(), [&](const std::string& name) { return folders.contains(name); });
}

}  // namespace

std::uint64_t Description::bytes() const {
    std::uint64_t sum = 0;
    for (const FileEntry& file : files) {
        sum += file.bytes;
    }
    return sum;
}

nlohmann::json to_json(const Description& description) {
    nlohmann::json files = nlohmann::json::array();
    for (const FileEntry& file : description.files) {
        files.push_back({{"path", file.path}, {"bytes", file.bytes}});
    }
    return {{"name", description.name},
            {"version", description.version},
            {"folder", description.folder},
            {"files", std::move(files)}};
}

std::optional<Description> description_from(const nlohmann::json& value) {
    Description result;
    result.name = base::text_of(value, "name");
    result.version = base::text_of(value, "version");
    result.folder = base::flag_of(value, "folder");
    const nlohmann::json& files = base::member(value, "files");
    if (!is_plain_part(result.name) || result.version.empty() || result.version.size() > kLongestVersion ||
        !files.is_array() || files.size() > kMostFiles) {
        return std::nullopt;
    }
    std::uint64_t left = kMostBytes;
    for (const nlohmann::json& file : files) {
        const auto bytes = base::as_count(base::member(file, "bytes"));
        if (!bytes || *bytes > left) {
            return std::nullopt;
        }
        left -= *bytes;
        result.files.push_back({base::text_of(file, "path"), *bytes});
    }
    const bool single = result.files.size() == 1 && result.files.front().path.find('/') == std::string::npos;
    if (!fit_together(result.files) || (!result.folder && !single)) {
        return std::nullopt;
    }
    return result;
}

std::uint64_t ranges_of(std::uint64_t bytes) {
    return bytes / protocol::kRangeBytes + (bytes % protocol::kRangeBytes == 0 ? 0 : 1);
}

Range range_at(const Description& description, std::uint32_t file, std::uint64_t index) {
    const std::uint64_t offset = index * protocol::kRangeBytes;
    const std::uint64_t rest = description.files.at(file).bytes - offset;
    return {file, offset, static_cast<std::uint32_t>(std::min<std::uint64_t>(rest, protocol::kRangeBytes))};
}

std::string sha256_of(std::span<const std::byte> bytes) {
    return base::sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace moescope::transfer
