#include "kernels/cpu/muon.hpp"

#include <array>

#include "harness.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

// count, rows, columns: one element, a row, a column, wide, tall, square, more matrices than threads.
constexpr std::array<std::int64_t, 3> kSizes[] = {{1, 1, 1},   {1, 1, 9},   {2, 9, 1},  {1, 5, 33},
                                                  {1, 67, 17}, {1, 40, 40}, {7, 13, 20}};

MuonStep step_of(double decay) {
    MuonStep step;
    step.learning_rate = 0.1;
    step.momentum = 0.9;
    step.weight_decay = decay;
    step.gradient_scale = 0.5;
    return step;
}

TEST(Muon, FollowsTheReferenceForManySteps) {
    for (const auto& [count, rows, columns] : kSizes) {
        const std::int64_t n = count * rows * columns;
        auto p = random_floats(n, 1), expected = p;
        std::vector<float> m(p.size(), 0.0f), m1 = m;
        std::vector<float> scratch(static_cast<std::size_t>(muon_scratch(rows, columns) * workers()), std::nanf(""));
        for (std::uint64_t update = 0; update < 4; ++update) {
            const auto gradient = random_floats(n, update + 10);
            muon(p.data(), m.data(), gradient.data(), count, rows, columns, scratch.data(), step_of(0.1));
            reference::muon(expected.data(), m1.data(), gradient.data(), count, rows, columns, step_of(0.1));
        }
        const std::string what = std::to_string(rows) + " x " + std::to_string(columns);
        expect_close(m, m1, 1e-5, 1e-6, "m " + what);
        expect_close(p, expected, 1e-5, 1e-4, "p " + what);  // small singular values grow 3.4-fold five times
    }
}

// The rows (or columns, where there are fewer) become nearly orthogonal, of a length near one.
TEST(Muon, OrthogonalisesTheShorterSide) {
    for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{8, 200}, {200, 8}}) {
        auto x = random_floats(rows * columns, 1);
        std::vector<float> scratch(static_cast<std::size_t>(muon_scratch(rows, columns)));
        orthogonalise(x.data(), rows, columns, scratch.data());
        const bool wide = rows < columns;
        const std::int64_t side = std::min(rows, columns), length = std::max(rows, columns);
        for (std::int64_t i = 0; i < side; ++i) {
            for (std::int64_t j = 0; j < side; ++j) {
                double dot = 0;
                for (std::int64_t l = 0; l < length; ++l) {
                    dot += static_cast<double>(x[static_cast<std::size_t>(wide ? i * columns + l : l * columns + i)]) *
                           x[static_cast<std::size_t>(wide ? j * columns + l : l * columns + j)];
                }
                EXPECT_NEAR(dot, i == j ? 0.95 : 0.0, i == j ? 0.5 : 0.25);
            }
        }
    }
}

TEST(Muon, SameBitsWithAnyNumberOfThreads) {
    constexpr std::int64_t kCount = 9, kRows = 70, kColumns = 131;  // long enough for threads to meet
    std::vector<std::vector<float>> results;
    const auto gradient = random_floats(kCount * kRows * kColumns, 2);
    for (const int threads : {1, 3}) {
        set_workers(threads);
        auto p = random_floats(kCount * kRows * kColumns, 1);
        std::vector<float> m(p.size(), 0.0f),
            scratch(static_cast<std::size_t>(muon_scratch(kRows, kColumns) * threads));
        muon(p.data(), m.data(), gradient.data(), kCount, kRows, kColumns, scratch.data(), step_of(0.0));
        results.push_back(p);
    }
    EXPECT_EQ(results[0], results[1]);
    set_workers(hardware_workers());
}

}  // namespace
}  // namespace moescope::kernels::test
