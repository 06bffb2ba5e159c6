// The bytes of a text file in pieces, unpacked on the way: plain, gzip or zstd. However large a file claims to be or
// unpacks to, no more than a piece of it is in memory here (zstd: and its window, 2 GiB at most, of which only what was
// unpacked is ever touched).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace moescope::engine {

class ByteSource {
 public:
    static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

    /// The ending decides (.zst, .gz, in any case), for other names the first bytes do. Throws Error naming the file.
    static std::unique_ptr<ByteSource> open(const std::filesystem::path& path);
    virtual ~ByteSource() = default;
    /// The next piece of at most kPieceBytes, valid until the next call; empty at the end. Throws Error naming the
    /// file: it cannot be read, is damaged, or ends too early.
    virtual std::string_view next() = 0;
    /// What is known to come before anything is read: the size of a plain file, 0 for a packed one.
    virtual std::uint64_t expected_bytes() const { return 0; }
};

/// "a.JSONL.gz" -> "a.JSONL": the name without the ending of a packed file.
std::filesystem::path unpacked_name(const std::filesystem::path& path);
/// The ending in lower-case letters, with its dot.
std::string lower_extension(const std::filesystem::path& path);

}  // namespace moescope::engine
