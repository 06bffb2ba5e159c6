// The error of every folder: one sentence that says what, where, which value, and what to do. Outside data never meets
// an assert.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "base/sentence.hpp"

namespace moescope::base {

/// what() is the sentence in English. A text from another program or library: Error(Sentence::verbatim(text)). Copying
/// does not throw.
class Error : public std::runtime_error {
 public:
    explicit Error(Sentence sentence)
        : std::runtime_error(sentence.english()), sentence_(std::make_shared<const Sentence>(std::move(sentence))) {}

    const Sentence& sentence() const { return *sentence_; }

 private:
    std::shared_ptr<const Sentence> sentence_;
};

}  // namespace moescope::base
