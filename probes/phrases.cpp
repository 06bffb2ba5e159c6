#include "probes/phrases.hpp"

#include <algorithm>
#include <array>

namespace moescope::probes {
namespace {

using View = std::u32string_view;

bool is_word(char32_t c) {
    return (c >= U'a' && c <= U'z') || (c >= U'0' && c <= U'9') || c == U'\'' || (c >= 0xC0 && c < 0x250);
}
bool breaks(char32_t c) {
    constexpr View kMarks = U".,;:!?，。；：！？、\n()（）";
    return kMarks.find(c) != View::npos;
}
bool is_blank_or_mark(char32_t c) {
    constexpr View kMarks = U" \n\t.,;:!?~-—–…，。；：！？、()（）[]【】\"'“”·#>|";
    return kMarks.find(c) != View::npos;
}

bool starts_word(View text, std::size_t at) {
    return at == 0 || at >= text.size() || !is_word(text[at]) || !is_word(text[at - 1]);
}
bool ends_word(View text, std::size_t end) {
    return end >= text.size() || !is_word(text[end]) || text[end] == U'\'' || !is_word(text[end - 1]);
}

/// Length of `word` (with a '+' at its end or not) at `at`, 0 when it does not stand there as a word.
std::size_t word_at(View word, View text, std::size_t at) {
    const bool inflected = word.size() > 1 && word.back() == U'+';
    if (inflected) {
        word.remove_suffix(1);
    }
    const auto stands = [&](View stem, View ending) {
        return text.substr(at, stem.size()) == stem && text.substr(at + stem.size(), ending.size()) == ending &&
               ends_word(text, at + stem.size() + ending.size());
    };
    if (text.substr(at, word.size() - 1) != word.substr(0, word.size() - 1)) {
        return 0;
    }
    if (stands(word, U"")) {
        return word.size();
    }
    if (!inflected) {
        return 0;
    }
    for (const View ending : {View(U"s"), View(U"ing")}) {
        if (stands(word, ending)) {
            return word.size() + ending.size();
        }
    }
    const View stem = word.substr(0, word.size() - 1);
    return word.back() == U'e' && stands(stem, U"ing") ? stem.size() + 3 : 0;
}

/// Calls `look` with each alternative of `list` until it gives something else than 0.
template <typename Look>
std::size_t any_of(View list, Look look) {
    for (std::size_t start = 0; start < list.size();) {
        const std::size_t bar = std::min(list.find(U'|', start), list.size());
        if (const View word = list.substr(start, bar - start); !word.empty()) {
            if (const std::size_t found = look(word); found != 0) {
                return found;
            }
        }
        start = bar + 1;
    }
    return 0;
}

/// Length of the alternative of `list` that stands at `at` as a word, 0 when none does.
std::size_t alternative_at(View list, View text, std::size_t at) {
    return at < text.size() && starts_word(text, at) ? any_of(list, [&](View word) { return word_at(word, text, at); })
                                                     : 0;
}
/// The longest one.
std::size_t longest_at(View list, View text, std::size_t at) {
    std::size_t longest = 0;
    if (at < text.size() && starts_word(text, at)) {
        any_of(list, [&](View word) {
            longest = std::max(longest, word_at(word, text, at));
            return std::size_t{0};
        });
    }
    return longest;
}
bool holds(View list, View text) {
    return any_of(list, [&](View word) { return text.find(word) == View::npos ? std::size_t{0} : 1; }) != 0;
}
bool begins_with_one(View list, View text) {
    return any_of(list, [&](View word) { return text.substr(0, word.size()) == word ? std::size_t{1} : 0; }) != 0;
}

/// End of what follows `from` within `gap` characters and is one of `list`; 0 when nothing does.
std::size_t next_part(View list, std::size_t gap, View never, View text, std::size_t from) {
    for (std::size_t at = from; at <= std::min(text.size(), from + gap); ++at) {
        if (const std::size_t length = alternative_at(list, text, at); length != 0) {
            return holds(never, text.substr(from, at - from)) ? 0 : at + length;
        }
        if (at >= text.size() || breaks(text[at])) {
            return 0;
        }
    }
    return 0;
}

/// End of the pattern that begins at `at`, 0 when it does not match there.
std::size_t match_at(const Pattern& pattern, View text, std::size_t at) {
    const std::size_t first = alternative_at(pattern.first, text, at);
    if (first == 0) {
        return 0;
    }
    std::size_t end = at + first;
    if (!pattern.second.empty()) {
        end = next_part(pattern.second, pattern.gap, pattern.never, text, end);
    }
    if (end != 0 && !pattern.third.empty()) {
        end = next_part(pattern.third, pattern.second_gap, pattern.never, text, end);
    }
    return end != 0 && begins_with_one(pattern.unless, text.substr(end)) ? 0 : end;
}

/// Where the sentence begins behind its courtesies.
std::size_t behind_courtesies(View text) {
    std::size_t at = 0;
    while (at < text.size()) {
        if (is_blank_or_mark(text[at])) {
            ++at;
        } else if (const std::size_t length = longest_at(courtesies(), text, at); length != 0) {
            at += length;
        } else {
            break;
        }
    }
    return at;
}

/// The characters that phrases of `kind` begin with, sorted: most positions of a text need no further look.
std::u32string first_characters(Phrase kind) {
    std::u32string out;
    for (const Pattern& pattern : patterns_of(kind)) {
        any_of(pattern.first, [&](View word) {
            out += word[0];
            return std::size_t{0};
        });
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

const std::u32string& characters_of(Phrase kind) {
    static const auto kCharacters = [] {
        std::array<std::u32string, kPhrases.size()> out;
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = first_characters(kPhrases[i]);
        }
        return out;
    }();
    return kCharacters[static_cast<std::size_t>(kind)];
}

}  // namespace

std::optional<Match> find_phrase(Phrase kind, View segment) {
    const std::span<const Pattern> patterns = patterns_of(kind);
    const std::u32string& characters = characters_of(kind);
    std::size_t blank = 0;
    while (blank < segment.size() && is_blank_or_mark(segment[blank])) {
        ++blank;
    }
    const std::size_t opening = behind_courtesies(segment);
    for (std::size_t at = 0; at < segment.size(); ++at) {
        if (!std::binary_search(characters.begin(), characters.end(), segment[at]) || !starts_word(segment, at)) {
            continue;
        }
        for (const Pattern& pattern : patterns) {
            if (pattern.opens && at != opening && at != blank) {
                continue;
            }
            if (const std::size_t end = match_at(pattern, segment, at); end != 0) {
                return Match{kind, std::u32string(segment.substr(at, end - at))};
            }
        }
    }
    return std::nullopt;
}

View find_word(View list, View segment) {
    for (std::size_t at = 0; at < segment.size(); ++at) {
        if (const std::size_t length = alternative_at(list, segment, at); length != 0) {
            return segment.substr(at, length);
        }
    }
    return {};
}

std::u32string without_words(View list, View segment) {
    std::u32string out;
    for (std::size_t at = 0; at < segment.size();) {
        if (const std::size_t length = longest_at(list, segment, at); length != 0) {
            at += length;
            out += U' ';
        } else {
            out += segment[at++];
        }
    }
    return out;
}

}  // namespace moescope::probes
