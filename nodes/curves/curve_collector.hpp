// The curves of one run while they are read from files of other tools: bounded in number and size, steps in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/sentence.hpp"
#include "nodes/protocol/curve_record.hpp"

namespace moescope::curves {

/// Of one run, all curves together: 200 MB in memory.
inline constexpr std::uint64_t kMostPoints = 8'000'000;
inline constexpr double kNoTime = 0;  ///< where no wall time is known

/// What a file says that cannot be taken: a sentence without a subject, before which a reader puts the path.
class Unfit : public base::Error {
 public:
    using base::Error::Error;
};

/// One curve; the lists have one length.
struct Series {
    std::string name;  ///< fit to be shown
    std::string key;   ///< of what we call it, see curve_names.hpp; empty: nothing of ours
    std::string unit;
    std::vector<std::uint64_t> steps;  ///< rising
    std::vector<double> values;        ///< NaN: a hole
    std::vector<double> wall_times;    ///< seconds since 1970; kNoTime

    bool has_times() const;
    bool has_values() const;  ///< any that is a number
};

/// Steps that go back take the place of what came before of them and of later ones, curve by curve, as TensorBoard does
/// for a run that went on from a checkpoint; of one step the last value counts. One thread.
class Collector {
 public:
    explicit Collector(std::uint64_t most_points = kMostPoints) : most_points_(most_points) {}
    /// Throws Unfit: more curves than protocol::kMostCurves, or more points than that.
    void add(const std::string& name, std::string_view unit, std::int64_t step, double value, double wall_time);
    /// A run that says itself that it went on from before `step`: of all curves nothing from there on counts.
    void restart(std::int64_t step);
    /// The curves by name, those without any number left out, with the keys of what we know; and what was left out or
    /// taken back, in sentences.
    std::vector<Series> take(std::vector<base::Sentence>& notes);
    std::uint64_t points() const { return points_; }

 private:
    void cut(Series& series, std::uint64_t step);

    const std::uint64_t most_points_;
    std::map<std::string, Series, std::less<>> series_;
    std::uint64_t points_ = 0, bad_steps_ = 0, went_back_ = 0, no_numbers_ = 0;
};

}  // namespace moescope::curves
