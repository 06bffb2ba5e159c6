// Generation on a GPU's kernels, run on the CPU, against the processor's.
#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/variants.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"

namespace moescope::engine::test {
namespace {

std::shared_ptr<const LoadedModel> small_model(const RunConfig& config) {
    const TemporaryFolder folder;
    Trainer trainer(config, byte_dataset());
    trainer.step();
    trainer.step();
    trainer.save(folder.path());
    return load_model(folder.path());
}

/// Sends every second token of a layer to the first experts, and halves a weight.
class Forcing : public RouterTap {
 public:
    bool choose(const RoutedRow& row) override {
        logits.insert(logits.end(), row.z_E.begin(), row.z_E.end());
        scores.insert(scores.end(), row.s_E.begin(), row.s_E.end());
        biases.insert(biases.end(), row.bias_E.begin(), row.bias_E.end());
        if (row.position % 2 == 0) {
            return false;
        }
        for (std::size_t k = 0; k < row.ids_K.size(); ++k) {
            row.ids_K[k] = static_cast<std::int32_t>(k);
        }
        return true;
    }
    void weighed(const RoutedRow& row) override {
        row.weights_K[0] *= 0.5f;
        weights.insert(weights.end(), row.weights_K.begin(), row.weights_K.end());
        ids.insert(ids.end(), row.ids_K.begin(), row.ids_K.end());
    }
    std::vector<float> logits, scores, biases, weights;
    std::vector<std::int32_t> ids;
};

/// Logits of every call, and the experts of its rows.
struct Told {
    std::vector<float> logits, weights;
    std::vector<std::int32_t> ids;
    void add(std::span<const float> of_call, OwnedDecoder& decoder, const ModelConfig& model, int rows) {
        logits.insert(logits.end(), of_call.begin(), of_call.end());
        for (int layer = 0; layer < model.layers; ++layer) {
            for (int row = 0; row < rows; ++row) {
                const auto chosen = decoder->expert_ids(layer, row);
                ids.insert(ids.end(), chosen.begin(), chosen.end());
                const auto applied = decoder->expert_weights(layer, row);
                weights.insert(weights.end(), applied.begin(), applied.end());
            }
        }
    }
};

/// A prompt, a copy, texts side by side, several logits at once, a forgotten text.
Told tell(OwnedDecoder& decoder, const ModelConfig& model, RouterTap* tap) {
    Told told;
    decoder->set_tap(tap);
    const std::vector<std::int32_t> prompt = {84, 104, 101, 32, 114, 111, 117};
    told.add(decoder->read(0, prompt), decoder, model, static_cast<int>(prompt.size()));
    decoder->copy(0, 2);
    const DecoderRow rows[3] = {{2, 99}, {0, 98}, {1, 97}};
    told.add(decoder->decode(rows), decoder, model, 3);
    const std::vector<std::int32_t> more = {228, 184, 128};
    told.add(decoder->read_each(2, more), decoder, model, 3);
    decoder->reset();
    told.add(decoder->decode(65), decoder, model, 1);
    return told;
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, const char* what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], 1e-4 * (1 + std::abs(expected[i]))) << what << " " << i;
    }
}

class EmulatedDecoder : public testing::TestWithParam<Variant> {};

TEST_P(EmulatedDecoder, SaysWhatTheProcessorSays) {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.train.batch = 2;
    config.model.context = 12;
    GetParam().change(config);
    const auto model = small_model(config);
    OwnedDecoder cpu(model, 3, 12), device(model, 3, 12, kernels::test::device_under_test());
    for (const bool forced : {false, true}) {
        Forcing on_cpu, on_device;
        const Told expected = tell(cpu, config.model, forced ? &on_cpu : nullptr);
        const Told actual = tell(device, config.model, forced ? &on_device : nullptr);
        EXPECT_EQ(actual.ids, expected.ids);
        expect_near(actual.logits, expected.logits, "logits");
        expect_near(actual.weights, expected.weights, "weights");
        EXPECT_EQ(on_device.ids, on_cpu.ids);
        expect_near(on_device.weights, on_cpu.weights, "weights that the tap saw");
        expect_near(on_device.logits, on_cpu.logits, "logits that the tap saw");
        expect_near(on_device.scores, on_cpu.scores, "scores that the tap saw");
        expect_near(on_device.biases, on_cpu.biases, "biases that the tap saw");
        cpu->reset();
        device->reset();
    }
}
INSTANTIATE_TEST_SUITE_P(All, EmulatedDecoder, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST(EmulatedDecoder, SamplesOfARunAreTheProcessors) {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.model.vocabulary = 512;
    const auto data = dataset_with_tokenizer(config.model.vocabulary);
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    const std::string sample = cpu.sample("The ", 8);
    EXPECT_FALSE(sample.empty());
    EXPECT_EQ(device.sample("The ", 8), sample);
}

}  // namespace
}  // namespace moescope::engine::test
