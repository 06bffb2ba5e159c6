#include "kernels/cpu/rope.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "harness.hpp"
#include "tests/paths.hpp"

namespace moescope::kernels::test {
namespace {

// The file comes from tests/oracle/kernels/yarn_golden.py.
TEST(Rope, TablesMatchTheOracle) {
    std::ifstream file(moescope::test::test_data() + "/kernels/data/yarn_golden.json");
    const nlohmann::json golden = nlohmann::json::parse(file);
    const auto positions = golden.at("positions").get<std::vector<std::int64_t>>();
    ASSERT_GE(golden.at("cases").size(), 13u);
    for (const auto& c : golden.at("cases")) {
        const std::string name = c.at("name");
        const RopeSpec spec{c.at("theta"),     c.at("factor"),   c.at("original_context"), c.at("beta_fast"),
                            c.at("beta_slow"), c.at("truncate"), c.at("mscale"),           c.at("mscale_all_dim")};
        const std::int64_t width = c.at("width"), half = width / 2, S = positions.back() + 1;
        std::vector<float> cosines(static_cast<std::size_t>(S * half)), sines(cosines.size());
        rope_tables(cosines.data(), sines.data(), S, width, spec);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const auto at = static_cast<std::size_t>(positions[i] * half), n = static_cast<std::size_t>(half);
            const auto& tables = c.at("cos_sin").at(i);
            expect_close(std::span(cosines).subspan(at, n), tables.at(0).get<std::vector<float>>(), 2e-7, 1e-7, name);
            expect_close(std::span(sines).subspan(at, n), tables.at(1).get<std::vector<float>>(), 2e-7, 1e-7, name);
        }
        EXPECT_NEAR(rope_softmax_factor(spec), c.at("softmax_factor").get<double>(), 1e-12) << name;
    }
}

TEST(Rope, OrdersDifferOnlyInPlace) {
    constexpr std::int64_t C = 10, half = C / 2;
    const auto x = random_floats(C, 1), cosines = random_floats(half, 2), sines = random_floats(half, 3);
    std::vector<float> halves(C), pairs = x;
    for (std::size_t i = 0; i < half; ++i) {
        halves[i] = x[2 * i];
        halves[half + i] = x[2 * i + 1];
    }
    rope_rotate(halves.data(), cosines.data(), sines.data(), C, RopeOrder::half);
    rope_rotate(pairs.data(), cosines.data(), sines.data(), C, RopeOrder::interleaved);
    for (std::size_t i = 0; i < half; ++i) {
        EXPECT_EQ(pairs[2 * i], halves[i]);
        EXPECT_EQ(pairs[2 * i + 1], halves[half + i]);
        EXPECT_FLOAT_EQ(halves[i], x[2 * i] * cosines[i] - x[2 * i + 1] * sines[i]);
    }
}

// <R x, y> = <x, R^T y>.
TEST(Rope, RotatingBackIsTheTransposed) {
    for (const RopeOrder order : {RopeOrder::half, RopeOrder::interleaved}) {
        const auto x = random_floats(12, 1), y = random_floats(12, 2);
        const auto cosines = random_floats(6, 3), sines = random_floats(6, 4);
        auto turned = x, back = y;
        rope_rotate(turned.data(), cosines.data(), sines.data(), 12, order);
        rope_rotate_back(back.data(), cosines.data(), sines.data(), 12, order);
        EXPECT_NEAR(weighted_sum(turned, y), weighted_sum(back, x), 1e-5);
    }
}

}  // namespace
}  // namespace moescope::kernels::test
