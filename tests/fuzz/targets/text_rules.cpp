// What a Hugging Face folder says about texts: tokenizer_config.json, generation_config.json and the chat template.
#include "engine/exchange/hugging_face_text.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder settings({"tokenizer_config.json", "generation_config.json"}),
        with_template({"chat_template.jinja"});
    engine::Vocabulary vocabulary;
    vocabulary.pieces = {"a", "b", "<s>", "</s>"};
    vocabulary.added = {{2, "<s>", true, false}, {3, "</s>", true, false}};
    vocabulary.begin = 2;
    constexpr int kTokens = 4;
    for (const fuzz::InFolder* folder : {&settings, &with_template}) {
        try {
            std::vector<base::Sentence> notes;
            const engine::TextRules rules = engine::read_hugging_face_text(
                folder->with(data, size), nlohmann::json{{"eos_token_id", 3}}, vocabulary, kTokens, notes);
            for (const std::int32_t end : rules.ends) {
                fuzz::expect(end >= 0 && end < kTokens, "end tokens are known ones");
            }
            fuzz::expect(!rules.begin || (*rules.begin >= 0 && *rules.begin < kTokens),
                         "the begin token is a known one");
            fuzz::expect(rules.chat_template.size() <= size, "the template is in the file");
            fuzz::accepted();
        } catch (const engine::Error&) {
        }
    }
    return 0;
}
