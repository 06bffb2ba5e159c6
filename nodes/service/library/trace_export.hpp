// Traces of routing as files that other programs read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "routing/trace_reader.hpp"

namespace moescope::node {

// Each leaves out what is damaged, gives the number of chunks that were (TraceSource::problems says it in words), and
// throws base::Error when nothing would be left of a trace that has something. `check` is called before each chunk and
// may throw.

/// Plain arrays, T tokens, R layers with a router, K experts per token; what is not known is -1, NaN or 65535:
/// ids U16 and weights F32 [T, R, K], best first; chosen U16, margin F32 and entropy F32 [T, R]; position, token, next,
/// predicted I32, log_probability F32, document U32, language and group U16 [T] (places in the lists of the metadata);
/// piece_bytes U8 and piece_ends U64 [T], where the text of each token ends in them. Of counts without tokens: load U64
/// [S, R, E] and load_step I64 [S]. Metadata: "router" as in a trace of text, "languages", "groups". Throws base::Error
/// naming the file.
std::size_t write_trace_safetensors(const std::filesystem::path& path, const routing::LoadedTrace& trace,
                                    const std::function<void()>& check = {});

/// One row for each chosen expert; of counts without tokens one for each step, layer and expert. Weights, margins and
/// entropies that the trace has rounded have no more digits than that (routing/number_codes.hpp).
std::size_t write_trace_csv(const std::filesystem::path& path, const routing::LoadedTrace& trace,
                            const std::function<void()>& check = {});

/// The same in columns: text that was read takes a fifteenth of its size then.
std::size_t write_trace_columns(const std::filesystem::path& path, const routing::LoadedTrace& trace,
                                const std::function<void()>& check = {});

/// The same as text, JSON Lines: what a trace of columns has of it. A trace without a token is its router alone. Throws
/// base::Error, also for counts without tokens and for what no reader would take.
std::size_t write_trace_lines(const std::filesystem::path& path, const routing::LoadedTrace& trace,
                              const std::function<void()>& check = {});
/// What the choices for a token of the trace were made of, by its number; nothing where that is not known.
using ScoresOfToken = std::function<std::optional<std::vector<routing::LayerDecision>>(std::uint64_t token)>;
/// The same with `scores`.
std::size_t write_trace_lines(const std::filesystem::path& path, const routing::LoadedTrace& trace,
                              const std::function<void()>& check, const ScoresOfToken& scores);

}  // namespace moescope::node
