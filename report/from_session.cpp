#include "report/from_session.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/comparisons.hpp"
#include "nodes/history/load_sums.hpp"
#include "nodes/history/main_loss.hpp"
#include "nodes/history/run_title.hpp"

namespace moescope::report {

namespace {

using base::count_of;
using base::number_of;
using base::text_of;
using base::texts_of;
using nlohmann::json;

std::string value_text(const json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<Mark> marks_of(const history::TrainingRun& run, const base::Messages& messages) {
    std::vector<Mark> marks;
    for (const history::RunEvent& event : run.events) {
        const auto step = static_cast<double>(event.step);
        if (event.kind == "knob") {
            marks.push_back({step, fmt::format("{} {} -> {}", messages.translate(base::setting_name(event.name)),
                                               value_text(event.old_value), value_text(event.new_value))});
        } else if (event.kind == "rewind" || event.kind == "fault" || event.kind == "expert") {
            marks.push_back({step, messages.translate(event.text)});
        }
    }
    return marks;
}

Series series(const std::string& name, const history::Column& steps, const history::Column& values) {
    Series result{name, {}, false};
    result.points.reserve(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
        result.points.push_back({steps[i], values[i]});
    }
    return result;
}

/// The main loss with the held-out ones, which it can be compared with; the total beside it, where it is another.
Chart loss_chart(const history::TrainingRun& run, const std::vector<Mark>& marks) {
    const history::Column &total = run[&base::StepValues::loss], &main = history::main_loss(run);
    Chart chart{"loss", "step", "", "loss", "nats/token", {}, marks};
    chart.series.push_back(series(&main == &total ? "total_loss" : "cross_entropy", run.step, main));
    chart.series.push_back(series("heldout_en", run.evaluation_step, run.evaluation_english));
    chart.series.push_back(series("heldout_zh", run.evaluation_step, run.evaluation_chinese));
    bool differs = false;
    for (std::size_t i = 0; i < run.step.size() && !differs; ++i) {
        differs = std::abs(total[i] - main[i]) > 1e-9;
    }
    if (differs) {
        chart.series.push_back(series("total_loss", run.step, total));
        chart.series.back().dashed = true;
    }
    return chart;
}

std::vector<Chart> charts_of(const history::TrainingRun& run, const base::Messages& messages) {
    const auto marks = marks_of(run, messages);
    std::vector<Chart> charts = {loss_chart(run, marks)};
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        const base::StepValue& row = base::kStepValues[i];
        if (row.chart == base::StepChart::own && !run.values[i].range(0, run.step.size()).empty()) {
            Series values = series(row.key, run.step, run.values[i]);
            if (row.plot == base::StepPlot::error) {  // measured at some steps only: no holes between them
                std::erase_if(values.points, [](const auto& point) { return std::isnan(point.y); });
            }
            charts.push_back({row.key, "step", "", row.key, row.unit, {std::move(values)}, marks});
        }
    }
    return charts;
}

/// Share of each expert over the last steps.
std::vector<Load> loads_of(const history::TrainingRun& run) {
    if (run.counts.empty() || run.layers == 0 || run.experts == 0) {
        return {};
    }
    const std::size_t first = run.counts.size() - std::min(run.counts.size(), kLoadSteps);
    history::LoadSums sums;
    sums.update({run.counts.begin() + static_cast<std::ptrdiff_t>(first), run.counts.end()}, run.layers, run.experts);
    return {{"expert_load", run.layers, run.experts, history::shares(sums.loads())}};
}

Run run_of(const history::RunHeader& run, const std::map<std::uint32_t, std::string>& records_sha256,
           const base::Messages& messages) {
    json manifest = run.manifest.is_object() ? run.manifest : json::object();
    manifest.erase("set_text");  // the set itself is printed, its hash stays
    if (!run.message.empty()) {
        manifest["message"] = messages.translate(run.message);
    }
    const auto sha256 = records_sha256.find(run.id);
    return {run.name, protocol::run_state_name(run.state), sha256 == records_sha256.end() ? "" : sha256->second,
            std::move(manifest)};
}

/// Of a run that repeats another one: what came out of the comparison; empty for any other run.
base::Sentence outcome_of(const history::TrainingRun& run) {
    using base::say;
    const json& origin = base::member(run.manifest, "replay");
    if (!origin.is_object()) {
        return {};
    }
    const base::Sentence name = history::quoted(text_of(origin, "name"));
    const std::uint64_t recorded = count_of(origin, "steps");
    if (!run.replay.is_object()) {
        return say("repeats {}, which has {} steps; the comparison did not come to its end", name, recorded);
    }
    const json& same = base::member(run.replay, "parameters_equal");
    const base::Sentence parameters = !same.is_boolean() ? say("the parameters at the end could not be compared")
                                      : same.get<bool>() ? say("the parameters at the end are equal")
                                                         : say("the parameters at the end are others");
    if (!run.replay.contains("first_difference")) {
        return say("repeats {}: {} of {} steps compared, all equal; {}", name, count_of(run.replay, "steps"), recorded,
                   parameters);
    }
    const auto event = std::find_if(run.events.begin(), run.events.end(),
                                    [](const history::RunEvent& one) { return one.kind == "difference"; });
    return say("repeats {}: the first difference is at step {}: {}; {}", name, count_of(run.replay, "first_difference"),
               event == run.events.end() ? say("the total loss was {:.9g} and is {:.9g}",
                                               number_of(run.replay, "recorded_loss"), number_of(run.replay, "loss"))
                                         : event->text,
               parameters);
}

/// Every curve by its own name: those that mean a value of ours too, as other programs may mean something else by it.
Training imported_of(const history::ImportedRun& run, const std::map<std::uint32_t, std::string>& records_sha256,
                     const base::Messages& messages) {
    constexpr std::size_t kMostCurves = 40;
    Training training{run_of(run, records_sha256, messages), {}, {}, {}};
    training.imported = true;
    for (std::size_t i = 0; i < std::min(run.curves.size(), kMostCurves); ++i) {
        const history::ImportedCurve& curve = run.curves[i];
        training.charts.push_back(
            {curve.name, "step", "", curve.name, curve.unit, {series(curve.name, curve.step, curve.value)}, {}});
    }
    if (run.curves.size() > kMostCurves) {
        training.outcome = messages.translate(
            base::say("the first {} of {} curves are shown", std::uint64_t{kMostCurves}, run.curves.size()));
    }
    return training;
}

Training training_of(const history::TrainingRun& run, const std::map<std::uint32_t, std::string>& records_sha256,
                     const base::Messages& messages) {
    Training training{run_of(run, records_sha256, messages), charts_of(run, messages), loads_of(run), {}};
    training.outcome = messages.translate(outcome_of(run));
    for (const history::TextSample& sample : run.samples) {
        training.samples.push_back({sample.step, sample.language, sample.prompt, sample.text});
    }
    return training;
}

/// A model by what the library calls it, with the changes to its routers that its name says.
base::Sentence titled(const std::string& model, const std::string& title) {
    const auto changed = history::model_with_set(model);
    return changed ? base::say("{} with {}", title, changed->set) : base::Sentence::verbatim(title);
}

Answer answer_of(const history::Generation& run, const std::map<std::uint32_t, std::string>& records_sha256,
                 const base::Messages& messages) {
    Answer answer;
    answer.run = run_of(run, records_sha256, messages);
    answer.model = base::shown_name(text_of(run.manifest, "model_title"));
    answer.model =
        messages.translate(answer.model.empty() ? history::model_sentence(run.model) : titled(run.model, answer.model));
    answer.run.name = answer.model;  // it is called by its model
    answer.text = run.text.empty() ? messages.translate(run.message) : run.text;
    answer.shown = run.shown;
    if (protocol::ended(run.state)) {
        answer.labels = probes::label_answer(text_of(run.manifest, "prompt"), run.text, run.stop,
                                             probes::ends_inside_reasoning(run.shown));
        answer.labels->rule = base::Sentence::verbatim(messages.translate(answer.labels->rule));
    }
    answer.stop = run.stop;
    answer.tokens = run.token_count > 0 ? run.token_count : run.tokens.size();
    answer.tokens_per_second = std::isfinite(run.tokens_per_second) ? run.tokens_per_second : 0;
    const double temperature = number_of(run.manifest, "temperature");
    answer.settings = messages.translate(
        temperature > 0 ? base::say("temperature {:g}, seed {}", temperature, count_of(run.manifest, "seed"))
                        : base::say("greedy"));
    return answer;
}

/// A word that is no delivery (of a later version) counts as an error, like an answer that did not come.
probes::Delivery delivery_of(const std::string& name) {
    return probes::delivery_from_name(name).value_or(probes::Delivery::error);
}

/// What a person reads for the name of a model: what the library called it when the run began, a checkpoint's run and
/// step. Models of one title keep their names beside it.
class ModelNames {
 public:
    ModelNames(const history::ProbeRun& run, const base::Messages& messages) : messages_(messages) {
        const json& titles = base::member(run.manifest, "model_title");
        std::map<std::string, int> uses;
        for (const std::string& model : run.models) {
            const std::string title = base::shown_name(text_of(titles, model.c_str()));
            titles_[model] = title.empty() ? title : messages.translate(titled(model, title));
            ++uses[titles_[model]];
        }
        for (auto& [model, title] : titles_) {
            title += title.empty() || uses[title] < 2 ? "" : " (" + model + ")";
        }
    }
    std::string operator()(const std::string& model) const {
        const auto title = titles_.find(model);
        return title == titles_.end() || title->second.empty() ? messages_.translate(history::model_sentence(model))
                                                               : title->second;
    }

 private:
    const base::Messages& messages_;
    std::map<std::string, std::string> titles_;
};

/// Wherever the statistics name a model.
void name_models(json& statistics, const ModelNames& names) {
    const auto name = [&](json& value) {
        if (value.is_string()) {
            value = names(value.get<std::string>());
        }
    };
    for (auto& [key, value] : statistics.items()) {
        if (key == "model") {
            name(value);
        } else if (key == "models") {
            for (json& one : value) {
                name(one);
            }
        } else if (value.is_structured()) {
            name_models(value, names);
        }
    }
}

Probe probe_of(const history::ProbeRun& run, const std::map<std::uint32_t, std::string>& records_sha256,
               const base::Messages& messages) {
    Probe probe;
    probe.run = run_of(run, records_sha256, messages);
    probe.set = set_of_run(run);
    probe.statistics = statistics_of(run);
    const ModelNames names(run, messages);
    name_models(probe.statistics, names);
    auto draws = draws_of(run);
    for (std::size_t i = 0; i < draws.size(); ++i) {
        draws[i].model = names(draws[i].model);
        // The page has one language: from here on the rule is a text.
        draws[i].labels.rule = base::Sentence::verbatim(messages.translate(draws[i].labels.rule));
        const history::ProbeDraw& known = *run.draws[i];
        ProbeAnswer answer{draws[i], known.prompt, known.answer, known.stop, known.shown};
        if (known.labelled_by_person) {
            answer.coder = known.coder;
            answer.rule = probes::Labels{};
            answer.rule->delivery = delivery_of(known.rule_delivery);
            answer.rule->engagement = known.rule_engagement;
        }
        probe.draws.push_back(std::move(answer));
    }
    return probe;
}

/// What a note stands on: with the names that the page has for runs and models.
std::string place_text(const history::NotePlace& on, const history::Session& history, const base::Messages& messages) {
    const auto runs = history.runs();
    const auto run = runs.find(on.run);
    std::string place = messages.translate(history::note_place_sentence(on));
    if (run == runs.end()) {
        return place;
    }
    const std::string name = run->second->kind == history::RunKind::generate
                                 ? messages.translate(history::model_sentence(history.answers().at(on.run).value.model))
                                 : run->second->name;
    return name.empty() ? place : place + " (" + name + ")";
}

/// "2026-11-30 23:05 UTC"
std::string time_text(std::uint64_t time_ns) {
    const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
    std::tm parts{};
    std::array<char, 32> text{};
    if (gmtime_r(&seconds, &parts) == nullptr) {
        return {};
    }
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts)};
}

std::vector<WrittenNote> notes_of(const history::Session& history, const base::Messages& messages) {
    std::vector<WrittenNote> notes;
    for (const auto& [number, note] : history.notes().all()) {
        // A later version may have others, for which the page has no word.
        const bool known = note.role == "viewer" || note.role == "operator" || note.role == "admin";
        notes.push_back({place_text(note.on, history, messages), note.text, note.author,
                         known ? note.role : std::string(), time_text(note.changed_ns)});
    }
    return notes;
}

}  // namespace

probes::Set set_of_run(const history::RunHeader& run) {
    const std::string text = text_of(run.manifest, "set_text");
    if (text.empty()) {
        throw base::Error(base::say("the journal does not hold the probe set of run {}; start a new run", run.id));
    }
    auto set = probes::parse_set(text, base::say("of run {}", run.id));
    if (const auto items = run.manifest.find("items"); items != run.manifest.end() && items->is_array()) {
        std::erase_if(set.items, [&](const probes::Item& item) {
            return std::find(items->begin(), items->end(), json(item.id)) == items->end();
        });
    }
    return set;
}

std::vector<probes::Draw> draws_of(const history::ProbeRun& run) {
    std::vector<probes::Draw> draws;
    draws.reserve(run.draws.size());
    for (const auto& known : run.draws) {
        probes::Draw draw;
        draw.item = known->item;
        draw.group = known->group;
        draw.topic = known->topic;
        draw.model = known->model;
        draw.language = known->language;
        draw.draw = known->draw;
        draw.labels.delivery = delivery_of(known->delivery);
        draw.labels.engagement = known->engagement;
        draw.labels.rule = known->rule;
        draw.by_person = known->labelled_by_person;
        draw.consensus = known->consensus;
        for (const history::ProbeCoding& coding : known->codings) {
            probes::CoderLabels coder{coding.coder, {}};
            coder.labels.delivery = delivery_of(coding.delivery);
            coder.labels.engagement = coding.engagement;
            draw.coders.push_back(std::move(coder));
        }
        draws.push_back(std::move(draw));
    }
    return draws;
}

json statistics_of(const history::ProbeRun& run) {
    return probes::statistics(set_of_run(run), texts_of(run.manifest, "models"), draws_of(run));
}

Input input_of(const history::Session& history, const std::map<std::uint32_t, std::string>& records_sha256,
               const base::Messages& messages) {
    Input input;
    input.notes = notes_of(history, messages);
    history::ComparisonNumbers numbers;
    for (const auto& [id, header] : history.runs()) {
        switch (header->kind) {
            case history::RunKind::train:
                input.trainings.push_back(training_of(history.trainings().at(id).value, records_sha256, messages));
                break;
            case history::RunKind::imported:
                input.trainings.push_back(imported_of(history.imports().at(id).value, records_sha256, messages));
                break;
            case history::RunKind::probe:
                input.probes.push_back(probe_of(history.probes().at(id).value, records_sha256, messages));
                break;
            case history::RunKind::generate: {
                // The answers of one comparison stand side by side; its number counts from 1.
                const history::Generation& run = history.answers().at(id).value;
                const std::uint32_t number = numbers.next(run);
                if (number > input.comparisons.size()) {
                    input.comparisons.push_back({number, text_of(run.manifest, "prompt"), {}});
                }
                input.comparisons[number - 1].answers.push_back(answer_of(run, records_sha256, messages));
                break;
            }
            case history::RunKind::route:
                break;  // is looked at in the window, and exported as a trace
        }
    }
    return input;
}

}  // namespace moescope::report
