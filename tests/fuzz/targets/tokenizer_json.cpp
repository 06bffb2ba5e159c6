// tokenizer.json. A vocabulary makes the file long and the parser slow, so the input leaves "model.vocab" out (null)
// and gets one of 300 pieces here.
#include "base/json_guard.hpp"
#include "engine/exchange/hugging_face_vocabulary.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

std::string utf8(char32_t letter) {
    std::string text;
    if (letter < 0x80) {
        text += static_cast<char>(letter);
    } else {
        text += static_cast<char>(0xC0 | (letter >> 6));
        text += static_cast<char>(0x80 | (letter & 0x3F));
    }
    return text;
}

/// Letters as bytes or as text, then "ab" and "abc".
nlohmann::json vocabulary(bool as_text) {
    nlohmann::json pieces = nlohmann::json::object();
    int next = 0;
    if (as_text) {
        constexpr char kDigits[] = "0123456789ABCDEF";
        for (const char* piece : {"<unk>", "<s>", "</s>"}) {
            pieces[piece] = next++;
        }
        for (int byte = 0; byte < 256; ++byte) {
            pieces[std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"] = next++;
        }
        for (const char* piece : {"\xe2\x96\x81", "a", "b", "c", "1"}) {
            pieces[piece] = next++;
        }
    } else {
        for (const char32_t letter : engine::byte_letters()) {
            pieces[utf8(letter)] = next++;
        }
    }
    for (const char* piece : {"ab", "abc"}) {
        pieces[piece] = next++;
    }
    return pieces;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const nlohmann::json as_bytes = vocabulary(false), as_text = vocabulary(true);
    auto value = base::parse_object(fuzz::bytes_of(data, size), 64 << 10);
    if (!value) {
        return 0;
    }
    if (const auto model = value->find("model"); model != value->end() && model->is_object()) {
        if (const auto pieces = model->find("vocab"); pieces != model->end() && pieces->is_null()) {
            const auto fallback = model->find("byte_fallback");
            *pieces = fallback != model->end() && *fallback == true ? as_text : as_bytes;
        }
    }
    constexpr int kVocabulary = 2000;
    try {
        const engine::Vocabulary read = engine::parse_tokenizer_json(*value, kVocabulary);
        fuzz::expect(read.pieces.size() <= kVocabulary, "no more pieces than the model has rows");
        const auto known = [&](std::int32_t token) {
            return token >= 0 && static_cast<std::size_t>(token) < read.pieces.size();
        };
        for (const auto& [left, right] : read.merges) {
            fuzz::expect(known(left) && known(right), "merges are of known tokens");
        }
        for (const auto& added : read.added) {
            fuzz::expect(known(added.id), "added tokens are known ones");
        }
        fuzz::expect(!read.begin || known(*read.begin), "the begin token is a known one");
        for (std::size_t token = 0; token < read.pieces.size(); token += 97) {
            (void)read.bytes_of(static_cast<std::int32_t>(token));
        }
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    return 0;
}
