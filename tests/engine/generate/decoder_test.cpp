#include "engine/generate/decoder.hpp"

#include <cmath>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/forward_logits.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/variants.hpp"

namespace moescope::engine::test {
namespace {

std::shared_ptr<const LoadedModel> trained_model(const RunConfig& config) {
    const TemporaryFolder folder;
    Trainer trainer(config, byte_dataset());
    for (int i = 0; i < 5; ++i) {
        trainer.step();
    }
    trainer.save(folder.path());
    return load_model(folder.path());
}

class DecoderVariants : public testing::TestWithParam<Variant> {};

TEST_P(DecoderVariants, TokenByTokenIsTheFullForward) {
    RunConfig config = tiny_config();
    config.model.context = 19;
    GetParam().change(config);
    const auto model = trained_model(config);
    OwnedDecoder decoder(model);
    const std::vector<std::int32_t> tokens = {84, 104, 101, 32, 114, 111, 117, 116, 101, 114, 32, 228, 184, 128, 1, 0};
    ForwardRouting routing;
    const auto logits = forward_logits(*model, tokens, 2, &routing);
    const auto K = static_cast<std::size_t>(config.model.experts_per_token);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        const auto next = decoder->decode(tokens[t]);
        for (std::size_t v = 0; v < 256; ++v) {
            EXPECT_NEAR(next[v], logits[t * 256 + v], 3e-5 * (1 + std::abs(next[v]))) << t << " " << v;
        }
        for (std::size_t slot = 0; slot < static_cast<std::size_t>(config.model.layers) * K; ++slot) {
            EXPECT_EQ(decoder->expert_ids(static_cast<int>(slot / K))[slot % K],
                      routing.ids[(slot / K * tokens.size() + t) * K + slot % K]);
        }
    }
}
// Three texts of different lengths in one decoder: read in blocks, side by side, one a copy of another.
TEST_P(DecoderVariants, TextsSideBySideAreTheTextsAlone) {
    RunConfig config = tiny_config();
    config.model.context = 60;
    GetParam().change(config);
    const auto model = trained_model(config);
    const auto token = [](int text, int place) { return (text * 37 + place * 11 + place / 3) % 256; };
    OwnedDecoder together(model, 3);
    const int prompt[3] = {41, 7, 41};  // more than one block of rows, less than one, a copy of the first
    std::vector<std::vector<std::int32_t>> texts(3);
    for (int text = 0; text < 3; ++text) {
        for (int i = 0; i < prompt[text]; ++i) {
            texts[static_cast<std::size_t>(text)].push_back(token(text % 2, i));
        }
    }
    std::vector<float> read;
    for (const int text : {1, 0}) {
        const auto logits = together->read(text, texts[static_cast<std::size_t>(text)]);
        read.assign(logits.begin(), logits.end());
    }
    together->copy(0, 2);
    std::vector<std::vector<float>> last = {read, {}, read};
    for (int step = 0; step < 9; ++step) {
        std::vector<DecoderRow> rows;
        for (int text = 2; text >= 0; --text) {
            if (step % 3 == 0 || text != 1) {  // the second waits now and then
                rows.push_back({text, token(text, 50 + step)});
                texts[static_cast<std::size_t>(text)].push_back(rows.back().token);
            }
        }
        const auto logits = together->decode(rows);
        ASSERT_EQ(logits.size(), rows.size() * 256);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const auto row = logits.subspan(r * 256, 256);
            last[static_cast<std::size_t>(rows[r].sequence)].assign(row.begin(), row.end());
        }
    }
    for (std::size_t text = 0; text < 3; ++text) {
        OwnedDecoder alone(model);
        std::span<const float> logits;
        for (const std::int32_t one : texts[text]) {
            logits = alone->decode(one);
        }
        EXPECT_EQ(together->position(static_cast<int>(text)), alone->position());
        for (std::size_t v = 0; v < 256; ++v) {
            EXPECT_NEAR(last[text][v], logits[v], 3e-5 * (1 + std::abs(logits[v]))) << text << " " << v;
        }
    }
}

TEST_P(DecoderVariants, DisabledExpertsAreNotChosen) {
    RunConfig config = tiny_config();
    GetParam().change(config);
    const auto model = trained_model(config);
    const int E = config.model.experts;
    std::vector<std::uint8_t> disabled(static_cast<std::size_t>(config.model.layers * E));
    for (int layer = 0; layer < config.model.layers; ++layer) {
        disabled[static_cast<std::size_t>(layer * E + layer % E)] = 1;
    }
    OwnedDecoder decoder(model);
    decoder->set_disabled(disabled.data());
    int chosen = 0;
    for (const std::int32_t token : {84, 104, 101, 32, 114, 228, 184, 128}) {
        decoder->decode(token);
        for (int layer = 0; layer < config.model.layers; ++layer) {
            for (const std::int32_t expert : decoder->expert_ids(layer)) {
                EXPECT_NE(expert, layer % E);
                chosen += expert >= 0 ? 1 : 0;
            }
        }
    }
    const auto& layers = model->layout.layers;
    EXPECT_EQ(chosen > 0, std::any_of(layers.begin(), layers.end(), [](const auto& at) { return at.has_experts(); }));
}

// Experts that choose their tokens need the whole text; see decoder.hpp.
std::vector<Variant> causal_variants() {
    std::vector<Variant> list;
    for (const Variant& variant : kVariants) {
        if (std::string(variant.name) != "expert_choice") {
            list.push_back(variant);
        }
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(Causal, DecoderVariants, testing::ValuesIn(causal_variants()),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST(Decoder, TokenByTokenIsTheFullForward) {
    for (const bool tied : {true, false}) {
        RunConfig config = tiny_config();
        config.model.tied_head = tied;
        const auto model = trained_model(config);
        EXPECT_EQ(model->step, 5u);
        EXPECT_EQ(model->tokenizer, nullptr);
        OwnedDecoder decoder(model);
        const std::vector<std::int32_t> tokens = {84, 104, 101, 32,  114, 111, 117, 116, 101, 114,
                                                  32, 228, 184, 128, 1,   0,   255, 9,   7};
        for (int round = 0; round < 2; ++round) {  // the second after reset
            ForwardRouting routing;
            const auto plain = forward_logits(*model, tokens, 2);
            const auto logits = forward_logits(*model, tokens, 1, &routing);
            EXPECT_EQ(plain, logits);
            for (std::size_t t = 0; t < tokens.size(); ++t) {
                const auto next = decoder->decode(tokens[t]);
                ASSERT_EQ(next.size(), 256u);
                for (std::size_t v = 0; v < 256; ++v) {
                    EXPECT_NEAR(next[v], logits[t * 256 + v], 2e-5 * (1 + std::abs(next[v]))) << t << " " << v;
                }
                for (std::size_t layer = 0; layer < 2; ++layer) {
                    for (std::size_t k = 0; k < 2; ++k) {
                        EXPECT_EQ(decoder->expert_ids(static_cast<int>(layer))[k],
                                  routing.ids[(layer * tokens.size() + t) * 2 + k]);
                        EXPECT_NEAR(decoder->expert_weights(static_cast<int>(layer))[k],
                                    routing.weights[(layer * tokens.size() + t) * 2 + k], 1e-5);
                    }
                }
            }
            EXPECT_NE(error_of([&] { decoder->decode(1); }).find("context of 19"), std::string::npos);
            decoder->reset();
        }
        OwnedDecoder two(model, 2);
        two->read(1, std::vector<std::int32_t>(15, 1));
        EXPECT_NE(error_of([&] { two->read(1, std::vector<std::int32_t>(5, 1)); }).find("context of 19"),
                  std::string::npos);
        EXPECT_EQ(two->position(1), 15);
        const std::vector<DecoderRow> twice = {{1, 3}, {1, 4}}, unknown = {{0, 3}, {2, 4}};
        EXPECT_NE(error_of([&] { two->decode(twice); }).find("two tokens"), std::string::npos);
        EXPECT_NE(error_of([&] { two->decode(unknown); }).find("no text 2"), std::string::npos);
        EXPECT_EQ(two->position(0), 0);
        EXPECT_NE(error_of([&] { decoder->decode(256); }).find("token 256"), std::string::npos);
        EXPECT_NE(error_of([&] { forward_logits(*model, std::vector<std::int32_t>{-1}, 1); }).find("token -1"),
                  std::string::npos);
        EXPECT_NE(error_of([&] { forward_logits(*model, std::vector<std::int32_t>(20, 1), 1); }).find("20 tokens"),
                  std::string::npos);
        EXPECT_NE(error_of([&] { forward_logits(*model, {}, 1); }).find("no tokens"), std::string::npos);
    }
}

TEST(Draw, FollowsTheProbabilities) {
    const std::vector<float> logits = {0.0f, std::log(3.0f), -100.0f, std::log(3.0f)};
    EXPECT_EQ(draw_token(logits, 0, 0.99), 1);
    EXPECT_EQ(draw_token(logits, 1, 0.01), 0);
    EXPECT_EQ(draw_token(logits, 1, 0.15), 1);
    EXPECT_EQ(draw_token(logits, 1, 0.56), 1);
    EXPECT_EQ(draw_token(logits, 1, 0.58), 3);
    EXPECT_EQ(draw_token(logits, 1, 0.9999999), 3);
}

}  // namespace
}  // namespace moescope::engine::test
