// What the structure view shows of a trace, made of the figures over it: maps, tables and charts of load, of experts
// that go together, of the differences between groups of texts, of entropy and margins, and of saturation. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "panels/ui/figure_data.hpp"
#include "routing/figures/comparison_job.hpp"
#include "routing/figures/groups.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/pairs.hpp"
#include "routing/figures/spread.hpp"
#include "routing/figures/together.hpp"

namespace moescope::panels {

/// Numbers of the routed layers in the model, as names of rows.
std::vector<std::string> layer_names(const routing::RouterSpec& spec);

struct LoadMapShown {
    std::shared_ptr<const Map> map;  ///< layers x experts, share of the layer's load; a layer without any has none
    /// layer, MaxVio, CV, entropy, Gini, dead experts, busiest expert with its share, decisions
    std::shared_ptr<const Table> table;
    std::vector<std::uint64_t> counts;  ///< [R][E]
};
LoadMapShown load_map(const routing::Load& load, const routing::RouterSpec& spec);

/// What a cell of the map of pairs says.
enum class PairValue : std::uint8_t {
    share,  ///< P(E_j given E_i)
    above,  ///< the same minus P(E_j): above 0, they come together more often than if they were independent
};
struct PairMapShown {
    std::size_t place = 0;
    int layer = 0;
    PairValue value = PairValue::share;
    std::shared_ptr<const Map> map;      ///< given expert x other expert; none on the diagonal
    std::shared_ptr<const Table> table;  ///< the pairs that come together most often, against independence
    std::uint64_t decisions = 0;
    std::vector<std::uint64_t> counts;  ///< [E], N_i
};
/// In a map of what is above, cells whose interval (Wilson of N_ij of N_i, which neighbouring tokens make too narrow)
/// holds P(E_j) are quiet.
PairMapShown pair_map(const routing::CoActivation& pairs, std::size_t experts, std::size_t place, int layer,
                      PairValue value);

struct SpreadShown {
    /// layers x bins, share of the layer's decisions; null when the trace has none
    std::shared_ptr<const Map> entropy, margin;
    std::vector<double> entropy_median, margin_median;  ///< [R], places between 0 and the number of bins; NaN: none
    /// layer, entropy (mean, 10, 50 and 90 % of the decisions, mean / ln N), margin (10, 50, 90 %), ties
    std::shared_ptr<const Table> table;
};
using SpreadFigure = routing::Together<routing::RouterEntropy, routing::Margins>;
SpreadShown spread_map(const SpreadFigure& figure, const routing::RouterSpec& spec);

/// Of which two groups of texts the shares are compared: `second` kAllTexts is the share over all texts.
inline constexpr std::size_t kAllTexts = static_cast<std::size_t>(-1);
struct DifferenceShown {
    std::size_t first = 0, second = kAllTexts;
    std::string first_name, second_name;  ///< empty: not known, or all texts
    std::shared_ptr<const Map> map;       ///< layers x experts: share in the first minus share in the second
    std::size_t beyond = 0, cells = 0;    ///< how many differ by more than chance, of all that have a value
    struct Cell {
        routing::GroupLoad::Share first, second;  ///< `second` of all texts has no interval
        Estimate difference;
    };
    std::vector<Cell> details;           ///< [R][E]
    std::shared_ptr<const Table> table;  ///< the cells, the largest difference beyond chance first
    bool single = false;                 ///< a group is one text: intervals are lower bounds
};
/// Interval of a difference of two shares by their own intervals (Newcombe 1998, method 10); against all texts, the
/// interval of the first share minus that number. Quiet where it holds 0.
DifferenceShown difference_map(const routing::GroupLoad& load, const routing::RouterSpec& spec, std::size_t first,
                               std::size_t second);
/// Which two to begin with: English and Chinese where there are both, else the two with most tokens, else the only one
/// and all texts.
struct GroupChoice {
    std::size_t first = 0, second = kAllTexts;
};
GroupChoice default_groups(const routing::GroupLoad& load);
/// Whether the trace says of any of its texts which group they are of: else nothing can be compared.
bool knows_groups(const routing::GroupLoad& load);

/// One checkpoint of a training run, compared with the last one on the same text.
struct SaturationPoint {
    std::uint64_t step = 0;
    std::shared_ptr<const routing::ComparisonJob::Result> result;  ///< the last checkpoint is the first trace; not null
};
struct SaturationShown {
    std::shared_ptr<const Chart> chart;  ///< lines over steps: one per layer, and their mean
    std::shared_ptr<const Table> table;  ///< step, layer, saturation, of the best expert alone
    std::size_t points = 0;
};
/// `best`: of the best expert alone (k = 1) instead of all k. The last checkpoint itself, which is 1 by definition, is
/// at `last_step`.
SaturationShown saturation(std::vector<SaturationPoint> points, std::uint64_t last_step,
                           const routing::RouterSpec& spec, bool best);

}  // namespace moescope::panels
