#include "engine/exchange/tensor_names.hpp"

#include <map>

#include "exchange_models.hpp"

namespace moescope::engine::test {
namespace {

std::map<std::string, FileTensor> by_name(const std::vector<FileTensor>& tensors) {
    std::map<std::string, FileTensor> map;
    for (const FileTensor& tensor : tensors) {
        EXPECT_TRUE(map.emplace(tensor.name, tensor).second) << tensor.name << " twice";
    }
    return map;
}

/// How often each value of the buffer is in a tensor of the file.
std::vector<int> coverage(const std::vector<FileTensor>& tensors, std::uint64_t floats) {
    std::vector<int> times(floats, 0);
    std::vector<float> places(floats), values;
    for (std::uint64_t i = 0; i < floats; ++i) {
        places[i] = static_cast<float>(i);
    }
    for (const FileTensor& tensor : tensors) {
        values.assign(tensor.count(), -1.0f);
        gather(values, places.data(), tensor);
        for (const float place : values) {
            EXPECT_GE(place, 0.0f) << tensor.name;
            ++times[static_cast<std::size_t>(place)];
        }
    }
    return times;
}

void expect_once(const std::vector<FileTensor>& tensors, const ParameterLayout& layout, const std::string& what) {
    const std::vector<int> times = coverage(tensors, layout.floats);
    for (const TensorSpec& spec : layout.tensors) {
        for (std::uint64_t i = 0; i < spec.count; ++i) {
            ASSERT_EQ(times[spec.offset + i], 1) << what << ", block at " << spec.offset << ", value " << i;
        }
    }
}

TEST(TensorNames, EveryParameterIsInExactlyOneTensor) {
    for (const SmallModel& small : small_models()) {
        const ParameterLayout layout = make_layout(small.model);
        ASSERT_LT(layout.floats, 1U << 24) << "places must be exact as floats";
        for (const ExpertFiles experts : {ExpertFiles::separate, ExpertFiles::fused}) {
            expect_once(hugging_face_tensors(small.type, small.model, layout, experts), layout, small.name);
        }
        if (!small.model.tied_head) {
            expect_once(gguf_tensors(small.type, small.model, layout), layout, small.name + " GGUF");
        }
    }
}

TEST(TensorNames, ScatterUndoesGather) {
    for (const SmallModel& small : small_models()) {
        const Filled filled = fill(small.model, 3);
        const auto gguf = gguf_tensors(small.type, small.model, filled.layout);
        const auto folder = hugging_face_tensors(small.type, small.model, filled.layout, ExpertFiles::fused);
        for (const auto* tensors : {&gguf, &folder}) {
            std::vector<float> back(filled.parameters.size(), 0.0f), values;
            for (const FileTensor& tensor : *tensors) {
                values.assign(tensor.count(), 0.0f);
                gather(values, filled.parameters.data(), tensor);
                scatter(back.data(), values, tensor);
            }
            EXPECT_EQ(back, filled.parameters) << small.name;
        }
    }
}

/// A value of a tensor by its indices in the file.
float at(const Filled& filled, const FileTensor& tensor, const std::vector<std::uint64_t>& index) {
    std::vector<float> values(tensor.count());
    gather(values, filled.parameters.data(), tensor);
    std::uint64_t place = 0;
    for (std::size_t i = 0; i < index.size(); ++i) {
        place = place * tensor.shape[i] + index[i];
    }
    return values[place];
}

TEST(TensorNames, GptOssTakesGateAndUpInTurns) {
    const ModelConfig m = small_gpt_oss();
    const Filled filled = fill(m, 4);
    const auto tensors = by_name(hugging_face_tensors(ModelType::gpt_oss, m, filled.layout, ExpertFiles::separate));
    const std::uint64_t D = 24, F = 10, e = 3, d = 7, f = 4;
    const LayerOffsets& layer = filled.layout.layers[1];
    const float* p = filled.parameters.data();
    const FileTensor& gate_up = tensors.at("model.layers.1.mlp.experts.gate_up_proj");
    EXPECT_EQ(gate_up.shape, (std::vector<std::uint64_t>{6, D, 2 * F}));
    EXPECT_EQ(at(filled, gate_up, {e, d, 2 * f}), p[layer.gate_up + (e * 2 * F + f) * D + d]);
    EXPECT_EQ(at(filled, gate_up, {e, d, 2 * f + 1}), p[layer.gate_up + (e * 2 * F + F + f) * D + d]);
    const FileTensor& bias = tensors.at("model.layers.1.mlp.experts.gate_up_proj_bias");
    EXPECT_EQ(at(filled, bias, {e, 2 * f + 1}), p[layer.gate_up_bias + e * 2 * F + F + f]);
    const FileTensor& down = tensors.at("model.layers.1.mlp.experts.down_proj");
    EXPECT_EQ(at(filled, down, {e, f, d}), p[layer.down + (e * D + d) * F + f]);
    EXPECT_TRUE(tensors.contains("model.layers.1.mlp.router.bias"));
    EXPECT_TRUE(tensors.contains("model.layers.1.self_attn.sinks"));
}

TEST(TensorNames, MixtralHasNamesOfItsOwn) {
    const ModelConfig m = small_mixtral();
    const Filled filled = fill(m, 5);
    const auto tensors = by_name(hugging_face_tensors(ModelType::mixtral, m, filled.layout, ExpertFiles::separate));
    const LayerOffsets& layer = filled.layout.layers[0];
    const std::string prefix = "model.layers.0.block_sparse_moe.";
    const std::uint64_t F = 10, D = 24;
    EXPECT_TRUE(tensors.contains(prefix + "gate.weight"));
    EXPECT_EQ(tensors.at(prefix + "experts.2.w1.weight").offset, layer.gate_up + 4 * F * D);
    EXPECT_EQ(tensors.at(prefix + "experts.2.w3.weight").offset, layer.gate_up + 5 * F * D);
    EXPECT_EQ(tensors.at(prefix + "experts.2.w2.weight").offset, layer.down + 2 * F * D);
}

TEST(TensorNames, GgufTurnsHalvesIntoNeighbours) {
    const ModelConfig m = small_mixtral();
    const Filled filled = fill(m, 6);
    const auto tensors = by_name(gguf_tensors(ModelType::mixtral, m, filled.layout));
    const std::uint64_t C = 8, D = 24, head = 1, i = 3;
    const std::uint64_t qkv = filled.layout.layers[1].qkv;
    const FileTensor& q = tensors.at("blk.1.attn_q.weight");
    EXPECT_EQ(at(filled, q, {head * C + 2 * i, 5}), filled.parameters[qkv + (head * C + i) * D + 5]);
    EXPECT_EQ(at(filled, q, {head * C + 2 * i + 1, 5}), filled.parameters[qkv + (head * C + i + C / 2) * D + 5]);
}

TEST(TensorNames, GgufSplitsTheLatentCode) {
    const ModelConfig m = small_deepseek();
    const Filled filled = fill(m, 7);
    const auto tensors = by_name(gguf_tensors(ModelType::deepseek_v3, m, filled.layout));
    const std::uint64_t kv_up = filled.layout.layers[2].kv_up, rank = 16, nope = 6, value = 5, h = 3;
    const FileTensor &k = tensors.at("blk.2.attn_k_b.weight"), &v = tensors.at("blk.2.attn_v_b.weight");
    EXPECT_EQ(k.shape, (std::vector<std::uint64_t>{4, rank, nope}));
    EXPECT_EQ(v.shape, (std::vector<std::uint64_t>{4, value, rank}));
    EXPECT_EQ(at(filled, k, {h, 9, 4}), filled.parameters[kv_up + (h * (nope + value) + 4) * rank + 9]);
    EXPECT_EQ(at(filled, v, {h, 2, 9}), filled.parameters[kv_up + (h * (nope + value) + nope + 2) * rank + 9]);
}

}  // namespace
}  // namespace moescope::engine::test
