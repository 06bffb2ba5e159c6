#include "nodes/curves/run_curves.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/csv.hpp"
#include "base/error.hpp"
#include "base/sentence.hpp"
#include "base/step_values.hpp"
#include "nodes/curves/curve_names.hpp"
#include "nodes/curves/event_file.hpp"
#include "nodes/curves/event_writer.hpp"
#include "nodes/history/journal_reader.hpp"

namespace moescope::curves {

namespace fs = std::filesystem;
using base::say;
using history::Column;
using protocol::RecordType;
using protocol::StreamPosition;

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kNanoseconds = 1e9;  // of a second; divided by, which keeps whole seconds whole
constexpr std::size_t kRecordsBetweenChecks = 1000;
constexpr const char* kEventPrefix = "events.out.tfevents.";
constexpr const char* kEventHost = ".moescope.";

/// When the records of one kind were written, in the order of the journal.
class Times {
 public:
    void add(StreamPosition at, std::uint64_t time_ns) { times_.emplace_back(at, time_ns); }
    double of(StreamPosition at) const {
        const auto found = std::lower_bound(times_.begin(), times_.end(), at,
                                            [](const auto& one, StreamPosition wanted) { return one.first < wanted; });
        return found != times_.end() && found->first == at ? static_cast<double>(found->second) / kNanoseconds : kNone;
    }

 private:
    std::vector<std::pair<StreamPosition, std::uint64_t>> times_;
};

bool has_value(const Column& column) {
    for (std::size_t i = 0; i < column.size(); ++i) {
        if (!std::isnan(column[i])) {
            return true;
        }
    }
    return false;
}

/// Rows that stand for what is missing are left out.
struct Rows {
    Rows(const Column& all, const std::vector<history::TableRow>& table, const Times& times) {
        for (std::size_t i = 0; i < table.size(); ++i) {
            if (!table[i].hole) {
                places.push_back(i);
                step.push_back(all[i]);
                wall_time.push_back(times.of(table[i].from));
            }
        }
    }
    void add_to(RunCurves& curves, std::string name, std::string tag, std::string_view unit,
                const Column& values) const {
        if (!has_value(values)) {
            return;
        }
        Column kept;
        for (const std::size_t place : places) {
            kept.push_back(values[place]);
        }
        curves.curves.push_back({std::move(name), std::move(tag), std::string(unit), step, std::move(kept), wall_time});
    }

    std::vector<std::size_t> places;
    Column step, wall_time;
};

void add_training(RunCurves& curves, const history::Session::Training& training, const Times& steps,
                  const Times& evaluations) {
    const history::TrainingRun& run = training.value;
    const Rows rows(run.step, training.step_rows, steps);
    Column tokens;
    for (const history::TableRow& row : training.step_rows) {
        tokens.push_back(static_cast<double>(row.tokens_total));
    }
    rows.add_to(curves, "tokens_total", tag_of_key("tokens_total"), "tokens", tokens);
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        const base::StepValue& value = base::kStepValues[i];
        rows.add_to(curves, value.key, tag_of_key(value.key), value.unit, run.values[i]);
    }
    const Rows held_out(run.evaluation_step, training.evaluation_rows, evaluations);
    for (const auto& [key, column] : {std::pair{protocol::kEvaluationEnglish, &run.evaluation_english},
                                      std::pair{protocol::kEvaluationChinese, &run.evaluation_chinese}}) {
        held_out.add_to(curves, key, tag_of_key(key), unit_of_key(key), *column);
    }
}

void add_imported(RunCurves& curves, const history::ImportedRun& run) {
    for (const history::ImportedCurve& curve : run.curves) {
        if (has_value(curve.value)) {
            const std::string unit = curve.unit.empty() ? std::string(unit_of_key(curve.key)) : curve.unit;
            curves.curves.push_back({curve.name, curve.name, unit, curve.step, curve.value, curve.wall_time});
        }
    }
}

std::uint32_t latest_training(const sessions::Journal& journal) {
    std::uint32_t latest = 0;
    const history::Session history = history::read_runs(journal);
    for (const auto& [number, run] : history.runs()) {
        latest = run->kind == history::RunKind::train ? number : latest;
    }
    if (latest == 0) {
        throw base::Error(say("the session has no training run; name another run"));
    }
    return latest;
}

/// Goes through all curves step by step.
class ByStep {
 public:
    explicit ByStep(const RunCurves& curves) : curves_(curves.curves), next_(curves_.size(), 0) {}

    /// False at the end.
    bool next() {
        step_ = std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < curves_.size(); ++i) {
            if (next_[i] < curves_[i].step.size()) {
                step_ = std::min(step_, curves_[i].step[next_[i]]);
            }
        }
        if (std::isinf(step_)) {
            return false;
        }
        values_.assign(curves_.size(), kNone);
        wall_time_ = kNone;
        for (std::size_t i = 0; i < curves_.size(); ++i) {
            const NamedCurve& curve = curves_[i];
            if (next_[i] == curve.step.size() || curve.step[next_[i]] != step_) {
                continue;
            }
            values_[i] = curve.value[next_[i]];
            if (std::isnan(wall_time_)) {
                wall_time_ = curve.wall_time[next_[i]];
            }
            ++next_[i];
        }
        return true;
    }
    double step() const { return step_; }
    double wall_time() const { return wall_time_; }  ///< of the first curve that knows; NaN
    const std::vector<double>& values() const { return values_; }

 private:
    const std::vector<NamedCurve>& curves_;
    std::vector<std::size_t> next_;
    std::vector<double> values_;
    double step_ = 0, wall_time_ = kNone;
};

void finish(std::ofstream& out, const fs::path& path) {
    out.close();
    if (!out) {
        throw base::Error(say("{}: writing failed; check that the folder exists and the disk has room", path));
    }
}

template <class Write>
void each_step(std::ofstream& out, const RunCurves& curves, const std::function<void()>& check, const Write& write) {
    ByStep steps(curves);
    for (std::size_t row = 0; out && steps.next(); ++row) {
        if (row % kRecordsBetweenChecks == 0) {
            check();
        }
        const std::string text = write(steps);
        out.write(text.data(), static_cast<std::streamsize>(text.size()));
    }
}

}  // namespace

std::uint64_t RunCurves::points() const {
    std::uint64_t sum = 0;
    for (const NamedCurve& curve : curves) {
        sum += curve.step.size();
    }
    return sum;
}

RunCurves curves_of_run(const sessions::Journal& journal, std::uint32_t run, const std::function<void()>& check) {
    RunCurves curves;
    curves.run = run == 0 ? latest_training(journal) : run;
    Times steps, evaluations;
    std::size_t seen = 0;
    const auto note_time = [&](const sessions::Record& record, std::uint32_t of) {
        if (++seen % kRecordsBetweenChecks == 0) {
            check();
        }
        const auto type = static_cast<RecordType>(record.type);
        if (of == curves.run && (type == RecordType::step || type == RecordType::evaluation)) {
            (type == RecordType::step ? steps : evaluations).add({record.epoch, record.sequence}, record.time_ns);
        }
    };
    const history::Session history =
        history::read_session(journal, {.channels = {protocol::Channel::events, protocol::Channel::metrics},
                                        .keep = {.counts = 0, .run = curves.run},
                                        .seen = note_time});
    const auto runs = history.runs();
    const auto header = runs.find(curves.run);
    if (header == runs.end()) {
        throw base::Error(say("there is no run {} in this session", curves.run));
    }
    curves.name = header->second->name;
    curves.started = static_cast<double>(header->second->started_ns) / kNanoseconds;
    if (const auto training = history.trainings().find(curves.run); training != history.trainings().end()) {
        add_training(curves, training->second, steps, evaluations);
    } else if (const auto imported = history.imports().find(curves.run); imported != history.imports().end()) {
        add_imported(curves, imported->second.value);
    }
    if (curves.curves.empty()) {
        throw base::Error(say("run {} has no curves that could be written", curves.run));
    }
    return curves;
}

void write_curve_table(const fs::path& path, const RunCurves& curves, const std::function<void()>& check) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    std::string head = "step,wall_time [s]";
    for (const NamedCurve& curve : curves.curves) {
        head += ',' + base::csv_text(curve.unit.empty() ? curve.name : fmt::format("{} [{}]", curve.name, curve.unit));
    }
    out << head << "\r\n";
    each_step(out, curves, check, [](const ByStep& steps) {
        std::string row = fmt::format("{},", static_cast<std::uint64_t>(steps.step()));
        const auto put = [&](double value) {
            if (!std::isnan(value)) {
                fmt::format_to(std::back_inserter(row), "{}", value);
            }
        };
        put(steps.wall_time());
        for (const double value : steps.values()) {
            row += ',';
            put(value);
        }
        return row + "\r\n";
    });
    finish(out, path);
}

void write_event_file(const fs::path& path, const RunCurves& curves, const std::function<void()>& check) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << version_record(curves.started);
    double time = curves.started;  // where none is known, that of the step before
    each_step(out, curves, check, [&](const ByStep& steps) {
        std::vector<std::pair<std::string_view, double>> values;
        for (std::size_t i = 0; i < curves.curves.size(); ++i) {
            if (!std::isnan(steps.values()[i])) {
                values.emplace_back(curves.curves[i].tag, steps.values()[i]);
            }
        }
        time = std::isnan(steps.wall_time()) ? time : steps.wall_time();
        return values.empty() ? std::string() : scalars_record(time, static_cast<std::uint64_t>(steps.step()), values);
    });
    finish(out, path);
}

void write_event_folder(const fs::path& folder, const RunCurves& curves, sessions::Existing existing,
                        const std::function<void()>& check) {
    const sessions::FolderKind kind{[](const std::string& name) {
                                        return name.starts_with(kEventPrefix) &&
                                               name.find(kEventHost) != std::string::npos;
                                    },
                                    [](const fs::path& there) {
                                        for (const fs::directory_entry& entry : fs::directory_iterator(there)) {
                                            if (!is_event_file(entry.path())) {
                                                return false;
                                            }
                                        }
                                        return true;
                                    }};
    sessions::OutputFolder output(folder, existing, kind);
    std::error_code error;
    if (!fs::create_directory(output.temporary(), error)) {
        throw base::Error(say("{}: {}", folder, error));
    }
    const auto time = static_cast<std::uint64_t>(std::max(curves.started, 0.0));
    write_event_file(output.temporary() / fmt::format("{}{:010}{}{}", kEventPrefix, time, kEventHost, curves.run),
                     curves, check);
    output.commit();
}

}  // namespace moescope::curves
