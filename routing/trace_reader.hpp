// Reading traces, whichever of the two forms they have: text (JSON Lines, one line per token; the keys stand in
// docs/manual-en.md) or columns (trace_file.hpp). From outside: lines and counts are bounded, what does not fit the
// router is refused with the line that says it. Nothing but one line or one chunk is in memory, so reading can be
// stopped between any two of them.
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

namespace moescope::routing {

/// Of a line: all scores of 61 layers of 256 experts take half a MiB.
inline constexpr std::size_t kLongestTraceLine = std::size_t{16} << 20;
inline constexpr std::size_t kLongestPiece = 4096;  ///< bytes of one token's text

/// A trace as text. One thread.
class TraceLines {
 public:
    /// Reads the first line, which says of which router it is. Throws Error, a sentence that names the file and the
    /// line.
    explicit TraceLines(const std::filesystem::path& path);

    const RouterSpec& spec() const { return spec_; }
    /// The changes that were made to the router, as the file has them: a list, or null.
    const nlohmann::json& interventions() const { return interventions_; }
    std::uint64_t line() const { return lines_.number(); }  ///< that `next` gave last
    /// Everything that the line says, scores too. False at the end. Throws as the constructor does.
    bool next(TokenDecisions& token);
    /// What is wrong with the line that was read last.
    [[noreturn]] void fail(const Sentence& problem) const;

 private:
    bool next_value(nlohmann::json& value);

    const std::filesystem::path path_;
    base::Lines lines_;
    RouterSpec spec_;
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
    /// What was left out because it is damaged, for a person.
    virtual std::vector<Sentence> problems() const { return {}; }
};

/// The first bytes tell which form it has. Throws Error naming the file.
std::unique_ptr<TraceStream> open_trace(const std::filesystem::path& path);

/// A trace that can be read at any place: a file of columns stays where it is, text is read whole.
struct LoadedTrace {
    std::shared_ptr<const TraceSource> source;
    nlohmann::json interventions;
    std::vector<Sentence> problems;  ///< what is damaged, for a person
};
/// router_to_json() of the trace, with the changes that were made to the router where there are any.
nlohmann::json router_with_changes(const LoadedTrace& trace);
/// Text of more than this many chosen experts is refused, as it would be held in memory; as columns it is not.
inline constexpr std::size_t kMostChosenOfText = std::size_t{1} << 27;
/// Throws Error naming the file. `check` is called now and then and may throw.
LoadedTrace load_trace(const std::filesystem::path& path, const std::function<void()>& check = {});

}  // namespace moescope::routing
