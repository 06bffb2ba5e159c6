#include "engine/text/token_cache.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>
#include <type_traits>
#include <unistd.h>

#include "base/sha256.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "MOETOK04";  // raise the number when the layout or the meaning changes
constexpr std::size_t kHashLength = 64;

struct Header {
    char magic[8];
    std::uint64_t train = 0;
    std::uint64_t held_out[kLanguages] = {};
    double bytes_per_token[kLanguages] = {};
};
static_assert(std::is_trivially_copyable_v<Header>);

template <class T>
void append(std::string& out, const std::vector<T>& values) {
    if (!values.empty()) {
        out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    }
}

template <class T>
bool take(std::string_view& in, std::uint64_t count, std::vector<T>& values) {
    if (count > in.size() / sizeof(T)) {
        return false;
    }
    values.resize(static_cast<std::size_t>(count));
    if (count > 0) {
        std::memcpy(values.data(), in.data(), values.size() * sizeof(T));
    }
    in.remove_prefix(values.size() * sizeof(T));
    return true;
}

bool all_below(const std::vector<std::int32_t>& tokens, int vocabulary) {
    return tokens.empty() || *std::max_element(tokens.begin(), tokens.end()) < vocabulary;
}

}  // namespace

std::optional<std::string> read_cached(const fs::path& path) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    if (error || size > (4ULL << 30)) {
        return std::nullopt;
    }
    std::ifstream file(path, std::ios::binary);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file) {
        return std::nullopt;
    }
    return bytes;
}

void write_cached(const fs::path& path, const std::string& bytes) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    // The process id keeps two programs that write the same file at once apart; the later rename wins with the same
    // bytes.
    const fs::path temporary = path.string() + ".tmp" + std::to_string(::getpid());
    std::ofstream file(temporary, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (file) {
        fs::rename(temporary, path, error);
    }
    if (!file || error) {
        fs::remove(temporary, error);
    }
}

std::string tokens_to_bytes(const Dataset& dataset) {
    Header header;
    std::memcpy(header.magic, kMagic.data(), sizeof header.magic);
    header.train = dataset.train_tokens.size();
    for (int language = 0; language < kLanguages; ++language) {
        const auto at = static_cast<std::size_t>(language);
        header.held_out[language] = dataset.held_out[at].size();
        header.bytes_per_token[language] = dataset.bytes_per_token[at];
    }
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    append(bytes, dataset.train_tokens);
    append(bytes, dataset.train_languages);
    for (const auto& tokens : dataset.held_out) {
        append(bytes, tokens);
    }
    return bytes + base::sha256(bytes);
}

bool tokens_from_bytes(const std::string& bytes, int vocabulary, Dataset& dataset) {
    if (bytes.size() < sizeof(Header) + kHashLength || std::string_view(bytes).substr(0, kMagic.size()) != kMagic) {
        return false;
    }
    std::string_view body(bytes.data(), bytes.size() - kHashLength);
    if (base::sha256(body) != std::string_view(bytes).substr(body.size())) {
        return false;
    }
    Header header;
    std::memcpy(&header, body.data(), sizeof header);
    body.remove_prefix(sizeof header);
    bool good = take(body, header.train, dataset.train_tokens) && take(body, header.train, dataset.train_languages);
    for (std::size_t language = 0; language < kLanguages; ++language) {
        dataset.bytes_per_token[language] = header.bytes_per_token[language];
        good = good && take(body, header.held_out[language], dataset.held_out[language]) &&
               all_below(dataset.held_out[language], vocabulary);
    }
    const auto& languages = dataset.train_languages;
    return good && body.empty() && all_below(dataset.train_tokens, vocabulary) &&
           std::all_of(languages.begin(), languages.end(), [](std::uint8_t l) { return l < kLanguages; });
}

}  // namespace moescope::engine
