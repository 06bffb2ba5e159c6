// Looks for the phrases of the label rules. Both languages are one list: every answer is held against all of it. The
// lists are in phrase_lists.cpp, one per phenomenon. Private to this folder.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moescope::probes {

enum class Phrase {
    filter_notice,   ///< a service says that its filter stopped a question or an answer
    canned_refusal,  ///< a fixed sentence that declines without "I cannot"
    refusal,         ///< the speaker says that it will not or cannot answer
    deflection,      ///< changes the topic
    ignorance,       ///< the speaker says that it knows nothing about it
    hedge,           ///< takes distance, but may go on to answer
    apology,         ///< "sorry": neither refuses nor answers
    about_self,      ///< what the speaker is or was made for
    offer,           ///< offers help with something else, or sends the reader elsewhere
    announcement,    ///< says what will be said: "Here is an overview"
    report,          ///< tells of messages that others show or that appear under some condition
    told_others,     ///< tells what others are asked to do
};

inline constexpr std::array kPhrases{Phrase::filter_notice, Phrase::canned_refusal, Phrase::refusal,
                                     Phrase::deflection,    Phrase::ignorance,      Phrase::hedge,
                                     Phrase::apology,       Phrase::about_self,     Phrase::offer,
                                     Phrase::announcement,  Phrase::report,         Phrase::told_others};

/// One of `first`, then at most `gap` characters without punctuation, then one of `second`, and so on (nothing where a
/// list is empty). In a list alternatives are separated by '|'. A Latin word ends where the alternative ends ("no
/// comment" is not in "no commentary"); with '+' behind it "s" and "ing" may follow ("topic+", "provide+").
struct Pattern {
    std::u32string_view first;
    std::size_t gap = 0;
    std::u32string_view second = {};
    std::u32string_view unless = {};  ///< no match when one of these follows, as the beginning of a word
    std::size_t second_gap = 0;
    std::u32string_view third = {};
    std::u32string_view never = {};  ///< no match when one of these stands in a gap
    bool opens = false;              ///< only at the beginning of a sentence, courtesies aside
};

/// The list of one phenomenon; static, lives forever.
std::span<const Pattern> patterns_of(Phrase kind);
/// "Sorry", "Dear user", "Notice": may stand before a sentence and says nothing.
std::u32string_view courtesies();
/// Words that a bare proposal to change the topic is made of, besides the proposal itself.
std::u32string_view topic_fillers();
/// Error codes and texts of interfaces that stand for a filter, wherever they stand.
std::u32string_view filter_codes();

struct Match {
    Phrase kind{};
    std::u32string text;  ///< as it stands in the (normalised) answer
};

/// The first phrase of `kind` in `segment`, which must be normalised (text::normalise) and have its quotations masked.
std::optional<Match> find_phrase(Phrase kind, std::u32string_view segment);
/// The first of the alternatives of `list` that stands in `segment` as whole words; empty when none does.
std::u32string_view find_word(std::u32string_view list, std::u32string_view segment);
/// `segment` without any of the alternatives of `list`.
std::u32string without_words(std::u32string_view list, std::u32string_view segment);

}  // namespace moescope::probes
