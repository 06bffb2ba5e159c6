// A trace of any length in a file: a head that says of which router it is, then chunks (chunk_codec.hpp), appended
// while the text is made. Read chunk by chunk, each column by itself; what is damaged or missing between two chunks is
// counted, and everything else is read.
//
//   "MOETRACE"  u32 version  u32 bytes of the JSON  u32 CRC-32C of the JSON  {"router": ..., "interventions": [...]}
//   chunks
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "base/file_io.hpp"
#include "base/input_file.hpp"
#include "routing/chunk.hpp"
#include "routing/value_limits.hpp"

namespace moescope::routing {

struct ChunkHeader;

inline constexpr std::string_view kTraceMark = "MOETRACE";

/// What is said of a trace whose texts lack tokens between two that they have, of either form.
Sentence missing_within_texts(const std::filesystem::path& path, std::uint64_t tokens, std::size_t places);

/// Writes a new trace. One thread.
class TraceWriter {
 public:
    /// What is at `path` is written over. `interventions`: as a trace of text has them, or null. Throws Error naming
    /// the file, also for what no reader would take.
    TraceWriter(std::filesystem::path path, const RouterSpec& spec, const nlohmann::json& interventions = nullptr,
                base::FileIo& io = base::FileIo::system());
    /// At the end of the file; a reader finds it at once. Throws Error, also for a chunk that no reader would take: of
    /// another shape, too large, with numbers that no router has, or whose tokens do not follow those before. The trace
    /// is whole up to the chunk before.
    void append(const Chunk& chunk);
    /// Throws Error.
    void sync();
    std::uint64_t bytes() const { return bytes_; }

 private:
    void write(std::span<const std::byte> data);

    const std::filesystem::path path_;
    const Shape shape_;
    const ValueLimits limits_;
    base::FileIo& io_;
    base::Descriptor file_;
    std::uint64_t bytes_ = 0, next_token_ = 0;
    std::size_t chunks_ = 0;
};

/// An open trace. Opening looks at the headers of the chunks alone.
class TraceFile final : public TraceSource {
 public:
    /// Throws Error naming the file.
    explicit TraceFile(const std::filesystem::path& path);
    explicit TraceFile(base::InputFile&& file);

    const RouterSpec& spec() const override { return spec_; }
    const nlohmann::json& interventions() const { return interventions_; }
    std::size_t chunks() const override;
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned wanted) const override;
    /// The chunk that holds a token of the trace; chunks() when none does.
    std::size_t chunk_holding(std::uint64_t token) const;
    /// Of the parts that hold `wanted`, packed.
    std::uint64_t file_bytes(unsigned wanted) const;
    std::uint64_t tokens() const;  ///< numbers of tokens that were given out, damaged ones included

    void refresh() const override;
    std::size_t damaged_places() const override;
    std::vector<Sentence> problems(std::size_t damaged_chunks) const override;

 private:
    struct Entry {
        std::uint64_t offset = 0, first = 0;
        std::uint32_t tokens = 0;
    };
    /// Of a chunk that was read: where its tokens begin and end, and what they lack in between.
    struct Positions {
        std::uint32_t first_document = 0, last_document = 0;
        std::int32_t first = 0, last = 0;
        std::uint64_t missing = 0;
        std::size_t gaps = 0;
        bool read = false;
    };
    void read_head();
    void note_positions(std::size_t number, const Chunk& chunk) const;
    /// All that the chunks which were read lack within texts; with the lock held.
    Positions within_texts() const;
    std::optional<ChunkHeader> header_of(std::size_t number, std::uint64_t* offset = nullptr) const;
    /// Offset of the next sound header behind `offset`; 0 when there is none.
    std::uint64_t find_header(std::uint64_t offset) const;

    const base::InputFile file_;
    RouterSpec spec_;
    Shape shape_;
    ValueLimits limits_;
    nlohmann::json interventions_;
    mutable std::mutex refreshing_;  ///< held by who looks for more
    mutable std::mutex mutex_;       ///< of what follows
    mutable std::vector<Entry> entries_;
    mutable std::uint64_t end_ = 0;      ///< of the last sound chunk
    mutable std::uint64_t damaged_ = 0;  ///< bytes between chunks
    mutable std::size_t gaps_ = 0;       ///< places where they are
    mutable bool after_damage_ = false;  ///< no chunk has come behind the last of them yet
    mutable std::uint64_t missing_ = 0;  ///< tokens that no chunk has, where no bytes are damaged
    mutable std::size_t holes_ = 0;      ///< places where they are
    mutable std::uint64_t left_ = 0;     ///< bytes behind the last one that are no whole chunk
    mutable std::vector<Positions> positions_;  ///< by chunk
};

}  // namespace moescope::routing
