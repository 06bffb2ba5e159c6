#include "probes/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "base/utf8.hpp"

namespace moescope::probes::text {
namespace {

// Traditional and simplified forms of the characters in the phrase lists.
constexpr std::u32string_view kTraditional =
    U"無對討論話題這個問們關換協幫評參與複雜沒觀點為語請諒內違規說應該來難訊實認識後開聯辦權據觸過讓時記錄話達繼續別訴"
    U"詢須體況務處盡學習還檢測監險審啟護機擋攔濾絕節頻異錯誤試樣適當壞顯結級種類儘給與係選擇戶單導現終斷標準範圍滿領"
    U"擅長數碼編邏輯歡顧慮屬僅簡嚴敘優東間連動會輸產從嗎麼風統暫資尋遺議報責職專歷國較確寫執爭見眾紛紜場樂隨設計訓練於"
    U"發並覆偵鎖網閉態";
constexpr std::u32string_view kSimplified =
    U"无对讨论话题这个问们关换协帮评参与复杂没观点为语请谅内违规说应该来难讯实认识后开联办权据触过让时记录话达继续别诉"
    U"询须体况务处尽学习还检测监险审启护机挡拦滤绝节频异错误试样适当坏显结级种类尽给与系选择户单导现终断标准范围满领"
    U"擅长数码编逻辑欢顾虑属仅简严叙优东间连动会输产从吗么风统暂资寻遗议报责职专历国较确写执争见众纷纭场乐随设计训练于"
    U"发并复侦锁网闭态";
static_assert(kTraditional.size() == kSimplified.size());

/// The pairs in the order of the traditional forms.
constexpr auto kSimplifiedForms = [] {
    std::array<std::pair<char32_t, char32_t>, kTraditional.size()> forms{};
    for (std::size_t i = 0; i < forms.size(); ++i) {
        forms[i] = {kTraditional[i], kSimplified[i]};
    }
    std::sort(forms.begin(), forms.end());
    return forms;
}();

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

/// Finds where quotations end. A quotation does not cross an empty line, so an unbalanced mark swallows at most a
/// paragraph.
class Quotations {
 public:
    explicit Quotations(std::u32string_view text) : text_(text) {}

    /// One past the closing mark of the quotation that opens at `i`, or i when none opens.
    std::size_t end(std::size_t i) {
        const char32_t close = closing_quote(text_[i]);
        if (close == 0) {
            return i;
        }
        std::size_t& without = without_[close];
        if (i < without) {
            return i;
        }
        for (std::size_t j = i + 1; j < text_.size(); ++j) {
            if (text_[j] == close) {
                return j + 1;
            }
            if (text_[j] == U'\n' && text_[j - 1] == U'\n') {
                without = j;
                return i;
            }
        }
        without = text_.size();
        return i;
    }

 private:
    std::u32string_view text_;
    std::map<char32_t, std::size_t> without_;  ///< closing mark -> where it was looked for in vain up to
};

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

bool has_no_width(char32_t c) {
    return c == 0xAD || c == 0x034F || c == 0x061C || c == 0x180E || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF ||
           (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xE0100 && c <= 0xE01EF);
}
bool is_blank(char32_t c) {
    return c == U' ' || c == U'\t' || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}
bool ends_line(char32_t c) {
    return c == U'\n' || c == U'\r' || c == 0x0B || c == 0x0C || c == 0x85 || c == 0x2028 || c == 0x2029;
}
/// Marks that stand for an apostrophe between two letters; some do everywhere.
bool is_apostrophe(char32_t c, char32_t before, char32_t after) {
    constexpr std::u32string_view kAlways = U"’‘ʼʻʹˈ′＇‛՚ꞌ";
    return kAlways.find(c) != std::u32string_view::npos ||
           ((c == 0xB4 || c == U'`') && is_letter(before) && is_letter(after));
}
/// The plain form of one character; 0 for one that is left out.
char32_t plain(char32_t c, char32_t before, char32_t after) {
    if (has_no_width(c)) {
        return 0;
    }
    if (ends_line(c)) {
        return U'\n';
    }
    if (is_blank(c)) {
        return U' ';
    }
    if (is_apostrophe(c, before, after)) {
        return U'\'';
    }
    if (c >= 0xFF01 && c <= 0xFF5E && c != U'！' && c != U'？' && c != U'，' && c != U'；' && c != U'：') {
        c -= 0xFEE0;  // full width
    } else if (c >= 0x1D400 && c <= 0x1D6A3) {
        c = U'A' + (c - 0x1D400) % 52;  // letters of mathematics: 26 capital and 26 small ones of each kind
        c = c > U'Z' ? c + 6 : c;
    }
    if (c >= U'A' && c <= U'Z') {
        return c + 32;
    }
    const auto at = std::lower_bound(kSimplifiedForms.begin(), kSimplifiedForms.end(), std::pair(c, char32_t{0}));
    return at == kSimplifiedForms.end() || at->first != c ? c : at->second;
}

/// End of an HTML tag or entity that begins at `i` and has a plain form, which is added to `out`; `i` when none does.
std::size_t html_end(std::u32string_view text, std::size_t i, std::u32string& out) {
    struct Form {
        std::u32string_view html, plain;
    };
    constexpr auto kEntities = std::to_array<Form>({{U"&nbsp;", U" "},
                                                    {U"&#39;", U"'"},
                                                    {U"&#x27;", U"'"},
                                                    {U"&apos;", U"'"},
                                                    {U"&rsquo;", U"'"},
                                                    {U"&quot;", U"\""},
                                                    {U"&amp;", U"&"}});
    constexpr auto kTags = std::to_array<Form>({{U"b", U""},
                                                {U"strong", U""},
                                                {U"em", U""},
                                                {U"i", U""},
                                                {U"u", U""},
                                                {U"mark", U""},
                                                {U"span", U""},
                                                {U"font", U""},
                                                {U"br", U"\n"},
                                                {U"p", U"\n"},
                                                {U"div", U"\n"}});
    if (text[i] == U'&') {
        for (const Form& form : kEntities) {
            if (text.substr(i, form.html.size()) == form.html) {
                out += form.plain;
                return i + form.html.size();
            }
        }
    }
    if (text[i] != U'<') {
        return i;
    }
    constexpr std::size_t kLongestTag = 80;
    const std::u32string_view tag = text.substr(i, kLongestTag);
    const std::size_t end = tag.find(U'>');
    if (end == std::u32string_view::npos) {
        return i;
    }
    std::size_t name = tag.size() > 1 && tag[1] == U'/' ? 2 : 1;
    std::u32string word;
    while (name < end && is_letter(tag[name])) {
        word += tag[name] >= U'A' && tag[name] <= U'Z' ? tag[name] + 32 : tag[name];
        ++name;
    }
    if (name < end && tag[name] != U' ' && tag[name] != U'/') {
        return i;
    }
    for (const Form& form : kTags) {
        if (word == form.html) {
            out += form.plain;
            return i + end + 1;
        }
    }
    return i;
}

/// Without Markdown's emphasis: every '*' and "~~", and '_' where it does not join two words.
std::u32string without_emphasis(std::u32string_view text) {
    const auto joins = [](char32_t c) { return is_letter(c) || is_digit(c); };
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = i;
        while (end < text.size() && text[end] == text[i]) {
            ++end;
        }
        const char32_t c = text[i];
        const bool joined = c == U'_' && i > 0 && end < text.size() && joins(text[i - 1]) && joins(text[end]);
        if (c == U'*' || (c == U'_' && !joined) || (c == U'~' && end - i == 2)) {
            i = end;
            continue;
        }
        if (c == U' ' && !out.empty() && out.back() == U' ') {
            ++i;  // a mark between two blanks
            continue;
        }
        out.append(text.substr(i, end - i));
        i = end;
    }
    return out;
}

/// "我 无法 回答" and "我无法回答" are the same; so are "作为 AI" and "作为AI".
std::u32string without_blanks_beside_han(std::u32string_view text) {
    const auto joins = [](char32_t c) { return is_letter(c) || is_digit(c) || stands_alone(c); };
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == U' ' && i > 0 && i + 1 < text.size() && joins(text[i - 1]) && joins(text[i + 1]) &&
            (stands_alone(text[i - 1]) || stands_alone(text[i + 1]))) {
            continue;
        }
        out += text[i];
    }
    return out;
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
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        if (const std::size_t end = html_end(text, i, out); end > i) {
            i = end;
            continue;
        }
        const char32_t before = i > 0 ? text[i - 1] : U'\n', after = i + 1 < text.size() ? text[i + 1] : U'\n';
        const char32_t c = plain(text[i], before, after);
        ++i;
        if (c == 0 || (c == U'\n' && after == U'\n' && text[i - 1] == U'\r')) {
            continue;
        }
        if (c == U' ' && (out.empty() || out.back() == U' ')) {
            continue;
        }
        out += c;
    }
    return without_blanks_beside_han(without_emphasis(out));
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

std::u32string signs_at_end(std::u32string_view text) {
    std::u32string out;
    while (!text.empty() && text.back() == U'\uFFFD') {
        text.remove_suffix(1);
    }
    for (; !text.empty() && !is_letter(text.back()) && !stands_alone(text.back()); text.remove_suffix(1)) {
        if (const char32_t c = text.back(); !is_blank(c) && !ends_line(c) && !has_no_width(c)) {
            out += c;
        }
    }
    std::reverse(out.begin(), out.end());
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

std::size_t template_token_at_start(std::string_view text) {
    constexpr std::size_t kLongest = 48;
    for (const std::string_view token : kTemplateTokens) {
        if (text.starts_with(token)) {
            return token.size();
        }
    }
    const std::string_view start = text.substr(0, kLongest);
    for (const auto& [open, close] : kTemplateForms) {
        const std::size_t end = start.find(close);
        if (start.starts_with(open) && end != std::string_view::npos &&
            start.substr(0, end).find_first_of(" \n") == std::string_view::npos) {
            return end + close.size();
        }
    }
    return 0;
}

std::string without_template_tokens(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        if (const std::size_t length = text[at] == '<' ? template_token_at_start(text.substr(at)) : 0; length > 0) {
            at += length;
        } else {
            out += text[at++];
        }
    }
    return out;
}

std::u32string mask_quotations(std::u32string_view text) {
    std::u32string out;
    Quotations quotations(text);
    bool line_start = true;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = std::max(quotations.end(i), code_end(text, i));
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
    return !text.empty() && Quotations(text).end(0) == text.size() ? std::u32string(text) : out;
}

}  // namespace moescope::probes::text
