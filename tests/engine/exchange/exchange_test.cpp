// Import and export of Hugging Face folders and GGUF files: nothing is lost, and what cannot be said is refused.
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/half_floats.hpp"
#include "engine/error.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/gguf_import.hpp"
#include "engine/exchange/hugging_face_config.hpp"
#include "engine/exchange/hugging_face_export.hpp"
#include "engine/exchange/hugging_face_import.hpp"
#include "engine/exchange/hugging_face_tokenizer.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "engine/files/inspect.hpp"
#include "engine/files/safetensors.hpp"
#include "exchange_models.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/text/temporary_folder.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

using Json = nlohmann::json;

Json read_json(const std::filesystem::path& path) {
    std::ifstream file(path);
    return Json::parse(file);
}

void write_json(const std::filesystem::path& path, const Json& value) {
    std::ofstream(path) << value;
}

/// Every tensor of the model, bit by bit; the layouts may be ordered differently.
void expect_same(const ModelConfig& model, const Filled& filled, const ImportedModel& imported) {
    EXPECT_EQ(differing_settings(model, imported.model), std::vector<std::string>{});
    ModelConfig plain = model;
    plain.prediction_depth = imported.model.prediction_depth;
    plain.tied_head = imported.model.tied_head;
    const auto wanted = name_tensors(plain, filled.layout);
    const auto got = name_tensors(imported.model, imported.layout);
    ASSERT_EQ(wanted.size(), got.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i].name, wanted[i].name);
        ASSERT_EQ(std::memcmp(imported.parameters + got[i].offset, filled.parameters.data() + wanted[i].offset,
                              got[i].count * sizeof(float)),
                  0)
            << got[i].name;
    }
}

std::shared_ptr<const Tokenizer> small_tokenizer() {
    static const std::shared_ptr<const Tokenizer> tokenizer = [] {
        std::vector<std::string> lines;
        for (const char* name : {"english.txt", "chinese.txt"}) {
            std::ifstream file(std::filesystem::path(moescope::test::test_data()) / "engine/train/data" / name);
            for (std::string line; std::getline(file, line);) {
                lines.push_back(line);
            }
        }
        return Tokenizer::train(lines, 600);
    }();
    return tokenizer;
}

TEST(HuggingFace, EveryTypeComesBackBitByBit) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const TemporaryFolder folder;
        const Filled filled = fill(small.model, 11);
        const auto path = folder.path() / "out";
        const ExportReport report = export_hugging_face(path, small.model, filled.layout, filled.parameters.data(),
                                                        nullptr, {{"run", "seven"}});
        EXPECT_EQ(report.type, hugging_face_name(small.type));
        const ImportedModel back = import_hugging_face(path);
        EXPECT_EQ(back.type, report.type);
        expect_same(small.model, filled, back);
        EXPECT_EQ(SafetensorsFile(path / "model.safetensors").header().metadata.at("run"), "seven");
        EXPECT_FALSE(std::filesystem::exists(folder.path() / "out.part"));
        for (const std::string& file : report.files) {
            EXPECT_TRUE(std::filesystem::exists(path / file)) << file;
        }
    }
}

TEST(HuggingFace, ShardsComeBackBitByBit) {
    const TemporaryFolder folder;
    const SmallModel small = small_models()[4];
    const Filled filled = fill(small.model, 12);
    const auto report = export_hugging_face(folder.path() / "out", small.model, filled.layout, filled.parameters.data(),
                                            nullptr, {}, 20'000);
    EXPECT_GT(report.files.size(), 5u);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "out/model.safetensors.index.json"));
    expect_same(small.model, filled, import_hugging_face(folder.path() / "out"));
}

TEST(HuggingFace, FusedExpertsOfTransformersFiveAreRead) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const TemporaryFolder folder;
        const Filled filled = fill(small.model, 13);
        std::vector<SafetensorsOutput> outputs;
        const auto tensors = hugging_face_tensors(small.type, small.model, filled.layout, ExpertFiles::fused);
        for (const FileTensor& tensor : tensors) {
            outputs.push_back({tensor.name, tensor.shape, nullptr,
                               [&](std::span<float> values) { gather(values, filled.parameters.data(), tensor); }});
        }
        write_safetensors(folder.path() / "model.safetensors", outputs);
        write_json(folder.path() / "config.json", write_hugging_face_config(small.type, small.model));
        expect_same(small.model, filled, import_hugging_face(folder.path()));
    }
}

TEST(HuggingFace, ThePredictionModuleOfDeepSeekComesBack) {
    ModelConfig model = small_deepseek();
    model.prediction_depth = 1;
    const Filled filled = fill(model, 14);
    const TemporaryFolder folder;
    export_hugging_face(folder.path() / "out", model, filled.layout, filled.parameters.data(), nullptr);
    const ImportedModel back = import_hugging_face(folder.path() / "out");
    EXPECT_EQ(back.model.prediction_depth, 1);
    expect_same(model, filled, back);
    // Without a module in the file, a configuration that promises one is still opened.
    Json config = read_json(folder.path() / "out/config.json");
    config["num_nextn_predict_layers"] = 2;
    write_json(folder.path() / "out/config.json", config);
    EXPECT_EQ(import_hugging_face(folder.path() / "out").model.prediction_depth, 0);
    // Other types leave it out.
    ModelConfig plain = small_config();
    plain.prediction_depth = 1;
    const Filled other = fill(plain, 15);
    const auto report =
        export_hugging_face(folder.path() / "plain", plain, other.layout, other.parameters.data(), nullptr);
    EXPECT_EQ(report.notes.size(), 2u);
    EXPECT_EQ(import_hugging_face(folder.path() / "plain").model.prediction_depth, 0);
}

TEST(HuggingFace, WithoutASelectionBiasDeepSeekGetsZeros) {
    ModelConfig model = small_deepseek();
    model.selection_bias = false;
    const Filled filled = fill(model, 16);
    const TemporaryFolder folder;
    export_hugging_face(folder.path() / "out", model, filled.layout, filled.parameters.data(), nullptr);
    const ImportedModel back = import_hugging_face(folder.path() / "out");
    ASSERT_TRUE(back.model.selection_bias);
    for (int e = 0; e < model.experts; ++e) {
        EXPECT_EQ(back.parameters[back.layout.layers[1].selection_bias + static_cast<std::uint64_t>(e)], 0.0f);
    }
}

TEST(HuggingFace, ConfigurationsThatCannotBeFollowedAreRefused) {
    struct Case {
        ModelType type;
        const char* patch;
        const char* expected;
    };
    const Case cases[] = {
        {ModelType::qwen3_moe, R"({"model_type":"llama"})", "qwen3_moe, olmoe, mixtral, deepseek_v3, gpt_oss"},
        {ModelType::qwen3_moe, R"({"model_type":null})", "model_type is null"},
        {ModelType::qwen3_moe, R"({"hidden_act":"gelu"})", "hidden_act is \"gelu\""},
        {ModelType::qwen3_moe, R"({"quantization_config":{"quant_method":"mxfp4"}})", "quantization_config"},
        {ModelType::qwen3_moe, R"({"use_sliding_window":true})", "use_sliding_window"},
        {ModelType::qwen3_moe, R"({"layer_types":["full_attention","sliding_attention"]})", "layer_types"},
        {ModelType::qwen3_moe, R"({"mlp_only_layers":[1]})", "mlp_only_layers is [1]"},
        {ModelType::qwen3_moe, R"({"decoder_sparse_step":2})", "decoder_sparse_step is 2"},
        {ModelType::qwen3_moe, R"({"hidden_size":"24"})", "hidden_size is \"24\", but must be a whole number"},
        {ModelType::qwen3_moe, R"({"hidden_size":24.0})", "hidden_size is 24.0, but must be a whole number"},
        {ModelType::qwen3_moe, R"({"hidden_size":99999999999})", "hidden_size is 99999999999"},
        {ModelType::qwen3_moe, R"({"vocab_size":2000000})", "model.vocabulary is 2000000"},
        {ModelType::qwen3_moe, R"({"num_experts":-1})", "model.experts is -1"},
        {ModelType::qwen3_moe, R"({"num_experts_per_tok":7})", "experts_per_token (7)"},
        {ModelType::qwen3_moe, R"({"norm_topk_prob":1})", "norm_topk_prob is 1, but must be true or false"},
        {ModelType::qwen3_moe, R"({"rope_parameters":{"rope_type":"linear","rope_theta":1e4,"factor":2.0}})",
         "rope_type is \"linear\""},
        {ModelType::qwen3_moe, R"({"rope_scaling":{"type":"dynamic","factor":2.0}})", "type is \"dynamic\""},
        {ModelType::qwen3_moe, R"({"rope_scaling":{"type":"yarn","factor":2.0}})",
         "rope_parameters says something else"},
        {ModelType::qwen3_moe, R"({"rope_parameters":{"rope_type":"default","rope_theta":2e4}})",
         "rope_theta beside it"},
        {ModelType::qwen3_moe, R"({"rope_parameters":{"rope_type":"default"},"rope_theta":null})", "rope_theta"},
        {ModelType::qwen3_moe, R"({"partial_rotary_factor":0.5})", "partial_rotary_factor"},
        {ModelType::olmoe, R"({"clip_qkv":8.0})", "clip_qkv is 8.0"},
        {ModelType::olmoe, R"({"head_dim":8})", "head_dim is 8"},
        {ModelType::mixtral, R"({"layer_types":["full_attention","sliding_attention"],"sliding_window":8})",
         "layer_types"},
        {ModelType::deepseek_v3, R"({"scoring_func":"softmax"})", "scoring_func is \"softmax\""},
        {ModelType::deepseek_v3, R"({"topk_method":"greedy"})", "topk_method"},
        {ModelType::deepseek_v3, R"({"moe_layer_freq":2})", "moe_layer_freq"},
        {ModelType::deepseek_v3, R"({"rms_norm_eps":1e-5})", "rms_norm_eps is 1e-05"},
        {ModelType::deepseek_v3, R"({"n_group":4})", "must be a multiple of model.router_groups (4)"},
        {ModelType::deepseek_v3, R"({"attention_bias":true})", "attention_bias"},
        {ModelType::gpt_oss, R"({"layer_types":["full_attention","sliding_attention","full_attention"]})",
         "layer_types"},
        {ModelType::gpt_oss, R"({"layer_types":["full_attention"]})", "layer_types"},
    };
    for (const Case& c : cases) {
        Json config;
        for (const SmallModel& small : small_models()) {
            if (small.type == c.type && config.is_null()) {
                config = write_hugging_face_config(small.type, small.model);
            }
        }
        EXPECT_NO_THROW(parse_hugging_face_config(config, "config.json"));
        config.update(Json::parse(c.patch));
        const std::string message = error_of([&] { parse_hugging_face_config(config, "config.json"); });
        EXPECT_NE(message.find(c.expected), std::string::npos) << message << "\nfor " << c.patch;
        EXPECT_TRUE(message.starts_with("config.json")) << message;
    }
}

TEST(HuggingFace, BothSpellingsOfRopeAreOne) {
    Json config = write_hugging_face_config(ModelType::gpt_oss, small_gpt_oss());
    const ModelConfig both = parse_hugging_face_config(config, "c").model;
    Json old_style = config, new_style = config;
    old_style.erase("rope_parameters");
    old_style["rope_scaling"].erase("rope_theta");
    old_style["rope_scaling"]["type"] = "yarn";
    new_style.erase("rope_scaling");
    new_style.erase("rope_theta");
    for (const Json& one : {old_style, new_style}) {
        EXPECT_EQ(differing_settings(both, parse_hugging_face_config(one, "c").model), std::vector<std::string>{});
    }
    EXPECT_EQ(both.yarn_factor, 4.0);
    new_style["something_new"] = 3;
    EXPECT_NE(parse_hugging_face_config(new_style, "c").notes.at(0).english().find("something_new"), std::string::npos);
}

TEST(HuggingFace, EveryNameThatTransformersHasForAKeyIsRead) {
    const Json maps = read_json(std::filesystem::path(moescope::test::test_data()) / "oracle/data/attribute_maps.json");
    for (const SmallModel& small : small_models()) {
        const Json config = write_hugging_face_config(small.type, small.model);
        const ModelConfig wanted = parse_hugging_face_config(config, "c").model;
        const Json& map = maps.at(hugging_face_name(small.type));
        ASSERT_FALSE(map.empty());
        for (const auto& [one, other] : map.items()) {
            const std::string two = other.get<std::string>(), written = config.contains(one) ? one : two;
            ASSERT_TRUE(config.contains(written)) << small.name << " " << written;
            const std::string further = written == one ? two : one;
            SCOPED_TRACE(small.name + " " + written + " as " + further);
            Json renamed = config;
            renamed[further] = renamed[written];
            const HuggingFaceConfig both = parse_hugging_face_config(renamed, "c");
            EXPECT_EQ(differing_settings(wanted, both.model), std::vector<std::string>{});
            renamed[written] = nullptr;
            EXPECT_EQ(differing_settings(wanted, parse_hugging_face_config(renamed, "c").model),
                      std::vector<std::string>{});
            renamed.erase(written);
            const HuggingFaceConfig got = parse_hugging_face_config(renamed, "c");
            EXPECT_EQ(differing_settings(wanted, got.model), std::vector<std::string>{});
            EXPECT_EQ(got.prediction_layers, both.prediction_layers);
            EXPECT_TRUE(got.notes.empty());
            renamed[written] = 77;
            const std::string refused = error_of([&] { parse_hugging_face_config(renamed, "c"); });
            EXPECT_NE(refused.find(written + " is 77"), std::string::npos) << refused;
            EXPECT_NE(refused.find(further), std::string::npos) << refused;
        }
    }
    Json missing = write_hugging_face_config(ModelType::qwen3_moe, small_config());
    missing.erase("num_experts");
    EXPECT_NE(error_of([&] { parse_hugging_face_config(missing, "c"); }).find("num_experts is missing"),
              std::string::npos);
}

TEST(HuggingFace, AKeyThatIsLeftOutMeansWhatTransformersTakes) {
    const auto without = [](ModelType type, const ModelConfig& model, const char* key) {
        Json config = write_hugging_face_config(type, model);
        config.erase(key);
        return config;
    };
    ModelConfig mixtral = small_mixtral();
    mixtral.heads = 16;  // so that 8 key heads fit
    mixtral.kv_heads = 2;
    Json config = without(ModelType::mixtral, mixtral, "num_key_value_heads");
    EXPECT_EQ(parse_hugging_face_config(config, "c").model.kv_heads, 8);
    config["num_key_value_heads"] = nullptr;
    EXPECT_EQ(parse_hugging_face_config(config, "c").model.kv_heads, 16);
    const Json gpt_oss = without(ModelType::gpt_oss, small_gpt_oss(), "sliding_window");
    EXPECT_EQ(parse_hugging_face_config(gpt_oss, "c").model.sliding_window, 128);
    const Json deepseek = without(ModelType::deepseek_v3, small_deepseek(), "q_lora_rank");
    EXPECT_EQ(parse_hugging_face_config(deepseek, "c").model.query_rank, 1536);
}

/// Rewrites one exported file and gives what the importer says.
std::string after(const Filled& filled, const SmallModel& small,
                  const std::function<void(std::vector<SafetensorsOutput>&)>& change) {
    const TemporaryFolder folder;
    std::vector<SafetensorsOutput> outputs;
    for (const FileTensor& t : hugging_face_tensors(small.type, small.model, filled.layout, ExpertFiles::separate)) {
        if (t.contiguous()) {
            outputs.push_back({t.name, t.shape, filled.parameters.data() + t.offset, {}});
        }
    }
    change(outputs);
    write_safetensors(folder.path() / "model.safetensors", outputs);
    write_json(folder.path() / "config.json", write_hugging_face_config(small.type, small.model));
    return error_of([&] { import_hugging_face(folder.path()); });
}

TEST(HuggingFace, MissingFurtherAndMisshapenTensorsAreNamed) {
    const SmallModel small = small_models()[0];
    const Filled filled = fill(small.model, 17);
    using Outputs = std::vector<SafetensorsOutput>;
    EXPECT_EQ(after(filled, small, [](Outputs&) {}), "no error");
    EXPECT_NE(after(filled, small, [](Outputs& o) { o.erase(o.begin() + 5); }).find("is missing"), std::string::npos);
    const std::string further = after(filled, small, [](Outputs& o) {
        o.push_back(o.back());
        o.back().name = "model.layers.7.mlp.gate.weight";
    });
    EXPECT_NE(further.find("\"model.layers.7.mlp.gate.weight\" has no place"), std::string::npos) << further;
    const std::string shape = after(filled, small, [](Outputs& o) { o[1].shape = {6, 4}; });
    EXPECT_NE(shape.find("has the shape [6, 4], but the configuration needs [24]"), std::string::npos) << shape;
    const SmallModel tied = small_models()[5];
    const Filled other = fill(tied.model, 18);
    const std::string head = after(other, tied, [](Outputs& o) {
        o.push_back(o.front());
        o.back().name = "lm_head.weight";
    });
    EXPECT_EQ(head, "no error") << "transformers writes a tied head in some versions";
}

TEST(HuggingFace, TheTokenizerGoesWithTheModel) {
    SmallModel small = small_models()[0];
    small.model.vocabulary = small_tokenizer()->size();
    const Filled filled = fill(small.model, 19);
    const TemporaryFolder folder;
    export_hugging_face(folder.path() / "out", small.model, filled.layout, filled.parameters.data(),
                        small_tokenizer().get());
    const ImportedModel back = import_hugging_face(folder.path() / "out");
    ASSERT_NE(back.tokenizer, nullptr);
    EXPECT_EQ(back.tokenizer->model_bytes(), small_tokenizer()->model_bytes());
    const Json tokenizer = read_json(folder.path() / "out/tokenizer.json");
    EXPECT_EQ(tokenizer["model"]["type"], "Unigram");
    EXPECT_EQ(tokenizer["model"]["vocab"].size(), static_cast<std::size_t>(small_tokenizer()->size()));
    EXPECT_EQ(read_json(folder.path() / "out/config.json")["eos_token_id"], small_tokenizer()->end_token());
    EXPECT_NE(error_of([&] {
                  export_hugging_face(folder.path() / "out", small.model, filled.layout, filled.parameters.data(),
                                      nullptr);
              }).find("is not empty"),
              std::string::npos);
    small.model.vocabulary = 40;
    EXPECT_NE(error_of([&] {
                  export_hugging_face(folder.path() / "b", small.model, filled.layout, filled.parameters.data(),
                                      small_tokenizer().get());
              }).find("do not belong together"),
              std::string::npos);
}

/// Why a folder's tokenizer is not used, after something was put in its place.
std::string why_no_tokenizer(const std::string& name, const std::string& bytes) {
    const SmallModel small = small_models()[0];
    const Filled filled = fill(small.model, 26);
    const TemporaryFolder folder;
    export_hugging_face(folder.path() / "out", small.model, filled.layout, filled.parameters.data(), nullptr);
    std::ofstream(folder.path() / "out" / name, std::ios::binary) << bytes;
    const ImportedModel back = import_hugging_face(folder.path() / "out");
    EXPECT_EQ(back.tokenizer, nullptr);
    EXPECT_EQ(back.notes.size(), 1u);
    EXPECT_NE(back.notes.at(0).english().find(back.no_tokenizer.english()), std::string::npos);
    return back.no_tokenizer.english();
}

TEST(HuggingFace, WhyATokenizerIsNotUsedIsSaidTruly) {
    EXPECT_NE(why_no_tokenizer("other.txt", "").find("it has neither tokenizer.model nor"), std::string::npos);
    EXPECT_EQ(why_no_tokenizer("tokenizer.json", "{}"), "its tokenizer.json has no model");
    EXPECT_EQ(why_no_tokenizer("tokenizer.json", "{"), "its tokenizer.json ends before its JSON does");
    // The tokenizer.model of other families: tiktoken's list.
    const std::string other = why_no_tokenizer("tokenizer.model", "IQ== 0\nIg== 1\nIw== 2\n");
    EXPECT_NE(other.find("damaged or no SentencePiece model"), std::string::npos) << other;
    EXPECT_EQ(other.find(".cc("), std::string::npos) << "no place in the library's sources: " << other;
    EXPECT_EQ(why_no_tokenizer("tokenizer.model", small_tokenizer()->model_bytes()),
              "its tokenizer has 600 pieces, more than the model's vocabulary of 40");
}

TEST(HuggingFace, APieceThatIsNoUtf8IsNoReasonToFail) {
    std::string bytes = small_tokenizer()->model_bytes();
    // The text of one piece, in the protocol buffer: the first byte of a word becomes one that no character starts
    // with.
    const auto pieces = read_tokenizer_pieces(bytes).pieces;
    const auto word = std::find_if(pieces.begin(), pieces.end(), [](const TokenizerPiece& piece) {
        return piece.kind == TokenizerPiece::Kind::normal && piece.text.size() > 1 && piece.text[0] > 0;
    });
    ASSERT_NE(word, pieces.end());
    bytes[bytes.find(std::string(1, static_cast<char>(word->text.size())) + word->text) + 1] = '\xff';
    const auto tokenizer = Tokenizer::from_bytes(bytes);
    EXPECT_FALSE(has_portable_form(*tokenizer));
    SmallModel small = small_models()[0];
    small.model.vocabulary = tokenizer->size();
    const Filled filled = fill(small.model, 27);
    const TemporaryFolder folder;
    const auto hf = export_hugging_face(folder.path() / "out", small.model, filled.layout, filled.parameters.data(),
                                        tokenizer.get());
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "out/tokenizer.model"));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "out/tokenizer.json"));
    const auto gguf =
        export_gguf(folder.path() / "m.gguf", small.model, filled.layout, filled.parameters.data(), tokenizer.get());
    EXPECT_NE(gguf.notes.at(0).english().find("The tokenizer was left out"), std::string::npos) << gguf.notes.at(0);
    EXPECT_EQ(import_gguf(folder.path() / "m.gguf").no_tokenizer.english(), "it has no tokenizer");
}

TEST(HuggingFace, FilesBesideTheModelsOwnAreNotRead) {
    const SmallModel small = small_models()[4];
    const Filled filled = fill(small.model, 28);
    const TemporaryFolder folder;
    const auto out = folder.path() / "out";
    export_hugging_face(out, small.model, filled.layout, filled.parameters.data(), nullptr, {}, 20'000);
    std::ofstream(out / "._model-00001-of-00008.safetensors") << "AppleDouble";
    std::ofstream(out / "model-copy.safetensors") << "half a download";
    const float one = 1;
    write_safetensors(out / "adapter_model.safetensors", {{"lora_A.weight", {1}, &one}});
    expect_same(small.model, filled, import_hugging_face(out));
}

/// Each change makes a model that no type of either format can express; the message must name the setting.
struct Unspeakable {
    const char* key;
    void (*change)(ModelConfig&);
    bool folder = true, gguf = true;  ///< which formats refuse it
};

const Unspeakable kUnspeakable[] = {
    {"router_choice (\"expert\"; needs \"token\")", [](ModelConfig& m) { m.router_choice = Choice::expert; }},
    {"hash_layers", [](ModelConfig& m) { m.hash_layers = 1; }},
    {"capacity_factor", [](ModelConfig& m) { m.capacity_factor = 1.25; }},
    {"router_scoring (\"sqrt_softplus\"", [](ModelConfig& m) { m.router_scoring = Scoring::sqrt_softplus; }},
    {"shared_experts (1", [](ModelConfig& m) { m.shared_experts = 1; }},
    {"router_scale", [](ModelConfig& m) { m.router_scale = 2.0; }},
    {"rope_order (\"interleaved\"; needs \"half\")", [](ModelConfig& m) { m.rope_order = RopeOrder::interleaved; }},
    {"sliding_window",
     [](ModelConfig& m) {
         m.sliding_window = 8;
         m.sliding_layers = SlidingLayers::even;
     }},
    {"normalise_weights (false; needs true)", [](ModelConfig& m) { m.normalise_weights = false; }, false, true},
    {"attention_bias (true; needs false)", [](ModelConfig& m) { m.attention_bias = true; }, false, true},
    {"dense_layers (1; needs 0)", [](ModelConfig& m) { m.dense_layers = 1; }, false, true},
    {"yarn_truncate (false; needs true)",
     [](ModelConfig& m) {
         m.yarn_factor = 2.0;
         m.yarn_truncate = false;
     },
     false, true},
};

TEST(Export, WhatNoTypeCanSayIsRefusedByName) {
    const TemporaryFolder folder;
    int number = 0;
    for (const Unspeakable& one : kUnspeakable) {
        ModelConfig model = small_config();
        one.change(model);
        const Filled filled = fill(model, 20);
        const auto path = folder.path() / std::to_string(number++);
        const std::string hf =
            error_of([&] { export_hugging_face(path, model, filled.layout, filled.parameters.data(), nullptr); });
        const std::string gguf = error_of(
            [&] { export_gguf(path.string() + ".gguf", model, filled.layout, filled.parameters.data(), nullptr); });
        EXPECT_EQ(hf.find(one.key) != std::string::npos, one.folder) << hf << "\nfor " << one.key;
        EXPECT_EQ(gguf.find(one.key) != std::string::npos, one.gguf) << gguf << "\nfor " << one.key;
        EXPECT_EQ(std::filesystem::exists(path), !one.folder);
        EXPECT_EQ(std::filesystem::exists(path.string() + ".gguf"), !one.gguf);
    }
}

TEST(Export, SettingsThatOnlyMatterInTrainingAreNoObstacle) {
    ModelConfig model = small_config();
    model.router_jitter = 0.1;
    model.drop = Drop::position;
    model.router_scoring = Scoring::softmax_after_top_k;
    const Filled filled = fill(model, 21);
    const TemporaryFolder folder;
    EXPECT_EQ(export_hugging_face(folder.path() / "a", model, filled.layout, filled.parameters.data(), nullptr).type,
              "qwen3_moe");
    EXPECT_EQ(export_gguf(folder.path() / "a.gguf", model, filled.layout, filled.parameters.data(), nullptr).type,
              "qwen3moe");
}

TEST(Gguf, EveryTypeComesBackBitByBit) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const TemporaryFolder folder;
        const Filled filled = fill(small.model, 22);
        const auto path = folder.path() / "m.gguf";
        const ExportReport report = export_gguf(path, small.model, filled.layout, filled.parameters.data(), nullptr);
        EXPECT_EQ(report.type, gguf_name(small.type));
        EXPECT_TRUE(inspect_file(path).safe) << inspect_file(path).problem;
        expect_same(small.model, filled, import_gguf(path));
    }
}

TEST(Gguf, HalvesAreRoundedOnceAndVectorsStayWhole) {
    const SmallModel small = small_models()[3];
    const Filled filled = fill(small.model, 23);
    const TemporaryFolder folder;
    for (const GgufFloat type : {GgufFloat::f16, GgufFloat::bf16}) {
        const auto path = folder.path() / "m.gguf";
        GgufExportOptions options;
        options.type = type;
        export_gguf(path, small.model, filled.layout, filled.parameters.data(), nullptr, options);
        const ImportedModel back = import_gguf(path);
        for (const NamedTensor& tensor : name_tensors(back.model, back.layout)) {
            const bool whole = tensor.shape.size() < 2 || tensor.name.ends_with("mlp.gate.weight");
            for (std::uint64_t i = 0; i < tensor.count; ++i) {
                const float value = filled.parameters[tensor.offset + i];
                const float wanted = whole                    ? value
                                     : type == GgufFloat::f16 ? base::f16_to_float(base::float_to_f16(value))
                                                              : base::bf16_to_float(base::float_to_bf16(value));
                ASSERT_EQ(back.parameters[tensor.offset + i], wanted) << tensor.name;
            }
        }
    }
}

TEST(Gguf, TheTokenizerComesBack) {
    SmallModel small = small_models()[0];
    small.model.vocabulary = small_tokenizer()->size() + 8;
    const Filled filled = fill(small.model, 24);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    export_gguf(path, small.model, filled.layout, filled.parameters.data(), small_tokenizer().get());
    const ImportedModel back = import_gguf(path);
    ASSERT_NE(back.tokenizer, nullptr);
    EXPECT_EQ(back.tokenizer->model_bytes(), small_tokenizer()->model_bytes());
}

TEST(Gguf, AModelInPartsComesBackBitByBit) {
    const SmallModel small = small_models()[0];
    const Filled filled = fill(small.model, 29);
    const TemporaryFolder folder;
    write_in_parts(folder.path(), small, filled, {});
    for (const char* part : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
        expect_same(small.model, filled, import_gguf(folder.path() / part));
    }
}

TEST(Gguf, WhatCannotBeImportedIsRefusedByName) {
    const SmallModel small = small_models()[0];
    const Filled filled = fill(small.model, 25);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    const auto said = [&](const GgufValues& changed, const std::function<void(std::vector<GgufOutput>&)>& change) {
        GgufValues values = gguf_model_values(small.type, small.model);
        for (const auto& [key, value] : changed) {
            std::erase_if(values, [&, &key = key](const auto& one) { return one.first == key; });
            values.emplace_back(key, value);
        }
        std::vector<GgufOutput> outputs;
        const auto tensors = gguf_tensors(small.type, small.model, filled.layout);
        for (const FileTensor& t : tensors) {
            outputs.push_back(
                {t.name, t.shape, GgufFloat::f32, [&](std::span<float> v) { gather(v, filled.parameters.data(), t); }});
        }
        change(outputs);
        write_gguf(path, values, outputs);
        return error_of([&] { import_gguf(path); });
    };
    const auto nothing = [](std::vector<GgufOutput>&) {};
    EXPECT_EQ(said({}, nothing), "no error");
    EXPECT_NE(said({{"general.architecture", std::string("bert")}}, nothing).find("qwen3moe, olmoe, llama"),
              std::string::npos);
    EXPECT_NE(error_of([] {
                  parse_gguf_config(
                      {{"general.architecture", "llama"}, {"llama.block_count", 2}},
                      [](const std::string&) { return true; }, 100, "m.gguf");
              }).find("m.gguf: is a dense model"),
              std::string::npos);
    EXPECT_NE(said({{"qwen3moe.expert_count", -3}}, nothing).find("model.experts is -3"), std::string::npos);
    EXPECT_NE(said({{"qwen3moe.rope.scaling.type", std::string("longrope")}}, nothing).find("rope.scaling.type"),
              std::string::npos);
    EXPECT_NE(said({{"qwen3moe.rope.scaling.factor", 4.0f}}, nothing).find("rope.scaling.factor"), std::string::npos);
    EXPECT_NE(said({{"qwen3moe.attention.value_length", std::uint32_t{4}}}, nothing).find("value_length"),
              std::string::npos);
    EXPECT_NE(said({}, [](auto& o) { o.erase(o.begin() + 3); }).find("is missing"), std::string::npos);
    EXPECT_NE(said({}, [](auto& o) { o[3].name += "x"; }).find("is missing"), std::string::npos);
    EXPECT_NE(said({}, [](auto& o) { std::swap(o[2].shape[0], o[2].shape[1]); }).find("has the shape"),
              std::string::npos);
    EXPECT_NE(said({},
                   [](auto& o) {
                       o.push_back(o.back());
                       o.back().name = "blk.9.attn_q.weight";
                   })
                  .find("has no place"),
              std::string::npos);
}

TEST(Gguf, ShapesThatCannotBeWrittenAreRefused) {
    const TemporaryFolder folder;
    const auto write = [&](std::vector<std::uint64_t> shape) {
        return error_of([&] {
            write_gguf(folder.path() / "m.gguf", {},
                       {{"t", std::move(shape), GgufFloat::f32, [](std::span<float>) {}}});
        });
    };
    EXPECT_EQ(write({2, 3}), "no error");
    EXPECT_NE(write({}).find("\"t\""), std::string::npos);
    EXPECT_NE(write({0}).find("\"t\""), std::string::npos);
    EXPECT_NE(write({1, 1, 1, 1, 1}).find("\"t\""), std::string::npos);
    EXPECT_NE(write({1ULL << 40, 1ULL << 40}).find("\"t\""), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.gguf.part"));
}

}  // namespace
}  // namespace moescope::engine::test
