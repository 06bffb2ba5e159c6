// Sums over a moving window of steps are those of adding the window up from nothing.
#include "nodes/history/load_sums.hpp"

#include <gtest/gtest.h>
#include <random>
#include <span>

namespace {

using namespace moescope;
using history::LoadSums;

std::vector<LoadSums::Step> steps_of(std::size_t count, std::size_t cells, std::mt19937& random) {
    std::vector<LoadSums::Step> steps;
    for (std::size_t i = 0; i < count; ++i) {
        auto step = std::make_shared<history::StepCounts>();
        step->step = i + 1;
        // Now and then a step of another shape: it counts as empty.
        step->counts.resize(i % 17 == 5 ? 3 : 2 * cells);
        for (auto& value : step->counts) {
            value = random() % 1000;
        }
        steps.push_back(std::move(step));
    }
    return steps;
}

void expect_plain_sums(const LoadSums& sums, std::span<const LoadSums::Step> window, std::size_t layers,
                       std::size_t experts) {
    const history::Loads& loads = sums.loads();
    ASSERT_EQ(loads.layers, layers);
    ASSERT_EQ(loads.experts, experts);
    EXPECT_EQ(loads.first_step, window.front()->step);
    EXPECT_EQ(loads.last_step, window.back()->step);
    const std::size_t cells = layers * experts;
    for (std::size_t language = 0; language < 2; ++language) {
        std::vector<double> totals(layers, 0.0);
        for (std::size_t cell = 0; cell < cells; ++cell) {
            double sum = 0;
            for (const auto& step : window) {
                if (step->counts.size() == 2 * cells) {
                    sum += step->counts[language * cells + cell];
                }
            }
            EXPECT_EQ(loads.counts[language][cell], sum);
            totals[cell / experts] += sum;
        }
        EXPECT_EQ(loads.totals[language], totals);
    }
}

TEST(LoadSums, AnyWindowAfterAnyOther) {
    std::mt19937 random(11);
    constexpr std::size_t layers = 3, experts = 5;
    const auto steps = steps_of(200, layers * experts, random);
    LoadSums sums;
    for (int i = 0; i < 300; ++i) {
        const std::size_t first = random() % steps.size();
        const std::size_t last = first + 1 + random() % std::min<std::size_t>(40, steps.size() - first);
        const std::vector window(steps.begin() + static_cast<std::ptrdiff_t>(first),
                                 steps.begin() + static_cast<std::ptrdiff_t>(last));
        sums.update(window, layers, experts);
        expect_plain_sums(sums, window, layers, experts);
    }
}

TEST(LoadSums, AWindowThatMovesOnTouchesOnlyItsEnds) {
    std::mt19937 random(12);
    const auto steps = steps_of(400, 6, random);
    LoadSums sums;
    sums.update({steps.begin(), steps.begin() + 256}, 2, 3);
    const std::uint64_t before = sums.added();
    for (int moved = 1; moved <= 100; ++moved) {
        sums.update({steps.begin() + moved, steps.begin() + 256 + moved}, 2, 3);
    }
    EXPECT_EQ(sums.added() - before, 200u);
    expect_plain_sums(sums, std::span(steps).subspan(100, 256), 2, 3);
}

TEST(LoadSums, AnotherShapeStartsAgain) {
    std::mt19937 random(13);
    const auto steps = steps_of(20, 6, random);
    LoadSums sums;
    sums.update(steps, 2, 3);
    sums.update(steps, 3, 2);
    expect_plain_sums(sums, steps, 3, 2);
}

}  // namespace
