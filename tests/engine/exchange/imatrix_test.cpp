// Counts of experts in importance matrices, written as llama-imatrix writes them.
#include "engine/exchange/imatrix.hpp"

#include <gtest/gtest.h>

#include "tests/engine/error_of.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/files.hpp"

namespace moescope::engine {
namespace {

struct Counted {
    std::string name;
    std::vector<float> counts;
    std::uint32_t type = 0;
};

std::string imatrix(const std::vector<Counted>& tensors) {
    GgufBytes gguf;
    gguf.string("general.type", "imatrix");
    gguf.u32("imatrix.chunk_count", 4);
    std::string data;
    for (const Counted& tensor : tensors) {
        gguf.tensor({tensor.name, {1, tensor.counts.size()}, tensor.type, data.size()});
        data.append(reinterpret_cast<const char*>(tensor.counts.data()), tensor.counts.size() * sizeof(float));
        data.resize((data.size() + 31) / 32 * 32, '\0');
    }
    std::string file = gguf.file(0);
    return file + data;
}

routing::Import read_imatrix(const std::string& bytes) {
    const test::TemporaryFolder folder;
    test::write_text(folder / "imatrix.gguf", bytes);
    routing::ModelShape shape;
    shape.per_token = 2;
    return import_imatrix(folder / "imatrix.gguf", shape);
}

TEST(Imatrix, GivesTheLoadOfEveryLayer) {
    const auto made = read_imatrix(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 2, 3}},
                                            {"blk.1.ffn_gate_exps.weight.counts", {1, 2, 3}},
                                            {"blk.1.ffn_gate_exps.weight.in_sum2", {9, 9, 9}},
                                            {"blk.0.attn_q.weight.counts", {6}},
                                            {"blk.12.ffn_up_exps.weight.counts", {0, 6, 0}}}));
    EXPECT_EQ(made.spec.experts, 3);
    EXPECT_EQ(made.spec.experts_per_token, 2);
    EXPECT_EQ(made.spec.routed_layers, (std::vector<int>{1, 12}));
    EXPECT_TRUE(made.spec.doubts.empty());
    made.each([](const std::shared_ptr<const routing::Chunk>& chunk) {
        EXPECT_EQ(chunk->loads.at(0).counts, (std::vector<std::uint64_t>{1, 2, 3, 0, 6, 0}));
    });
}

TEST(Imatrix, DoubtsAndRefusals) {
    EXPECT_EQ(read_imatrix(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 2}},
                                    {"blk.1.ffn_gate_exps.weight.counts", {1, 3}}}))
                  .spec.doubts.size(),
              1u);
    EXPECT_EQ(read_imatrix(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 33554432}}})).spec.doubts.size(), 1u);
    const auto problem = [](const std::string& bytes) { return error_of([&] { read_imatrix(bytes); }); };
    EXPECT_NE(problem(imatrix({{"blk.0.attn_q.weight.counts", {6}}})).find("no counts of experts"), std::string::npos);
    EXPECT_NE(problem(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, -2}}})).find("no whole number"),
              std::string::npos);
    EXPECT_NE(problem(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 0.5f}}})).find("no whole number"),
              std::string::npos);
    EXPECT_NE(problem(imatrix({{"blk.1.ffn_down_exps.weight.counts", {0, 0}}})).find("above 0"), std::string::npos);
    EXPECT_NE(problem(imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 2}},
                               {"blk.2.ffn_down_exps.weight.counts", {1, 2, 3}}}))
                  .find("3 experts"),
              std::string::npos);
    EXPECT_NE(problem(imatrix({{"blk.99999.ffn_down_exps.weight.counts", {1, 2}}})).find("no counts of experts"),
              std::string::npos);
    EXPECT_NE(problem("legacy").find("GGUF mark"), std::string::npos);
    const std::string good = imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 2}}});
    EXPECT_NE(problem(good.substr(0, good.size() - 30)), "no error");
}

}  // namespace
}  // namespace moescope::engine
