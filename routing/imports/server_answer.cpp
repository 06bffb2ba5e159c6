#include "routing/imports/server_answer.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"

namespace moescope::routing {

namespace {

using nlohmann::json;

/// A nested list of every layer of a long text is some ten million numbers; a reader that kept them as JSON would take
/// sixteen times their size.
constexpr std::string_view kType = "routed_experts_dtype";
constexpr std::size_t kMostValues = std::size_t{1} << 26;

/// Keeps of an answer what is of use, while it is read.
class AnswerWalker final : public base::JsonWalker {
 public:
    AnswerWalker() : JsonWalker({.depth = base::kJsonDepth, .values = kMostValues}) {}
    std::vector<ServerText> take() { return std::move(found_); }
    std::size_t nulls() const { return nulls_; }

 private:
    struct Frame {
        bool object = false;
        std::string name;  ///< the key that it stands under
        ServerText text;
        std::size_t texts_before = 0;        ///< found before it opened
        std::vector<std::string> kept = {};  ///< its keys whose values are of use
    };
    enum class Into { nothing, ids, prompt_ids, tokens, prompt_tokens };

    static Into into_of(const std::string& key) {
        if (key == "routed_experts") {
            return Into::ids;
        }
        if (key == "prompt_routed_experts") {
            return Into::prompt_ids;
        }
        if (key == "token_ids" || key == "output_ids") {
            return Into::tokens;
        }
        return key == "prompt_token_ids" || key == "input_ids" ? Into::prompt_tokens : Into::nothing;
    }

    /// Null for any other key. Counts stand in "usage" (OpenAI's form) or in "meta_info" (SGLang's own).
    static std::optional<std::size_t>* count_of(const std::string& key, Frame& frame) {
        if (frame.name != "usage" && frame.name != "meta_info") {
            return nullptr;
        }
        ServerCounts& counts = frame.text.counts;
        return key == "prompt_tokens" ? &counts.prompt : key == "completion_tokens" ? &counts.written : nullptr;
    }

    bool on_key(std::string& key) override {
        key_ = std::move(key);
        if (into_of(key_) == Into::nothing && key_ != kType && count_of(key_, frames_.back()) == nullptr) {
            return true;
        }
        std::vector<std::string>& kept = frames_.back().kept;
        if (std::find(kept.begin(), kept.end(), key_) != kept.end()) {
            return refuse_twice(key_);
        }
        kept.push_back(key_);
        return true;
    }

    bool on_scalar(json value) override {
        if (list_ != Into::nothing) {
            return number(value);
        }
        const std::string key = std::exchange(key_, {});
        if (frames_.empty() || !frames_.back().object) {
            return true;
        }
        ServerText& text = frames_.back().text;
        const Into into = into_of(key);
        if (into == Into::ids || into == Into::prompt_ids) {
            if (value.is_string()) {
                (into == Into::ids ? text.ids : text.prompt).packed = std::move(value.get_ref<std::string&>());
            } else if (value.is_null()) {
                ++nulls_;  // vLLM: it was not asked for, or the request was preempted
            } else {
                return refuse(
                    say("has {} for the routed experts, where base64 or lists should be", base::dump_json(value)));
            }
        } else if (auto* count = count_of(key, frames_.back()); count != nullptr && !value.is_null()) {
            const auto whole = base::as_count(value);
            if (!whole || *whole > kMostTokensOfText) {
                return refuse(
                    say("has something else than a whole number from 0 to {} under \"{}\"", kMostTokensOfText, key));
            }
            *count = static_cast<std::size_t>(*whole);
        } else if (key == kType && value.is_string()) {
            text.type = value.get<std::string>();
        }
        return true;
    }

    bool number(const json& value) {
        const auto whole = base::as_integer(value);
        if (!whole || !std::in_range<std::int32_t>(*whole) || list_depth_ != (is_ids() ? 3 : 1)) {
            return refuse(say("has something that is no id where ids should be"));
        }
        values_.push_back(static_cast<std::int32_t>(*whole));
        ++row_;
        return true;
    }

    bool is_ids() const { return list_ == Into::ids || list_ == Into::prompt_ids; }

    bool on_open(bool object) override {
        if (list_ != Into::nothing) {
            ++list_depth_;
            if (object || list_depth_ > (is_ids() ? 3 : 1)) {
                return refuse(say("has something that is no id where ids should be"));
            }
            if (list_depth_ == 3) {
                row_ = 0;
            } else if (list_depth_ == 2) {
                rows_ = 0;
            }
            return true;
        }
        const Into into = into_of(key_);
        if (!object && into != Into::nothing && !frames_.empty() && frames_.back().object) {
            list_ = into;
            list_depth_ = 1;
            values_.clear();
            tokens_ = layers_ = per_token_ = row_ = 0;
            key_.clear();
            return true;
        }
        if (object && (into == Into::ids || into == Into::prompt_ids)) {
            return refuse(say("has routed experts in a form that is not known"));
        }
        frames_.push_back({object, std::exchange(key_, {}), {}, found_.size()});
        return true;
    }

    /// Lists of lists must be alike: the first one of each level says how long the others are.
    static bool fits(std::size_t& known, std::size_t here) {
        known = known == 0 ? here : known;
        return known == here && here > 0;
    }

    bool on_close() override {
        if (list_ == Into::nothing) {
            return close_frame();
        }
        if (list_depth_ == 3 && !fits(per_token_, row_)) {
            return refuse(say("has lists of {} and of {} experts", per_token_, row_));
        }
        rows_ += list_depth_ == 3 ? 1 : 0;
        if (list_depth_ == 2 && !fits(layers_, rows_)) {
            return refuse(say("has lists of {} and of {} layers", layers_, rows_));
        }
        tokens_ += list_depth_ == 2 ? 1 : 0;
        if (--list_depth_ > 0) {
            return true;
        }
        ServerText& text = frames_.back().text;
        if (is_ids()) {
            (list_ == Into::ids ? text.ids : text.prompt) =
                SentIds{std::nullopt, std::move(values_), tokens_, layers_, per_token_};
        } else {
            (list_ == Into::tokens ? text.tokens : text.prompt_tokens) = std::move(values_);
        }
        values_ = {};
        list_ = Into::nothing;
        return true;
    }

    /// What the answer counts belongs to its only text, or to all of them together.
    void fill_counts(std::size_t texts_before, ServerText& own) {
        ServerCounts counts = own.counts;
        counts.shared = counts.shared || found_.size() - texts_before + (own.ids.given() ? 1 : 0) > 1;
        for (std::size_t i = texts_before; i < found_.size(); ++i) {
            if (!found_[i].counts.any()) {
                found_[i].counts = counts;
            }
        }
        own.counts = counts;
    }

    static void fill_prompt(ServerText& text, const ServerText& prompt) {
        if (!text.prompt.given()) {
            text.prompt = prompt.prompt;
        }
        if (text.prompt_tokens.empty()) {
            text.prompt_tokens = prompt.prompt_tokens;
        }
    }

    bool close_frame() {
        Frame frame = std::move(frames_.back());
        frames_.pop_back();
        ServerText& text = frame.text;
        if (!frame.object) {
            pass_tokens(text);
            return true;
        }
        if ((frame.name == "meta_info" || frame.name == "sgl_ext" || frame.name == "sglext") && !frames_.empty()) {
            ServerText& parent = frames_.back().text;
            if (text.ids.given()) {
                parent.ids = std::move(text.ids);
            }
            parent.type = text.type.empty() ? parent.type : text.type;
            if (text.counts.any()) {
                parent.counts = text.counts;
            }
            return true;
        }
        if (frame.name == "usage" && !frames_.empty()) {
            ServerCounts& known = frames_.back().text.counts;
            known = known.any() ? known : text.counts;
            return true;
        }
        if (text.counts.any()) {
            fill_counts(frame.texts_before, text);
        }
        // What the answer says of its prompt belongs to the texts that stand in it.
        if (text.prompt.given() || !text.prompt_tokens.empty()) {
            for (std::size_t i = frame.texts_before; i < found_.size(); ++i) {
                fill_prompt(found_[i], text);
            }
        }
        if (text.ids.given()) {
            found_.push_back(std::move(text));
        } else {
            pass_tokens(text);
        }
        return true;
    }

    /// SGLang since 2026 has the ids beside the choices, and the tokens within.
    void pass_tokens(ServerText& text) {
        if (frames_.empty()) {
            return;
        }
        ServerText& parent = frames_.back().text;
        if (parent.tokens.empty() && parent.prompt_tokens.empty()) {
            parent.tokens = std::move(text.tokens);
            parent.prompt_tokens = std::move(text.prompt_tokens);
        }
    }

    std::vector<Frame> frames_;
    std::vector<ServerText> found_;
    std::string key_;
    Into list_ = Into::nothing;
    int list_depth_ = 0;
    std::vector<std::int32_t> values_;
    std::size_t tokens_ = 0, layers_ = 0, per_token_ = 0, rows_ = 0, row_ = 0, nulls_ = 0;
};

}  // namespace

std::vector<ServerText> read_server_answer(std::string_view text, const std::string& source) {
    AnswerWalker walker;
    if (!walker.walk(text)) {
        throw Error(say("{} {}", source, walker.problem()));
    }
    std::vector<ServerText> texts = walker.take();
    if (texts.empty()) {
        throw Error(
            walker.nulls() > 0
                ? say("{} has null for the routed experts: the server was not started with "
                      "--enable-return-routed-experts, or it dropped them, as it does with requests that it put "
                      "off",
                      source)
                : say("{} has no \"routed_experts\"; start the server with --enable-return-routed-experts and "
                      "ask for them",
                      source));
    }
    return texts;
}

std::size_t left_out(const ServerText& text, std::size_t rows, bool apart, Extent extent, const std::string& source) {
    const bool listed = !text.prompt_tokens.empty() && !text.tokens.empty();
    const bool shared = text.counts.shared && !listed;
    const auto known = [&](const std::optional<std::size_t>& count, const std::vector<std::int32_t>& list) {
        const bool counted = count && !(text.counts.shared && listed);
        return counted || list.empty() ? count : std::optional(list.size());
    };
    const auto prompt = known(text.counts.prompt, text.prompt_tokens),
               written = known(text.counts.written, text.tokens);
    if (!written) {
        return 0;
    }
    if (!prompt) {
        if (!shared && rows + 1 < *written) {
            throw Error(say("{} has ids of {} tokens for an answer of {}", source, rows, *written));
        }
        return 0;
    }
    const std::size_t all = std::max<std::size_t>(*prompt + *written, 1) - 1;
    if (rows == all || (apart && rows == all + 1) || (shared && rows < all)) {
        return 0;
    }
    // The answer itself is never left out.
    if (!shared && !apart && extent == Extent::end && rows < all && rows + 1 >= *written) {
        return all - rows;
    }
    throw Error(
        say("{} has ids of {} tokens, but {} were read: {} of the prompt and {} of the answer, the last of which is "
            "never read; the ids are damaged or have another shape",
            source, rows, all, *prompt, *written));
}

std::vector<std::int32_t> tokens_of(const ServerText& text, std::size_t rows, std::size_t start) {
    std::vector<std::int32_t> tokens = text.prompt_tokens;
    tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(std::min(start, tokens.size())));
    if (text.prompt_tokens.empty() && !text.tokens.empty() && text.tokens.size() <= rows) {
        tokens.assign(rows + 1 - text.tokens.size(), -1);
    }
    tokens.insert(tokens.end(), text.tokens.begin(), text.tokens.end());
    return tokens;
}

}  // namespace moescope::routing
