// Reading traces, whichever of the two forms they have: text (JSON Lines, one line per token; the keys stand in
// docs/manual-en.md) or columns (trace_file.hpp). From outside: lines and counts are bounded, a value of another kind
// or range (value_limits.hpp) and what does not fit the router is refused with the line that says it. Nothing but one
// line or one chunk is in memory, so reading can be stopped between any two of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/lines.hpp"
#include "routing/chunk.hpp"
#include "routing/token_order.hpp"
#include "routing/value_limits.hpp"

namespace moescope::routing {

/// Of a line: all scores of 61 layers of 256 experts take half a MiB.
inline constexpr std::size_t kLongestTraceLine = std::size_t{16} << 20;

/// A trace as text. One thread.
class TraceLines {
 public:
    /// Reads the first line, which says of which router it is. Throws Error, a sentence that names the file and the
    /// line.
    explicit TraceLines(const std::filesystem::path& path);
    explicit TraceLines(base::InputFile&& file);

    const RouterSpec& spec() const { return spec_; }
    /// The changes that were made to the router, as the file has them: a list, or null.
    const nlohmann::json& interventions() const { return interventions_; }
    std::uint64_t line() const { return lines_.number(); }  ///< that `next` gave last
    /// Tokens that are missing within a text, as far as it was read: in words, and in how many places.
    std::vector<Sentence> problems() const;
    std::size_t gaps() const { return order_.gaps(); }
    /// Everything that the line says, scores too. False at the end. Throws as the constructor does.
    bool next(TokenDecisions& token);
    /// What is wrong with the line that was read last.
    [[noreturn]] void fail(const Sentence& problem) const;

 private:
    bool next_value(nlohmann::json& value);

    const std::filesystem::path path_;
    base::Lines lines_;
    RouterSpec spec_;
    ValueLimits limits_;
    TokenOrder order_;
    nlohmann::json interventions_, first_;
    bool first_pending_ = true;
    std::string text_;
};

/// A trace of either form, from its beginning to its end. One thread.
class TraceStream {
 public:
    virtual ~TraceStream() = default;
    virtual const RouterSpec& spec() const = 0;
    virtual const nlohmann::json& interventions() const = 0;
    /// The next piece with all its columns; null at the end. Throws Error naming the file.
    virtual std::shared_ptr<const Chunk> next() = 0;
    /// What was left out because it is damaged, as far as it was read; whole at the end. For a person, and how many
    /// places it is.
    virtual std::vector<Sentence> problems() const { return {}; }
    virtual std::size_t damaged() const { return 0; }
};

/// The first bytes tell which form it has. Throws Error naming the file.
std::unique_ptr<TraceStream> open_trace(const std::filesystem::path& path);

/// A trace that can be read at any place: a file of columns stays where it is, text is read whole. What is damaged only
/// reading tells: TraceSource::problems.
struct LoadedTrace {
    std::shared_ptr<const TraceSource> source;
    nlohmann::json interventions;
};
/// Text of more than this many chosen experts is refused, as it would be held in memory; as columns it is not.
inline constexpr std::size_t kMostChosenOfText = std::size_t{1} << 27;
/// Throws Error naming the file. `check` is called now and then and may throw.
LoadedTrace load_trace(const std::filesystem::path& path, const std::function<void()>& check = {});

}  // namespace moescope::routing
