// Counts of experts in importance matrices, written as llama-imatrix writes them.
#include "engine/exchange/imatrix.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

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

/// Layers of the model that have no entry, and entries of layers that the model has not.
TEST(Imatrix, LayersThatAreNotThoseOfTheModel) {
    const test::TemporaryFolder folder;
    test::write_text(folder / "imatrix.gguf", imatrix({{"blk.0.ffn_down_exps.weight.counts", {1, 2}},
                                                       {"blk.1.ffn_down_exps.weight.counts", {1, 2}}}));
    routing::ModelShape shape;
    shape.experts = 2;
    shape.per_token = 1;
    const auto doubts = [&] {
        std::string all;
        for (const base::Sentence& doubt : import_imatrix(folder / "imatrix.gguf", shape).spec.doubts) {
            all += doubt.english() + "\n";
        }
        return all;
    };
    EXPECT_EQ(doubts(), "");
    shape.layers = 6;
    EXPECT_EQ(doubts(), "layers 2-5 have no counts; either they have no router or the recorder missed them\n");
    shape.routed_layers = {0, 1, 2, 5};
    EXPECT_EQ(doubts(), "layers 2, 5 have a router, and the recording has no counts of them\n");
    shape.routed_layers = {1};
    EXPECT_EQ(doubts(), "layers 0 have counts, and the model has no router there\n");
    shape.routed_layers = {};
    shape.layers = 1;
    EXPECT_EQ(doubts(), "layers 1 have counts, and the model is said to have 1 layers\n");
}

TEST(Imatrix, NamesItsFileOnce) {
    const test::TemporaryFolder folder;
    ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
    for (const char* name : {"pipe", "missing", "."}) {
        const std::string path = (folder / name).string(), said = error_of([&] { import_imatrix(path, {}); });
        EXPECT_TRUE(said.starts_with(path)) << said;
        EXPECT_EQ(said.find(path, 1), std::string::npos) << said;
    }
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
    for (const char* name : {"blk.99999.ffn_down_exps.weight.counts", "blk.-1.ffn_down_exps.weight.counts",
                             "blk.99999999999999999999.ffn_down_exps.weight.counts"}) {
        EXPECT_NE(problem(imatrix({{"blk.0.ffn_down_exps.weight.counts", {1, 2}}, {name, {1, 2}}}))
                      .find("which names no layer from 0 to 4095"),
                  std::string::npos)
            << name;
    }
    EXPECT_NE(problem("legacy").find("GGUF mark"), std::string::npos);
    const std::string good = imatrix({{"blk.1.ffn_down_exps.weight.counts", {1, 2}}});
    EXPECT_NE(problem(good.substr(0, good.size() - 30)), "no error");
}

}  // namespace
}  // namespace moescope::engine
