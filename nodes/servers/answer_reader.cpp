#include "nodes/servers/answer_reader.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/utf8.hpp"
#include "nodes/servers/http_client.hpp"

namespace moescope::servers {

using base::Error;
using base::member;
using base::say;
using base::StopReason;
using nlohmann::json;
using protocol::TokenCandidate;
using protocol::TokenRecord;

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kMostTokenBytes = 4096;   ///< of a token's text that a server names
constexpr std::size_t kMostPiece = 16'384;      ///< a record of a token has room for 65,535
constexpr int kMorePieces = 64;                 ///< text that a server held back may come in pieces of its own
constexpr std::size_t kLookAhead = 8;           ///< tokens whose texts are looked for behind one that does not fit
constexpr std::size_t kGap = 48;                ///< bytes of text between two tokens that fit, for each that does not
constexpr std::size_t kMostAlternatives = 256;  ///< a record's count is a byte
constexpr std::string_view kThinks = "<think>\n", kThought = "\n</think>\n\n";

float log_probability_of(const json& value) {
    const auto number = base::as_number(value);
    constexpr double kRounding = 1e-3, kLowest = std::numeric_limits<float>::lowest();
    if (!number || std::isnan(*number) || *number > kRounding) {
        return kUnknown;
    }
    return static_cast<float>(std::clamp(*number, kLowest, 0.0));
}

/// The bytes of a token where the server lists them, else its text.
std::string bytes_of(const json& entry) {
    const json& list = member(entry, "bytes");
    std::string bytes;
    if (list.is_array() && list.size() <= kMostTokenBytes) {
        for (const json& value : list) {
            const auto byte = base::as_integer(value);
            if (!byte || *byte < 0 || *byte > 255) {
                return {};
            }
            bytes += static_cast<char>(*byte);
        }
        if (!bytes.empty()) {
            return bytes;
        }
    }
    bytes = base::text_of(entry, "token");
    return bytes.size() <= kMostTokenBytes ? bytes : std::string();
}

std::int32_t id_of(const json& entry) {
    const auto id = base::as_integer(member(entry, "id"));
    return id && *id >= 0 && *id <= std::numeric_limits<std::int32_t>::max() ? static_cast<std::int32_t>(*id) : -1;
}

TokenCandidate candidate_of(const json& entry) {
    return {id_of(entry), bytes_of(entry), log_probability_of(member(entry, "logprob"))};
}

/// Most likely first.
void cut_alternatives(std::vector<TokenCandidate>& list, int wanted) {
    std::stable_sort(list.begin(), list.end(), [](const TokenCandidate& a, const TokenCandidate& b) {
        return !std::isnan(a.log_probability) &&
               (std::isnan(b.log_probability) || a.log_probability > b.log_probability);
    });
    list.resize(std::min(list.size(), static_cast<std::size_t>(std::max(0, wanted))));
}

/// Nothing when the list has something that is no id; empty when there is no list.
std::optional<std::vector<std::int32_t>> ids_in(const json& list) {
    std::vector<std::int32_t> ids;
    if (!list.is_array()) {
        return ids;
    }
    for (const json& value : list) {
        const auto id = base::as_integer(value);
        if (!id || *id < 0 || *id > std::numeric_limits<std::int32_t>::max()) {
            return std::nullopt;
        }
        ids.push_back(static_cast<std::int32_t>(*id));
    }
    return ids;
}

}  // namespace

struct AnswerReader::Entry {
    TokenCandidate token;
    std::vector<TokenCandidate> alternatives;
};

namespace {

/// {"content": [{"token","logprob","bytes","top_logprobs"}]}: chats, and everything of llama-server.
template <class Entry>
void take_content(const json& content, int alternatives, std::vector<Entry>& entries) {
    for (const json& one : content) {
        Entry entry;
        entry.token = candidate_of(one);
        const json& others = member(one, "top_logprobs");
        for (std::size_t i = 0; others.is_array() && i < std::min(others.size(), kMostAlternatives); ++i) {
            entry.alternatives.push_back(candidate_of(others[i]));
        }
        cut_alternatives(entry.alternatives, alternatives);
        entries.push_back(std::move(entry));
    }
}

/// {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{text: value}]}: completions.
template <class Entry>
void take_lists(const json& logprobs, int alternatives, std::vector<Entry>& entries) {
    const json &tokens = member(logprobs, "tokens"), &values = member(logprobs, "token_logprobs"),
               &others = member(logprobs, "top_logprobs");
    for (std::size_t i = 0; tokens.is_array() && i < tokens.size(); ++i) {
        Entry entry;
        entry.token.token = -1;
        const std::string text = tokens[i].is_string() ? tokens[i].get<std::string>() : std::string();
        entry.token.bytes = text.size() <= kMostTokenBytes ? text : std::string();
        entry.token.log_probability = values.is_array() && i < values.size() ? log_probability_of(values[i]) : kUnknown;
        if (others.is_array() && i < others.size() && others[i].is_object()) {
            for (const auto& [other, value] : others[i].items()) {
                if (entry.alternatives.size() < kMostAlternatives && other.size() <= kMostTokenBytes) {
                    entry.alternatives.push_back({-1, other, log_probability_of(value)});
                }
            }
        }
        cut_alternatives(entry.alternatives, alternatives);
        entries.push_back(std::move(entry));
    }
}

/// What a server says of a token is not the text that it stands for: a part of a character, a number, or a piece as
/// vocabularies write it, with signs for blanks.
bool is_no_text(std::string_view token) {
    constexpr std::array<std::string_view, 4> kSigns = {"\uFFFD", "\u0120", "\u010A", "\u2581"};
    return token.empty() || token.starts_with("token_id:") || base::to_valid_utf8(token) != token ||
           std::any_of(kSigns.begin(), kSigns.end(),
                       [&](std::string_view sign) { return token.find(sign) != std::string_view::npos; });
}

/// Servers trim texts.
std::string without_blanks(std::string_view text) {
    std::string kept;
    std::copy_if(text.begin(), text.end(), std::back_inserter(kept),
                 [](char c) { return c != ' ' && c != '\n' && c != '\t' && c != '\r'; });
    return kept;
}

/// The entries from `begin` to `end` do not fit, and `text` stands where they would. Without any text they are tokens
/// that a server does not show, and marks of reasoning that were put back stand for others; any other text says that
/// these are not the tokens it is made of. Gives how many are forgotten.
template <class Entry>
int forget_others(const std::string& text, std::vector<Entry>& entries, std::size_t begin, std::size_t end) {
    const auto from = entries.begin() + static_cast<std::ptrdiff_t>(begin),
               to = entries.begin() + static_cast<std::ptrdiff_t>(end);
    std::string own;
    std::for_each(from, to, [&](const Entry& entry) { own += entry.token.bytes; });
    if (text.empty() || text == kThinks || text == kThought || without_blanks(text) == without_blanks(own) ||
        std::any_of(from, to, [](const Entry& entry) { return is_no_text(entry.token.bytes); })) {
        return 0;
    }
    std::for_each(from, to, [](Entry& entry) {
        entry.token.token = -1;
        entry.token.log_probability = kUnknown;
        entry.alternatives.clear();
    });
    return static_cast<int>(end - begin);
}

/// Shares `text` out among the entries: each gets its own where it comes next; text between two that fit goes to the
/// one before the second, and what is left to the last. The texts of all together are `text`. Gives how many entries
/// are of other tokens than the text (forget_others).
template <class Entry>
int share_out(const std::string& text, std::vector<Entry>& entries) {
    std::size_t at = 0, unfit = 0;  // entries from here to the present one do not fit
    int forgotten = 0;
    for (std::size_t i = 0; i < entries.size();) {
        std::size_t fits = i, found = std::string::npos;
        for (; fits < std::min(entries.size(), i + kLookAhead) && found == std::string::npos; ++fits) {
            const std::string& wanted = entries[fits].token.bytes;
            if (!wanted.empty()) {
                const std::size_t reach = at + kGap * (fits - i + 1) + wanted.size();
                const std::size_t place =
                    std::string_view(text).substr(0, std::min(text.size(), reach)).find(wanted, at);
                found = place == std::string_view::npos || (fits == i && place > at + kThought.size()) ? found : place;
            }
        }
        if (found == std::string::npos) {
            ++i;
            continue;
        }
        --fits;  // the entry whose text stands at `found`
        const std::string between = text.substr(at, found - at);
        forgotten += forget_others(between, entries, unfit, fits);
        for (std::size_t skipped = unfit; skipped < fits; ++skipped) {
            entries[skipped].token.bytes = skipped + 1 == fits && skipped >= i ? between : std::string();
        }
        at = found + entries[fits].token.bytes.size();
        if (fits == i) {
            entries[i].token.bytes.insert(0, between);
        }
        unfit = i = fits + 1;
    }
    const std::string rest = text.substr(at);
    forgotten += forget_others(rest, entries, unfit, entries.size());
    for (std::size_t skipped = unfit; skipped < entries.size(); ++skipped) {
        entries[skipped].token.bytes.clear();
    }
    if (!entries.empty()) {
        entries.back().token.bytes += rest;
    }
    return forgotten;
}

}  // namespace

AnswerReader::AnswerReader(Wanted wanted, OnToken on_token)
    : wanted_(std::move(wanted)), on_token_(std::move(on_token)), routing_(json::object()) {}

void AnswerReader::take(json part) {
    if (!part.is_object()) {
        throw Error(say("{} sends JSON that is no answer", wanted_.source));
    }
    const json& error = base::text_of(part, "object") == "error" ? part : member(part, "error");
    if (!error.is_null()) {
        const std::string text = error.is_string() ? error.get<std::string>() : base::text_of(error, "message");
        throw Error(say("{} broke its answer off: {}", wanted_.source, said_by_server(text, wanted_.key)));
    }
    take_usage(member(part, "usage"));
    take_ids(part);
    take_routing(part);
    const auto choices = part.find("choices");
    if (choices == part.end() || choices->is_null()) {
        return;
    }
    if (!choices->is_array()) {
        throw Error(say("{} sends JSON that is no answer", wanted_.source));
    }
    for (json& choice : *choices) {
        // One answer was asked for; others that come are not.
        if (choice.is_object() && base::as_integer(member(choice, "index")).value_or(0) == 0) {
            any_choice_ = true;
            take_choice(choice);
        }
    }
}

void AnswerReader::take_usage(const json& usage) {
    const auto count = [&](const char* key, int before) {
        const auto value = base::as_count(member(usage, key));
        return value && *value <= static_cast<std::uint64_t>(std::numeric_limits<int>::max()) ? static_cast<int>(*value)
                                                                                              : before;
    };
    for (const char* key : {"prompt_tokens", "completion_tokens"}) {
        // As it was said: whoever reads the routing refuses what is no count.
        if (const json& value = member(usage, key); wanted_.routing && value.is_number()) {
            routing_["usage"][key] = value;
        }
    }
    prompt_tokens_ = count("prompt_tokens", prompt_tokens_);
    counted_ = count("completion_tokens", counted_);
}

void AnswerReader::take_ids(const json& object) {
    const auto prompt = ids_in(member(object, "prompt_token_ids")), written = ids_in(member(object, "token_ids"));
    if (!prompt || !written) {
        throw Error(say("{} sends ids of tokens that are none", wanted_.source));
    }
    if (prompt_ids_.empty()) {
        prompt_ids_ = *prompt;
    }
    ids_.insert(ids_.end(), written->begin(), written->end());
}

/// Beside the text, or in an object of its own: SGLang has had three names for it.
void AnswerReader::take_routing(json& object) {
    if (!wanted_.routing) {
        return;
    }
    const auto move_from = [&](json& from) {
        for (const char* key : {"routed_experts", "prompt_routed_experts", "routed_experts_dtype"}) {
            if (const auto found = from.find(key); found != from.end() && !found->is_null()) {
                routing_[key] = std::move(*found);
            }
        }
    };
    move_from(object);
    for (const char* key : {"sglext", "sgl_ext", "meta_info"}) {
        if (const auto found = object.find(key); found != object.end() && found->is_object()) {
            move_from(*found);
        }
    }
}

void AnswerReader::take_choice(json& choice) {
    const std::size_t known = ids_.size();
    take_ids(choice);
    take_routing(choice);
    take_reason(member(choice, "finish_reason"));
    std::string text = text_of_choice(choice);
    std::vector<Entry> entries;
    const json& logprobs = member(choice, "logprobs");
    if (const json& content = member(logprobs, "content"); content.is_array()) {
        take_content(content, wanted_.alternatives, entries);
    } else {
        take_lists(logprobs, wanted_.alternatives, entries);
    }
    give(std::move(text), std::move(entries), {ids_.begin() + static_cast<std::ptrdiff_t>(known), ids_.end()},
         stop_.has_value());
}

std::string AnswerReader::text_of_choice(const json& choice) {
    for (const char* key : {"delta", "message"}) {
        if (const json& message = member(choice, key); message.is_object()) {
            const std::string one = base::text_of(message, "reasoning_content");
            return with_marks(one.empty() ? base::text_of(message, "reasoning") : one,
                              base::text_of(message, "content"));
        }
    }
    return base::text_of(choice, "text");
}

/// A server that takes the reasoning out of an answer leaves its marks out: they are put back, so that it is told apart
/// as everywhere else.
std::string AnswerReader::with_marks(const std::string& reasoning, const std::string& said) {
    std::string text;
    if (!reasoning.empty()) {
        text += in_reasoning_ ? "" : kThinks;
        text += reasoning;
        in_reasoning_ = true;
    }
    if (!said.empty()) {
        text += in_reasoning_ ? kThought : "";
        text += said;
        in_reasoning_ = false;
    }
    return text;
}

void AnswerReader::take_reason(const json& reason) {
    const std::string name = reason.is_string() ? reason.get<std::string>() : base::text_of(reason, "type");
    if (name.empty()) {
        return;
    }
    stop_ = base::stop_from_name(name);
    if (!stop_ || *stop_ == StopReason::error || *stop_ == StopReason::cancelled) {
        throw Error(say("{} ended the answer with '{}', which is no end of an answer", wanted_.source,
                        said_by_server(name, wanted_.key)));
    }
}

void AnswerReader::give(std::string text, std::vector<Entry> entries, const std::vector<std::int32_t>& ids, bool last) {
    if (entries.empty() && (!text.empty() || !ids.empty())) {
        // Nothing is known of the tokens but perhaps their number.
        entries.resize(std::max<std::size_t>(1, ids.size()));
        for (Entry& entry : entries) {
            entry.token = {-1, {}, kUnknown};
        }
        entries.back().token.bytes = text;
    } else {
        others_ += share_out(text, entries);
    }
    if (entries.size() == ids.size()) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
            entries[i].token.token = ids[i];
        }
    }
    if (wanted_.routing) {
        for (const Entry& entry : entries) {
            written_.push_back({entry.token.bytes, entry.token.log_probability});
        }
    }
    // The token that ends an answer is no part of it.
    while (last && *stop_ == StopReason::end && !entries.empty() && entries.back().token.bytes.empty()) {
        entries.pop_back();
    }
    for (Entry& entry : entries) {
        std::string bytes = std::exchange(entry.token.bytes, {});
        const std::string rest = bytes.size() > kMostPiece ? bytes.substr(kMostPiece) : std::string();
        entry.token.bytes = bytes.substr(0, kMostPiece);
        give_one({std::move(entry.token), std::move(entry.alternatives), {}});
        for (std::size_t at = 0; at < rest.size(); at += kMostPiece) {
            on_token_({{-1, rest.substr(at, kMostPiece), kUnknown}, {}, {}});
        }
    }
}

void AnswerReader::give_one(TokenRecord token) {
    if (pieces_ >= wanted_.most_tokens + kMorePieces) {
        throw Error(say("{} sends more than the {} tokens that were asked for", wanted_.source, wanted_.most_tokens));
    }
    ++pieces_;
    on_token_(std::move(token));
}

void AnswerReader::finish() const {
    if (!any_choice_) {
        throw Error(say("{} sent no answer", wanted_.source));
    }
    if (!stop_) {
        throw Error(say("{} closed the connection before its answer had ended", wanted_.source));
    }
}

StopReason AnswerReader::stop() const {
    // Most servers say "length" for a full context, too.
    const bool context = stop_ == StopReason::length && counted_ > 0 && counted_ < wanted_.most_tokens;
    return context ? StopReason::context : stop_.value_or(StopReason::error);
}

int AnswerReader::tokens() const {
    return counted_ > 0 ? counted_ : pieces_;
}

std::optional<std::string> AnswerReader::recorded() const {
    if (!routing_.contains("routed_experts") && !routing_.contains("prompt_routed_experts")) {
        return std::nullopt;
    }
    json answer = routing_;
    if (!prompt_ids_.empty()) {
        answer["prompt_token_ids"] = prompt_ids_;
    }
    if (!ids_.empty()) {
        answer["token_ids"] = ids_;
    }
    return base::dump_json(answer);
}

}  // namespace moescope::servers
