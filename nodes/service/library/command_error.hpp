// How the node's parts fail, and how they write numbers that JSON does not have.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"

namespace moescope::node {

using base::say;
using base::Sentence;

/// A command that cannot be carried out: one sentence for a person.
class CommandError : public base::Error {
 public:
    using base::Error::Error;
};

/// {KEY: English, KEY_id: data}, to be merged into a record.
inline nlohmann::json sentence_json(const char* key, const Sentence& sentence) {
    nlohmann::json value = nlohmann::json::object();
    base::put_sentence(value, key, sentence);
    return value;
}

/// [{"text", "text_id"}, ...]: several of them, in an answer, a record or a gauge.
inline nlohmann::json sentences_json(const std::vector<Sentence>& sentences) {
    nlohmann::json list = nlohmann::json::array();
    for (const Sentence& sentence : sentences) {
        list.push_back(sentence_json("text", sentence));
    }
    return list;
}

/// JSON has no NaN and no infinity: null stands for them.
inline nlohmann::json number_or_null(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace moescope::node
