#include "engine/text/byte_source.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/input_file.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kZstdMark = "\x28\xb5\x2f\xfd", kGzipMark = "\x1f\x8b";
constexpr int kLargestWindow = 31;  // the logarithm of zstd --long=31, the most that zstd itself writes

/// Formats that hold text but cannot be read as text; their first bytes.
struct OtherFormat {
    std::string_view mark;
    const char* name;
};
constexpr auto kOtherFormats = std::to_array<OtherFormat>({
    {"PAR1", "Parquet"},
    {"ARROW1", "Arrow"},
    {"PK\x03\x04", "zip"},
    {"\xfd"
     "7zXZ",
     "xz"},
    {"BZh", "bzip2"},
    {"\x04\x22\x4d\x18", "lz4"},
    {"%PDF-", "PDF"},
    {"\x93NUMPY", "NumPy"},
});

/// Room for pieces of a file of that size, or of what it is packed from: a small file is read often and costs little.
std::size_t piece_bytes(std::uint64_t bytes) {
    constexpr std::uint64_t kLeast = std::uint64_t{4} << 10;
    return static_cast<std::size_t>(std::clamp<std::uint64_t>(bytes, kLeast, ByteSource::kPieceBytes));
}

/// The packed bytes, one piece after another.
class PackedBytes {
 public:
    explicit PackedBytes(base::InputFile file) : file_(std::move(file)), buffer_(piece_bytes(file_.size())) {}
    const fs::path& path() const { return file_.path(); }
    std::uint64_t size() const { return file_.size(); }
    std::span<const char> next() {
        const std::size_t count = file_.read_some(at_, std::span(buffer_));
        at_ += count;
        return std::span(buffer_).first(count);
    }

 private:
    base::InputFile file_;
    std::vector<char> buffer_;
    std::uint64_t at_ = 0;
};

[[noreturn]] void cut_short(const fs::path& path) {
    throw Error(say("{} ends before its compressed data do; get it again", path));
}

class PlainSource final : public ByteSource {
 public:
    explicit PlainSource(base::InputFile file) : bytes_(std::move(file)) {}
    std::string_view next() override {
        const std::span<const char> piece = bytes_.next();
        return {piece.data(), piece.size()};
    }
    std::uint64_t expected_bytes() const override { return bytes_.size(); }

 private:
    PackedBytes bytes_;
};

class ZstdSource final : public ByteSource {
 public:
    explicit ZstdSource(base::InputFile file)
        : bytes_(std::move(file)),
          stream_(ZSTD_createDStream(), ZSTD_freeDStream),
          out_(piece_bytes(16 * bytes_.size())) {
        if (!stream_ || ZSTD_isError(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kLargestWindow)) != 0) {
            throw Error(say("there is not enough memory to unpack {}", bytes_.path()));
        }
    }
    std::string_view next() override {
        for (;;) {
            if (in_.pos == in_.size && !ended_) {
                const std::span<const char> piece = bytes_.next();
                in_ = {piece.data(), piece.size(), 0};
                ended_ = piece.empty();
            }
            if (ended_ && left_ == 0) {
                return {};
            }
            ZSTD_outBuffer out{out_.data(), out_.size(), 0};
            left_ = ZSTD_decompressStream(stream_.get(), &out, &in_);
            if (ZSTD_isError(left_) != 0) {
                fail(ended_);
            }
            if (out.pos > 0) {
                return {out_.data(), out.pos};
            }
            if (ended_ && left_ != 0) {
                cut_short(bytes_.path());
            }
        }
    }

 private:
    [[noreturn]] void fail(bool at_end) const {
        switch (ZSTD_getErrorCode(left_)) {
            case ZSTD_error_frameParameter_windowTooLarge:
                throw Error(
                    say("{} was packed with a window of more than 2 GiB, and reading it would take as much "
                        "memory; pack it again with zstd --long=31 or less",
                        bytes_.path()));
            case ZSTD_error_memory_allocation:
                throw Error(say("there is not enough memory to unpack {}", bytes_.path()));
            default:
                if (at_end) {
                    cut_short(bytes_.path());
                }
                throw Error(
                    say("{} is damaged or not compressed with zstd: {}", bytes_.path(), ZSTD_getErrorName(left_)));
        }
    }

    PackedBytes bytes_;
    std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
    std::vector<char> out_;
    ZSTD_inBuffer in_{nullptr, 0, 0};
    std::size_t left_ = 1;  // 0 after a complete frame
    bool ended_ = false;
};

class GzipSource final : public ByteSource {
 public:
    explicit GzipSource(base::InputFile file) : bytes_(std::move(file)), out_(piece_bytes(16 * bytes_.size())) {
        constexpr int kWindow = 15, kGzipOnly = 16;
        if (::inflateInit2(&stream_, kWindow + kGzipOnly) != Z_OK) {
            throw Error(say("there is not enough memory to unpack {}", bytes_.path()));
        }
    }
    ~GzipSource() override { ::inflateEnd(&stream_); }
    GzipSource(const GzipSource&) = delete;
    GzipSource& operator=(const GzipSource&) = delete;

    std::string_view next() override {
        for (;;) {
            if (stream_.avail_in == 0 && !ended_) {
                const std::span<const char> piece = bytes_.next();
                // zlib's interface is older than const; it only reads.
                stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
                stream_.avail_in = static_cast<uInt>(piece.size());
                ended_ = piece.empty();
            }
            if (between_ && skip_padding()) {
                if (ended_) {
                    return {};
                }
                continue;
            }
            if (ended_ && stream_.avail_in == 0) {
                cut_short(bytes_.path());
            }
            stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
            stream_.avail_out = static_cast<uInt>(out_.size());
            const int result = ::inflate(&stream_, Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw Error(say("{} is damaged or not compressed with gzip: {}", bytes_.path(),
                                stream_.msg != nullptr ? stream_.msg : ::zError(result)));
            }
            between_ = result == Z_STREAM_END;  // a file may be several packed ones, one after another
            if (between_) {
                ::inflateReset(&stream_);
            }
            if (const std::size_t count = out_.size() - stream_.avail_out; count > 0) {
                return {out_.data(), count};
            }
        }
    }

 private:
    /// Zeros fill up what tapes and disks hold, up to a block. True when nothing is left of the piece.
    bool skip_padding() {
        while (stream_.avail_in > 0 && *stream_.next_in == 0) {
            ++stream_.next_in;
            --stream_.avail_in;
            ++padding_;
        }
        if (padding_ > kPieceBytes) {
            throw Error(say("{} is damaged: behind its compressed data there are only zeros", bytes_.path()));
        }
        return stream_.avail_in == 0;
    }

    PackedBytes bytes_;
    std::vector<char> out_;
    z_stream stream_{};
    std::size_t padding_ = 0;
    bool ended_ = false, between_ = false;
};

}  // namespace

std::string lower_extension(const fs::path& path) {
    std::string extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return extension;
}

fs::path unpacked_name(const fs::path& path) {
    const std::string extension = lower_extension(path);
    return extension == ".zst" || extension == ".gz" ? path.stem() : path.filename();
}

std::unique_ptr<ByteSource> ByteSource::open(const fs::path& path) {
    base::InputFile file(path);
    std::array<char, 8> first{};
    const std::string_view start(first.data(), file.read_some(0, std::span(first)));
    const std::string extension = lower_extension(path);
    const bool named = extension == ".zst" || extension == ".gz";
    if (extension == ".zst" || (!named && start.starts_with(kZstdMark))) {
        return std::make_unique<ZstdSource>(std::move(file));
    }
    if (extension == ".gz" || (!named && start.starts_with(kGzipMark))) {
        return std::make_unique<GzipSource>(std::move(file));
    }
    for (const OtherFormat& other : kOtherFormats) {
        if (start.starts_with(other.mark)) {
            throw Error(say("{} is a {} file, not text; write its text into a .txt or .jsonl file", path, other.name));
        }
    }
    return std::make_unique<PlainSource>(std::move(file));
}

}  // namespace moescope::engine
