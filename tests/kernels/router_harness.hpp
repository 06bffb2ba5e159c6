// What the router tests share: one batch with its buffers, and names of a shape for messages.
#pragma once

#include <optional>

#include "harness.hpp"
#include "kernels/cpu/router.hpp"

namespace moescope::kernels::test {

/// A batch: inputs, outputs and scratch of the router. Buffers start filled with rubbish, so that what is not written
/// shows.
struct Routed {
    explicit Routed(const RouterShape& s)
        : shape(s),
          z(random_floats(s.T * s.E, 1, 2.0f)),
          s_TE(z.size(), -7.0f),
          lse(static_cast<std::size_t>(s.T), -7.0f),
          w(static_cast<std::size_t>(s.T * s.slots()), -7.0f),
          ids(w.size(), 77),
          kept(w.size(), 9),
          counts(static_cast<std::size_t>(s.E), 99),
          choices(counts.size(), 99),
          scratch(static_cast<std::size_t>(router_scratch(s)), -7.0) {}

    RouterInput input() const {
        RouterInput in;
        in.z_TE = z.data();
        in.selection_bias_E = bias.empty() ? nullptr : bias.data();
        in.given_TK = given.empty() ? nullptr : given.data();
        in.disabled_E = disabled.empty() ? nullptr : disabled.data();
        in.earlier_choices_E = earlier.empty() ? nullptr : earlier.data();
        in.earlier_tokens = earlier_tokens;
        return in;
    }
    RouterOutput output() {
        return {s_TE.data(), lse.data(), ids.data(), kept.data(), w.data(), counts.data(), choices.data()};
    }
    RouterLosses run() { return router_forward(output(), input(), scratch.data(), shape); }
    RouterLosses run_reference() { return reference::router_forward(output(), input(), shape); }
    std::vector<float> backward(std::span<const float> dw, double balance_scale, double z_scale) {
        std::vector<float> dz(z.size(), -7.0f);
        router_backward(dz.data(), dw.data(), output(), input(), scratch.data(), balance_scale, z_scale, shape);
        return dz;
    }

    RouterShape shape;
    std::vector<float> z, bias;
    std::vector<std::int32_t> given;
    std::vector<std::uint8_t> disabled;
    std::vector<std::uint64_t> earlier;
    std::uint64_t earlier_tokens = 0;
    std::vector<float> s_TE, lse, w;
    std::vector<std::int32_t> ids;
    std::vector<std::uint8_t> kept;
    std::vector<std::uint32_t> counts, choices;
    std::vector<double> scratch;
};

inline constexpr Choice kChoices[] = {Choice::token, Choice::expert, Choice::hash, Choice::sinkhorn, Choice::quantile};
inline constexpr Balance kBalances[] = {Balance::none, Balance::batch, Balance::sequence, Balance::global};

inline std::string describe(const RouterShape& s) {
    const auto number = [](auto value) { return std::to_string(static_cast<int>(value)); };
    return "T " + number(s.T) + " E " + number(s.E) + " K " + number(s.K) + " S " + number(s.S) + " scoring " +
           number(s.scoring) + " choice " + number(s.choice) + " normalise " + number(s.normalise) + " groups " +
           number(s.groups) + "/" + number(s.groups_kept) + " score " + number(s.group_score) + " capacity " +
           std::to_string(s.capacity_factor) + " drop " + number(s.drop) + " balance " + number(s.balance);
}

/// A shape of each choice that the kind needs: expert choice has a capacity, groups divide E.
struct Sizes {
    std::int64_t T, E, K, S, groups, groups_kept;
};

/// Every scoring x normalise x groups x capacity x balance of one choice and one set of sizes.
inline std::vector<RouterShape> all_shapes(Choice choice, const Sizes& sizes) {
    std::vector<RouterShape> shapes;
    for (const Scoring scoring : kScorings) {
        for (const bool normalise : {false, true}) {
            for (const Balance balance : kBalances) {
                for (int groups = 0; groups < (sizes.groups > 1 ? 3 : 1); ++groups) {
                    for (int capacity = 0; capacity < 3; ++capacity) {
                        RouterShape shape{sizes.T, sizes.E, sizes.K, normalise, sizes.S, scoring, choice};
                        shape.scale = normalise ? 1.0 : 2.5;
                        shape.groups = groups == 0 ? 1 : sizes.groups;
                        shape.groups_kept = groups == 0 ? 1 : sizes.groups_kept;
                        shape.group_score = groups == 1 ? GroupScore::max : GroupScore::top2;
                        shape.capacity_factor = choice == Choice::expert ? 0.6 + 0.7 * capacity : 0.9 * (capacity != 0);
                        shape.drop = capacity == 1 ? Drop::probability : Drop::position;
                        shape.balance = balance;
                        shapes.push_back(shape);
                    }
                }
            }
        }
    }
    return shapes;
}

/// Gives the batch what its shape can use: given ids, and by `variant` a selection bias, disabled experts, earlier
/// micro-batches.
inline void fill_inputs(Routed& routed, int variant) {
    const RouterShape& s = routed.shape;
    const auto E = static_cast<std::size_t>(s.E);
    if (s.choice == Choice::hash) {
        std::vector<std::int32_t> tokens(static_cast<std::size_t>(s.T));
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            tokens[t] = static_cast<std::int32_t>(t * t % 11);
        }
        routed.given.resize(static_cast<std::size_t>(s.T * s.K));
        hash_choice(routed.given.data(), tokens.data(), s.T, s.E, s.K, 5);
    }
    if (variant % 2 == 1) {
        routed.bias = random_floats(s.E, 3, 0.3f);
    }
    if (variant % 3 == 1 && s.E > s.K + 1) {
        routed.disabled.assign(E, 0);
        routed.disabled[0] = routed.disabled[E / 2] = 1;
    }
    if (variant % 2 == 0) {
        for (std::size_t e = 0; e < E; ++e) {
            routed.earlier.push_back(e * 3 % 7);
            routed.earlier_tokens += e * 3 % 7;
        }
        routed.earlier_tokens /= static_cast<std::uint64_t>(s.K);
    }
}

}  // namespace moescope::kernels::test
