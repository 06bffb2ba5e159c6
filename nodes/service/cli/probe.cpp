// moescope-node probe: the questions of a set, asked of models.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "base/text.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/asked_model.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/remote_jobs.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/jobs/probe_job.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/library/command_error.hpp"
#include "probes/words.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RunState;

namespace {

struct ProbeOptions {
    std::string set, out, device, node;
    Wait wait;
    std::vector<std::string> models;
    std::optional<std::size_t> limit;
    std::optional<std::string> system;
    int max_tokens = 160;
    bool plain = false;  ///< not in the chat templates
    bool resume = false, json = false;
};

void print_draw(const json& draw, bool as_json, std::size_t number) {
    if (as_json) {
        print_json(draw);
        return;
    }
    const double left = draw.value("seconds_left", 0.0);
    fmt::print("{:>4} / {}  {}  {}  {}: {}, {}  ({:.0f} s left)\n", number, draw.value("planned", 0),
               base::shown_name(draw.value("model", "")), draw.value("language", ""),
               base::shown_name(draw.value("item", "")), probes::delivery_words(draw.value("delivery", "")),
               probes::engagement_name(draw.value("engagement", -1)), std::max(0.0, left));
    if (draw.value("delivery", "") == probes::delivery_name(probes::Delivery::error)) {
        fmt::print("      {}\n", base::text_of(draw, "rule"));
    }
    std::fflush(stdout);
}

/// The rates of the two groups, as the panel and the report show them.
void print_rates(const json& statistics) {
    fmt::print("\n{:<24} {:<8} {:<4} {:>22} {:>22}\n", "model", "group", "lang", "engaged %", "refused %");
    const auto rate = [](const json& value) {
        if (!value["estimate"].is_number()) {
            return std::string("no answers");
        }
        return fmt::format("{:.0f} [{:.0f}, {:.0f}]", 100 * value["estimate"].get<double>(),
                           100 * value["low"].get<double>(), 100 * value["high"].get<double>());
    };
    for (const auto& cell : statistics.at("cells")) {
        if (cell.at("scope") == "group") {
            fmt::print("{:<24} {:<8} {:<4} {:>22} {:>22}\n", base::shown_name(cell["model"].get<std::string>()),
                       cell["group"].get<std::string>(), cell["language"].get<std::string>(), rate(cell["engaged"]),
                       rate(cell["refused"]));
        }
    }
}

/// "3 items of starter, models a, b, max-tokens 160".
std::string probe_settings(const ProbeRequest& order) {
    std::string models;
    for (const auto& model : order.models) {
        base::append_to_list(models, model.name);
    }
    return fmt::format("{} items of {}, models {}, max-tokens {}", order.set.items.size(), order.set.name, models,
                       order.max_tokens);
}

/// --resume must mean the same run: other settings are refused instead of being ignored.
void check_same_run(const ProbeOptions& options, const ProbeRequest& wanted, const ProbeRequest& earlier) {
    const auto same_item = [](const probes::Item& a, const probes::Item& b) { return a.id == b.id; };
    const auto same_model = [](const ProbeModel& a, const ProbeModel& b) {
        return a.name == b.name || (!b.path.string().empty() && a.path.string() == b.path.string());
    };
    const bool same = std::equal(wanted.set.items.begin(), wanted.set.items.end(), earlier.set.items.begin(),
                                 earlier.set.items.end(), same_item) &&
                      std::equal(wanted.models.begin(), wanted.models.end(), earlier.models.begin(),
                                 earlier.models.end(), same_model) &&
                      wanted.set.name == earlier.set.name && wanted.max_tokens == earlier.max_tokens &&
                      wanted.languages == earlier.languages && wanted.draws == earlier.draws &&
                      wanted.temperature == earlier.temperature && wanted.seed == earlier.seed &&
                      wanted.system == earlier.system && wanted.chat == earlier.chat;
    if (!same) {
        throw CommandError(
            say("the probe run in {} was started with other settings ({}); give the same ones to resume it, or another "
                "folder with --out to start anew",
                options.out, probe_settings(earlier)));
    }
    if (wanted.set.sha256 != earlier.set.sha256) {
        throw CommandError(
            say("the probe set {} has changed since the run in {} began; put the old file back to resume it, or give "
                "another folder with --out to start anew",
                options.set, options.out));
    }
}

/// `known`: the run that --resume means, if there is one.
ProbeRequest order_from(const ProbeOptions& options, ProbeRequest wanted, LocalNode& node,
                        const std::optional<history::RunHeader>& known) {
    if (known) {
        auto earlier = known->state == RunState::done ? probe_order(*known) : order_to_resume(*known);
        check_same_run(options, wanted, earlier);
        take_models(earlier, wanted.models);
        return earlier;
    }
    wanted.name = running_name(wanted.set.name, node.names(protocol::RunKind::probe));
    wanted.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::probe), wanted.name);
    return wanted;
}

void print_end(RunState state, std::size_t answers, const json& statistics, bool as_json) {
    if (as_json) {
        print_json({{"done", state == RunState::done},
                    {"state", protocol::run_state_name(state)},
                    {"answers", answers},
                    {"statistics", statistics}});
    } else if (!statistics.is_null()) {
        print_rates(statistics);
    }
}

/// Puts every model there that can be computed there, before a session folder is made. GGUF files stay on the processor
/// where the device is for our own engine's models alone.
void choose_device(const ProbeOptions& options, ProbeRequest& wanted, const Paths& paths) {
    if (options.device.empty()) {
        return;
    }
    kernels::Devices devices(device_places(paths));
    devices.check(options.device);
    std::optional<base::Sentence> no_gguf;
    bool any = false;
    for (ProbeModel& model : wanted.models) {
        bool there = is_of_own_engine(model.path) || (!model.path.is_server() && options.device == kernels::kProcessor);
        if (!there && !model.path.is_server() && !no_gguf) {
            try {
                devices.check_gguf(options.device);
                there = true;
            } catch (const base::Error& error) {
                no_gguf = error.sentence();
            }
        }
        if (there) {
            model.path.device = options.device;
            any = true;
        }
    }
    if (!any) {
        throw CommandError(no_gguf ? *no_gguf
                                   : say("none of the models is computed here; leave out --device {}", options.device));
    }
}

json parameters_of(const ProbeOptions& options) {
    json request = {{"set", options.set}, {"models", options.models}, {"max_tokens", options.max_tokens}};
    if (options.limit) {
        request["limit"] = *options.limit;
    }
    if (options.system) {
        base::require_utf8(*options.system, base::marked("the system text"));
        request["system"] = *options.system;
    }
    request["chat"] = !options.plain;
    return request;
}

int probe_there(const Paths& paths, const ProbeOptions& options) {
    if (options.resume || !options.device.empty()) {
        throw base::Error(base::say("--resume and --device do not go with --node"));
    }
    std::size_t number = 0;
    return probe_on_node(
        paths, options.node, options.wait, parameters_of(options),
        [&](const json& draw) { print_draw(draw, options.json, ++number); },
        [&](const history::ProbeRun& run) { print_end(run.state, number, run.statistics, options.json); });
}

int probe_command(const Paths& paths, const ProbeOptions& options) {
    if (!options.node.empty()) {
        return probe_there(paths, options);
    }
    HeldSignals signals;
    const json request = parameters_of(options);
    auto wanted = parse_probe(request, paths);  // a bad set is found before a session folder is made
    {
        const PrintedLibrary models(paths);
        for (auto& model : wanted.models) {
            model.path = models.resolve_source(model.name);
            model.sha256 = models.known_sha256(model.path);
        }
    }
    choose_device(options, wanted, paths);
    std::size_t number = 0;
    if (options.resume) {
        require_session_to_resume(options.out);
    }
    LocalNode node(paths, options.out, [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        if (type == protocol::RecordType::probe_draw) {
            if (const auto draw = protocol::decode_json(body)) {
                print_draw(*draw, options.json, ++number);
            }
        }
    });
    const auto known = options.resume ? latest_run(node.session->journal(), protocol::RunKind::probe) : std::nullopt;
    auto order = order_from(options, std::move(wanted), node, known);
    if (known) {
        order.known = std::make_shared<history::Session>(history::read_run(*node.session, order.run));
        const history::ProbeRun& run = order.known->probes().at(order.run).value;
        number = run.draws.size();
        if (known->state == RunState::done) {
            print_end(known->state, number, probe_statistics(run), options.json);
            return 0;
        }
    }
    const std::uint32_t result_run = order.run;
    ProbeResult result;
    {
        ProbeJob job(node.parts, std::move(order));
        wait_for(job, signals);
        result = job.result();
    }
    finish(node, result);
    print_end(result.state, result.answers, result.statistics, options.json);
    if (result.state == RunState::stopped) {
        throw Stopped(signals.first(), base::say("after {} answers, which are kept; --resume goes on", result.answers));
    }
    const history::Session history = history::read_run(*node.session, result_run);
    if (const auto run = history.probes().find(result_run); run != history.probes().end()) {
        if (const base::Sentence failure = failure_of_all(run->second.value); !failure.empty()) {
            throw base::Error(base::say("no model could answer: {}", failure));
        }
    }
    return 0;
}

}  // namespace

void add_probe(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ProbeOptions>();
    auto* probe = app.add_subcommand("probe", "Ask two or more models the questions of a set");
    probe->footer("Needs --out, or --node: then it is asked in that node's session.");
    probe->add_option("--set", options->set, "Name of a probe set, or a file")->required()->check(filled());
    probe->add_option("--models", options->models, "Models, separated by commas")
        ->required()
        ->delimiter(',')
        ->check(filled());
    probe->add_option("--out", options->out, "Session folder; created when missing")->check(filled());
    probe->add_option("--limit", options->limit, "Only so many items, from both groups in turn")
        ->check(whole_number(1, kMostItems));
    probe->add_option("--max-tokens", options->max_tokens, "Longest answer")
        ->check(whole_number(1, kMostProbeTokens))
        ->capture_default_str();
    probe->add_option("--system", options->system, kSystemHelp);
    add_device_option(*probe, options->device);
    probe->add_flag("--no-chat", options->plain, kPlainHelp);
    probe->add_flag("--resume", options->resume, "Go on with the latest probe run in the session");
    probe->add_flag("--json", options->json, "JSON Lines on standard output");
    add_node_option(*probe, options->node, options->wait);
    probe->callback([&chosen, options] {
        if (options->node.empty() == options->out.empty()) {
            throw CLI::ValidationError("probe needs --out, or --node: then it is asked in that node's session");
        }
        chosen.command = [options](const Paths& paths) { return probe_command(paths, *options); };
    });
}

}  // namespace moescope::node
