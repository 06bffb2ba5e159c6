#include "engine/text/token_cache.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/atomic_files.hpp"
#include "base/checksums.hpp"
#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/sha256.hpp"
#include "engine/text/pieces.hpp"

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
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
}

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What a file with this header must have; nothing when that overflows.
std::optional<std::uint64_t> file_bytes(const Header& header) {
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(header.train, sizeof(std::int32_t) + sizeof(std::uint8_t), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(Header) + kHashLength, &bytes)) {
        return std::nullopt;
    }
    for (const std::uint64_t count : header.held_out) {
        std::uint64_t part = 0;
        if (__builtin_mul_overflow(count, sizeof(std::int32_t), &part) || __builtin_add_overflow(bytes, part, &bytes)) {
            return std::nullopt;
        }
    }
    return bytes;
}

/// Reads one array after another and keeps their hash.
class TokenReader {
 public:
    TokenReader(const base::InputFile& file, const StopCheck& check) : file_(file), check_(check) {}

    template <class T>
    void read(std::uint64_t count, std::vector<T>& values) {
        values.resize(static_cast<std::size_t>(count));
        read(std::as_writable_bytes(std::span(values)));
    }
    void read(std::span<std::byte> bytes) {
        in_pieces(bytes, check_, [&](std::span<std::byte> piece) {
            file_.read(at_, piece);
            at_ += piece.size();
            hash_.add(text_of(piece));
        });
    }
    /// The rest of the file is the hash of what was read.
    bool ends_with_hash() {
        std::string stored(kHashLength, ' ');
        file_.read(at_, std::span(stored));
        return !base::kChecksumsCount || stored == hash_.finish();
    }

 private:
    const base::InputFile& file_;
    const StopCheck& check_;
    base::Sha256 hash_;
    std::uint64_t at_ = 0;
};

bool all_below(const std::vector<std::int32_t>& tokens, int vocabulary) {
    return std::all_of(tokens.begin(), tokens.end(), [&](std::int32_t t) { return t >= 0 && t < vocabulary; });
}

bool read_tokens(const base::InputFile& file, int vocabulary, Dataset& dataset, const StopCheck& check) {
    TokenReader reader(file, check);
    Header header;
    if (file.size() < sizeof header) {
        return false;
    }
    reader.read(std::as_writable_bytes(std::span(&header, 1)));
    if (std::string_view(header.magic, sizeof header.magic) != kMagic || file_bytes(header) != file.size()) {
        return false;
    }
    reader.read(header.train, dataset.train_tokens);
    reader.read(header.train, dataset.train_languages);
    bool good = all_below(dataset.train_tokens, vocabulary);
    for (std::size_t language = 0; language < kLanguages; ++language) {
        dataset.bytes_per_token[language] = header.bytes_per_token[language];
        reader.read(header.held_out[language], dataset.held_out[language]);
        good = good && all_below(dataset.held_out[language], vocabulary);
    }
    const auto& languages = dataset.train_languages;
    return reader.ends_with_hash() && good &&
           std::all_of(languages.begin(), languages.end(), [](std::uint8_t l) { return l < kLanguages; });
}

}  // namespace

std::optional<std::string> read_cached(const fs::path& path) {
    return base::try_read_file(path, kMaxTokenizerBytes);
}

void write_cached(const fs::path& path, const std::string& bytes) {
    try {
        fs::create_directories(path.parent_path());
        base::write_file_atomically(path, bytes);
    } catch (const std::exception&) {
        // As the header says.
    }
}

bool read_cached_tokens(const fs::path& path, int vocabulary, Dataset& dataset, const StopCheck& check) {
    std::error_code error;
    if (!fs::exists(path, error)) {
        return false;
    }
    try {
        return read_tokens(base::InputFile(path), vocabulary, dataset, check);
    } catch (const base::Error&) {
        check_stop(check);  // throws again when that was the cause
        return false;
    }
}

void write_cached_tokens(const fs::path& path, const Dataset& dataset, const StopCheck& check) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    // Runs in this process and others may write the same file at once; the later rename wins with the same bytes.
    std::optional<base::WorkFolder> work;
    try {
        work.emplace(fs::absolute(path));
    } catch (const std::exception&) {
        return;  // as the header says
    }
    const fs::path temporary = work->path() / "tokens";
    Header header;
    std::memcpy(header.magic, kMagic.data(), sizeof header.magic);
    header.train = dataset.train_tokens.size();
    for (std::size_t language = 0; language < kLanguages; ++language) {
        header.held_out[language] = dataset.held_out[language].size();
        header.bytes_per_token[language] = dataset.bytes_per_token[language];
    }
    std::ofstream file(temporary, std::ios::binary);
    base::Sha256 hash;
    const auto write = [&](std::span<const std::byte> bytes) {
        in_pieces(bytes, check, [&](std::span<const std::byte> piece) {
            hash.add(text_of(piece));
            file.write(text_of(piece).data(), static_cast<std::streamsize>(piece.size()));
        });
    };
    write(std::as_bytes(std::span(&header, 1)));
    write(bytes_of(dataset.train_tokens));
    write(bytes_of(dataset.train_languages));
    for (const auto& tokens : dataset.held_out) {
        write(bytes_of(tokens));
    }
    file << hash.finish();
    file.close();
    if (file) {
        fs::rename(temporary, path, error);
    }
}

}  // namespace moescope::engine
