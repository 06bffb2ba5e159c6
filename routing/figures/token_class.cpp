#include "routing/figures/token_class.hpp"

#include <algorithm>
#include <string>

#include "base/utf8.hpp"

namespace moescope::routing {

namespace {

constexpr std::array kNames = {"special",     "part",  "space",       "han",  "word_start",
                               "word_inside", "digit", "punctuation", "code", "other"};
static_assert(kNames.size() == kTokenClasses.size());

bool is_blank(char32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200b);
}
bool is_latin(char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0x24f && c != 0xd7 && c != 0xf7) ||
           (c >= 0x1e00 && c <= 0x1eff);
}
bool is_digit(char32_t c) {
    return (c >= '0' && c <= '9') || (c >= 0xff10 && c <= 0xff19);
}
bool is_prose_mark(char32_t c) {
    constexpr std::u32string_view kMarks = U".,;:!?'\"()-";
    return kMarks.find(c) != std::u32string_view::npos || (c >= 0x2010 && c <= 0x2027) || c == 0xb7 || c == 0xab ||
           c == 0xbb || c == 0xa1 || c == 0xbf || (c >= 0x3001 && c <= 0x3003) || (c >= 0x3008 && c <= 0x3011) ||
           (c >= 0x3014 && c <= 0x301f) || c == 0xff01 || c == 0xff08 || c == 0xff09 || c == 0xff0c || c == 0xff1a ||
           c == 0xff1b || c == 0xff1f;
}
bool is_code_sign(char32_t c) {
    constexpr std::u32string_view kSigns = U"{}[]<>=_\\#$&|~^`*@+/%";
    return kSigns.find(c) != std::u32string_view::npos;
}

/// Marks that models know by their form; others cannot be told from text.
bool is_mark_of_model(std::string_view bytes) {
    constexpr std::array<std::string_view, 14> kMarks = {
        "<s>",    "</s>",    "<unk>",           "<pad>",         "<bos>",   "<eos>",    "<mask>",
        "[INST]", "[/INST]", "<start_of_turn>", "<end_of_turn>", "<think>", "</think>", "<|>"};
    // DeepSeek writes its bars in full width: <｜end▁of▁sentence｜>.
    return std::find(kMarks.begin(), kMarks.end(), bytes) != kMarks.end() ||
           (bytes.size() > 4 && bytes.starts_with("<|") && bytes.ends_with("|>")) ||
           (bytes.starts_with("<\xef\xbd\x9c") && bytes.ends_with("\xef\xbd\x9c>"));
}

bool is_named_byte(std::string_view bytes) {
    return bytes.size() == 6 && bytes.starts_with("<0x") && bytes.back() == '>';
}

bool ends_with_letter(std::string_view bytes) {
    std::size_t last = bytes.size();
    while (last > 0 && bytes.size() - last < 4) {
        --last;
        if (const base::CodePoint code = base::code_point_at(bytes, last); code.length == bytes.size() - last) {
            return is_latin(code.value);
        }
    }
    return false;
}

/// Upper case behind lower case: getElement.
bool has_hump(const std::u32string& text) {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] >= 'A' && text[i] <= 'Z' && text[i - 1] >= 'a' && text[i - 1] <= 'z') {
            return true;
        }
    }
    return false;
}

}  // namespace

const char* token_class_name(TokenClass kind) {
    return kNames[static_cast<std::size_t>(kind)];
}

TokenClass token_class(std::string_view bytes, std::string_view before) {
    if (bytes.empty() || is_mark_of_model(bytes)) {
        return TokenClass::special;
    }
    const auto decoded = base::decode_utf8(bytes);
    if (!decoded || is_named_byte(bytes)) {
        return TokenClass::part;
    }
    std::u32string text = *decoded;
    if (std::all_of(text.begin(), text.end(), is_blank)) {
        return TokenClass::space;
    }
    const bool behind_blank = is_blank(text.front());
    text.erase(0, behind_blank ? 1 : 0);
    if (std::any_of(text.begin(), text.end(), base::is_han)) {
        return TokenClass::han;
    }
    if (std::all_of(text.begin(), text.end(), is_digit)) {
        return TokenClass::digit;
    }
    const auto letters = std::count_if(text.begin(), text.end(), is_latin);
    // An apostrophe belongs to its word: 't, don't.
    const auto apostrophes =
        std::count_if(text.begin(), text.end(), [](char32_t c) { return c == '\'' || c == 0x2019; });
    if (letters > 0 && static_cast<std::size_t>(letters + apostrophes) == text.size() && !has_hump(text)) {
        return behind_blank || (!ends_with_letter(before) && !is_prose_mark(text.front())) ? TokenClass::word_start
                                                                                           : TokenClass::word_inside;
    }
    if (std::all_of(text.begin(), text.end(), is_prose_mark)) {
        return TokenClass::punctuation;
    }
    if (std::any_of(text.begin(), text.end(), is_code_sign) || letters > 0 ||
        std::any_of(text.begin(), text.end(), is_digit)) {
        return TokenClass::code;
    }
    return TokenClass::other;
}

}  // namespace moescope::routing
