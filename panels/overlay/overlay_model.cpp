#include "panels/overlay/overlay_model.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "base/csv.hpp"
#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "nodes/history/experiments.hpp"
#include "panels/runs/experiment_values.hpp"

namespace moescope::panels {
namespace {

using history::RunFigure;
using history::TrainingRun;
using nlohmann::json;

constexpr std::size_t kFirstRuns = 6;
constexpr const char* kData = "data";

std::string experiment_of(const ShownRun& run, const history::ExperimentPlace& place) {
    return place.number == 0 ? std::string() : fmt::format("{}#{}", run.session, place.number);
}

/// The value of each run for a key that a configuration may lack.
SettingColumn column_of(std::span<const ShownRun> runs, const std::string& key, const json& standard) {
    SettingColumn column{key, standard, {}};
    for (const ShownRun& run : runs) {
        const json& config = base::member(run.run->manifest, "config");
        const json* value = base::setting(config, key);
        column.values.push_back(value != nullptr ? *value : config.is_object() ? standard : json());
    }
    return column;
}

bool differs(const SettingColumn& column) {
    return std::any_of(column.values.begin(), column.values.end(),
                       [&](const json& value) { return value != column.values.front(); });
}

/// Keys of the configurations that the catalogue does not have.
std::set<std::string> other_keys(std::span<const ShownRun> runs, const std::set<std::string>& known) {
    std::set<std::string> keys;
    for (const ShownRun& run : runs) {
        for (const char* section : {"model", "train"}) {
            const json& part = base::member(base::member(run.run->manifest, "config"), section);
            for (auto entry = part.begin(); part.is_object() && entry != part.end(); ++entry) {
                if (known.count(entry.key()) == 0) {
                    keys.insert(entry.key());
                }
            }
        }
    }
    return keys;
}

std::string csv_number(double value) {
    return std::isfinite(value) ? fmt::format("{}", value) : std::string();
}

}  // namespace

void label_runs(const ui::Language& text, std::vector<ShownRun>& runs) {
    std::map<std::string, std::size_t> of_experiment, called;
    for (const ShownRun& run : runs) {
        ++of_experiment[experiment_of(run, history::experiment_place(run.run->manifest))];
    }
    // By its value only while no other experiment or run is there that it could be meant for.
    const bool one_experiment = of_experiment.size() == 1 && of_experiment.begin()->first != "" && runs.size() > 1;
    for (ShownRun& run : runs) {
        const history::ExperimentPlace place = history::experiment_place(run.run->manifest);
        run.label = one_experiment ? experiment_value_label(text, place.key, place.value) : run_title(text, *run.run);
        if (run.label.empty()) {
            run.label = fmt::format("{}", run.run->id);
        }
        ++called[run.label];
    }
    std::map<std::string, std::size_t> with_session;
    for (ShownRun& run : runs) {
        if (run.beside || (called[run.label] > 1 && !run.session.empty())) {
            run.label = text.format("overlay.of_session", {{"name", run.label}, {"session", run.session}});
        }
        ++with_session[run.label];
    }
    for (ShownRun& run : runs) {
        if (with_session[run.label] > 1) {
            run.label = fmt::format("{} #{}", run.label, run.run->id);
        }
    }
}

std::vector<std::uint32_t> first_choice(const client::Snapshot& snapshot) {
    std::vector<std::uint32_t> chosen;
    if (!snapshot.experiments.empty()) {
        for (const history::Experiment::Run& run : snapshot.experiments.rbegin()->second->runs) {
            if (snapshot.training.count(run.run) != 0) {
                chosen.push_back(run.run);
            }
        }
        return chosen;
    }
    for (auto run = snapshot.training.rbegin(); run != snapshot.training.rend() && chosen.size() < kFirstRuns; ++run) {
        if (!run->second->step.empty()) {
            chosen.push_back(run->first);
        }
    }
    std::reverse(chosen.begin(), chosen.end());
    return chosen;
}

std::vector<SettingColumn> differing_settings(std::span<const ShownRun> runs, const json& catalogue) {
    std::vector<SettingColumn> columns;
    if (runs.empty()) {
        return columns;
    }
    const auto add = [&](SettingColumn column) {
        if (differs(column)) {
            columns.push_back(std::move(column));
        }
    };
    std::set<std::string> known;
    for (const json& entry : base::member(catalogue, "config_fields")) {
        const std::string key = base::text_of(entry, "key");
        if (!key.empty() && known.insert(key).second) {
            add(column_of(runs, key, base::member(entry, "default")));
        }
    }
    for (const std::string& key : other_keys(runs, known)) {
        add(column_of(runs, key, json()));
    }
    SettingColumn data{kData, json(), {}};
    for (const ShownRun& run : runs) {
        data.values.push_back(base::member(run.run->manifest, kData));
    }
    add(std::move(data));
    return columns;
}

double number_of(const history::CurveSummary& summary, SummaryKind kind) {
    switch (kind) {
        case SummaryKind::last:
            return summary.last;
        case SummaryKind::best:
            return summary.best;
        case SummaryKind::mean:
            return summary.mean;
    }
    return summary.last;
}

OverlayTable make_table(std::span<const ShownRun> runs, const json& catalogue) {
    OverlayTable table;
    table.settings = differing_settings(runs, catalogue);
    table.rows.resize(runs.size());
    for (const history::RunFigureRow& row : history::kRunFigureRows) {
        bool any = false;
        for (std::size_t i = 0; i < runs.size(); ++i) {
            const history::RunCurve curve = history::curve_of(*runs[i].run, *runs[i].loads, row.figure);
            any = any || !curve.empty();
            table.rows[i][static_cast<std::size_t>(row.figure)] = history::summary_of(curve, row.better);
        }
        if (any) {
            table.figures.push_back(row.figure);
        }
    }
    return table;
}

std::vector<std::size_t> sorted_rows(const OverlayTable& table, std::span<const ShownRun> runs, std::size_t column,
                                     bool descending, SummaryKind kind) {
    std::vector<std::size_t> order(runs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto sort = [&](const auto& known, const auto& less) {
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            if (known(a) != known(b)) {
                return known(a);
            }
            return known(a) && (descending ? less(b, a) : less(a, b));
        });
    };
    if (column == 0 || column >= table.columns()) {
        sort([](std::size_t) { return true; },
             [&](std::size_t a, std::size_t b) { return runs[a].label < runs[b].label; });
    } else if (column <= table.settings.size()) {
        const std::vector<json>& values = table.settings[column - 1].values;
        sort([&](std::size_t i) { return !values[i].is_null(); },
             [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    } else {
        const auto figure = static_cast<std::size_t>(table.figures[column - 1 - table.settings.size()]);
        const auto value = [&](std::size_t i) { return number_of(table.rows[i][figure], kind); };
        sort([&](std::size_t i) { return !std::isnan(value(i)); },
             [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
    }
    return order;
}

std::string table_csv(const OverlayTable& table, std::span<const ShownRun> runs) {
    std::string csv = "run,session,state,steps";
    for (const SettingColumn& column : table.settings) {
        csv += "," + base::csv_text(column.key);
    }
    for (const RunFigure figure : table.figures) {
        for (const char* kind : {"last", "best", "mean"}) {
            csv += fmt::format(",{} {}", history::row_of(figure).key, kind);
        }
    }
    csv += "\r\n";
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const TrainingRun& run = *runs[i].run;
        csv += fmt::format("{},{},{},{}", base::csv_text(run.name), base::csv_text(runs[i].session),
                           protocol::run_state_name(run.state), run.step.empty() ? 0 : run.step.back());
        for (const SettingColumn& column : table.settings) {
            csv += "," + base::csv_text(base::setting_text(column.values[i]));
        }
        for (const RunFigure figure : table.figures) {
            const history::CurveSummary& summary = table.rows[i][static_cast<std::size_t>(figure)];
            for (const double value : {summary.last, summary.best, summary.mean}) {
                csv += "," + csv_number(value);
            }
        }
        csv += "\r\n";
    }
    return csv;
}

std::optional<AlignedStep> aligned_step(const TrainingRun& run, std::uint64_t step) {
    const auto after = std::upper_bound(run.counts.begin(), run.counts.end(), step,
                                        [](std::uint64_t s, const auto& counts) { return s < counts->step; });
    if (after == run.counts.begin()) {
        return {};
    }
    const auto index = static_cast<std::size_t>(after - run.counts.begin()) - 1;
    return AlignedStep{index, run.counts[index]->step, after == run.counts.end() && run.counts[index]->step < step};
}

StepRange counts_range(std::span<const ShownRun> runs) {
    StepRange range;
    for (const ShownRun& run : runs) {
        if (!run.run->counts.empty()) {
            const std::uint64_t first = run.run->counts.front()->step, last = run.run->counts.back()->step;
            range.first = range.last == 0 ? first : std::min(range.first, first);
            range.last = std::max(range.last, last);
        }
    }
    return range;
}

std::vector<float> spread_labels(std::span<const float> middles, float height, float low, float high) {
    std::vector<float> tops(middles.size(), std::numeric_limits<float>::quiet_NaN());
    if (!(height > 0) || !(high - low >= height)) {
        return tops;
    }
    const auto room = static_cast<std::size_t>((high - low) / height);
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < middles.size() && order.size() < room; ++i) {
        if (std::isfinite(middles[i])) {
            order.push_back(i);
        }
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return middles[a] < middles[b]; });
    float free = low;
    for (const std::size_t i : order) {
        tops[i] = std::max(free, middles[i] - height / 2);
        free = tops[i] + height;
    }
    // What was pushed beyond the end goes back up, as far as the ones before it have to give way.
    float end = high;
    for (auto i = order.rbegin(); i != order.rend(); ++i) {
        tops[*i] = std::min(tops[*i], end - height);
        end = tops[*i];
    }
    return tops;
}

}  // namespace moescope::panels
