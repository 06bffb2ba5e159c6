// What kind of thing a token is, by its bytes: experts specialise by that more than by topic, and the routing of some
// kinds turns over more easily than that of others.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace moescope::routing {

enum class TokenClass {
    special,      ///< has no text, or is a mark of the model: <|im_end|>, <s>, [INST]
    part,         ///< a part of a character, or <0xE4>
    space,        ///< nothing but blanks and line breaks
    han,          ///< has a Han character
    word_start,   ///< Latin letters behind a blank, or where the token before does not end with a letter
    word_inside,  ///< Latin letters that go on with a word
    digit,        ///< digits alone
    punctuation,  ///< marks of prose alone, Latin and Chinese
    code,         ///< has a sign of programming, or letters mixed with others
    other,        ///< other scripts, emoji
};
inline constexpr std::array kTokenClasses = {
    TokenClass::special,     TokenClass::part,  TokenClass::space,       TokenClass::han,  TokenClass::word_start,
    TokenClass::word_inside, TokenClass::digit, TokenClass::punctuation, TokenClass::code, TokenClass::other};
const char* token_class_name(TokenClass kind);  ///< "word_start": a key, for JSON and for the texts of the window

/// `before`: bytes of the token before it in the text; empty at its beginning. One blank before the rest does not count
/// but for word_start.
TokenClass token_class(std::string_view bytes, std::string_view before);

}  // namespace moescope::routing
