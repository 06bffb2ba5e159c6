// The router of the device against the processor's: every scoring, choice, group rule, capacity and balance.
#include "tests/kernels/cuda/device_harness.hpp"
#include "tests/kernels/router_harness.hpp"

namespace moescope::kernels::test {
namespace {

/// The same batch, forward and backward, with the operations of one device.
Left route(Ops& ops, const Routed& batch) {
    const RouterShape& shape = batch.shape;
    const std::int64_t T = shape.T, E = shape.E, J = shape.slots();
    const Floats z(ops, batch.z), bias(ops, batch.bias.empty() ? std::vector<float>(1, 0.0f) : batch.bias),
        dw(ops, random_floats(T * J, 9)), s(ops, T * E), lse(ops, T), w(ops, T * J), dz(ops, T * E);
    const Integers given(ops, batch.given.empty() ? std::vector<std::int32_t>(1, 0) : batch.given), ids(ops, T * J);
    const Array<std::uint8_t> disabled(ops, batch.disabled.empty() ? std::vector<std::uint8_t>(1, 0) : batch.disabled),
        kept(ops, T * J);
    const Array<std::uint64_t> earlier(ops, batch.earlier.empty() ? std::vector<std::uint64_t>(1, 0) : batch.earlier);
    const Array<std::uint32_t> counts(ops, E), choices(ops, E);
    const Array<double> scratch(ops, ops.router_scratch(shape)), told(ops, 4);
    static_assert(sizeof(RouterLosses) == 4 * sizeof(double));
    RouterInput in;
    in.z_TE = z.at();
    in.selection_bias_E = batch.bias.empty() ? nullptr : bias.at();
    in.given_TK = batch.given.empty() ? nullptr : given.at();
    in.disabled_E = batch.disabled.empty() ? nullptr : disabled.at();
    in.earlier_choices_E = batch.earlier.empty() ? nullptr : earlier.at();
    in.earlier_tokens = batch.earlier_tokens;
    const RouterOutput out{s.at(), lse.at(), ids.at(), kept.at(), w.at(), counts.at(), choices.at()};
    ops.router_forward(reinterpret_cast<RouterLosses*>(told.at()), out, in, scratch.at(), shape);
    ops.router_backward(dz.at(), dw.at(), out, in, scratch.at(), 0.7, 0.3, shape);
    RouterLosses losses;
    ops.download(&losses, told.at(), sizeof losses);
    Left left;
    for (const Floats* array : {&s, &lse, &w, &dz}) {
        left.add(*array);
    }
    left.close.push_back(
        {static_cast<float>(losses.balance), static_cast<float>(losses.z), static_cast<float>(losses.entropy)});
    left.add_equal(ids);
    left.add_equal(kept);
    left.add_equal(counts);
    left.add_equal(choices);
    left.equal.push_back({static_cast<std::int64_t>(losses.dropped)});
    return left;
}

class DeviceRouter : public testing::TestWithParam<Choice> {};

TEST_P(DeviceRouter, IsTheProcessors) {
    int variant = 0;
    for (const Sizes& sizes : {Sizes{45, 12, 3, 20, 4, 2}, Sizes{9, 3, 1, 0, 1, 1}}) {
        for (const RouterShape& shape : all_shapes(GetParam(), sizes)) {
            if (variant % (sizes.E == 12 ? 11 : 5) != 0) {  // some of them, whose other settings vary all the same
                ++variant;
                continue;
            }
            Routed batch(shape);
            fill_inputs(batch, variant++);
            expect_same([&](Ops& ops) { return route(ops, batch); }, 2e-4, 2e-5, describe(shape));
            if (testing::Test::HasFailure()) {
                return;
            }
        }
    }
}
INSTANTIATE_TEST_SUITE_P(All, DeviceRouter, testing::ValuesIn(kChoices),
                         [](const auto& choice) { return "choice" + std::to_string(static_cast<int>(choice.param)); });

TEST(DeviceRouter, OfAThousandExperts) {
    RouterShape shape{3, kMaxExperts, 64, true};
    shape.groups = 8;
    shape.groups_kept = 3;
    shape.scoring = Scoring::sigmoid;
    Routed batch(shape);
    batch.bias = random_floats(shape.E, 3, 0.2f);
    expect_same([&](Ops& ops) { return route(ops, batch); }, 2e-4, 2e-5, describe(shape));
}

TEST(DeviceRouter, TiesGoToTheLowerIdAndNaNComesLast) {
    RouterShape shape{2, 6, 3, true};
    shape.scoring = Scoring::softmax_after_top_k;  // chosen by z, of which one NaN spoils no other
    Routed batch(shape);
    batch.z = {1, 2, 2, 2, 1, 2, 1, NAN, 3, 3, 1, 1};
    const auto ids_of = [&](Ops& ops) { return route(ops, batch).equal[0]; };
    const std::vector<std::int64_t> ids = ids_of(*device_under_test());
    EXPECT_EQ(ids, ids_of(*processor()));
    EXPECT_EQ(ids, (std::vector<std::int64_t>{1, 2, 3, 2, 3, 0}));
}

TEST(DeviceRouter, HashLayersAndBiases) {
    expect_same(
        [](Ops& ops) {
            constexpr std::int64_t T = 50, E = 9, K = 4;
            const Integers tokens(ops, random_tokens(T, 1000, 1)), ids(ops, T * K);
            ops.hash_choice(ids.at(), tokens.at(), T, E, K, 77);
            const Floats bias(ops, random_floats(E, 2));
            const Array<std::uint64_t> loads(ops, {5, 9, 1, 4, 4, 7, 0, 2, 4});
            const Array<std::uint8_t> disabled(ops, {0, 0, 1, 0, 0, 0, 0, 0, 0});
            ops.update_selection_bias(bias.at(), loads.at(), disabled.at(), E, 0.125);
            Left left;
            left.add_equal(ids);
            left.add(bias);
            return left;
        },
        0, 0, "hash layers and biases");
}

}  // namespace
}  // namespace moescope::kernels::test
