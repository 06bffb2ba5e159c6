// Which expert follows which from one layer to another, as a picture of bands: nodes on both sides, as high as their
// share of all pairs of choices, and the strongest bands between them; what is not drawn is summed in each node. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "panels/ui/figure_data.hpp"
#include "routing/figures/pairs.hpp"

namespace moescope::panels {

struct Flow {
    struct Band {
        std::uint32_t from = 0, to = 0;
        std::uint64_t count = 0;
    };
    static constexpr std::size_t kMostBands = 4096;

    int from_layer = 0, to_layer = 0;     ///< numbers in the model
    std::uint64_t total = 0;              ///< pairs
    std::vector<double> leaving, coming;  ///< [E], shares of all pairs; 0 without any
    std::vector<Band> bands;              ///< strongest first, at most kMostBands of them

    double share(const Band& band) const { return static_cast<double>(band.count) / static_cast<double>(total); }
    /// Share of `to` among what follows `from`; its baseline is coming[to].
    double conditional(const Band& band) const { return share(band) / leaving[band.from]; }
};
Flow make_flow(const routing::Transitions& transitions, std::size_t experts, int from_layer, int to_layer);
/// Its bands: from, to, pairs, share of all pairs, share of what follows (with its interval, a lower bound), baseline,
/// their ratio.
Table flow_table(const Flow& flow);

/// Heights from 0 (top) to 1.
struct FlowLayout {
    struct Node {
        double top = 0, bottom = 0;  ///< the same twice: it has no pair
        double rest = 0;             ///< where the part begins that belongs to no band drawn
    };
    struct Strip {
        Flow::Band band;
        double left_top = 0, left_bottom = 0, right_top = 0, right_bottom = 0;
    };
    std::vector<Node> left, right;  ///< [E]
    std::vector<Strip> strips;      ///< strongest first
    double drawn = 0;               ///< share of all pairs that the strips hold
    double threshold = 0;           ///< share of the weakest of them
};
/// The share beside the bands drawn, where there is any to speak of: what is below 0.05 % is left of rounding, or too
/// little to be seen.
inline std::optional<double> rest_besides(double drawn) {
    return 1 - drawn < 0.0005 ? std::nullopt : std::optional(1 - drawn);
}
/// The `most` strongest bands. At a node they stand in the order of the experts at their other end, so that they cross
/// no more than they must; the rest is below them.
FlowLayout lay_out(const Flow& flow, std::size_t most);

/// How a strip goes from one side (0) to the other (1): at the parameter `s`, how far along it is and how far between
/// its two heights. The curve has its control points in the middle, as SVG's.
struct CurvePoint {
    double along = 0, between = 0;
};
CurvePoint curve_point(double s);
/// The strip at a place, `along` from 0 (left) to 1 and `height` from 0 (top) to 1; of those that lie over each other
/// the weakest, which is drawn last. Nothing where there is none.
std::optional<std::size_t> strip_at(const FlowLayout& layout, double along, double height);

struct FlowWords {
    std::string title, left_name, right_name;
    std::vector<std::string> colors;  ///< "#rrggbb", one after the other for the experts of the left side
};
/// 900 x 620.
std::string to_svg(const Flow& flow, const FlowLayout& layout, const FlowWords& words);

}  // namespace moescope::panels
