#include "base/axis.hpp"

#include <cmath>

namespace moescope::base {

double tick_step(double range, int most) {
    if (!(range > 0) || !std::isfinite(range) || most < 1) {
        return 1;
    }
    const double rough = range / most, power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (rough <= factor * power * (1 + 1e-9)) {
            return factor * power;
        }
    }
    return 10 * power;
}

std::vector<double> ticks(double low, double high, int most) {
    std::vector<double> places;
    if (!(high > low) || !std::isfinite(high - low)) {
        return places;
    }
    const double step = tick_step(high - low, most), first = std::ceil(low / step);
    // Counted, not summed: a range far from zero would never reach its end by adding a step that rounding swallows.
    for (int i = 0; i <= most + 1; ++i) {
        const double place = (first + i) * step;
        if (place <= high + step * 1e-9) {
            places.push_back(std::fabs(place) < step * 1e-9 ? 0 : place);
        }
    }
    return places;
}

}  // namespace moescope::base
