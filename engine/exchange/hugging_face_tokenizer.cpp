#include "engine/exchange/hugging_face_tokenizer.hpp"

#include "engine/error.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;
using Kind = TokenizerPiece::Kind;

constexpr double kNever = -1e6;  // a score that no text can make up for

Json added_token(std::size_t id, const std::string& text, bool special) {
    return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", false}, {"special", special}};
}

/// Pieces that text never becomes keep their place, but can not be chosen.
double score_of(const TokenizerPiece& piece) {
    const bool chosen = piece.kind == Kind::normal || piece.kind == Kind::user_defined;
    return chosen ? static_cast<double>(piece.score) : kNever;
}

std::string text_of(const TokenizerPiece& piece) {
    return piece.kind == Kind::normal || piece.kind == Kind::user_defined ? piece.plain_text() : piece.text;
}

Json end_before_text(const std::string& end, std::int32_t id) {
    const Json special = {{"SpecialToken", {{"id", end}, {"type_id", 0}}}};
    return {{"type", "TemplateProcessing"},
            {"single", Json::array({special, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
            {"pair", Json::array({special,
                                  {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                  special,
                                  {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}})},
            {"special_tokens", {{end, {{"id", end}, {"ids", Json::array({id})}, {"tokens", Json::array({end})}}}}}};
}

}  // namespace

bool has_portable_form(const Tokenizer& tokenizer) {
    const TokenizerPieces model = read_tokenizer_pieces(tokenizer.model_bytes());
    return model.unigram && model.takes_text_as_it_is && model.valid_utf8;
}

Json tokenizer_json(const Tokenizer& tokenizer) {
    if (!has_portable_form(tokenizer)) {
        throw Error(say("this tokenizer cannot be written as tokenizer.json; only those that Moescope trained can"));
    }
    const std::vector<TokenizerPiece> pieces = read_tokenizer_pieces(tokenizer.model_bytes()).pieces;
    Json vocabulary = Json::array(), added = Json::array();
    std::size_t unknown = 0;
    for (std::size_t id = 0; id < pieces.size(); ++id) {
        const TokenizerPiece& piece = pieces[id];
        vocabulary.push_back({text_of(piece), score_of(piece)});
        unknown = piece.kind == Kind::unknown ? id : unknown;
        if (piece.kind == Kind::unknown || piece.kind == Kind::control || piece.kind == Kind::user_defined) {
            added.push_back(added_token(id, text_of(piece), piece.kind != Kind::user_defined));
        }
    }
    const std::string end = pieces[static_cast<std::size_t>(tokenizer.end_token())].text;
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", added},
            {"normalizer", nullptr},
            {"pre_tokenizer", nullptr},
            {"post_processor", end_before_text(end, tokenizer.end_token())},
            {"decoder",
             {{"type", "Sequence"}, {"decoders", Json::array({{{"type", "ByteFallback"}}, {{"type", "Fuse"}}})}}},
            {"model", {{"type", "Unigram"}, {"unk_id", unknown}, {"vocab", vocabulary}, {"byte_fallback", true}}}};
}

Json tokenizer_config_json(const Tokenizer& tokenizer, int context) {
    const std::vector<TokenizerPiece> pieces = read_tokenizer_pieces(tokenizer.model_bytes()).pieces;
    const std::string end = pieces[static_cast<std::size_t>(tokenizer.end_token())].text;
    Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"bos_token", end},
                   {"eos_token", end},
                   {"clean_up_tokenization_spaces", false},
                   {"model_max_length", context}};
    for (const TokenizerPiece& piece : pieces) {
        if (piece.kind == Kind::unknown) {
            config["unk_token"] = piece.text;
        }
    }
    return config;
}

}  // namespace moescope::engine
