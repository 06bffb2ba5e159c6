#include "engine/exchange/gguf_vocabulary.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"

namespace moescope::engine {
namespace {

using Kind = TokenizerPiece::Kind;

constexpr float kNoScore = -1e6f;  // of what no pair makes

std::int32_t number_of(Kind kind) {
    return static_cast<std::int32_t>(kind);
}

std::vector<std::int32_t> kinds_of(const Vocabulary& vocabulary) {
    std::vector<std::int32_t> kinds;
    for (const std::string& piece : vocabulary.pieces) {
        const bool byte = vocabulary.letters == Vocabulary::Letters::text && piece.size() == 6 &&
                          piece.starts_with("<0x") && piece.ends_with('>');
        kinds.push_back(number_of(byte ? Kind::byte : Kind::normal));
    }
    for (const Vocabulary::Added& added : vocabulary.added) {
        const bool unknown = vocabulary.letters == Vocabulary::Letters::text && added.id == vocabulary.unknown;
        kinds[static_cast<std::size_t>(added.id)] = number_of(unknown         ? Kind::unknown
                                                              : added.special ? Kind::control
                                                                              : Kind::user_defined);
    }
    return kinds;
}

/// The token that each merge makes, by its rank.
std::vector<std::int32_t> results_of(const Vocabulary& vocabulary,
                                     const std::unordered_map<std::string_view, std::int32_t>& numbers) {
    std::vector<std::int32_t> results;
    for (const auto& [left, right] : vocabulary.merges) {
        const std::string both =
            vocabulary.pieces[static_cast<std::size_t>(left)] + vocabulary.pieces[static_cast<std::size_t>(right)];
        results.push_back(numbers.at(both));
    }
    return results;
}

/// Whether merging whatever pair makes a piece, the best piece first, is the same: each piece has a merge for every
/// pair that makes it, and they stand together. Only where one letter repeats may pairs of one piece get in each
/// other's way.
bool merges_by_score(const Vocabulary& vocabulary, const std::vector<std::int32_t>& results,
                     const std::unordered_map<std::string_view, std::int32_t>& numbers) {
    std::unordered_map<std::int32_t, std::size_t> counts;
    for (std::size_t rank = 0; rank < results.size(); ++rank) {
        if (rank > 0 && results[rank] != results[rank - 1] && counts.contains(results[rank])) {
            return false;
        }
        ++counts[results[rank]];
    }
    std::unordered_set<std::int32_t> added;
    for (const Vocabulary::Added& one : vocabulary.added) {
        added.insert(one.id);
    }
    for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
        const auto token = static_cast<std::int32_t>(id);
        const std::string_view piece = vocabulary.pieces[id];
        std::size_t pairs = 0;
        for (std::size_t at = base::code_point_at(piece, 0).length; at > 0 && at < piece.size();
             at += std::max<std::size_t>(1, base::code_point_at(piece, at).length)) {
            pairs += numbers.contains(piece.substr(0, at)) && numbers.contains(piece.substr(at)) ? 1U : 0U;
        }
        const auto merges = counts.find(token);
        if (!added.contains(token) && pairs != (merges == counts.end() ? 0 : merges->second)) {
            return false;
        }
    }
    return true;
}

void put_merges(GgufValues& values, const Vocabulary& vocabulary, const std::string& words) {
    std::vector<std::string> merges;
    for (const auto& [left, right] : vocabulary.merges) {
        merges.push_back(vocabulary.pieces[static_cast<std::size_t>(left)] + " " +
                         vocabulary.pieces[static_cast<std::size_t>(right)]);
    }
    values.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
    values.emplace_back("tokenizer.ggml.pre", words);
    values.emplace_back("tokenizer.ggml.merges", std::move(merges));
}

void put_scores(GgufValues& values, const Vocabulary& vocabulary, const std::vector<std::int32_t>& results,
                std::size_t tokens) {
    std::vector<float> scores(tokens, kNoScore);
    for (std::size_t rank = results.size(); rank-- > 0;) {
        scores[static_cast<std::size_t>(results[rank])] = -static_cast<float>(rank);
    }
    values.emplace_back("tokenizer.ggml.model", std::string("llama"));
    values.emplace_back("tokenizer.ggml.scores", std::move(scores));
    values.emplace_back("tokenizer.ggml.add_space_prefix", vocabulary.space != Vocabulary::Space::never);
    if (vocabulary.unknown) {
        values.emplace_back("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(*vocabulary.unknown));
    }
}

void put_rules(GgufValues& values, const TextRules& rules) {
    if (rules.begin) {
        values.emplace_back("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*rules.begin));
    }
    if (!rules.ends.empty()) {
        values.emplace_back("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(rules.ends.front()));
    }
    values.emplace_back("tokenizer.ggml.add_bos_token", rules.begin.has_value());
    values.emplace_back("tokenizer.ggml.add_eos_token", false);
    if (!rules.chat_template.empty()) {
        values.emplace_back("tokenizer.chat_template", rules.chat_template);
    }
}

}  // namespace

std::optional<GgufValues> gguf_vocabulary_values(const Vocabulary& vocabulary, const TextRules& rules, int tokens) {
    const auto wanted = std::max(static_cast<std::size_t>(tokens), vocabulary.pieces.size());
    std::unordered_map<std::string_view, std::int32_t> numbers;
    for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
        numbers.emplace(vocabulary.pieces[id], static_cast<std::int32_t>(id));
    }
    GgufValues values;
    if (vocabulary.letters == Vocabulary::Letters::bytes) {
        put_merges(values, vocabulary, vocabulary.words_in_gguf);
    } else if (const auto results = results_of(vocabulary, numbers); merges_by_score(vocabulary, results, numbers)) {
        put_scores(values, vocabulary, results, wanted);
    } else if (vocabulary.space == Vocabulary::Space::never) {
        put_merges(values, vocabulary, kTextWords);
    } else {
        return std::nullopt;
    }
    std::vector<std::string> pieces = vocabulary.pieces;
    std::vector<std::int32_t> kinds = kinds_of(vocabulary);
    while (pieces.size() < wanted) {
        std::string name = "<further_" + std::to_string(pieces.size()) + ">";
        while (numbers.contains(name)) {
            name += ' ';
        }
        pieces.push_back(std::move(name));
        kinds.push_back(number_of(Kind::unused));
    }
    values.emplace_back("tokenizer.ggml.tokens", std::move(pieces));
    values.emplace_back("tokenizer.ggml.token_type", std::move(kinds));
    put_rules(values, rules);
    return values;
}

}  // namespace moescope::engine
