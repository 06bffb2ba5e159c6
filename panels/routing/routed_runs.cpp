#include "panels/routing/routed_runs.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::panels {

using nlohmann::json;

namespace {

/// Bytes that the scores of one expert take: of all that a choice is made of, three numbers.
constexpr std::uint64_t kScoreBytes = 12;

/// What the manifest of a reading says of its text, as parameters of the command. An answer of a probe is named by its
/// model too, so no other one can be asked to read it.
json text_of_manifest(const json& manifest) {
    if (const json& from = base::member(manifest, "from"); from.is_object()) {
        const std::uint32_t run = base::run_of(from);
        return run != 0 && !from.contains("item") ? json{{"run", run}} : json();
    }
    json text = json::object();
    for (const char* key : {"text", "data", "tokens", "tokens_of", "first", "chat"}) {
        if (const json& value = base::member(manifest, key); !value.is_null()) {
            text[key] = value;
        }
    }
    return text.contains("text") || text.contains("data") || text.contains("tokens_of") ? text : json();
}

/// What a run has read. All tokens of an earlier run are the text of that one.
json text_of_run(const client::Snapshot& snapshot, std::uint32_t run) {
    json text;
    for (std::uint32_t of = run; of != 0;) {
        const auto read = snapshot.routes.find(of);
        using What = history::RouteRun::What;
        json here;
        if (read != snapshot.routes.end()) {
            if (read->second->what == What::read || read->second->what == What::effect) {
                here = text_of_manifest(read->second->manifest);
            }
        } else if (snapshot.generations.contains(of)) {
            here = {{"run", of}};
        }
        if (here.is_null()) {
            break;  // its tokens can be read, but nothing else says what they are
        }
        text = std::move(here);
        const bool whole = text.contains("tokens_of") && !text.contains("first") && !text.contains("tokens");
        const std::uint32_t earlier =
            whole ? static_cast<std::uint32_t>(std::min<std::uint64_t>(base::count_of(text, "tokens_of"), 0xffffffff))
                  : 0;
        of = earlier < of ? earlier : 0;  // what stands in a journal may go in circles
    }
    return text;
}

}  // namespace

std::optional<CutOff> cut_off(const client::Snapshot& snapshot, const history::RunRouting& routing) {
    const history::RunHeader* run = nullptr;
    CutOff cut;
    if (const auto answer = snapshot.generations.find(routing.run); answer != snapshot.generations.end()) {
        run = answer->second.get();
    } else if (const auto read = snapshot.routes.find(routing.run); read != snapshot.routes.end()) {
        run = read->second.get();
        const std::uint64_t asked = base::count_of(run->manifest, "tokens");
        cut.wanted = base::count_of(read->second->result, "wanted", asked);
    }
    if (run == nullptr || !protocol::ended(run->state) || run->state == history::RunState::done) {
        return {};
    }
    cut.tokens = routing.tokens;
    cut.state = run->state;
    cut.why = run->message;
    return cut;
}

std::string cut_off_text(const ui::Language& text, const CutOff& cut, std::size_t longest) {
    std::string why = text("routing.cut.stopped");
    if (cut.state != history::RunState::stopped) {
        const bool failed = cut.state == history::RunState::failed;
        why = cut.why.empty() ? text(failed ? "routing.cut.failed" : "routing.cut.interrupted")
                              : text.format(failed ? "routing.cut.failed.why" : "routing.cut.interrupted.why",
                                            {{"why", base::shortened(base::one_line(text.message(cut.why)), longest)}});
    }
    return text.format(cut.wanted > 0 ? "routing.cut" : "routing.cut.of_unknown",
                       {{"n", text.number(cut.tokens)}, {"m", text.number(cut.wanted)}, {"why", why}});
}

std::optional<RoutedRun> routed_run(const client::Snapshot& snapshot, std::uint32_t run) {
    const auto found = snapshot.routing.find(run);
    if (found == snapshot.routing.end() || !found->second || !found->second->trace) {
        return {};
    }
    RoutedRun routed;
    routed.routing = found->second;
    routed.model = model_of(snapshot, *routed.routing);
    routed.alive = grows(snapshot, *routed.routing);
    routed.cut = cut_off(snapshot, *routed.routing);
    routed.text = text_of_run(snapshot, run);
    if (const auto trained = history::checkpoint_named(model_with_set(snapshot, routed.model).model)) {
        routed.training = trained->run;
    }
    const json& changes = routed.routing->interventions;
    const bool changed = changes.is_array() && !changes.empty();
    const auto checkpoint = history::checkpoint_named(routed.model);
    if (checkpoint && checkpoint->which == history::CheckpointName::Which::step && !changed) {
        routed.checkpoint = checkpoint;
    }
    return routed;
}

std::vector<RoutedRun> routed_runs(const client::Snapshot& snapshot) {
    std::vector<RoutedRun> runs;
    for (auto entry = snapshot.routing.rbegin(); entry != snapshot.routing.rend(); ++entry) {
        if (!entry->second || !entry->second->trace || entry->second->trace->chunks() == 0) {
            continue;
        }
        if (auto run = routed_run(snapshot, entry->first)) {
            runs.push_back(std::move(*run));
        }
    }
    return runs;
}

bool same_text(const RoutedRun& a, const RoutedRun& b) {
    return !a.text.is_null() && a.text == b.text;
}

bool same_shape(const RoutedRun& a, const RoutedRun& b) {
    const routing::RouterSpec &x = a.routing->trace->spec(), &y = b.routing->trace->spec();
    return x.routed_layers == y.routed_layers && x.experts == y.experts && x.experts_per_token == y.experts_per_token;
}

std::optional<std::uint32_t> default_second(const std::vector<RoutedRun>& runs, const RoutedRun& first) {
    for (const bool whole : {true, false}) {
        const auto found = std::find_if(runs.begin(), runs.end(), [&](const RoutedRun& run) {
            return run.run() != first.run() && !run.cut == whole && same_shape(run, first) && same_text(run, first);
        });
        if (found != runs.end()) {
            return found->run();
        }
    }
    return {};
}

std::string text_name(const ui::Language& text, const json& parameters) {
    constexpr std::size_t kLongest = 40;  // bytes
    if (const std::string typed = base::text_of(parameters, "text"); !typed.empty()) {
        return "\u201c" + in_one_line(typed, kLongest) + "\u201d";
    }
    if (const std::string data = base::text_of(parameters, "data"); !data.empty()) {
        const std::string name =
            data == "manpages" ? text("structure.text.built_in") : displayable(data.substr(data.find_last_of('/') + 1));
        const std::uint64_t tokens = base::count_of(parameters, "tokens");
        return tokens == 0 ? name : text.format("structure.text.tokens", {{"name", name}, {"n", text.number(tokens)}});
    }
    if (const std::uint64_t of = base::count_of(parameters, "tokens_of"); of != 0) {
        const std::uint64_t tokens = base::count_of(parameters, "tokens");
        return text.format(tokens > 0 ? "structure.text.part" : "structure.text.same",
                           {{"run", std::to_string(of)}, {"n", text.number(tokens)}});
    }
    if (const std::uint32_t run = base::run_of(parameters); run != 0) {
        return text.format("structure.text.answer", {{"run", std::to_string(run)}});
    }
    return text("structure.text.unknown");
}

std::vector<CheckpointSeries> checkpoint_series(const client::Snapshot& snapshot, std::uint32_t shown) {
    std::vector<CheckpointSeries> all;
    for (RoutedRun& run : routed_runs(snapshot)) {
        if (!run.checkpoint || run.text.is_null() || run.cut) {
            continue;
        }
        const auto fits = [&](const CheckpointSeries& series) {
            return series.training == run.checkpoint->run && same_text(series.runs.front(), run) &&
                   same_shape(series.runs.front(), run);
        };
        auto series = std::find_if(all.begin(), all.end(), fits);
        if (series == all.end()) {
            all.push_back({run.checkpoint->run, {}});
            series = std::prev(all.end());
        }
        // The newest ones come first.
        if (std::none_of(series->runs.begin(), series->runs.end(),
                         [&](const RoutedRun& other) { return other.checkpoint->step == run.checkpoint->step; })) {
            series->runs.push_back(std::move(run));
        }
    }
    all.erase(std::remove_if(all.begin(), all.end(), [](const auto& series) { return series.runs.size() < 2; }),
              all.end());
    for (CheckpointSeries& series : all) {
        std::sort(series.runs.begin(), series.runs.end(),
                  [](const RoutedRun& a, const RoutedRun& b) { return a.checkpoint->step < b.checkpoint->step; });
    }
    std::stable_partition(all.begin(), all.end(), [&](const CheckpointSeries& series) {
        return std::any_of(series.runs.begin(), series.runs.end(),
                           [&](const RoutedRun& run) { return run.run() == shown; });
    });
    return all;
}

std::uint64_t score_bytes(std::uint64_t experts, std::uint64_t tokens) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
    if (experts == 0 || tokens == 0) {
        return 0;
    }
    return tokens <= kMost / kScoreBytes / experts ? kScoreBytes * experts * tokens : kMost;
}

std::uint64_t experts_of_model(const client::Snapshot& snapshot, const std::string& model) {
    if (const auto checkpoint = history::checkpoint_named(model_with_set(snapshot, model).model)) {
        if (const auto run = snapshot.training.find(checkpoint->run); run != snapshot.training.end()) {
            return std::uint64_t{run->second->layers} * run->second->experts;
        }
    }
    const auto trace = trace_of_model(snapshot, model);
    return trace ? trace->spec().routed_layers.size() * static_cast<std::uint64_t>(std::max(0, trace->spec().experts))
                 : 0;
}

const char* reading_detail(std::uint64_t experts, std::uint64_t tokens) {
    return experts > 0 && score_bytes(experts, tokens) <= kMostScoreBytes ? "scores" : "weights";
}

std::vector<json> read_checkpoints(const history::TrainingRun& run, const json& text, std::uint64_t tokens,
                                   const std::string& group) {
    std::vector<json> commands;
    for (const std::uint64_t step : run.checkpoints) {
        json command = text;
        command["model"] =
            history::to_text({.run = run.id, .which = history::CheckpointName::Which::step, .step = step});
        command["detail"] = reading_detail(std::uint64_t{run.layers} * run.experts, tokens);
        command["group"] = group;
        commands.push_back(std::move(command));
    }
    return commands;
}

json built_in_text() {
    return {{"data", "manpages"}, {"tokens", kBuiltInTokens}};
}

}  // namespace moescope::panels
