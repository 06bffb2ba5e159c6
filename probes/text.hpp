// Text as the label rules see it: one way to count, split and normalise, the same for English and Chinese. Pure;
// private to this folder.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.hpp"

namespace moescope::probes::text {

/// A character that is a word of its own in these counts: Han characters (base::is_han), kana and hangul.
bool stands_alone(char32_t c);
bool is_space(char32_t c);

/// The one form in which phrases are looked for: lower case, half-width and plain letters, straight apostrophes, one
/// kind of blank and never two in a row (none beside a Han character), "\n" for every kind of line end, simplified
/// forms of the characters that the phrase lists use; without emphasis marks, simple HTML tags, soft hyphens and
/// characters without width. Positions are not kept: nobody needs them.
std::u32string normalise(std::u32string_view text);

/// Words and Han characters in order; digits alone are left out, so numbered loops look like loops.
std::vector<std::u32string> tokens(std::u32string_view text);

/// What can be seen behind the last word: marks, digits, symbols. Blanks are left out, and a character of which the end
/// is missing.
std::u32string signs_at_end(std::u32string_view text);

/// How much a text says, in units of one English word. A Han character counts 0.65: the ratio of the two versions of
/// the starter set (717 words to 1,035 characters after the shared numbers), held by a test.
inline constexpr double kUnitsPerHan = 0.65;
double information_units(std::u32string_view text);

/// Sentences of both scripts; a full stop inside a number, an abbreviation or a name's initial does not end one. Line
/// breaks do.
std::vector<std::u32string_view> sentences(std::u32string_view text);
/// True when some sentence ended with a sentence mark (not merely with the end of the text).
bool has_sentence_end(std::u32string_view text);

/// Tokens of chat templates; besides these every name without blanks between one of the pairs is one: "<|im_end|>".
inline constexpr std::array<std::string_view, 8> kTemplateTokens{
    "<end_of_turn>", "<start_of_turn>", "</s>", "<s>", "<eos>", "<bos>", "<pad>", "<endoftext>"};
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kTemplateForms{
    {{"<|", "|>"}, {"<｜", "｜>"}}};
/// Bytes of the template token that `text` begins with, 0 when it begins with none.
std::size_t template_token_at_start(std::string_view text);
/// `text` without template tokens such as "<|im_end|>" and "</s>".
std::string without_template_tokens(std::string_view text);

/// `text` with quotations, block quotes and code replaced by a placeholder that counts as said but matches no phrase.
/// When the whole answer stands in one pair of quotation marks it is not a quotation and stays. Positions are not kept.
std::u32string mask_quotations(std::u32string_view text);

/// The placeholder of mask_quotations: one information unit each.
inline constexpr char32_t kMasked = U'\u3007';

}  // namespace moescope::probes::text
