#include "nodes/service/jobs/recorded_texts.hpp"

#include <limits>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "nodes/service/workers/worker_routing.hpp"

namespace moescope::node {
namespace {

using base::say;

template <class T>
T value_at(const std::vector<T>& column, std::size_t at, T otherwise) {
    return at < column.size() ? column[at] : otherwise;
}

std::string name_at(const routing::Chunk& chunk, const std::vector<std::uint16_t>& column, std::size_t at) {
    const std::size_t place = value_at(column, at, std::uint16_t{0});
    return place < chunk.names.size() ? chunk.names[place] : std::string();
}

/// The text that is being put together.
struct Open {
    RecordedText text;
    base::Sha256 pieces;
    std::uint32_t document = 0;
};

}  // namespace

void for_each_recorded_text(const routing::PackedTrace& trace, const NamedTokens& wanted,
                            const std::function<void(RecordedText)>& visit) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t end =
        wanted.count == 0 || wanted.count > kMost - wanted.first ? kMost : wanted.first + wanted.count;
    const auto damaged = [&] {
        return base::Error(
            say("the routing of run {} is damaged, and what is left of it would be another text", wanted.run));
    };
    std::optional<Open> open;
    const auto close = [&] {
        if (open) {
            open->text.pieces_sha256 = open->pieces.finish();
            visit(std::move(open->text));
            open.reset();
        }
    };
    std::uint64_t expected = wanted.first;
    for (std::size_t number = trace.chunk_holding(wanted.first); number < trace.chunks() && expected < end; ++number) {
        const auto chunk = trace.chunk(number, routing::kTokens);
        if (!chunk) {
            throw damaged();
        }
        for (std::size_t at = 0; at < chunk->tokens && expected < end; ++at) {
            const std::uint64_t token = chunk->first + at;
            if (token < wanted.first) {
                continue;
            }
            if (token != expected) {
                throw damaged();
            }
            const std::uint32_t document = value_at(chunk->document, at, std::uint32_t{0});
            const std::int32_t id = value_at(chunk->token, at, std::int32_t{-1});
            if (!open || document != open->document) {
                close();
                if (value_at(chunk->position, at, std::int32_t{-1}) != 0) {
                    throw base::Error(
                        say("token {} of run {} does not begin a text, and what stands before it is "
                            "needed to read it",
                            token, wanted.run));
                }
                open.emplace();
                open->document = document;
                open->text.language = name_at(*chunk, chunk->language, at);
                open->text.group = name_at(*chunk, chunk->group, at);
            }
            if (id < 0) {
                throw base::Error(
                    say("the routing of run {} does not say which token number {} is", wanted.run, token));
            }
            open->text.ids.push_back(id);
            open->text.next = value_at(chunk->next, at, std::int32_t{-1});
            add_piece(open->pieces, chunk->piece_of(at));
            ++expected;
        }
    }
    if (expected == wanted.first) {
        throw base::Error(say("run {} has no tokens from number {} on that could be read", wanted.run, wanted.first));
    }
    close();
}

}  // namespace moescope::node
