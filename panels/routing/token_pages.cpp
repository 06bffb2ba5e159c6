#include "panels/routing/token_pages.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/utf8.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::panels {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
/// Of a full page, behind which line ends are looked for.
constexpr std::size_t kLeastTokens = 3 * TokenPages::kMostTokens / 4;

/// Tokens that tokenizers have beside those of texts. A heuristic: it decides on the look alone, the text is shown
/// either way.
bool is_control(std::string_view bytes) {
    static constexpr std::array<std::string_view, 14> kKnown = {
        "<s>",   "</s>",  "<unk>",  "<pad>",   "<bos>",           "<eos>",         "<mask>",
        "[BOS]", "[EOS]", "[INST]", "[/INST]", "<start_of_turn>", "<end_of_turn>", "[gMASK]"};
    if (std::find(kKnown.begin(), kKnown.end(), bytes) != kKnown.end()) {
        return true;
    }
    if (bytes.size() < 4 || bytes.front() != '<' || bytes.back() != '>' ||
        bytes.find_first_of(" \t\r\n") != std::string_view::npos) {
        return false;
    }
    const std::string_view inside = bytes.substr(1, bytes.size() - 2);
    constexpr std::string_view kWideBar = "\uff5c";  // of DeepSeek's
    return (inside.front() == '|' && inside.back() == '|') ||
           (inside.starts_with(kWideBar) && inside.ends_with(kWideBar)) || inside.starts_with("unused");
}

/// The page as it is, with room for more tokens.
std::shared_ptr<TokenPage> opened(const TokenPage& page) {
    return std::make_shared<TokenPage>(page);
}

template <class T, class Value>
T value_at(const std::vector<T>& column, std::size_t at, Value otherwise) {
    return at < column.size() ? column[at] : static_cast<T>(otherwise);
}

std::string name_at(const routing::Chunk& chunk, const std::vector<std::uint16_t>& column, std::size_t at) {
    const std::size_t place = value_at(column, at, 0);
    return place < chunk.names.size() ? chunk.names[place] : std::string();
}

}  // namespace

TokenText token_text(std::string_view bytes, std::int32_t id) {
    if (bytes.empty()) {
        return {routing::name_of_empty(id), TokenKind::control};
    }
    TokenText made;
    if (base::first_invalid_utf8(bytes) < bytes.size()) {
        made.kind = TokenKind::bytes;
    } else if (is_control(bytes)) {
        made.kind = TokenKind::control;
    }
    const std::string shown = displayable(bytes);
    for (const char c : shown) {
        if (c == '\n') {
            made.text += "¶";
        }
        made.text += c;
    }
    return made;
}

std::string in_line(std::string_view shown) {
    std::string line;
    for (const char c : shown) {
        line += c == ' ' ? "\u00b7" : c == '\n' ? "" : c == '\t' ? "\\t" : std::string(1, c);
    }
    return line;
}

std::string shown_piece(std::string_view bytes, std::int32_t id) {
    return bytes.empty() ? routing::name_of_empty(id) : visible_piece(bytes);
}

std::size_t TokenPage::token_at(std::uint32_t offset) const {
    const auto at = std::upper_bound(ends.begin(), ends.end(), offset);
    return std::min(static_cast<std::size_t>(at - ends.begin()), ends.empty() ? 0 : ends.size() - 1);
}

void TokenPages::add(const routing::Chunk& chunk) {
    std::shared_ptr<TokenPage> page;
    const auto close = [&] {
        if (page) {
            pages_.push_back(std::move(page));
            page = nullptr;
        }
    };
    std::uint32_t before = pages_.empty() ? 0 : pages_.back()->document;
    std::uint64_t expected = end();
    bool any = !pages_.empty();
    if (any) {
        page = opened(*pages_.back());
        pages_.pop_back();
    }
    for (std::size_t at = 0; at < chunk.tokens; ++at) {
        const std::uint64_t number = chunk.first + at;
        const std::uint32_t document = value_at(chunk.document, at, 0);
        const bool other_text = !any || document != before || number != expected;
        if (other_text) {
            has_next_ = false;
        }
        const bool full =
            page && (page->tokens() >= kMostTokens || (page->tokens() >= kLeastTokens && page->text.ends_with('\n')));
        if (page && (other_text || full || number == cut_)) {
            close();
        }
        if (!page) {
            page = std::make_shared<TokenPage>();
            page->first = number;
            page->document = document;
            page->language = name_at(chunk, chunk.language, at);
            page->group = name_at(chunk, chunk.group, at);
            page->begins_document = !any || document != before;
        }
        const std::int32_t id = value_at(chunk.token, at, -1);
        TokenText shown = token_text(chunk.piece_of(at), id);
        page->breaks += static_cast<std::uint32_t>(std::count(shown.text.begin(), shown.text.end(), '\n'));
        page->text += shown.text;
        page->ends.push_back(static_cast<std::uint32_t>(page->text.size()));
        page->ids.push_back(id);
        page->position.push_back(value_at(chunk.position, at, -1));
        page->kinds.push_back(shown.kind);
        page->own.push_back(has_next_ ? next_own_ : kNone);
        next_own_ = value_at(chunk.log_probability, at, kNone);
        has_next_ = true;
        before = document;
        expected = number + 1;
        any = true;
        ++tokens_;
    }
    close();
}

std::size_t page_holding(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t token) {
    const auto behind = std::upper_bound(pages.begin(), pages.end(), token,
                                         [](std::uint64_t wanted, const auto& page) { return wanted < page->first; });
    if (behind == pages.begin()) {
        return pages.size();
    }
    const TokenPage& page = **std::prev(behind);
    return token < page.first + page.tokens() ? static_cast<std::size_t>(std::prev(behind) - pages.begin())
                                              : pages.size();
}

float own_of(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t token) {
    const std::size_t page = page_holding(pages, token);
    return page < pages.size() ? pages[page]->own[static_cast<std::size_t>(token - pages[page]->first)] : kNone;
}

std::string words_of(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t first,
                     std::uint64_t last, std::size_t most) {
    constexpr std::string_view kLineEnd = "\u00b6";
    std::string words;
    for (std::size_t number = page_holding(pages, first);
         number < pages.size() && pages[number]->first < last && words.size() < 2 * most; ++number) {
        const TokenPage& page = *pages[number];
        for (std::size_t at = 0; at < page.tokens() && page.first + at < last; ++at) {
            if (page.first + at >= first && page.kinds[at] != TokenKind::control) {
                words += page.text_of(at);
            }
        }
    }
    for (std::size_t at = words.find(kLineEnd); at != std::string::npos; at = words.find(kLineEnd, at)) {
        words.erase(at, kLineEnd.size());
    }
    return in_one_line(words, most);
}

std::optional<std::uint64_t> answer_begin(const std::vector<std::int32_t>& trace,
                                          const std::vector<std::int32_t>& answer) {
    constexpr std::size_t kEnough = 4;  // tokens that have to be the same, where there are so many
    const std::size_t T = trace.size(), A = answer.size();
    if (T == 0 || A < 2) {
        return {};
    }
    // All but the last token of the answer were fed: with both complete it begins here. The nearer to that, the better.
    const auto guess = static_cast<std::ptrdiff_t>(T) - static_cast<std::ptrdiff_t>(A) + 1;
    const auto fits = [&](std::ptrdiff_t begin) {
        if (begin < 1 || begin >= static_cast<std::ptrdiff_t>(T)) {
            return false;  // a prompt has at least one token, and one of the answer has to be seen
        }
        const std::size_t both = std::min(T - static_cast<std::size_t>(begin), A);
        return both >= std::min(kEnough, A - 1) &&
               std::equal(trace.begin() + begin, trace.begin() + begin + static_cast<std::ptrdiff_t>(both),
                          answer.begin());
    };
    for (std::ptrdiff_t off = 0; off <= static_cast<std::ptrdiff_t>(T); ++off) {
        for (const std::ptrdiff_t begin : {guess - off, guess + off}) {
            if (fits(begin)) {
                return static_cast<std::uint64_t>(begin);
            }
        }
        if (off > 4096) {
            break;
        }
    }
    return {};
}

}  // namespace moescope::panels
