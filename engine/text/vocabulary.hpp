// A tokenizer of other programs' making, as data: what a tokenizer.json says of pieces that are merged pair by pair
// (byte pair encoding). Text is cut by it in engine/runner, which asks libllama.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.hpp"

namespace moescope::engine {

struct Vocabulary {
    /// What pieces are written with.
    enum class Letters {
        bytes,  ///< one character for each byte, as in GPT-2 (byte_letters)
        text    ///< UTF-8 with U+2581 for a space; bytes that no piece holds are pieces of their own, "<0xE4>"
    };
    /// Where Letters::text has a space put before a text.
    enum class Space {
        never,
        first,   ///< the very first, unless it begins with a space
        always,  ///< each, also behind an added token, unless it begins with a space
        each     ///< each, whatever it begins with
    };
    /// A token that is looked for in a text before anything else is done with it.
    struct Added {
        std::int32_t id = 0;
        std::string text;
        bool special = false;     ///< for templates only: what people write never becomes one
        bool normalised = false;  ///< looked for after the text was composed (composes)
    };

    Letters letters = Letters::bytes;
    Space space = Space::never;
    std::string words;          ///< libllama's name of the way to cut a text into words (Letters::bytes): "qwen2"
    std::string words_in_gguf;  ///< the same for files, which other programs read
    bool composes = false;      ///< letters and their accents become one character first (Unicode's form NFC)

    std::vector<std::string> pieces;                            ///< of every token, added ones too
    std::vector<std::pair<std::int32_t, std::int32_t>> merges;  ///< tokens that become one, the first pairs first
    std::vector<Added> added;
    std::optional<std::int32_t> begin;         ///< what the file puts before every text
    std::optional<std::int32_t> unknown;       ///< its token for what no piece holds
    std::map<std::string, std::string> files;  ///< name -> bytes: tokenizer.json and what belongs to it, as read
    std::vector<Sentence> notes;               ///< where libllama cuts text in another way than the file says
    std::vector<Sentence> gguf_notes;          ///< where words_in_gguf does

    /// The token of exactly this text, an added one first. Looks at all of them.
    std::optional<std::int32_t> find(std::string_view text) const;
    /// The bytes that a token adds to a text, which may be a part of a character; an added token gives its text.
    std::string bytes_of(std::int32_t token) const;
};

/// libllama's name of the way to cut a text whose letters are text: at line breaks only, with U+2581 for spaces.
inline constexpr const char* kTextWords = "sarvam-moe";

/// The characters that stand for the bytes 0 to 255 (openai/gpt-2, encoder.py, bytes_to_unicode): those that can be
/// seen for themselves, the others for U+0100 and up.
const std::array<char32_t, 256>& byte_letters();

}  // namespace moescope::engine
