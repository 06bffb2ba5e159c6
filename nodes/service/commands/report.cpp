#include "nodes/service/commands/report.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fmt/format.h>
#include <map>

#include "base/atomic_files.hpp"
#include "base/json_fields.hpp"
#include "base/sha256.hpp"
#include "nodes/history/run_history.hpp"
#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/probe_job.hpp"

namespace moescope::node {
using base::count_of;
using base::number_of;
using base::run_of;
using base::text_of;
using base::texts_of;
using nlohmann::json;
using protocol::Channel;
using protocol::RecordType;

namespace {

constexpr double kRecordHead = 36;  // bytes of a record in the journal beside its body

/// Everything the journal holds about one run, besides its steps.
struct RunRecords {
    std::vector<json> events, samples, evaluations;
    json ending;  ///< of a generation
    base::Sha256 sha;
};

/// Puts a record of a step in its place: a run that went on from a checkpoint repeats what came after it, and the later
/// records count.
void put_by_step(std::vector<json>& records, const json& body) {
    std::erase_if(records, [&](const json& record) {
        // Of one step there are two samples, one per language.
        return count_of(record, "step") > count_of(body, "step") ||
               (count_of(record, "step") == count_of(body, "step") &&
                text_of(record, "language") == text_of(body, "language"));
    });
    records.push_back(body);
}

/// Drops what a run wrote beyond the step that it has reached: it went on from a checkpoint and did not come that far.
void forget_unreached(std::vector<json>& records, std::uint64_t step) {
    std::erase_if(records, [&](const json& record) { return count_of(record, "step") > step; });
}

/// The run a record belongs to, with its body as JSON where it is JSON.
std::uint32_t run_of_record(const sessions::Record& record, json& body) {
    const auto type = static_cast<RecordType>(record.type);
    if (type == RecordType::step) {
        const auto step = protocol::decode_step(record.body);
        return step ? step->run : 0;
    }
    if (type == RecordType::tokens) {
        const auto batch = protocol::decode_tokens(record.body);
        return batch ? batch->run : 0;
    }
    auto value = protocol::decode_json(record.body);
    if (!value)
        return 0;
    body = std::move(*value);
    return run_of(body);
}

void take_record(RunRecords& run, RecordType type, const json& body) {
    switch (type) {
        case RecordType::event:
            run.events.push_back(body);
            break;
        case RecordType::sample:
            put_by_step(run.samples, body);
            break;
        case RecordType::evaluation:
            put_by_step(run.evaluations, body);
            break;
        case RecordType::generation_ended:
            run.ending = body;
            break;
        default:
            break;
    }
}

/// Asks `progress` about every hundredth of the way from `first` to `last`, and throws when it says no.
class ProgressRange {
 public:
    ProgressRange(const ReportProgress& progress, double first, double last)
        : progress_(progress), first_(first), last_(last) {}
    void at(double fraction) {
        if (!progress_ || fraction < next_)
            return;
        next_ = fraction + 0.01;
        if (!progress_(first_ + std::min(fraction, 1.0) * (last_ - first_)))
            throw CommandError("the report was cancelled; nothing was written");
    }

 private:
    const ReportProgress& progress_;
    const double first_, last_;
    double next_ = 0;
};

std::map<std::uint32_t, RunRecords> collect(const sessions::Journal& journal, ProgressRange way) {
    std::map<std::uint32_t, RunRecords> runs;
    const auto total = static_cast<double>(std::max<std::uint64_t>(journal.bytes(), 1));
    double seen = 0;
    for (const Channel channel : {Channel::events, Channel::metrics, Channel::text})
        history::for_each_record(journal, channel, {}, [&](const sessions::Record& record) {
            way.at(seen / total);
            seen += static_cast<double>(record.body.size()) + kRecordHead;
            json body;
            const std::uint32_t number = run_of_record(record, body);
            if (number == 0)
                return true;
            RunRecords& run = runs[number];
            run.sha.add(std::string_view(reinterpret_cast<const char*>(record.body.data()), record.body.size()));
            take_record(run, static_cast<RecordType>(record.type), body);
            return true;
        });
    return runs;
}

report::ReportRun report_run(const history::KnownRun& run, RunRecords& records) {
    json manifest = run.manifest;
    manifest.erase("set_text");  // the set itself is printed, its hash stays
    if (!run.message.empty())
        manifest["message"] = run.message;
    return {run.name, run.state, records.sha.finish(), std::move(manifest)};
}

std::string value_text(const json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<report::ReportMark> marks_of(const RunRecords& records) {
    std::vector<report::ReportMark> marks;
    for (const auto& event : records.events) {
        const std::string kind = text_of(event, "kind");
        const auto step = static_cast<double>(count_of(event, "step"));
        if (kind == "knob")
            marks.push_back(
                {step, fmt::format("{} {} -> {}", text_of(event, "name"), value_text(event.value("old", json())),
                                   value_text(event.value("new", json())))});
        else if (kind == "rewind" || kind == "fault")
            marks.push_back({step, text_of(event, "text")});
    }
    return marks;
}

using Steps = std::vector<protocol::StepRecord>;

report::ReportSeries series(const Steps& steps, const base::StepValue& row) {
    report::ReportSeries result{row.key, {}};
    result.points.reserve(steps.size());
    for (const auto& step : steps)
        result.points.push_back({static_cast<double>(step.step), value_of(step, row)});
    return result;
}

report::ReportSeries evaluation_series(const std::string& name, const std::vector<json>& evaluations,
                                       const char* language) {
    report::ReportSeries result{name, {}};
    for (const auto& evaluation : evaluations)
        if (const auto loss = evaluation.find("loss"); loss != evaluation.end() && loss->is_object())
            result.points.push_back({static_cast<double>(count_of(evaluation, "step")), number_of(*loss, language)});
    return result;
}

std::vector<report::ReportChart> charts_of(const Steps& steps, const RunRecords& records) {
    const auto marks = marks_of(records);
    std::vector<report::ReportChart> charts;
    charts.push_back({"loss", "step", "", "loss", "nats/token", {}, marks});
    for (const base::StepValue& row : base::kStepValues) {
        auto line = series(steps, row);
        const bool empty = std::all_of(line.points.begin(), line.points.end(),
                                       [](const report::ReportPoint& point) { return std::isnan(point.y); });
        if (row.chart == base::StepChart::loss)
            charts.front().series.push_back(std::move(line));
        else if (row.chart == base::StepChart::own && !empty)
            charts.push_back({row.key, "step", "", row.key, row.unit, {std::move(line)}, marks});
    }
    charts.front().series.push_back(evaluation_series("heldout_en", records.evaluations, "en"));
    charts.front().series.push_back(evaluation_series("heldout_zh", records.evaluations, "zh"));
    return charts;
}

/// Share of each expert over the last hundred steps.
std::optional<report::ReportLoad> load_of(const Steps& steps) {
    if (steps.empty() || steps.back().layers == 0 || steps.back().experts == 0)
        return std::nullopt;
    const std::size_t layers = steps.back().layers, experts = steps.back().experts, cells = layers * experts;
    std::vector<double> sums(cells, 0.0);
    for (std::size_t i = steps.size() > 100 ? steps.size() - 100 : 0; i < steps.size(); ++i) {
        const auto& counts = steps[i].counts;
        if (counts.size() != cells * protocol::kTextLanguages)
            continue;
        for (std::size_t j = 0; j < counts.size(); ++j)
            sums[j % cells] += counts[j];
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
        double total = 0;
        for (std::size_t expert = 0; expert < experts; ++expert)
            total += sums[layer * experts + expert];
        for (std::size_t expert = 0; expert < experts && total > 0; ++expert)
            sums[layer * experts + expert] /= total;
    }
    return report::ReportLoad{"expert_load", layers, experts, std::move(sums)};
}

report::ReportTraining training_of(const sessions::Journal& journal, const history::KnownRun& run,
                                   RunRecords& records) {
    const Steps steps = history::read_steps(journal, run);
    report::ReportTraining training;
    training.run = report_run(run, records);
    forget_unreached(records.samples, steps.empty() ? 0 : steps.back().step);
    forget_unreached(records.evaluations, steps.empty() ? 0 : steps.back().step);
    training.charts = charts_of(steps, records);
    if (auto load = load_of(steps))
        training.loads.push_back(std::move(*load));
    for (const auto& sample : records.samples)
        training.samples.push_back({count_of(sample, "step"), text_of(sample, "language"), text_of(sample, "prompt"),
                                    text_of(sample, "text")});
    return training;
}

report::ReportAnswer answer_of(const history::KnownRun& run, const json& ending) {
    report::ReportAnswer answer;
    answer.model = text_of(run.manifest, "model");
    answer.text = text_of(ending, "text");
    answer.stop = text_of(ending, "stop");
    if (answer.text.empty())
        answer.text = text_of(ending, "message");
    answer.tokens = count_of(ending, "tokens");
    const double speed = number_of(ending, "tokens_per_second");
    answer.tokens_per_second = std::isfinite(speed) ? speed : 0;
    const double temperature = number_of(run.manifest, "temperature");
    answer.settings = temperature > 0
                          ? fmt::format("temperature {:g}, seed {}", temperature, count_of(run.manifest, "seed"))
                          : std::string("greedy");
    return answer;
}

report::ReportProbe probe_of(sessions::Session& session, const history::KnownRun& run, RunRecords& records) {
    report::ReportProbe probe;
    probe.run = report_run(run, records);
    probe.set = set_of_run(run);
    const auto draws = history::read_draws(session.journal(), run);
    const auto labelled = labelled_draws(draws, session.labels(run.run));
    probe.statistics = probes::statistics(probe.set, texts_of(run.manifest, "models"), labelled);
    for (std::size_t i = 0; i < draws.size(); ++i)
        probe.draws.push_back(
            {labelled[i], text_of(draws[i], "prompt"), text_of(draws[i], "answer"), text_of(draws[i], "stop")});
    return probe;
}

std::string time_text() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    localtime_r(&now, &parts);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts));
}

}  // namespace

report::ReportInput report_input(sessions::Session& session, const std::string& language,
                                 const ReportProgress& progress) {
    report::ReportInput input;
    input.language = language;
    input.title = session.folder().filename().string();
    input.program = std::string("Moescope ") + MOESCOPE_VERSION;
    input.created = time_text();
    auto records = collect(session.journal(), {progress, 0, 0.5});
    std::map<std::string, std::size_t> groups;
    const auto runs = history::read_runs(session.journal());
    ProgressRange way(progress, 0.5, 0.9);
    double done = 0;
    for (const auto& [number, run] : runs) {
        way.at(done++ / static_cast<double>(runs.size()));
        if (run.kind == "train") {
            input.trainings.push_back(training_of(session.journal(), run, records[number]));
        } else if (run.kind == "probe") {
            input.probes.push_back(probe_of(session, run, records[number]));
        } else if (run.kind == "generate") {
            const std::string group = text_of(run.manifest, "group");
            const auto known = group.empty() ? groups.end() : groups.find(group);
            if (known == groups.end()) {
                if (!group.empty())
                    groups[group] = input.comparisons.size();
                const json ending = records[number].ending;
                input.comparisons.push_back({report_run(run, records[number]), text_of(run.manifest, "prompt"), {}});
                input.comparisons.back().answers.push_back(answer_of(run, ending));
            } else {
                input.comparisons[known->second].answers.push_back(answer_of(run, records[number].ending));
            }
        }
    }
    return input;
}

void write_report(sessions::Session& session, const std::filesystem::path& path, const std::string& language,
                  const ReportProgress& progress) {
    if (language != "en" && language != "zh")
        throw CommandError(fmt::format("the report's language '{}' is not known; 'en' and 'zh' are", language));
    std::error_code error;
    if (std::filesystem::is_directory(path, error))
        throw CommandError(fmt::format("{} is a folder; name the file of the report", path.string()));
    const std::string page = report::html_report(report_input(session, language, progress));
    ProgressRange(progress, 1, 1).at(1);
    base::write_file_atomically(path, page);
}

}  // namespace moescope::node
