// From columns of any length to what a plot of some pixels can show, and to files. Pure: no window; a caller keeps the
// results while data, range and width stay the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/column.hpp"

namespace moescope::panels {

/// Neighbouring values that share a pixel column: indexes [first, last) of a column.
struct Bucket {
    std::size_t first = 0, last = 0;
    bool gap_before = false;  ///< steps are missing between the bucket before and this one: no line may join them
};

/// Cuts the part of `x` within [x_min, x_max], and one value more at each side, into at most about `pixels` buckets.
/// `x` rises. Bucket edges are multiples of a power of two, so that a growing column keeps its picture and the pyramid
/// is used. A jump of x by more than `max_gap` that is at least a pixel wide ends a bucket and marks the next one.
std::vector<Bucket> split(const history::Column& x, double x_min, double x_max, int pixels, double max_gap);

/// Points of a line; a NaN in y is a hole.
struct Points {
    std::vector<double> x, y;
    void clear() {
        x.clear();
        y.clear();
    }
    void add(double px, double py) {
        x.push_back(px);
        y.push_back(py);
    }
};
/// Extremes per bucket; NaN in low and high is a hole.
struct Band {
    std::vector<double> x, low, high;
};

/// A line through the smallest and the largest value of each bucket: at most two points per bucket, and one NaN per
/// hole. A bucket without a number (all NaN) is a hole; a NaN beside numbers in the same bucket is narrower than a
/// pixel and is not drawn.
Points extremes(const std::vector<Bucket>& buckets, const history::Column& x, const history::Column& y,
                double scale = 1);
/// Of a value that only some steps have: its points, joined.
Points without_holes(const Points& points);
Band band(const std::vector<Bucket>& buckets, const history::Column& x, const history::Column& y, double scale = 1);

/// Sums up to each value of a column, so that the mean of any range costs two look-ups. Follows a growing column.
class RunningSum {
 public:
    /// Takes in what was appended since. Starts again when the column is another one: shorter, or with another value at
    /// the end of what was summed (a run that went on from a checkpoint).
    void update(const history::Column& column);
    void reset();
    /// Mean of the numbers in [first, last), NaN when there is none. Ends beyond the column are clamped.
    double mean(std::size_t first, std::size_t last) const;
    /// Mean of the last `window` values up to and with the one at `at`: what a smoothed line shows there.
    double mean_at(std::size_t at, std::size_t window) const { return mean(at + 1 - std::min(window, at + 1), at + 1); }

 private:
    std::vector<double> sum_{0};           ///< [i] = sum of the first i values, NaN left out
    std::vector<std::uint32_t> count_{0};  ///< [i] = numbers among the first i values
    double last_ = 0;                      ///< the last value taken in
};

/// One point per bucket: the mean of the bucket or of the last `window` values up to its end, whichever is longer.
Points means(const std::vector<Bucket>& buckets, const history::Column& x, const RunningSum& sum, std::size_t window,
             double scale = 1);

/// The ends of a vertical axis that shows `values` with some room around them; 0 to 1 for nothing, and where all values
/// are 0: an axis about a single number would have ticks too small to mean anything. `whole`: of counts, whose axis
/// reaches 1 at the least.
struct AxisRange {
    double min = 0, max = 1;
};
AxisRange axis_range(const history::MinMax& values, bool from_zero, bool whole = false);
/// Whole numbers within the range, at most about six of them: ticks of counts.
std::vector<double> whole_ticks(const AxisRange& range);

/// Calls f(first, count) for each part of `y` without a hole.
template <class F>
void for_each_part(const std::vector<double>& y, F f) {
    std::size_t first = 0;
    while (first < y.size()) {
        std::size_t last = first;
        while (last < y.size() && y[last] == y[last]) {
            ++last;
        }
        if (last > first) {
            f(first, last - first);
        }
        first = last + 1;
    }
}

/// Index of the value of rising `x` that is nearest to `at`; x must not be empty.
std::size_t nearest(const history::Column& x, double at);
/// The same, but nothing where it is further away than `reach`: a value is no other step's.
std::optional<std::size_t> value_at(const history::Column& x, double at, double reach);

/// A column as a file knows it. `name` carries the unit: "loss (nats/token)". Columns are held as copies, which cost
/// little and stay as they are, so another thread may write the file.
struct Series {
    std::string name;
    history::Column x, y;
};
/// Comma-separated values, one row per x that occurs in any series, empty where a series has no value; RFC 4180
/// quoting.
std::string to_csv(const std::string& x_name, const std::vector<Series>& series);

struct MarkerCorner {
    double x = 0, y = 0;  ///< y downwards
};
/// The outlines of signs that tell lines apart without their colours: corners around 0 within about 1, clockwise.
inline constexpr std::size_t kMarkers = 8;
std::vector<MarkerCorner> marker_outline(std::size_t marker);
/// At most `count` of the indexes [0, size), evenly spread, the last one included: where markers stand on a line.
std::vector<std::size_t> marker_places(std::size_t size, std::size_t count);

/// What a picture of a plot holds.
struct Drawing {
    enum class Look {
        whole,
        faint,   ///< single values behind their mean
        thin,    ///< another run's
        dashed,  ///< of what another line is a part of
        marked,  ///< a dot at each value
    };
    struct Line {
        std::string name;   ///< in the legend; empty: not in it
        std::string color;  ///< "#rrggbb"
        Points points;
        std::optional<std::size_t> marker{};  ///< see marker_outline(); nothing: a plain line
        Look look = Look::whole;
    };
    struct Area {
        std::string color;
        Band band;
        double opacity = 0.25;
    };
    /// A vertical line with what happened there.
    struct Mark {
        double x = 0;
        std::string text, color;
        bool always = true;  ///< false: left out where it would touch the one before
    };
    std::string title, x_name;
    double x_min = 0, x_max = 1, y_min = 0, y_max = 1;
    std::vector<Line> lines;
    std::vector<Area> areas{};  ///< behind the lines
    std::vector<Mark> marks{};  ///< rising in x
};
/// A stand-alone SVG picture (900 x 420, more where the legend has several rows) with axes, ticks, a legend and the
/// tags of the marks, where they have room. A value without a neighbour is a dot.
std::string to_svg(const Drawing& drawing);

}  // namespace moescope::panels
