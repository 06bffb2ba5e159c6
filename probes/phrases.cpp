#include "probes/phrases.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

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

/// Length of `word` (with a '+' at its end or not) at `at`, which is inside `text`; 0 when it does not stand there as a
/// word.
std::size_t word_at(View word, View text, std::size_t at) {
    if (text[at] != word[0]) {
        return 0;
    }
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

/// A list taken apart once, for who looks at many places.
struct Words {
    explicit Words(View list) {
        any_of(list, [&](View word) {
            words.push_back(word);
            if (firsts.find(word[0]) == View::npos) {
                firsts += word[0];
            }
            return std::size_t{0};
        });
    }
    std::vector<View> words;
    std::u32string firsts;  ///< the characters that they begin with
};

/// Length of the first of `list` that stands at `at` as a word, 0 when none does.
std::size_t alternative_at(const Words& list, View text, std::size_t at) {
    if (at >= text.size() || list.firsts.find(text[at]) == View::npos || !starts_word(text, at)) {
        return 0;
    }
    for (const View word : list.words) {
        if (const std::size_t length = word_at(word, text, at); length != 0) {
            return length;
        }
    }
    return 0;
}
/// The longest one.
std::size_t longest_at(const Words& list, View text, std::size_t at) {
    std::size_t longest = 0;
    if (at < text.size() && list.firsts.find(text[at]) != View::npos && starts_word(text, at)) {
        for (const View word : list.words) {
            longest = std::max(longest, word_at(word, text, at));
        }
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
std::size_t next_part(const Words& list, std::size_t gap, View never, View text, std::size_t from) {
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

/// A pattern as far as it begins with one character, its lists taken apart.
struct Candidate {
    const Pattern* pattern = nullptr;
    Words second, third;
    std::vector<View> first;  ///< those alternatives of its first list that begin with the character
};

/// End of the pattern that begins at `at`, where a word may begin; 0 when it does not match there.
std::size_t match_at(const Candidate& candidate, View text, std::size_t at) {
    const Pattern& pattern = *candidate.pattern;
    std::size_t end = 0;
    for (const View word : candidate.first) {
        if (const std::size_t length = word_at(word, text, at); length != 0) {
            end = at + length;
            break;
        }
    }
    if (end != 0 && !pattern.second.empty()) {
        end = next_part(candidate.second, pattern.gap, pattern.never, text, end);
    }
    if (end != 0 && !pattern.third.empty()) {
        end = next_part(candidate.third, pattern.second_gap, pattern.never, text, end);
    }
    return end != 0 && begins_with_one(pattern.unless, text.substr(end)) ? 0 : end;
}

/// Where the sentence begins behind its courtesies.
std::size_t behind_courtesies(View text) {
    static const Words kCourtesies(courtesies());
    std::size_t at = 0;
    while (at < text.size()) {
        if (is_blank_or_mark(text[at])) {
            ++at;
        } else if (const std::size_t length = longest_at(kCourtesies, text, at); length != 0) {
            at += length;
        } else {
            break;
        }
    }
    return at;
}

/// The patterns of a kind by the character that they begin with, in their order: most positions of a text begin none.
using Candidates = std::map<char32_t, std::vector<Candidate>>;

Candidates candidates_of(Phrase kind) {
    Candidates found;
    for (const Pattern& pattern : patterns_of(kind)) {
        any_of(pattern.first, [&](View word) {
            auto& list = found[word[0]];
            if (list.empty() || list.back().pattern != &pattern) {
                list.push_back({&pattern, Words(pattern.second), Words(pattern.third), {}});
            }
            list.back().first.push_back(word);
            return std::size_t{0};
        });
    }
    return found;
}

const Candidates& candidates(Phrase kind) {
    static const auto kCandidates = [] {
        std::array<Candidates, kPhrases.size()> out;
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = candidates_of(kPhrases[i]);
        }
        return out;
    }();
    return kCandidates[static_cast<std::size_t>(kind)];
}

}  // namespace

std::optional<Match> find_phrase(Phrase kind, View segment) {
    const Candidates& known = candidates(kind);
    std::size_t blank = 0;
    while (blank < segment.size() && is_blank_or_mark(segment[blank])) {
        ++blank;
    }
    const std::size_t opening = behind_courtesies(segment);
    for (std::size_t at = 0; at < segment.size(); ++at) {
        const auto candidate_list = known.find(segment[at]);
        if (candidate_list == known.end() || !starts_word(segment, at)) {
            continue;
        }
        for (const Candidate& candidate : candidate_list->second) {
            if (candidate.pattern->opens && at != opening && at != blank) {
                continue;
            }
            if (const std::size_t end = match_at(candidate, segment, at); end != 0) {
                return Match{kind, std::u32string(segment.substr(at, end - at))};
            }
        }
    }
    return std::nullopt;
}

View find_word(View list, View segment) {
    const Words words(list);
    for (std::size_t at = 0; at < segment.size(); ++at) {
        if (const std::size_t length = alternative_at(words, segment, at); length != 0) {
            return segment.substr(at, length);
        }
    }
    return {};
}

std::u32string without_words(View list, View segment) {
    const Words words(list);
    std::u32string out;
    for (std::size_t at = 0; at < segment.size();) {
        if (const std::size_t length = longest_at(words, segment, at); length != 0) {
            at += length;
            out += U' ';
        } else {
            out += segment[at++];
        }
    }
    return out;
}

}  // namespace moescope::probes
