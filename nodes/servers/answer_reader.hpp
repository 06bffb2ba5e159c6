// What a server answers, part by part, as tokens: the streamed chunks and the whole answers of /chat/completions and
// /completions, in the forms of OpenAI, vLLM, SGLang and llama-server. Pure. What the server says is untrusted.
//
// The text of an answer is the server's own. The texts of its tokens come beside it, with their log-probabilities, and
// do not always add up to it (an end token, parts of a character, marks of reasoning that the server took out): then
// the text stays as it is, and where one token ends and the next begins is as near as can be told. What is said of a
// token whose text the answer does not have is not taken for what stands there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "base/stop_reason.hpp"
#include "nodes/protocol/records.hpp"
#include "routing/imports/import.hpp"

namespace moescope::servers {

/// A token that is not known is -1; a log-probability that is not known is NaN.
using OnToken = std::function<void(protocol::TokenRecord)>;

class AnswerReader {
 public:
    struct Wanted {
        base::Sentence source;  ///< the server, for sentences
        std::string key;        ///< which no sentence may repeat
        int alternatives = 0;   ///< of each token, at most
        int most_tokens = 0;    ///< that were asked for
        bool routing = false;   ///< kept, where the server sends any
    };
    AnswerReader(Wanted wanted, OnToken on_token);

    /// One chunk, or a whole answer. Throws Error: an error that the server sends in its place, what is no answer, more
    /// tokens than were asked for.
    void take(nlohmann::json part);
    /// No part follows. Throws Error when the answer has not ended.
    void finish() const;

    base::StopReason stop() const;                        ///< end, length, context, time or filtered
    int prompt_tokens() const { return prompt_tokens_; }  ///< 0: the server did not say
    int tokens() const;                                   ///< as the server counts, else those that came
    bool any() const { return pieces_ > 0; }
    /// Tokens whose log-probability, alternatives and id are left out, as the answer has another text in their place.
    int others() const { return others_; }

    /// What the server said of its routing, as the readers of recordings take it (routing/imports); nothing when it
    /// sent none.
    std::optional<std::string> recorded() const;
    /// The tokens that it wrote, in order, with what stood beside them.
    const std::vector<routing::WrittenToken>& written() const { return written_; }

 private:
    struct Entry;
    void take_usage(const nlohmann::json& usage);
    void take_routing(nlohmann::json& object);
    void take_ids(const nlohmann::json& object);
    void take_choice(nlohmann::json& choice);
    std::string text_of_choice(const nlohmann::json& choice);
    std::string with_marks(const std::string& reasoning, const std::string& said);
    void take_reason(const nlohmann::json& reason);
    void give(std::string text, std::vector<Entry> entries, const std::vector<std::int32_t>& ids, bool last);
    void give_one(protocol::TokenRecord token);

    const Wanted wanted_;
    const OnToken on_token_;
    std::optional<base::StopReason> stop_;
    int prompt_tokens_ = 0, counted_ = 0, pieces_ = 0, others_ = 0;
    bool in_reasoning_ = false, any_choice_ = false;
    nlohmann::json routing_;  ///< an object
    std::vector<std::int32_t> prompt_ids_, ids_;
    std::vector<routing::WrittenToken> written_;
};

}  // namespace moescope::servers
