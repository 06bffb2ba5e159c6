// How texts begin and end for a model, as the files beside its weights say it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::engine {

struct TextRules {
    std::optional<std::int32_t> begin;  ///< token that stands before every text
    std::vector<std::int32_t> ends;     ///< tokens, each of which ends an answer
    /// In the language Jinja, with the texts of the two tokens as it asks for them; empty for a model that only
    /// continues texts.
    std::string chat_template, begin_text, end_text;
    base::Sentence template_problem;  ///< why the template that is there can't be read
    /// Texts that are one token each wherever a chat template writes them, and their tokens.
    std::map<std::string, std::int32_t> special;
};

}  // namespace moescope::engine
