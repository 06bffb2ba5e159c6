// The text of a trace as it is shown: tokens with their texts, in pages of some hundred. A figure for
// routing/figures/figure_job.hpp, so that texts of any length are unpacked away from the window. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::panels {

/// What a token's text is.
enum class TokenKind : std::uint8_t {
    text,
    bytes,    ///< a part of a character, or bytes that are none
    control,  ///< of the template or the tokenizer: <|im_start|>, </s>, or a token without a text
};

struct TokenText {
    std::string text;  ///< valid UTF-8: bytes as ‹E4›, a line end as ¶ and a line end
    TokenKind kind = TokenKind::text;
};
/// `id` stands for a token without a text.
TokenText token_text(std::string_view bytes, std::int32_t id);

/// What of a page's text is a token (TokenPage::text_of), on one line: spaces as ·, a line end as ¶.
std::string in_line(std::string_view shown);
/// The text of a token as a name in a table, on one line.
std::string shown_piece(std::string_view bytes, std::int32_t id);

struct TokenPage {
    std::uint64_t first = 0;  ///< number of its first token in the trace
    std::uint32_t document = 0;
    std::string language, group;  ///< of the document; empty: not known
    bool begins_document = false;
    std::string text;
    std::vector<std::uint32_t> ends;  ///< [T] where the text of each token ends
    std::vector<std::int32_t> ids, position;
    std::vector<float> own;  ///< [T] log-probability of each token itself, NaN where not known
    std::vector<TokenKind> kinds;
    std::uint32_t breaks = 0;  ///< line ends in the text

    std::size_t tokens() const { return ends.size(); }
    std::uint32_t begin_of(std::size_t at) const { return at == 0 ? 0 : ends[at - 1]; }
    std::string_view text_of(std::size_t at) const {
        return std::string_view(text).substr(begin_of(at), ends[at] - begin_of(at));
    }
    /// The token that a byte of the text belongs to.
    std::size_t token_at(std::uint32_t offset) const;
};

class TokenPages {
 public:
    static constexpr unsigned kWanted = routing::kTokens;
    static constexpr std::size_t kMostTokens = 512;  ///< of a page

    /// `cut`: a token that begins a page of its own: the answer behind its prompt.
    explicit TokenPages(std::optional<std::uint64_t> cut = {}) : cut_(cut) {}
    /// Chunks in their order. A page ends with its document, before `cut`, at a hole, and at the latest with
    /// kMostTokens, then behind a line end where there is one.
    void add(const routing::Chunk& chunk);

    const std::vector<std::shared_ptr<const TokenPage>>& pages() const { return pages_; }
    std::uint64_t tokens() const { return tokens_; }  ///< in all pages
    /// Number in the trace behind the last token.
    std::uint64_t end() const { return pages_.empty() ? 0 : pages_.back()->first + pages_.back()->tokens(); }
    bool many_documents() const { return !pages_.empty() && pages_.back()->document != pages_.front()->document; }

 private:
    std::optional<std::uint64_t> cut_;
    std::vector<std::shared_ptr<const TokenPage>> pages_;
    std::uint64_t tokens_ = 0;
    float next_own_ = 0;  ///< log-probability of the token that comes next, as the one before it says
    bool has_next_ = false;
};

/// The page that holds a token; pages.size() when none does.
std::size_t page_holding(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t token);

/// The log-probability of a token itself; NaN where it is not known. It is what the token before it says of the next
/// one.
float own_of(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t token);

/// Of the tokens [first, last) what can be read, on one line of `most` bytes at most: their name in a list. Control
/// tokens are left out.
std::string words_of(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t first,
                     std::uint64_t last, std::size_t most);

/// The number of the first answer token in a trace of prompt and answer whose tokens are `trace`, told by the tokens of
/// the answer so far; either may be ahead of the other. Nothing while that can't be told.
std::optional<std::uint64_t> answer_begin(const std::vector<std::int32_t>& trace,
                                          const std::vector<std::int32_t>& answer);

}  // namespace moescope::panels
