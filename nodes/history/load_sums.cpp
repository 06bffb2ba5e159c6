#include "nodes/history/load_sums.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace moescope::history {

std::vector<double> tokens(const Loads& loads) {
    std::vector<double> result(loads.layers * loads.experts, 0.0);
    for (const auto& counts : loads.counts) {
        std::transform(counts.begin(), counts.end(), result.begin(), result.begin(), std::plus<>());
    }
    return result;
}

std::vector<double> tokens(const StepCounts& step, std::size_t layers, std::size_t experts) {
    const std::size_t cells = layers * experts;
    std::vector<double> result(cells, 0.0);
    if (step.counts.size() == protocol::kTextLanguages * cells) {
        for (std::size_t count = 0; count < step.counts.size(); ++count) {
            result[count % cells] += step.counts[count];
        }
    }
    return result;
}

std::vector<double> shares(const Loads& loads) {
    std::vector<double> result(loads.layers * loads.experts, 0.0);
    for (std::size_t layer = 0; layer < loads.layers; ++layer) {
        double total = 0;
        for (const auto& totals : loads.totals) {
            total += totals[layer];
        }
        for (std::size_t cell = layer * loads.experts; cell < (layer + 1) * loads.experts && total > 0; ++cell) {
            for (const auto& counts : loads.counts) {
                result[cell] += counts[cell] / total;
            }
        }
    }
    return result;
}

void LoadSums::clear() {
    loads_ = {};
    summed_.clear();
}

/// Adds a step, or takes it out again with sign -1: counts are whole numbers, so nothing is lost by rounding.
void LoadSums::add(const StepCounts& step, double sign) {
    ++added_;
    const std::size_t cells = loads_.layers * loads_.experts;
    if (step.counts.size() != loads_.counts.size() * cells) {
        return;
    }
    for (std::size_t language = 0; language < loads_.counts.size(); ++language) {
        const std::uint32_t* from = step.counts.data() + language * cells;
        for (std::size_t layer = 0; layer < loads_.layers; ++layer) {
            double total = 0;
            for (std::size_t cell = layer * loads_.experts; cell < (layer + 1) * loads_.experts; ++cell) {
                loads_.counts[language][cell] += sign * from[cell];
                total += from[cell];
            }
            loads_.totals[language][layer] += sign * total;
        }
    }
}

void LoadSums::update(std::vector<Step> wanted, std::size_t layers, std::size_t experts) {
    const bool same_shape = loads_.layers == layers && loads_.experts == experts;
    const auto kept = same_shape ? std::find(summed_.begin(), summed_.end(), wanted.front()) : summed_.end();
    const std::size_t common = std::min(static_cast<std::size_t>(summed_.end() - kept), wanted.size());
    const auto after = kept + static_cast<std::ptrdiff_t>(common);
    if (common > 0 && std::equal(kept, after, wanted.begin())) {
        for (auto gone = summed_.begin(); gone != kept; ++gone) {
            add(**gone, -1);
        }
        for (auto gone = after; gone != summed_.end(); ++gone) {
            add(**gone, -1);
        }
        for (std::size_t come = common; come < wanted.size(); ++come) {
            add(*wanted[come], 1);
        }
    } else {
        clear();
        loads_.layers = layers;
        loads_.experts = experts;
        for (auto& counts : loads_.counts) {
            counts.assign(layers * experts, 0.0);
        }
        for (auto& totals : loads_.totals) {
            totals.assign(layers, 0.0);
        }
        for (const Step& come : wanted) {
            add(*come, 1);
        }
    }
    loads_.first_step = wanted.front()->step;
    loads_.last_step = wanted.back()->step;
    summed_ = std::move(wanted);
}

}  // namespace moescope::history
