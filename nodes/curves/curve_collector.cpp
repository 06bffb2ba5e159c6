#include "nodes/curves/curve_collector.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/foreign_text.hpp"
#include "nodes/curves/curve_names.hpp"

namespace moescope::curves {

using base::say;

bool Series::has_times() const {
    return std::any_of(wall_times.begin(), wall_times.end(), [](double time) { return time != kNoTime; });
}

bool Series::has_values() const {
    return std::any_of(values.begin(), values.end(), [](double value) { return !std::isnan(value); });
}

void Collector::cut(Series& series, std::uint64_t step) {
    while (!series.steps.empty() && series.steps.back() >= step) {
        series.steps.pop_back();
        series.values.pop_back();
        series.wall_times.pop_back();
        --points_;
    }
}

void Collector::add(const std::string& name, std::string_view unit, std::int64_t step, double value, double wall_time) {
    if (step < 0 || static_cast<std::uint64_t>(step) > protocol::kLastCurveStep) {
        ++bad_steps_;
        return;
    }
    auto place = series_.find(name);
    if (place == series_.end()) {
        if (series_.size() >= protocol::kMostCurves) {
            throw Unfit(say("it has more than {} curves", protocol::kMostCurves));
        }
        place = series_.emplace(name, Series()).first;
        place->second.name = base::shown_name(name);
        place->second.unit = base::shown_name(unit);
    }
    Series& series = place->second;
    const auto number = static_cast<std::uint64_t>(step);
    if (!series.steps.empty() && series.steps.back() >= number) {
        went_back_ += series.steps.back() > number ? 1 : 0;
        cut(series, number);
    }
    if (points_ >= most_points_) {
        throw Unfit(say("it has more than {} values", most_points_));
    }
    if (!std::isfinite(value)) {
        ++no_numbers_;
        value = std::numeric_limits<double>::quiet_NaN();
    }
    series.steps.push_back(number);
    series.values.push_back(value);
    series.wall_times.push_back(std::isfinite(wall_time) ? wall_time : kNoTime);
    ++points_;
}

void Collector::restart(std::int64_t step) {
    for (auto& [name, series] : series_) {
        cut(series, static_cast<std::uint64_t>(std::max<std::int64_t>(step, 0)));
    }
}

std::vector<Series> Collector::take(std::vector<base::Sentence>& notes) {
    std::vector<Series> all;
    std::set<std::string> keys;
    std::uint64_t without = 0;
    for (auto& [name, series] : series_) {
        if (!series.has_values()) {
            ++without;
            continue;
        }
        // One of them alone can stand for ours; the others are curves of their own.
        series.key = key_of_name(name, series.unit);
        if (!series.key.empty() && !keys.insert(series.key).second) {
            series.key.clear();
        }
        all.push_back(std::move(series));
    }
    series_.clear();
    if (bad_steps_ > 0) {
        notes.push_back(say("{} values of steps that are negative or too large are left out", bad_steps_));
    }
    if (went_back_ > 0) {
        notes.push_back(
            say("steps went back {} times; what came before of these and later steps does not count", went_back_));
    }
    if (no_numbers_ > 0) {
        notes.push_back(say("{} values are no finite numbers and are holes", no_numbers_));
    }
    if (without > 0) {
        notes.push_back(say("{} curves without any value are left out", without));
    }
    return all;
}

}  // namespace moescope::curves
