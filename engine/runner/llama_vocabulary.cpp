// Vocabularies in libllama's tokenizers, handed over in memory.
#include <algorithm>
#include <gguf.h>
#include <llama.h>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/foreign_text.hpp"
#include "engine/error.hpp"
#include "engine/runner/foreign_tokenizer.hpp"
#include "engine/runner/llama_log.hpp"
#include "engine/runner/llama_text.hpp"
#include "engine/text/composed.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kBlankMark = "\xe2\x96\x81";

/// Added tokens in a text: the first that comes, of those the longest, as the tokenizers library looks for them.
class Marks {
 public:
    void add(const std::string& text, std::int32_t id) { longest_first_[text.front()].emplace(text, id); }
    bool empty() const { return longest_first_.empty(); }

    /// Calls `on_text` for what lies between them and `on_token` for each of them.
    template <class OnText, class OnToken>
    void cut(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
        std::size_t from = 0;
        for (std::size_t at = 0; at < text.size();) {
            const auto* found = mark_at(text, at);
            if (found == nullptr) {
                ++at;
                continue;
            }
            if (at > from) {
                on_text(text.substr(from, at - from));
            }
            on_token(found->second);
            from = at += found->first.size();
        }
        if (from < text.size()) {
            on_text(text.substr(from));
        }
    }

 private:
    struct LongestFirst {
        bool operator()(const std::string& a, const std::string& b) const {
            return a.size() != b.size() ? a.size() > b.size() : a < b;
        }
    };
    using Texts = std::map<std::string, std::int32_t, LongestFirst>;

    const Texts::value_type* mark_at(std::string_view text, std::size_t at) const {
        const auto texts = longest_first_.find(text[at]);
        if (texts == longest_first_.end()) {
            return nullptr;
        }
        for (const auto& one : texts->second) {
            if (text.compare(at, one.first.size(), one.first) == 0) {
                return &one;
            }
        }
        return nullptr;
    }

    std::map<char, Texts> longest_first_;
};

using Metadata = std::unique_ptr<gguf_context, decltype(&gguf_free)>;

void set_texts(gguf_context* file, const char* key, const std::vector<std::string>& texts) {
    std::vector<const char*> pointers;
    pointers.reserve(texts.size());
    for (const std::string& text : texts) {
        pointers.push_back(text.c_str());
    }
    gguf_set_arr_str(file, key, pointers.data(), pointers.size());
}

/// What libllama is told. Special tokens have names there that no text spells, and nothing is merged into one.
Metadata metadata_of(const Vocabulary& vocabulary) {
    Metadata file(gguf_init_empty(), gguf_free);
    std::vector<std::string> pieces = vocabulary.pieces, merges;
    std::vector<std::int32_t> kinds(pieces.size(), LLAMA_TOKEN_TYPE_NORMAL);
    std::set<std::string> special;
    for (const Vocabulary::Added& added : vocabulary.added) {
        if (added.special) {
            const auto id = static_cast<std::size_t>(added.id);
            special.insert(added.text);
            pieces[id] = "\xff" + std::to_string(id);
            kinds[id] = LLAMA_TOKEN_TYPE_CONTROL;
        }
    }
    merges.reserve(vocabulary.merges.size());
    for (const auto& merge : vocabulary.merges) {
        const std::string& left = vocabulary.pieces[static_cast<std::size_t>(merge.first)];
        const std::string& right = vocabulary.pieces[static_cast<std::size_t>(merge.second)];
        if (!special.contains(left + right)) {
            merges.push_back(left + " " + right);
        }
    }
    const bool bytes = vocabulary.letters == Vocabulary::Letters::bytes;
    gguf_set_val_str(file.get(), "general.architecture", "llama");
    gguf_set_val_str(file.get(), "tokenizer.ggml.model", "gpt2");
    gguf_set_val_str(file.get(), "tokenizer.ggml.pre", bytes ? vocabulary.words.c_str() : kTextWords);
    gguf_set_val_bool(file.get(), "tokenizer.ggml.add_bos_token", false);
    set_texts(file.get(), "tokenizer.ggml.tokens", pieces);
    set_texts(file.get(), "tokenizer.ggml.merges", merges);
    gguf_set_arr_data(file.get(), "tokenizer.ggml.token_type", GGUF_TYPE_INT32, kinds.data(), kinds.size());
    return file;
}

class LlamaVocabulary final : public ForeignTokenizer {
 public:
    explicit LlamaVocabulary(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
        start_libllama();
        for (const Vocabulary::Added& added : vocabulary.added) {
            if (!added.special) {
                (added.normalised ? composed_marks_ : marks_).add(added.text, added.id);
            }
        }
        const Metadata file = metadata_of(vocabulary);
        const LogCapture log;
        llama_model_params params = llama_model_default_params();
        params.vocab_only = true;
        model_.reset(llama_model_init_from_user(file.get(), nullptr, nullptr, params));
        if (!model_) {
            throw Error(say("libllama does not take its tokenizer: {}", log.reason()));
        }
        llama_ = llama_model_get_vocab(model_.get());
    }

    std::vector<std::int32_t> encode(std::string_view text, Place place) const override {
        base::require_utf8(text, marked("the text"));
        std::vector<std::int32_t> tokens;
        const auto on_token = [&](std::int32_t token) {
            tokens.push_back(token);
            place = Place::after_token;
        };
        marks_.cut(
            text,
            [&](std::string_view part) {
                const std::string normal = vocabulary_.composes ? composed(part) : std::string(part);
                composed_marks_.cut(
                    normal,
                    [&](std::string_view words) {
                        append(words, place, tokens);
                        place = Place::inside;
                    },
                    on_token);
            },
            on_token);
        return tokens;
    }

 private:
    bool wants_space(std::string_view text, Place place) const {
        const bool begins = text.starts_with(' ') || text.starts_with(kBlankMark);
        switch (vocabulary_.space) {
            case Vocabulary::Space::never:
                return false;
            case Vocabulary::Space::first:
                return place == Place::start && !begins;
            case Vocabulary::Space::always:
                return place != Place::inside && !begins;
            case Vocabulary::Space::each:
                return place != Place::inside;
        }
        return false;
    }

    void append(std::string_view text, Place place, std::vector<std::int32_t>& tokens) const {
        const std::string words = (wants_space(text, place) ? " " : "") + std::string(text);
        const auto more = tokens_of_text(llama_, words, false, false);
        tokens.insert(tokens.end(), more.begin(), more.end());
    }

    const Vocabulary& vocabulary_;
    Marks marks_, composed_marks_;
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model_{nullptr, llama_model_free};
    const llama_vocab* llama_ = nullptr;
};

}  // namespace

std::unique_ptr<const ForeignTokenizer> open_foreign_tokenizer(const Vocabulary& vocabulary) {
    return std::make_unique<LlamaVocabulary>(vocabulary);
}

}  // namespace moescope::engine
