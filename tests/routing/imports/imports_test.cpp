// Recordings of other programs: right ones become traces, wrong ones are refused with the reason, and doubts are said.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include "routing/imports/import.hpp"
#include "routing/router_spec.hpp"
#include "routing/trace_lines.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

using nlohmann::json;
using test::TemporaryFolder;
using test::write_text;

std::string base64(const std::string& bytes) {
    std::string text(bytes.size() / 3 * 4 + 5, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                         reinterpret_cast<const unsigned char*>(bytes.data()),
                                                         static_cast<int>(bytes.size()))));
    return text;
}

template <class T>
std::string raw(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string npy(const std::string& type, const std::string& shape, const std::string& data,
                const std::string& order = "False") {
    std::string head = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': (" + shape + "), }";
    head.resize((10 + head.size() + 1 + 63) / 64 * 64 - 11, ' ');
    head += '\n';
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(head.size() % 256) +
           static_cast<char>(head.size() / 256) + head + data;
}

std::vector<std::shared_ptr<const Chunk>> all_of(const Import& made) {
    std::vector<std::shared_ptr<const Chunk>> chunks;
    made.each([&](std::shared_ptr<const Chunk> chunk) { chunks.push_back(std::move(chunk)); });
    return chunks;
}  // namespace

bool doubts(const Import& made, const std::string& words) {
    return std::any_of(made.spec.doubts.begin(), made.spec.doubts.end(),
                       [&](const Sentence& doubt) { return doubt.english().find(words) != std::string::npos; });
}

ModelShape model(int layers, int experts, int per_token) {
    ModelShape shape;
    shape.layers = layers;
    shape.experts = experts;
    shape.per_token = per_token;
    return shape;
}

class Imports : public testing::Test {
 protected:
    using Read = Import (*)(const std::filesystem::path&, const ModelShape&);
    Import import(Read read, const std::string& content, const ModelShape& shape = {}) {
        write_text(folder_ / "f", content);
        return read(folder_ / "f", shape);
    }
    std::string problem(Read read, const std::string& content, const ModelShape& shape = {}) {
        return sentence_of([&] { all_of(import(read, content, shape)); });
    }
    const TemporaryFolder folder_;
    // Three tokens, two layers, two of eight experts.
    const std::vector<std::uint8_t> ids_ = {1, 2, 3, 4, 5, 6, 7, 0, 0, 3, 2, 1};
    const std::string array_ = npy("|u1", "3, 2, 2", raw(ids_));
};

json answer_of(const std::string& npy_file) {
    return {{"choices", {{{"index", 0}, {"routed_experts", base64(npy_file)}}}}};
}

TEST_F(Imports, TracesOfOurOwnComeWithAllThatTheirPiecesHave) {
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(40);
    std::string text;
    for (const TokenDecisions& token : tokens) {
        text += trace_line(token, text.empty() ? &spec : nullptr) + "\n";
    }
    const Import made = import(import_trace, text, model(2, 8, 2));
    EXPECT_EQ(router_to_json(made.spec), router_to_json(spec));
    EXPECT_TRUE(made.interventions.is_null());
    std::size_t at = 0;
    for (const auto& chunk : all_of(made)) {
        for (std::size_t i = 0; i < chunk->tokens; ++i, ++at) {
            const TokenDecisions& token = tokens.at(at);
            EXPECT_EQ(chunk->token[i], token.token);
            for (std::size_t layer = 0; layer < 2; ++layer) {
                const auto ids = chunk->ids_of(layer, i);
                EXPECT_TRUE(std::equal(ids.begin(), ids.end(), token.layers[layer].ids.begin()));
            }
        }
    }
    EXPECT_EQ(at, 40u);
    // What is wrong with a file is found before anything of it is taken.
    EXPECT_NE(problem(import_trace, text, model(2, 16, 2)).find("2 layers of 8 experts"), std::string::npos);
    const std::string cut = text.substr(0, text.size() - 30);
    EXPECT_NE(sentence_of([&] { import(import_trace, cut); }).find("line 40"), std::string::npos);
    EXPECT_NE(problem(import_trace, "{\"routed_experts\": []}"), "");
}

TEST_F(Imports, VllmBase64OfAnArray) {
    json answer = answer_of(array_);
    answer["prompt_token_ids"] = {10, 11};
    answer["choices"][0]["token_ids"] = {12, 13};
    const Import made = import(import_vllm, answer.dump(), model(0, 8, 0));
    EXPECT_EQ(made.spec.experts, 8);
    EXPECT_EQ(made.spec.experts_per_token, 2);
    EXPECT_EQ(made.spec.routed_layers, (std::vector<int>{0, 1}));
    EXPECT_EQ(made.spec.source, Source::imported);
    EXPECT_TRUE(doubts(made, "numbered from 0"));
    const auto chunks = all_of(made);
    ASSERT_EQ(chunks.size(), 1u);
    const Chunk& chunk = *chunks[0];
    EXPECT_EQ(chunk.token, (std::vector<std::int32_t>{10, 11, 12}));
    EXPECT_EQ(chunk.next, (std::vector<std::int32_t>{11, 12, 13}));
    for (std::size_t at = 0; at < 3; ++at) {
        for (std::size_t layer = 0; layer < 2; ++layer) {
            const auto ids = chunk.ids_of(layer, at);
            EXPECT_TRUE(std::equal(ids.begin(), ids.end(), ids_.begin() + static_cast<int>(at * 4 + layer * 2)));
        }
    }
}

TEST_F(Imports, VllmTypesOfNumbers) {
    const std::vector<std::int16_t> two(ids_.begin(), ids_.end());
    const std::vector<std::int64_t> eight(ids_.begin(), ids_.end());
    std::string swapped;
    for (const std::uint8_t id : ids_) {
        swapped += std::string("\0\0\0", 3) + static_cast<char>(id);
    }
    for (const std::string& bytes : {npy("<i2", "3, 2, 2", raw(two)), npy("<i8", "3, 2, 2", raw(eight)),
                                     npy(">i4", "3, 2, 2", swapped), npy(">u4", "3, 2, 2", swapped)}) {
        EXPECT_EQ(all_of(import(import_vllm, answer_of(bytes).dump()))[0]->ids,
                  all_of(import(import_vllm, answer_of(array_).dump()))[0]->ids);
        EXPECT_EQ(all_of(import(import_vllm, bytes))[0]->ids, all_of(import(import_vllm, array_))[0]->ids);
    }
}

TEST_F(Imports, VllmListsOfThePromptAndTheAnswer) {
    const json answer = {{"prompt_routed_experts", {{{-1, -1}, {-1, -1}}, {{1, 2}, {3, 4}}}},
                         {"choices",
                          {{{"routed_experts", {{{5, 6}, {7, 0}}}}, {"token_ids", {3, 4}}},
                           {{"routed_experts", {{{2, 1}, {0, 1}}, {{2, 1}, {0, 1}}}}}}},
                         {"prompt_token_ids", {1, 2}}};
    const Import made = import(import_vllm, answer.dump());
    const auto chunks = all_of(made);
    const Chunk& chunk = *chunks[0];
    EXPECT_EQ(chunk.document, (std::vector<std::uint32_t>{0, 0, 0, 1, 1, 1, 1}));
    EXPECT_EQ(chunk.token, (std::vector<std::int32_t>{1, 2, 3, -1, -1, -1, -1}));
    EXPECT_EQ(chunk.position, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 3}));
    EXPECT_TRUE(chunk.ids_of(0, 0).empty());
    EXPECT_EQ(chunk.ids_of(1, 2)[0], 7);
    EXPECT_TRUE(doubts(made, "prefix cache"));
    EXPECT_TRUE(doubts(made, "highest id"));
    EXPECT_TRUE(doubts(made, "tokens of 1 texts are left out"));
}

TEST_F(Imports, VllmWrongOnes) {
    const auto of = [&](const std::string& bytes) {
        return problem(import_vllm, answer_of(bytes).dump(), model(0, 8, 0));
    };
    const auto ids = [&](std::vector<std::int32_t> values) { return of(npy("<i4", "1, 2, 2", raw(values))); };
    EXPECT_EQ(ids({1, 2, 3, 4}), "");
    EXPECT_NE(ids({1, 2, 3, -4}).find("expert -4 in layer 1"), std::string::npos);
    EXPECT_NE(ids({1, 2, -1, 4}).find("expert -1 in layer 1"), std::string::npos);
    EXPECT_NE(ids({1, 2, 3, 8}).find("experts from 0 to 7 are possible"), std::string::npos);
    EXPECT_NE(ids({1, 1, 3, 4}).find("expert 1 twice in layer 0"), std::string::npos);
    EXPECT_NE(ids({0, 0, 0, 0}).find("nothing but zeros"), std::string::npos);
    EXPECT_NE(ids({-1, -1, -1, -1}).find("prefix cache"), std::string::npos);
    const std::string four = raw(std::vector<std::int32_t>{1, 2, 3, 4});
    EXPECT_NE(of(npy("<i4", "2, 2, 2", four)).find("its shape needs"), std::string::npos);
    EXPECT_NE(of(npy("<i4", "18446744073709551615, 2, 2", four)).find("overflows"), std::string::npos);
    EXPECT_NE(of(npy("<i4", "1, 4", four)).find("2 dimensions"), std::string::npos);
    EXPECT_NE(of(npy("<f4", "1, 2, 2", four)).find("whole numbers"), std::string::npos);
    EXPECT_NE(of(npy("|O", "1, 2, 2", four)).find("no numbers"), std::string::npos);
    EXPECT_NE(of(npy("<i4", "1, 2, 2", four, "True")).find("Fortran"), std::string::npos);
    EXPECT_NE(of(npy("<i4", "1000000000000, 0, 2", "")).find("0 layers"), std::string::npos);
    EXPECT_NE(of(npy("<i4", "0, 2, 2", "")).find("no ids"), std::string::npos);
    // As the prompt of an answer too, and as the whole file: nobody looks at 2^60 tokens without ids.
    const std::string no_layers = npy("<i4", "1152921504606846976, 0, 2", ""),
                      no_experts = npy("<i4", "1, 1152921504606846976, 0", "");
    for (const std::string& empty : {no_layers, no_experts}) {
        json both = answer_of(npy("<i4", "1, 2, 2", four));
        both["choices"][0]["prompt_routed_experts"] = base64(empty);
        both["choices"][0]["token_ids"] = {1, 2};
        EXPECT_NE(problem(import_vllm, both.dump()).find("experts per token"), std::string::npos);
        EXPECT_NE(problem(import_vllm, empty).find("experts per token"), std::string::npos);
        EXPECT_NE(of(empty).find("experts per token"), std::string::npos);
    }
    EXPECT_NE(of("garbage").find("NumPy's mark"), std::string::npos);
    const std::string text = base64(array_);
    const auto packed = [&](const std::string& value) {
        return problem(import_vllm, json{{"routed_experts", value}}.dump());
    };
    EXPECT_EQ(packed(text), "");
    EXPECT_NE(packed(text.substr(0, text.size() - 3)).find("no whole base64"), std::string::npos);
    EXPECT_NE(packed(text.substr(0, text.size() - 4)).find("its shape needs"), std::string::npos);
    EXPECT_NE(packed(text + "====").find("no whole base64"), std::string::npos);
    EXPECT_NE(packed("!" + text.substr(1)).find("no whole base64"), std::string::npos);
    EXPECT_NE(problem(import_vllm, "{\"choices\":[{\"routed_experts\":null}]}").find("null"), std::string::npos);
    EXPECT_NE(problem(import_vllm, "{\"routed_experts\":5}").find("has 5 for the routed experts"), std::string::npos);
    EXPECT_NE(problem(import_vllm, "{\"routed_experts\":true}").find("has true for"), std::string::npos);
    EXPECT_NE(problem(import_vllm, "{\"choices\":[]}").find("no \"routed_experts\""), std::string::npos);
    EXPECT_NE(problem(import_vllm, "<html>").find("no JSON"), std::string::npos);
    const auto list = [&](const std::string& value) {
        return problem(import_vllm, "{\"routed_experts\":" + value + "}");
    };
    EXPECT_EQ(list("[[[1,2],[3,4]]]"), "");
    EXPECT_NE(list("[[[1,2],[3]]]").find("lists of 2 and of 1 experts"), std::string::npos);
    EXPECT_NE(list("[[[1,2]],[[1,2],[3,4]]]").find("lists of 1 and of 2 layers"), std::string::npos);
    EXPECT_NE(list("[[1,2]]").find("no id"), std::string::npos);
    EXPECT_NE(list("[[[[1]]]]").find("no id"), std::string::npos);
    EXPECT_NE(list("[[[\"1\"]]]").find("no id"), std::string::npos);
    EXPECT_NE(list("[[[1.5]]]").find("no id"), std::string::npos);
    EXPECT_NE(list("[[[99999999999]]]").find("no id"), std::string::npos);
    EXPECT_NE(list("{\"values\":1}").find("form that is not known"), std::string::npos);
    EXPECT_NE(list(std::string(100'000, '[')), "");
    EXPECT_NE(list("[[[1,2]]],\"routed_experts\":[[[3,4]]]").find("twice"), std::string::npos);
}

/// Sentences name the file, and the numbers that stand in it.
TEST_F(Imports, WrongOnesAreNamedTruly) {
    const std::string file = (folder_ / "f").string();
    const auto starts = [&](const std::string& said, const std::string& words) {
        EXPECT_TRUE(said.starts_with(file)) << said;
        EXPECT_NE(said.find(words), std::string::npos) << said;
    };
    const std::string large = raw(std::vector<std::uint64_t>{3, ~std::uint64_t{0}}),
                      wide = raw(std::vector<std::int64_t>{3, (std::int64_t{1} << 32) + 4}),
                      small = raw(std::vector<std::int32_t>{3, 4});
    starts(problem(import_vllm, npy("<u8", "1, 1, 2", large)), "expert 18446744073709551615 in layer 0");
    starts(problem(import_vllm, npy("<i8", "1, 1, 2", wide), model(0, 8, 0)), "expert 4294967300 in layer 0");
    json both = answer_of(npy("<i8", "1, 1, 2", wide));
    both["choices"][0]["prompt_routed_experts"] = base64(npy("<i4", "1, 1, 2", small));
    starts(problem(import_vllm, both.dump()), "expert 4294967300");
    // The model's number of the layer, not its place in the recording.
    ModelShape shape = model(3, 8, 2);
    shape.routed_layers = {2};
    starts(problem(import_vllm, npy("<i4", "1, 1, 2", raw(std::vector<std::int32_t>{1, 9})), shape), "in layer 2");
    starts(problem(import_vllm, array_, shape), "of the 3 layers of the model 1 have a router");
    ModelShape named = model(0, 8, 2);
    named.model = std::string(5000, 'm');
    starts(problem(import_vllm, array_, named), "5000 bytes under \"model\"");
    starts(problem(import_sglang, npy("<i4", "1, 70000", raw(std::vector<std::int32_t>(70000, 1)))),
           "has 70000 experts");
    std::string csv = "layer_id,expert_id,count\n";
    for (int layer = 0; layer < 500; ++layer) {
        csv += std::to_string(layer) + ",65533,1\n";
    }
    starts(problem(import_sglang, csv), "has 500 layers of 65534 experts");
}

TEST_F(Imports, LayersOfTheModel) {
    ModelShape shape = model(3, 8, 2);
    EXPECT_EQ(import(import_vllm, array_, shape).spec.routed_layers, (std::vector<int>{1, 2}));
    EXPECT_TRUE(doubts(import(import_vllm, array_, shape), "taken for the last ones"));
    shape.routed_layers = {0, 2};
    EXPECT_EQ(import(import_vllm, array_, shape).spec.routed_layers, (std::vector<int>{0, 2}));
    shape.routed_layers = {2};
    EXPECT_NE(problem(import_vllm, array_, shape).find("of the 3 layers of the model 1 have a router"),
              std::string::npos);
    EXPECT_NE(problem(import_vllm, array_, model(1, 8, 2))
                  .find("the recording has 2 layers, and the model is said to have 1"),
              std::string::npos);
    EXPECT_NE(problem(import_vllm, array_, model(2, 8, 3)).find("the model chooses 3"), std::string::npos);
    EXPECT_NE(problem(import_vllm, array_, model(2, 7, 2)).find("experts from 0 to 6 are possible"), std::string::npos);
}

std::string config(const json& changes) {
    json value = {{"num_hidden_layers", 3}, {"num_experts", 8}, {"num_experts_per_tok", 2}};
    value.update(changes);
    return value.dump();
}

TEST_F(Imports, ShapesOfConfigs) {
    const auto shape = [&](const json& changes = json::object()) {
        write_text(folder_ / "config.json", config(changes));
        return read_model_shape(folder_ / "config.json");
    };
    EXPECT_EQ(shape().routed_layers, (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(shape().experts, 8);
    EXPECT_EQ(shape({{"first_k_dense_replace", 1}}).routed_layers, (std::vector<int>{1, 2}));
    EXPECT_EQ(shape({{"mlp_only_layers", {1}}}).routed_layers, (std::vector<int>{0, 2}));
    EXPECT_EQ(shape({{"decoder_sparse_step", 2}}).routed_layers, (std::vector<int>{1}));
    EXPECT_EQ(shape({{"moe_layer_freq", {0, 1, 1}}}).routed_layers, (std::vector<int>{1, 2}));
    EXPECT_EQ(shape({{"moe_layer_freq", 2}}).routed_layers, (std::vector<int>{0, 2}));
    EXPECT_EQ(shape({{"text_config", json::parse(config({{"num_hidden_layers", 5}}))}}).layers, 5);
    EXPECT_NE(sentence_of([&] { shape({{"num_hidden_layers", -1}}); }).find("does not say"), std::string::npos);
    EXPECT_NE(sentence_of([&] { shape({{"num_experts", 1e300}}); }).find("does not say"), std::string::npos);
}

TEST_F(Imports, SglangFlatNumbers) {
    // Layer 0 is dense: its slots are there and hold zeros.
    const std::vector<std::int32_t> ids = {0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 0};
    const json native = {{"text", "x"}, {"output_ids", {7}}, {"meta_info", {{"routed_experts", base64(raw(ids))}}}};
    const Import made = import(import_sglang, json::array({native}).dump(), model(3, 8, 2));
    EXPECT_EQ(made.spec.routed_layers, (std::vector<int>{1, 2}));
    EXPECT_EQ(made.spec.layers, 3);
    EXPECT_TRUE(doubts(made, "layers 0 have nothing but zeros"));
    const auto chunks = all_of(made);
    EXPECT_EQ(chunks[0]->tokens, 2u);
    EXPECT_EQ(chunks[0]->ids_of(0, 1)[1], 6);
    EXPECT_EQ(chunks[0]->next, (std::vector<std::int32_t>{-1, 7}));  // of the prompt nothing is said
    const std::vector<std::uint8_t> small(ids.begin(), ids.end());
    const json open_ai = {
        {"choices", {{{"sgl_ext", {{"routed_experts", base64(raw(small))}, {"routed_experts_dtype", "uint8"}}}}}}};
    EXPECT_EQ(all_of(import(import_sglang, open_ai.dump(), model(3, 8, 2)))[0]->ids, chunks[0]->ids);
    // With a config that says which layers are dense, zeros in them are no doubt.
    ModelShape known = model(3, 8, 2);
    known.routed_layers = {1, 2};
    EXPECT_TRUE(import(import_sglang, native.dump(), known).spec.doubts.empty());
    const auto of = [&](const std::string& bytes, const ModelShape& shape) {
        return problem(import_sglang, json{{"meta_info", {{"routed_experts", base64(bytes)}}}}.dump(), shape);
    };
    EXPECT_NE(of(raw(ids), {}).find("without their shape"), std::string::npos);
    EXPECT_NE(of(raw(ids), model(5, 8, 2)).find("do not fill whole tokens"), std::string::npos);
    EXPECT_NE(of(raw(ids) + "x", model(3, 8, 2)).find("do not fill whole tokens"), std::string::npos);
}

/// A text of P + C tokens has P + C - 1 rows of ids; a server can be told to leave out the beginning.
TEST_F(Imports, IdsOfAnotherNumberOfTokens) {
    const auto answer = [&](int rows, const json& prompt, const json& written) {
        std::vector<std::uint8_t> ids;
        for (int i = 0; i < rows; ++i) {
            ids.insert(ids.end(), {1, 2, 3, 4});
        }
        json value = answer_of(npy("|u1", std::to_string(rows) + ", 2, 2", raw(ids)));
        value["usage"] = {{"prompt_tokens", prompt}, {"completion_tokens", written}};
        return value;
    };
    const auto vllm = [&](int rows, const json& prompt, const json& written) {
        return problem(import_vllm, answer(rows, prompt, written).dump(), model(2, 8, 2));
    };
    EXPECT_EQ(vllm(9, 7, 3), "");
    EXPECT_TRUE(import(import_vllm, answer(9, 7, 3).dump(), model(2, 8, 2)).spec.doubts.empty());
    for (const int rows : {10, 1000}) {
        EXPECT_NE(vllm(rows, 7, 3).find("but 9 were read: 7 of the prompt and 3 of the answer"), std::string::npos);
    }
    EXPECT_NE(vllm(1, 7, 3).find("has ids of 1 tokens"), std::string::npos) << "the answer is never left out";
    EXPECT_EQ(vllm(9, nullptr, nullptr), "") << "nothing is said";
    for (const json& wrong : {json(-3), json(1'000'000'000), json(1.5), json("7")}) {
        EXPECT_NE(vllm(9, wrong, 3).find("under \"prompt_tokens\""), std::string::npos) << wrong;
        EXPECT_NE(vllm(9, 7, wrong).find("under \"completion_tokens\""), std::string::npos) << wrong;
    }
    // Fewer: taken for the last ones, and doubted; positions and tokens are those of the text.
    json later = answer(4, 7, 3);
    later["prompt_token_ids"] = {1, 2, 3, 4, 5, 6, 7};
    later["choices"][0]["token_ids"] = {8, 9, 10};
    const Import made = import(import_vllm, later.dump(), model(2, 8, 2));
    EXPECT_TRUE(doubts(made, "1 texts have ids of fewer tokens than were read"));
    EXPECT_EQ(all_of(made)[0]->position, (std::vector<std::int32_t>{5, 6, 7, 8}));
    EXPECT_EQ(all_of(made)[0]->token, (std::vector<std::int32_t>{6, 7, 8, 9}));
    // What was just asked for is whole.
    EXPECT_NE(
        sentence_of([&] { import_vllm_answer(later.dump(), model(2, 8, 2), "a server"); }).find("but 9 were read"),
        std::string::npos);
    // Two choices share what the answer counts: 7 of the prompt, 3 and 4 written.
    json two = answer(9, 7, 7);
    two["choices"].push_back(answer(10, 0, 0)["choices"][0]);
    EXPECT_EQ(problem(import_vllm, two.dump(), model(2, 8, 2)), "");
    two["choices"].push_back(answer(40, 0, 0)["choices"][0]);
    EXPECT_NE(problem(import_vllm, two.dump(), model(2, 8, 2)).find("has ids of 40 tokens"), std::string::npos);
}

/// 10 tokens of 6 layers, read as 5 of 12.
TEST_F(Imports, SglangIdsOfAnotherShape) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 10 * 6; ++i) {
        ids.insert(ids.end(), {1, 2});
    }
    const json native = {
        {"meta_info", {{"routed_experts", base64(raw(ids))}, {"prompt_tokens", 3}, {"completion_tokens", 8}}}};
    EXPECT_EQ(problem(import_sglang, native.dump(), model(6, 8, 2)), "");
    EXPECT_NE(problem(import_sglang, native.dump(), model(12, 8, 2)).find("has ids of 5 tokens, but 10 were read"),
              std::string::npos);
    EXPECT_NE(problem(import_sglang, native.dump(), model(3, 8, 2)).find("has ids of 20 tokens"), std::string::npos);
    json short_of = native;
    short_of["meta_info"].erase("prompt_tokens");
    EXPECT_NE(problem(import_sglang, short_of.dump(), model(12, 8, 2)).find("5 tokens for an answer of 8"),
              std::string::npos);
    const json list = json::array({native, native});
    EXPECT_EQ(problem(import_sglang, list.dump(), model(6, 8, 2)), "") << "each with its own counts";
}

/// As they come from a server: in memory, with the texts of the tokens that it wrote.
TEST(ImportedAnswers, HaveTheTextsOfTheirTokens) {
    const std::vector<std::int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 0, 2, 1, 0, 1};
    const std::vector<WrittenToken> written = {{"a", -1}, {"b", std::nanf("")}};
    const json vllm = {{"routed_experts", base64(npy("<i4", "3, 2, 2", raw(ids)))},
                       {"token_ids", {8, 9}},
                       {"prompt_token_ids", {1, 2}}};
    // SGLang has the ids beside the choices and the tokens within.
    const json sglang = {{"choices", {{{"token_ids", {8, 9}}, {"prompt_token_ids", {1, 2}}}}},
                         {"sglext", {{"routed_experts", base64(raw(ids))}}}};
    for (const bool of_sglang : {false, true}) {
        const Import made = of_sglang ? import_sglang_answer(sglang.dump(), model(2, 8, 2), "a server", written)
                                      : import_vllm_answer(vllm.dump(), model(2, 8, 2), "a server", written);
        const auto chunks = all_of(made);
        ASSERT_EQ(chunks.size(), 1u);
        EXPECT_EQ(chunks[0]->token, (std::vector<std::int32_t>{1, 2, 8}));
        EXPECT_EQ(chunks[0]->next, (std::vector<std::int32_t>{2, 8, 9}));
        EXPECT_EQ(chunks[0]->piece_of(1), "");
        EXPECT_EQ(chunks[0]->piece_of(2), "a");
        EXPECT_EQ(chunks[0]->log_probability[1], -1);
        EXPECT_TRUE(std::isnan(chunks[0]->log_probability[2]));
    }
    // More tokens than rows: nobody knows which is which.
    const std::vector<WrittenToken> many(5, {"x", -1});
    const auto chunks = all_of(import_vllm_answer(vllm.dump(), model(2, 8, 2), "a server", many));
    EXPECT_EQ(chunks[0]->piece_of(2), "");
    EXPECT_THROW(import_sglang_answer(sglang.dump(), {}, "a server"), Error) << "its shape is not known";
}

TEST_F(Imports, SglangRecorder) {
    const std::vector<std::int64_t> counts = {0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8};
    const Import steps = import(import_sglang, npy("<i8", "2, 2, 4", raw(counts)), model(0, 0, 2));
    EXPECT_EQ(steps.spec.routed_layers, (std::vector<int>{1}));
    const auto chunks = all_of(steps);
    ASSERT_EQ(chunks[0]->loads.size(), 2u);
    EXPECT_EQ(chunks[0]->loads[1].counts, (std::vector<std::uint64_t>{5, 6, 7, 8}));
    const Import sum = import(import_sglang, npy("<i8", "4, 4", raw(counts)), model(0, 0, 2));
    EXPECT_EQ(sum.spec.routed_layers, (std::vector<int>{1, 3}));
    EXPECT_TRUE(doubts(sum, "different sums"));
    const Import csv = import(import_sglang, "layer_id,expert_id,count\n1,0,3\n1,2,4\n\n2,1,7\n");
    EXPECT_EQ(csv.spec.experts, 3);
    EXPECT_EQ(all_of(csv)[0]->loads[0].counts, (std::vector<std::uint64_t>{3, 0, 4, 0, 7, 0}));
    EXPECT_TRUE(doubts(csv, "not in the counts"));
    const auto wrong = [&](const std::string& row) {
        return problem(import_sglang, "layer_id,expert_id,count\n" + row);
    };
    EXPECT_NE(wrong("1,0\n").find("line 2"), std::string::npos);
    EXPECT_NE(wrong("1,0,-3\n"), "");
    EXPECT_NE(wrong("1,0,3,4\n"), "");
    EXPECT_NE(wrong("1,99999999,3\n"), "");
    EXPECT_NE(wrong("1,0,3\n1,0,3\n").find("second time"), std::string::npos);
    EXPECT_NE(wrong("1,0,0\n").find("above 0"), std::string::npos);
    EXPECT_NE(problem(import_sglang, npy("<i8", "1, 1, 2", raw(std::vector<std::int64_t>{-1, 2}))).find("count of -1"),
              std::string::npos);
    EXPECT_NE(problem(import_sglang, npy("<f8", "1, 1, 2", raw(std::vector<double>{1, 2}))).find("whole numbers"),
              std::string::npos);
    EXPECT_NE(problem(import_sglang, npy("<i8", "1000000000000, 0, 2", "")), "");
    EXPECT_NE(problem(import_sglang, std::string("PK\x03\x04") + "archive/data.pkl").find("can run code"),
              std::string::npos);
}

TEST_F(Imports, MegatronCounts) {
    const std::string lines =
        "{\"iter\": 100, \"block\": \"decoder\", \"layer\": 0, \"tpe\": [[1, 2], [3, 4]]}\n"
        "{\"iter\": 100, \"block\": \"decoder\", \"layer\": 3, \"tpe\": [[5, 5]]}\n"
        "{\"iter\": 100, \"block\": \"mtp\", \"mtp_idx\": 0, \"layer\": 1, \"tpe\": [[50, 50]]}\n"
        "{\"iter\": 200, \"block\": \"decoder\", \"layer\": 0, \"tpe\": [[7, 3]]}\n"
        "{\"iter\": 200, \"block\": \"decoder\", \"layer\": 3, \"tpe\": [[9, 2]]}\n";
    const Import made = import(import_megatron, lines, model(0, 4, 1));
    EXPECT_EQ(made.spec.routed_layers, (std::vector<int>{0, 3}));
    EXPECT_EQ(made.spec.experts, 2);
    const auto chunks = all_of(made);
    ASSERT_EQ(chunks[0]->loads.size(), 2u);
    EXPECT_EQ(chunks[0]->loads[0].step, 100);
    EXPECT_EQ(chunks[0]->loads[0].counts, (std::vector<std::uint64_t>{4, 6, 5, 5}));
    EXPECT_EQ(chunks[0]->loads[1].counts, (std::vector<std::uint64_t>{7, 3, 9, 2}));
    EXPECT_TRUE(doubts(made, "2 of the 4 experts"));
    EXPECT_TRUE(doubts(made, "different sums in 1 of 2 steps"));
    EXPECT_TRUE(doubts(made, "1 lines of blocks"));
    const auto wrong = [&](const std::string& line) { return problem(import_megatron, lines + line); };
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[1, -2]]}").find("line 6"), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[1, 2.5]]}").find("no whole number"), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[1, 2], [3]]}").find("micro-batch"), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": []}").find("no counts"), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 99999, \"tpe\": [[1, 2]]}"), "");
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[1, 2, 3]]}").find("3 experts"), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[18446744073709551615, 2], [1, 1]]}"), "");
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 0, \"tpe\": [[18446744073709551615, 2]]}").find("overflows"),
              std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1"), "");
    EXPECT_NE(wrong("{\"layer\": 0, \"tpe\": [[1, 2]]}").find("no \"iter\""), std::string::npos);
    EXPECT_NE(wrong("{\"iter\": 1, \"layer\": 4096, \"tpe\": [[1, 2]]}").find("0 to 4095 under \"layer\""),
              std::string::npos);
    EXPECT_NE(problem(import_megatron, ""), "");
}

/// What a step has is kept or left out; it is never filled up: a few lines would become as many counts as there are
/// layers in the whole file.
TEST_F(Imports, MegatronStepsThatLackLayers) {
    const auto line = [](int step, int layer) {
        return "{\"iter\": " + std::to_string(step) + ", \"layer\": " + std::to_string(layer) +
               ", \"tpe\": [[1, 2]]}\n";
    };
    // A run that ended within a step, and was resumed.
    const Import made = import(import_megatron, line(1, 0) + line(1, 1) + line(2, 0) + line(2, 0) + line(2, 1));
    EXPECT_TRUE(doubts(made, "1 of 3 steps are left out"));
    const auto chunks = all_of(made);
    ASSERT_EQ(chunks.at(0)->loads.size(), 2u);
    EXPECT_EQ(chunks[0]->loads[1].step, 2);
    EXPECT_EQ(chunks[0]->loads[1].counts, (std::vector<std::uint64_t>{1, 2, 1, 2}));
    std::string sparse;
    for (int step = 0; step < 20'000; ++step) {
        sparse += line(step, step % 4096);
    }
    const std::string said = problem(import_megatron, sparse);
    EXPECT_NE(said.find("none of its 20000 steps has counts of all 4096 layers"), std::string::npos) << said;
}

}  // namespace
}  // namespace moescope::routing
