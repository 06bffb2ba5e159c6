// How ranks divide the optimizer's state: everything that is trained belongs to one rank of those that have it.
#include "engine/train/optimizer_share.hpp"

#include <gtest/gtest.h>
#include <map>

#include "engine/model/rank_work.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/variants.hpp"

namespace moescope::engine::test {
namespace {

struct Division {
    RunConfig config;
    RankShape shape;
};

OptimizerShare share_of(const Division& division, int process) {
    const RankShape shape = shape_of_process(division.shape, process);
    const ParameterLayout layout = make_layout(division.config.model, expert_share(division.config.model, shape));
    return optimizer_share(division.config, layout, shape);
}

/// Where a piece stands in the flat buffer of the whole model, and that it is cut where kernels and Muon want it.
std::uint64_t place_of(const Division& division, int process, const OptimizerPiece& piece) {
    const ModelConfig& model = division.config.model;
    const ParameterLayout whole = make_layout(model),
                          layout = make_layout(model, expert_share(model, shape_of_process(division.shape, process)));
    const TensorSpec& tensor = layout.tensors[piece.tensor];
    EXPECT_EQ(piece.here % 16, 0u);
    EXPECT_TRUE(tensor.trainable);
    EXPECT_EQ(piece.experts, tensor.part == TensorPart::experts);
    EXPECT_LE(piece.begin + piece.count, tensor.count);
    if (division.config.train.optimizer == Optimizer::muon && tensor.matrices > 0) {
        EXPECT_EQ(piece.begin % (tensor.rows * tensor.columns), 0u) << "a matrix was cut";
        EXPECT_EQ(piece.count % (tensor.rows * tensor.columns), 0u) << "a matrix was cut";
    } else {
        EXPECT_EQ(piece.begin % 16, 0u);
    }
    return held_tensors(whole, layout)[piece.tensor].whole + piece.begin;
}

void check(const Division& division) {
    const ParameterLayout whole = make_layout(division.config.model);
    std::vector<int> owners(whole.floats, 0);
    std::uint64_t most = 0;
    for (int process = 0; process < division.shape.processes(); ++process) {
        const OptimizerShare share = share_of(division, process);
        std::map<std::uint64_t, std::uint64_t> places;  // of the moments: begin and end
        for (const OptimizerPiece& piece : share.pieces) {
            const std::uint64_t first = place_of(division, process, piece);
            std::for_each_n(owners.begin() + static_cast<std::ptrdiff_t>(first), piece.count,
                            [](int& owner) { ++owner; });
            EXPECT_TRUE(places.emplace(piece.here, piece.here + piece.count).second);
        }
        std::uint64_t end = 0;
        for (const auto& [begin, behind] : places) {
            EXPECT_GE(begin, end) << "two pieces in one place";
            end = behind;
        }
        EXPECT_LE(end, share.floats);
        most = std::max(most, share.floats);
    }
    for (const TensorSpec& tensor : whole.tensors) {
        for (std::uint64_t i = 0; i < tensor.count; ++i) {
            ASSERT_EQ(owners[tensor.offset + i], tensor.trainable ? 1 : 0)
                << "number " << i << " of a tensor at " << tensor.offset;
        }
    }
    if (division.shape.processes() > 1 && division.config.train.optimizer == Optimizer::adamw) {
        // A sixteenth of a kilobyte per tensor and process is lost to alignment.
        const std::uint64_t lost = 32 * whole.tensors.size();
        EXPECT_LE(most, whole.floats / static_cast<std::uint64_t>(division.shape.processes()) * 5 / 4 + lost)
            << "a rank keeps more than its share";
    }
}

class OptimizerShares : public testing::TestWithParam<Variant> {};

TEST_P(OptimizerShares, AreEveryNumberOnce) {
    for (const Optimizer optimizer : {Optimizer::adamw, Optimizer::muon}) {
        RunConfig config = tiny_config();
        GetParam().change(config);
        config.train.optimizer = optimizer;
        const bool routed = config.model.dense_layers < config.model.layers;
        for (const RankShape shape :
             {RankShape{}, RankShape{2, 0, 1, 0, false}, RankShape{1, 0, 2, 0, false}, RankShape{2, 0, 2, 0, true},
              RankShape{2, 0, 2, 0, false}, RankShape{4, 0, 2, 0, true}, RankShape{1, 0, 3, 0, false},
              RankShape{7, 0, 1, 0, false}}) {
            if (shape.expert_ranks > 1 && !routed) {
                continue;
            }
            SCOPED_TRACE(testing::Message() << shape.processes() << " processes, experts shared by "
                                            << shape.expert_ranks << ", own sequences " << shape.own_sequences
                                            << (optimizer == Optimizer::muon ? ", Muon" : ", AdamW"));
            check({config, shape});
        }
    }
}

TEST(OptimizerShareAlone, IsLaidOutAsParametersAre) {
    const RunConfig config = tiny_config();
    const ParameterLayout layout = make_layout(config.model);
    const OptimizerShare share = optimizer_share(config, layout, {});
    EXPECT_EQ(share.floats, layout.floats);
    for (const OptimizerPiece& piece : share.pieces) {
        EXPECT_EQ(piece.here, layout.tensors[piece.tensor].offset);
        EXPECT_EQ(piece.count, layout.tensors[piece.tensor].count);
    }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerShares, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace moescope::engine::test
