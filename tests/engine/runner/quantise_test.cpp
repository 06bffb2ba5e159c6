// GGUF files in other precisions by llama.cpp's quantiser, and the routers' own.
#include "engine/runner/quantise.hpp"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>

#include "engine/files/gguf.hpp"
#include "engine/runner/language_model.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/exchange/exchange_models.hpp"
#include "tests/engine/text/temporary_folder.hpp"
#include "tests/files.hpp"

namespace moescope::engine::test {
namespace {

namespace fs = std::filesystem;

/// A model whose rows have `width` weights.
SmallModel wide(int width) {
    SmallModel small = small_models()[0];
    small.model.width = small.model.expert_width = width;
    small.model.layers = 1;
    small.model.experts = 3;
    small.model.head_width = width / small.model.heads;
    return small;
}

struct Files {
    TemporaryFolder folder;
    SmallModel small;
    fs::path whole = folder.path() / "whole.gguf", out = folder.path() / "out.gguf",
             scratch = folder.path() / "scratch.gguf";

    explicit Files(SmallModel model) : small(std::move(model)) {
        const Filled filled = fill(small.model, 51);
        export_gguf(whole, small.model, filled.layout, filled.parameters.data(), nullptr);
    }
    Quantised quantise(const char* precision, bool router_too = false, const fs::path& from = {}) {
        steps_ = 0;
        QuantiseOrder order;
        order.from = from.empty() ? whole : from;
        order.to = out;
        order.scratch = scratch;
        order.precision = *find_gguf_precision(precision);
        order.router_too = router_too;
        order.threads = 1;
        return quantise_gguf(order, [&](std::uint64_t done, std::uint64_t total) {
            EXPECT_EQ(done, ++steps_);
            total_ = total;
        });
    }
    std::uint64_t steps_ = 0, total_ = 0;
};

/// The file of before, with its logits near those of full precision.
double error_of_logits(const fs::path& whole, const fs::path& other) {
    const std::vector<std::int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
    const auto a = open_model(whole, 1)->logits(tokens), b = open_model(other, 1)->logits(tokens);
    double error = 0, power = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
        power += std::pow(static_cast<double>(a[i]), 2);
    }
    return error / power;
}

TEST(Quantise, EveryPrecisionIsWrittenAndOpened) {
    Files files(wide(256));
    for (const GgufPrecision& precision : kGgufPrecisions) {
        SCOPED_TRACE(std::string(precision.name));
        if (precision.name.ends_with("_m")) {
            continue;  // the same as without an ending
        }
        const Quantised result = files.quantise(std::string(precision.name).c_str());
        EXPECT_EQ(files.steps_, files.total_);
        EXPECT_EQ(result.architecture, "qwen3moe");
        EXPECT_EQ(result.router, "F32");
        EXPECT_EQ(result.source, "");
        EXPECT_TRUE(result.fell_back.empty());
        std::string main;
        for (const GgufTensor& tensor : read_gguf(files.out).tensors) {
            main = tensor.name == "blk.0.ffn_gate_exps.weight" ? tensor.type : main;
        }
        std::string wanted(precision.name.substr(0, 4));
        wanted = precision.name == "mxfp4" || precision.name.starts_with("iq") ? std::string(precision.name) : wanted;
        for (char& c : wanted) {
            c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        }
        EXPECT_EQ(main, wanted);
        EXPECT_TRUE(std::isfinite(error_of_logits(files.whole, files.out)));
    }
    files.quantise("q8_0");
    EXPECT_LT(error_of_logits(files.whole, files.out), 0.2);
}

TEST(Quantise, TheRouterHasTheTypeThatWasAskedFor) {
    Files files(wide(256));
    for (const auto& [precision, type] :
         {std::pair("q4_k", "Q4_K"), std::pair("f16", "F16"), std::pair("f32", "F32")}) {
        EXPECT_EQ(files.quantise(precision, true).router, type);
        for (const GgufTensor& tensor : read_gguf(files.out).tensors) {
            if (tensor.name.ends_with("ffn_gate_inp.weight")) {
                EXPECT_EQ(tensor.type, type);
            }
        }
        EXPECT_TRUE(std::isfinite(error_of_logits(files.whole, files.out)));
    }
    // One that was quantised before comes back as F32, and nothing else is touched by the second pass.
    files.quantise("q8_0", true);
    const fs::path before = files.folder.path() / "before.gguf";
    fs::rename(files.out, before);
    const Quantised back = files.quantise("q8_0", false, before);
    EXPECT_EQ(back.router, "F32");
    EXPECT_EQ(back.source, "Q8_0");
    const GgufHeader old = read_gguf(before), now = read_gguf(files.out);
    const std::string old_bytes = moescope::test::read_text(before), new_bytes = moescope::test::read_text(files.out);
    ASSERT_EQ(old.tensors.size(), now.tensors.size());
    for (std::size_t i = 0; i < old.tensors.size(); ++i) {
        const GgufTensor &a = old.tensors[i], &b = now.tensors[i];
        ASSERT_EQ(a.name, b.name);
        if (!a.name.ends_with("ffn_gate_inp.weight")) {
            EXPECT_EQ(a.type, b.type);
            EXPECT_TRUE(old_bytes.substr(a.offset, a.bytes) == new_bytes.substr(b.offset, b.bytes)) << a.name;
        }
    }
}

TEST(Quantise, RowsThatDoNotFitFallBackAndAreNamed) {
    Files narrow(wide(64));
    const Quantised result = narrow.quantise("q4_k", true);
    EXPECT_EQ(result.router, "Q5_0");
    ASSERT_FALSE(result.fell_back.empty());
    bool seen = false;
    for (const Quantised::Fallback& one : result.fell_back) {
        seen = seen || (one.tensor == "blk.0.attn_q.weight" && one.wanted == "Q4_K" && one.type == "Q5_0");
    }
    EXPECT_TRUE(seen) << result.fell_back.front().tensor << " " << result.fell_back.front().wanted;
    EXPECT_GT(result.types.at("Q5_0"), 4);
    Files odd(small_models()[0]);  // rows of 24 and 10
    const Quantised halves = odd.quantise("q8_0", true);
    EXPECT_EQ(halves.router, "F16");
    EXPECT_FALSE(halves.fell_back.empty());
    EXPECT_EQ(halves.types.at("Q8_0"), 2) << "attn_output alone has rows of 32";
    EXPECT_TRUE(std::isfinite(error_of_logits(odd.whole, odd.out)));
}

TEST(Quantise, AllPartsOfAModelAreOneSource) {
    Files files(wide(256));
    const Filled filled = fill(files.small.model, 51);
    write_in_parts(files.folder.path(), files.small, filled, {{"tokenizer.ggml.model", std::string("no_vocab")}});
    const Quantised whole = files.quantise("q8_0");
    const Quantised parts = files.quantise("q8_0", false, files.folder.path() / "m-00002-of-00002.gguf");
    EXPECT_EQ(parts.types, whole.types);
    EXPECT_EQ(part_of(read_gguf(files.out)).count, 1u);
}

TEST(Quantise, WhatIsNoSoundFileIsRefused) {
    Files files(wide(64));
    const fs::path bad = files.folder.write("bad.gguf", "GGUF");
    EXPECT_NE(error_of([&] { files.quantise("q8_0", false, bad); }), "no error");
    EXPECT_NE(error_of([&] { files.quantise("q8_0", false, files.folder.path() / "none.gguf"); }), "no error");
    EXPECT_EQ(find_gguf_precision("q9_9"), nullptr);
}

}  // namespace
}  // namespace moescope::engine::test
