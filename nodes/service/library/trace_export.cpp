#include "nodes/service/library/trace_export.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/csv.hpp"
#include "base/error.hpp"
#include "base/json_guard.hpp"
#include "base/utf8.hpp"
#include "engine/files/safetensors.hpp"
#include "routing/interventions.hpp"
#include "routing/number_codes.hpp"
#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::Error;
using base::say;
using routing::Chunk;

namespace {

/// Chunk by chunk, as often as there are columns: a trace need not fit into memory. First all of it is looked at: all
/// columns together decide whether a chunk is damaged, or what is written would not fit each other.
class Chunks {
 public:
    Chunks(const routing::LoadedTrace& trace, const std::function<void()>& check)
        : source_(*trace.source), check_(check) {
        for (std::size_t number = 0; number < source_.chunks(); ++number) {
            call_check();
            const auto chunk = source_.chunk(number, routing::kAllColumns);
            sound_.push_back(chunk != nullptr);
            damaged_ += chunk ? 0 : 1;
            tokens_ += chunk ? chunk->tokens : 0;
            samples_ += chunk ? chunk->loads.size() : 0;
        }
        if (tokens_ == 0 && samples_ == 0 && damaged_ > 0) {
            throw Error(say("nothing is left to write: all that the trace has is damaged"));
        }
    }
    template <class Visit>
    void each(unsigned wanted, const Visit& visit) const {
        for (std::size_t number = 0; number < sound_.size(); ++number) {
            if (!sound_[number]) {
                continue;
            }
            call_check();
            const auto chunk = source_.chunk(number, wanted);
            if (!chunk) {
                throw Error(say("the trace was changed while it was read"));
            }
            visit(*chunk);
        }
    }
    std::size_t damaged() const { return damaged_; }
    std::uint64_t tokens() const { return tokens_; }
    std::uint64_t samples() const { return samples_; }  ///< of the load

 private:
    void call_check() const {
        if (check_) {
            check_();
        }
    }

    const routing::TraceSource& source_;
    const std::function<void()>& check_;
    std::vector<bool> sound_;
    std::size_t damaged_ = 0;
    std::uint64_t tokens_ = 0, samples_ = 0;
};

template <class T>
void put(std::ostream& out, const std::vector<T>& values) {
    out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
}

/// [R][T][inner] of a chunk -> [T][R][inner].
template <class T>
void put_tokens_first(std::ostream& out, const Chunk& chunk, const std::vector<T>& values, std::size_t inner,
                      T unknown) {
    std::vector<T> turned(chunk.tokens * chunk.shape.layers * inner, unknown);
    for (std::size_t layer = 0; layer < chunk.shape.layers && !values.empty(); ++layer) {
        for (std::size_t at = 0; at < chunk.tokens; ++at) {
            std::copy_n(values.data() + chunk.cell(layer, at) * inner, inner,
                        turned.data() + (at * chunk.shape.layers + layer) * inner);
        }
    }
    put(out, turned);
}

/// Names get one number for the whole trace; within chunks each has its own.
class Names {
 public:
    void note(const Chunk& chunk, const std::vector<std::uint16_t>& places) {
        for (const std::uint16_t place : places) {
            numbers_.try_emplace(chunk.names[place], 0);
        }
    }
    nlohmann::json list() {
        constexpr std::size_t kMost = 65535;  // that number stands for a name that is not known
        if (numbers_.size() > kMost) {
            throw Error(say("has more than {} groups of texts", kMost));
        }
        nlohmann::json names = nlohmann::json::array();
        for (auto& [name, number] : numbers_) {
            number = static_cast<std::uint16_t>(names.size());
            names.push_back(name);
        }
        return names;
    }
    std::vector<std::uint16_t> numbers(const Chunk& chunk, const std::vector<std::uint16_t>& places) const {
        std::vector<std::uint16_t> numbers;
        for (const std::uint16_t place : places) {
            numbers.push_back(numbers_.at(chunk.names[place]));
        }
        return numbers;
    }

 private:
    std::map<std::string, std::uint16_t> numbers_;
};

/// `digits`: significant ones of what is rounded; 0: all that tell it from other floats.
void put_number(std::string& row, float value, int digits = 0) {
    if (std::isfinite(value) && digits > 0) {
        fmt::format_to(std::back_inserter(row), "{:.{}g}", value, digits);
    } else if (std::isfinite(value)) {
        fmt::format_to(std::back_inserter(row), "{}", value);
    }
    row += ',';
}

void put_rows(std::ostream& out, const Chunk& chunk, const routing::RouterSpec& spec) {
    std::string rows;
    for (std::size_t at = 0; at < chunk.tokens; ++at) {
        std::string token = fmt::format("{},{},", chunk.first + at, chunk.document[at]);
        token += base::csv_text(base::to_valid_utf8(chunk.names[chunk.language[at]])) + ',';
        token += base::csv_text(base::to_valid_utf8(chunk.names[chunk.group[at]])) + ',';
        const std::string_view piece = chunk.piece_of(at);
        const std::string shown = piece.empty() ? routing::name_of_empty(chunk.token[at]) : base::to_valid_utf8(piece);
        fmt::format_to(std::back_inserter(token), "{},{},{},", chunk.position[at], chunk.token[at],
                       base::csv_text(shown));
        fmt::format_to(std::back_inserter(token), "{},{},", chunk.next[at], chunk.predicted[at]);
        put_number(token, chunk.log_probability[at]);
        const bool rounded = chunk.is_rounded(at);
        const int of_weight = rounded ? routing::kWeightDigits : 0, of_margin = rounded ? routing::kMarginDigits : 0,
                  of_entropy = rounded ? routing::kEntropyDigits : 0;
        for (std::size_t layer = 0; layer < chunk.shape.layers; ++layer) {
            const auto ids = chunk.ids_of(layer, at);
            const auto weights = chunk.weights_of(layer, at);
            const std::size_t cell = chunk.cell(layer, at);
            for (std::size_t rank = 0; rank < ids.size(); ++rank) {
                rows += token;
                fmt::format_to(std::back_inserter(rows), "{},{},{},", spec.routed_layers[layer], rank, ids[rank]);
                put_number(rows, weights.empty() ? NAN : weights[rank], of_weight);
                put_number(rows, chunk.margin.empty() ? NAN : chunk.margin[cell], of_margin);
                put_number(rows, chunk.entropy.empty() ? NAN : chunk.entropy[cell], of_entropy);
                rows.replace(rows.size() - 1, 1, "\r\n");
            }
        }
    }
    out << rows;
}

void put_loads(std::ostream& out, const Chunk& chunk, const routing::RouterSpec& spec) {
    std::string rows;
    for (const routing::LoadSample& sample : chunk.loads) {
        for (std::size_t cell = 0; cell < sample.counts.size(); ++cell) {
            fmt::format_to(std::back_inserter(rows), "{},{},{},{}\r\n", sample.step,
                           spec.routed_layers[cell / chunk.shape.experts], cell % chunk.shape.experts,
                           sample.counts[cell]);
        }
    }
    out << rows;
}

void finish(std::ofstream& out, const fs::path& path) {
    out.close();
    if (!out) {
        throw Error(say("{}: writing failed; check that the folder exists and the disk has room", path));
    }
}

}  // namespace

std::size_t write_trace_safetensors(const fs::path& path, const routing::LoadedTrace& trace,
                                    const std::function<void()>& check) {
    using namespace routing;
    const RouterSpec& spec = trace.source->spec();
    const Shape shape = shape_of(spec);
    const Chunks chunks(trace, check);
    const std::uint64_t tokens = chunks.tokens(), samples = chunks.samples();
    std::uint64_t piece_bytes = 0;
    Names languages, groups;
    chunks.each(kTokens, [&](const Chunk& chunk) {
        languages.note(chunk, chunk.language);
        groups.note(chunk, chunk.group);
        for (std::size_t at = 0; at < chunk.tokens; ++at) {
            piece_bytes += chunk.piece_of(at).size();
        }
    });
    const std::map<std::string, std::string> metadata = {
        {"router", base::dump_json(router_with_changes(spec, trace.interventions))},
        {"languages", base::dump_json(languages.list())},
        {"groups", base::dump_json(groups.list())}};
    std::vector<engine::SafetensorsOutput> outputs;
    const auto column = [&](const char* name, const char* type, std::vector<std::uint64_t> sizes, unsigned wanted,
                            std::function<void(std::ostream&, const Chunk&)> write) {
        outputs.push_back(
            {name, std::move(sizes), nullptr, {}, type, [&chunks, wanted, write = std::move(write)](std::ostream& out) {
                 chunks.each(wanted, [&](const Chunk& chunk) { write(out, chunk); });
             }});
    };
    if (tokens > 0) {
        const std::vector<std::uint64_t> of_token = {tokens}, of_decision = {tokens, shape.layers},
                                         of_rank = {tokens, shape.layers, shape.per_token};
        column("position", "I32", of_token, kTokens, [](auto& out, const Chunk& c) { put(out, c.position); });
        column("token", "I32", of_token, kTokens, [](auto& out, const Chunk& c) { put(out, c.token); });
        column("next", "I32", of_token, kTokens, [](auto& out, const Chunk& c) { put(out, c.next); });
        column("predicted", "I32", of_token, kTokens, [](auto& out, const Chunk& c) { put(out, c.predicted); });
        column("log_probability", "F32", of_token, kTokens,
               [](auto& out, const Chunk& c) { put(out, c.log_probability); });
        column("document", "U32", of_token, kTokens, [](auto& out, const Chunk& c) { put(out, c.document); });
        column("language", "U16", of_token, kTokens,
               [&](auto& out, const Chunk& c) { put(out, languages.numbers(c, c.language)); });
        column("group", "U16", of_token, kTokens,
               [&](auto& out, const Chunk& c) { put(out, groups.numbers(c, c.group)); });
        column("piece_bytes", "U8", {piece_bytes}, kTokens, [](auto& out, const Chunk& c) {
            for (std::size_t at = 0; at < c.tokens; ++at) {
                out << c.piece_of(at);
            }
        });
        column("piece_ends", "U64", of_token, kTokens, [end = std::uint64_t{0}](auto& out, const Chunk& c) mutable {
            for (std::size_t at = 0; at < c.tokens; ++at) {
                end += c.piece_of(at).size();
                out.write(reinterpret_cast<const char*>(&end), sizeof end);
            }
        });
        column("chosen", "U16", of_decision, kIds,
               [](auto& out, const Chunk& c) { put_tokens_first<std::uint16_t>(out, c, c.chosen, 1, 0); });
        column("margin", "F32", of_decision, kMargins,
               [](auto& out, const Chunk& c) { put_tokens_first<float>(out, c, c.margin, 1, NAN); });
        column("entropy", "F32", of_decision, kEntropies,
               [](auto& out, const Chunk& c) { put_tokens_first<float>(out, c, c.entropy, 1, NAN); });
        column("ids", "U16", of_rank, kIds, [](auto& out, const Chunk& c) {
            put_tokens_first<std::uint16_t>(out, c, c.ids, c.shape.per_token, kNoExpert);
        });
        column("weights", "F32", of_rank, kWeights,
               [](auto& out, const Chunk& c) { put_tokens_first<float>(out, c, c.weights, c.shape.per_token, NAN); });
    }
    if (samples > 0) {
        column("load", "U64", {samples, shape.layers, shape.experts}, kLoads, [](auto& out, const Chunk& c) {
            for (const LoadSample& sample : c.loads) {
                put(out, sample.counts);
            }
        });
        column("load_step", "I64", {samples}, kLoads, [](auto& out, const Chunk& c) {
            for (const LoadSample& sample : c.loads) {
                out.write(reinterpret_cast<const char*>(&sample.step), sizeof sample.step);
            }
        });
    }
    engine::write_safetensors(path, std::move(outputs), metadata);
    return chunks.damaged();
}

std::size_t write_trace_csv(const fs::path& path, const routing::LoadedTrace& trace,
                            const std::function<void()>& check) {
    using namespace routing;
    const RouterSpec& spec = trace.source->spec();
    const Chunks chunks(trace, check);
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    if (chunks.tokens() > 0 || chunks.samples() == 0) {
        out << "number,document,language,group,position,token,piece,next,predicted,log_probability,layer,rank,expert,"
               "weight,margin,entropy\r\n";
        chunks.each(kAllColumns, [&](const Chunk& chunk) { put_rows(out, chunk, spec); });
    } else {
        out << "step,layer,expert,count\r\n";
        chunks.each(kLoads, [&](const Chunk& chunk) { put_loads(out, chunk, spec); });
    }
    finish(out, path);
    return chunks.damaged();
}

std::size_t write_trace_columns(const fs::path& path, const routing::LoadedTrace& trace,
                                const std::function<void()>& check) {
    const Chunks chunks(trace, check);
    routing::TraceWriter writer(path, trace.source->spec(), trace.interventions);
    chunks.each(routing::kAllColumns, [&](const Chunk& chunk) { writer.append(chunk); });
    return chunks.damaged();
}

std::size_t write_trace_lines(const fs::path& path, const routing::LoadedTrace& trace,
                              const std::function<void()>& check) {
    return write_trace_lines(path, trace, check, {});
}

std::size_t write_trace_lines(const fs::path& path, const routing::LoadedTrace& trace,
                              const std::function<void()>& check, const ScoresOfToken& scores) {
    using namespace routing;
    const RouterSpec& spec = trace.source->spec();
    const Interventions changes =
        trace.interventions.is_array() ? interventions_from_json(trace.interventions) : Interventions();
    const Chunks chunks(trace, check);
    if (chunks.tokens() == 0 && chunks.samples() > 0) {
        throw Error(say("the trace has counts alone, and text is of tokens"));
    }
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    if (chunks.tokens() == 0) {
        out << "{\"router\":" << router_json(spec, changes) << "}\n";
    }
    bool first = true;
    TokenOrder order;
    chunks.each(kAllColumns, [&](const Chunk& chunk) {
        for (std::size_t at = 0; at < chunk.tokens; ++at) {
            TokenDecisions token = decisions_at(chunk, at, spec);
            if (auto whole = scores ? scores(chunk.first + at) : std::nullopt) {
                token.layers = std::move(*whole);
            }
            try {
                order.add(token.document, token.position);
                const std::string line = trace_line(token, first ? &spec : nullptr, changes);
                if (line.size() > kLongestTraceLine) {
                    throw Error(say("has a line of {} bytes", line.size()));
                }
                out << line << '\n';
            } catch (const Error& error) {
                throw Error(
                    say("the trace can't be written as a text that could be read again: it {}", error.sentence()));
            }
            first = false;
        }
    });
    finish(out, path);
    return chunks.damaged();
}

}  // namespace moescope::node
