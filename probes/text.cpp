#include "probes/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/utf8.hpp"

namespace moescope::probes::text {
namespace {

constexpr char32_t kBad = U'\uFFFD';

// Traditional and simplified forms of the characters in the phrase lists.
constexpr std::u32string_view kTraditional =
    U"無對討論話題這個問們關換協幫評參與複雜沒觀點為語請諒內違規說應該來難訊實認識後開聯辦權據觸過讓時記錄話達繼續別訴"
    U"詢須體況務處盡";
constexpr std::u32string_view kSimplified =
    U"无对讨论话题这个问们关换协帮评参与复杂没观点为语请谅内违规说应该来难讯实认识后开联办权据触过让时记录话达继续别诉"
    U"询须体况务处尽";
static_assert(kTraditional.size() == kSimplified.size());

/// Of any script: an answer in Arabic or Thai has words too. Scripts without spaces between words count as few of them.
bool is_letter(char32_t c) {
    constexpr std::u32string_view kMarks = U"\u00D7\u00F7\u060C\u061B\u061F\u06D4\u0964\u0965\u0E5A\u0E5B";
    return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') ||
           (((c >= 0xC0 && c < 0x2000) || (c >= 0xFB00 && c < 0xFE00) || (c >= 0xFE70 && c < 0xFEFF)) &&
            kMarks.find(c) == std::u32string_view::npos);
}
bool is_digit(char32_t c) {
    return c >= U'0' && c <= U'9';
}
bool is_sentence_mark(char32_t c) {
    return c == U'.' || c == U'!' || c == U'?' || c == U'。' || c == U'！' || c == U'？' || c == U'…' || c == 0x061F ||
           c == 0x06D4 || c == 0x0964;
}
bool closes(char32_t c) {
    return c == U'"' || c == U'”' || c == U'’' || c == U'」' || c == U'』' || c == U')' || c == U'）' || c == U'*';
}

/// Does the full stop at `i` belong to an abbreviation or an initial ("Dr.", "J.", "e.g.", "1.")?
bool abbreviates(std::u32string_view text, std::size_t i) {
    std::size_t start = i;
    while (start > 0 && (is_letter(text[start - 1]) || is_digit(text[start - 1]))) {
        --start;
    }
    const std::u32string_view word = text.substr(start, i - start);
    if (word.size() == 1 && is_letter(word[0]) && word[0] != U'I' && word[0] != U'i') {
        return true;
    }
    if (!word.empty() && word.size() <= 2 && std::all_of(word.begin(), word.end(), is_digit)) {
        return start == 0 || text[start - 1] == U'\n';  // a list number at the start of a line
    }
    constexpr std::array<std::u32string_view, 12> kShort{U"Dr", U"Mr", U"Mrs", U"Ms", U"St", U"vs",
                                                         U"dr", U"mr", U"mrs", U"ms", U"st", U"approx"};
    return std::find(kShort.begin(), kShort.end(), word) != kShort.end();
}

/// Is position `i` the last character of a sentence?
bool ends_sentence(std::u32string_view text, std::size_t i) {
    const char32_t c = text[i];
    if (!is_sentence_mark(c)) {
        return false;
    }
    if (c != U'.') {
        return true;
    }
    const bool open = i + 1 >= text.size() || is_space(text[i + 1]) || stands_alone(text[i + 1]) || closes(text[i + 1]);
    return open && !abbreviates(text, i);
}

char32_t closing_quote(char32_t open) {
    switch (open) {
        case U'“':
            return U'”';
        case U'「':
            return U'」';
        case U'『':
            return U'』';
        case U'《':
            return U'》';
        case U'"':
            return U'"';
        default:
            return 0;
    }
}

/// End of the quotation that opens at `i` (one past the closing mark), or i when none opens. A quotation does not cross
/// an empty line, so an unbalanced mark swallows at most a paragraph.
std::size_t quotation_end(std::u32string_view text, std::size_t i) {
    const char32_t close = closing_quote(text[i]);
    if (close == 0) {
        return i;
    }
    for (std::size_t j = i + 1; j < text.size(); ++j) {
        if (text[j] == close) {
            return j + 1;
        }
        if (text[j] == U'\n' && text[j - 1] == U'\n') {
            return i;
        }
    }
    return i;
}

std::size_t code_end(std::u32string_view text, std::size_t i) {
    if (text[i] != U'`') {
        return i;
    }
    const std::u32string_view fence = text.substr(i, 3) == U"```" ? U"```" : U"`";
    const std::size_t end = text.find(fence, i + fence.size());
    if (end == std::u32string_view::npos) {
        return fence.size() == 3 ? text.size() : i;  // an answer cut within its code
    }
    return end + fence.size();
}

void mask(std::u32string& out, std::u32string_view part) {
    const auto count = static_cast<std::size_t>(information_units(part));
    out.append(std::max<std::size_t>(count, 1), kMasked);
}

}  // namespace

bool stands_alone(char32_t c) {
    return base::is_han(c) || (c >= 0x3041 && c < 0x3130) || (c >= 0xAC00 && c < 0xD7A4);
}

bool is_space(char32_t c) {
    return c == U' ' || c == U'\n' || c == U'\r' || c == U'\t' || c == 0xA0 || c == 0x3000;
}

std::u32string normalise(std::u32string_view text) {
    std::u32string out(text);
    for (char32_t& c : out) {
        if (c >= 0xFF01 && c <= 0xFF5E && c != U'！' && c != U'？' && c != U'，' && c != U'；' && c != U'：') {
            c -= 0xFEE0;
        }
        if (c >= U'A' && c <= U'Z') {
            c += 32;
        } else if (c == U'’' || c == U'‘' || c == U'ʼ') {
            c = U'\'';
        } else if (const auto at = kTraditional.find(c); at != std::u32string_view::npos) {
            c = kSimplified[at];
        }
    }
    return out;
}

std::vector<std::u32string> tokens(std::u32string_view text) {
    std::vector<std::u32string> out;
    for (std::size_t i = 0; i < text.size();) {
        if (stands_alone(text[i]) || text[i] == kMasked) {
            out.emplace_back(1, text[i++]);
            continue;
        }
        std::size_t end = i;
        bool letters = false;
        while (end < text.size() && (is_letter(text[end]) || is_digit(text[end]) || (end > i && text[end] == U'\''))) {
            letters = letters || is_letter(text[end]);
            ++end;
        }
        if (letters) {
            out.emplace_back(text.substr(i, end - i));
        }
        i = std::max(end, i + 1);
    }
    return out;
}

double information_units(std::u32string_view text) {
    double units = 0;
    bool in_word = false;
    for (const char32_t c : text) {
        const bool word = is_letter(c) || is_digit(c) || (in_word && c == U'\'');
        if (c == kMasked || (word && !in_word)) {
            units += 1;
        } else if (stands_alone(c)) {
            units += kUnitsPerHan;
        }
        in_word = word;
    }
    return units;
}

std::vector<std::u32string_view> sentences(std::u32string_view text) {
    std::vector<std::u32string_view> out;
    std::size_t start = 0;
    const auto close = [&](std::size_t end) {
        const std::u32string_view part = text.substr(start, end - start);
        if (information_units(part) > 0) {
            out.push_back(part);
        }
        start = end;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == U'\n') {
            close(i);
        } else if (ends_sentence(text, i)) {
            while (i + 1 < text.size() && (is_sentence_mark(text[i + 1]) || closes(text[i + 1]))) {
                ++i;
            }
            close(i + 1);
        }
    }
    close(text.size());
    return out;
}

bool has_sentence_end(std::u32string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (ends_sentence(text, i)) {
            return true;
        }
    }
    return false;
}

Answer strip_reasoning(std::string_view raw) {
    Answer answer;
    constexpr std::string_view kOpen = "<think>", kClose = "</think>";
    std::string text(raw);
    if (const auto close = text.find(kClose); close != std::string::npos && text.find(kOpen) > close) {
        text.erase(0, close + kClose.size());
    }
    for (auto open = text.find(kOpen); open != std::string::npos; open = text.find(kOpen)) {
        const auto close = text.find(kClose, open);
        if (close == std::string::npos) {
            answer.thinking_only = true;
            text.erase(open);
        } else {
            text.erase(open, close + kClose.size() - open);
        }
    }
    for (const std::string_view token :
         {"<|im_end|>", "<|im_start|>", "<|endoftext|>", "<end_of_turn>", "<start_of_turn>", "</s>", "<eos>"}) {
        for (auto at = text.find(token); at != std::string::npos; at = text.find(token)) {
            text.erase(at, token.size());
        }
    }
    const auto first = text.find_first_not_of(" \t\r\n");
    const auto last = text.find_last_not_of(" \t\r\n");
    answer.text = first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
    answer.thinking_only = answer.thinking_only && answer.text.empty();
    return answer;
}

std::u32string mask_quotations(std::u32string_view text) {
    std::u32string out;
    bool line_start = true;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = std::max(quotation_end(text, i), code_end(text, i));
        if (line_start && text[i] == U'>') {
            end = std::min(text.find(U'\n', i), text.size());
        }
        if (end > i) {
            // The mark inside a quotation that ends a sentence ends the sentence around it too.
            const bool stop = end - i >= 2 && is_sentence_mark(text[end - 2]);
            mask(out, text.substr(i, end - i));
            if (stop) {
                out += U". ";
            }
            line_start = false;
            i = end;
            continue;
        }
        line_start = text[i] == U'\n' || (line_start && is_space(text[i]));
        out += text[i++];
    }
    // An answer that stands as a whole in quotation marks is the answer, not a quotation.
    return !text.empty() && quotation_end(text, 0) == text.size() ? std::u32string(text) : out;
}

}  // namespace moescope::probes::text
