// moescope-node merge: codings of a probe run from copies of a session, and how far the coders agree.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/remote_jobs.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/probe_job.hpp"
#include "nodes/service/jobs/probe_merge.hpp"
#include "probes/words.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kUnsettled = 3;

struct MergeOptions {
    std::string node, session, conflicts = "ask", unnamed;
    Wait wait;
    std::vector<std::string> others;
    std::uint32_t run = 0;
    bool json = false;
};

std::string coder_name(const std::string& coder) {
    return coder.empty() ? std::string("(no name)") : for_terminal(coder);
}

/// "0.71 [0.52, 0.86]".
std::string figure(const json& value) {
    const auto number = [](const json& one) {
        return one.is_number() ? fmt::format("{:.2f}", one.get<double>()) : std::string("?");
    };
    return value["estimate"].is_number()
               ? fmt::format("{} [{}, {}]", number(value["estimate"]), number(value["low"]), number(value["high"]))
               : std::string("not defined: no variation");
}

void print_agreement(const json& agreement) {
    for (const json& field : agreement["fields"]) {
        fmt::print("  {} ({}): {} answers by two or more, alike {}, Krippendorff's alpha {}\n",
                   field["field"].get<std::string>(), field["scale"].get<std::string>(),
                   field["n"].get<std::uint64_t>(), field["alike"].get<std::uint64_t>(), figure(field["alpha"]));
        for (const json& pair : field["pairs"]) {
            fmt::print(
                "    {} and {}: {} answers, alike {:.0f} %, Cohen's kappa {}{}\n",
                coder_name(pair["first"].get<std::string>()), coder_name(pair["second"].get<std::string>()),
                pair["n"].get<std::uint64_t>(), 100 * pair["agreed"].get<double>(), figure(pair["kappa"]),
                pair["ac1"].is_number() ? fmt::format(", AC1 {:.2f}", pair["ac1"].get<double>()) : std::string());
        }
    }
    fmt::print("  {} answers with different codings, {} of them without a consensus\n",
               agreement["disagreements"].get<std::uint64_t>(), agreement["open"].get<std::uint64_t>());
}

json disagreements_of(const history::ProbeRun& run) {
    json list = json::array();
    for (const auto& draw : run.draws) {
        if (!draw->disagreed) {
            continue;
        }
        json codings = json::array();
        for (const history::ProbeCoding& coding : draw->codings) {
            codings.push_back(
                {{"coder", coding.coder}, {"delivery", coding.delivery}, {"engagement", coding.engagement}});
        }
        list.push_back({{"item", draw->item},
                        {"model", draw->model},
                        {"language", draw->language},
                        {"draw", draw->draw},
                        {"codings", codings},
                        {"consensus", draw->consensus}});
    }
    return list;
}

/// Of every probe run that two have coded.
json agreements_of(const history::Session& history) {
    json runs = json::array();
    for (const auto& [id, run] : history.probes()) {
        const json statistics = probe_statistics(run.value);
        if (!statistics["agreement"].is_null()) {
            runs.push_back({{"run", id},
                            {"name", run.value.name},
                            {"sha256", probe_hash(run.value)},
                            {"agreement", statistics["agreement"]},
                            {"disagreements", disagreements_of(run.value)}});
        }
    }
    return runs;
}

void print_conflict(const json& conflict) {
    const auto label = [](const json& side) { return for_terminal(side["value"].get<std::string>()); };
    fmt::print(
        "  {}, {} {} {} {}: {} is {} here and {} there{}\n",
        conflict["consensus"].get<bool>() ? std::string("consensus") : coder_name(conflict["coder"].get<std::string>()),
        for_terminal(conflict["item"].get<std::string>()), for_terminal(conflict["model"].get<std::string>()),
        for_terminal(conflict["language"].get<std::string>()), conflict["draw"].get<int>(),
        conflict["field"].get<std::string>(), label(conflict["mine"]), label(conflict["theirs"]),
        conflict["taken"].is_null() ? std::string()
                                    : fmt::format("; kept: {}", conflict["taken"] == "theirs" ? "theirs" : "mine"));
}

void print_merge(const json& merge) {
    fmt::print(
        "{}: answers with new codings: {} (F1 and F2 labels: {}), known labels: {}, of answers that are not here: "
        "{}, conflicts: {}\n",
        for_terminal(merge["name"].get<std::string>()), merge["answers"].get<std::size_t>(),
        merge["added"].get<std::size_t>(), merge["same"].get<std::size_t>(), merge["missing"].get<std::size_t>(),
        merge["conflicts_in_all"].get<std::size_t>());
    for (const json& conflict : merge["conflicts"]) {
        print_conflict(conflict);
    }
}

void print_unsettled() {
    fmt::print(stderr, "{}\n",
               base::say("the same coder's codings differ, and nothing of that session was merged; say --conflicts "
                         "mine, theirs or newest")
                   .english());
}

int show_agreement(const MergeOptions& options, const json& merges, sessions::Session& session) {
    const json runs = agreements_of(read_codings(session));
    bool settled = true;
    for (const json& merge : merges) {
        settled = settled && merge["merged"].get<bool>();
    }
    if (options.json) {
        print_json({{"merges", merges}, {"runs", runs}});
    } else {
        for (const json& run : runs) {
            fmt::print("run {} {}: codings of {} answers by two or more\n", run["run"].get<std::uint32_t>(),
                       for_terminal(run["name"].get<std::string>()), run["agreement"]["answers"].get<std::uint64_t>());
            print_agreement(run["agreement"]);
        }
        if (runs.empty()) {
            fmt::print("no answer was coded by two people\n");
        }
    }
    if (!settled) {
        print_unsettled();
    }
    return settled ? 0 : kUnsettled;
}

/// In the session of another node, which gets the copies first.
int merge_there(const Paths& paths, const MergeOptions& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
    node.greeted(signals);
    json merges = json::array();
    bool settled = true;
    for (const std::string& other : options.others) {
        json wanted = {{"path", fs::absolute(other).string()}, {"conflicts", options.conflicts}};
        if (options.run != 0) {
            wanted["run"] = options.run;
        }
        if (!options.unnamed.empty()) {
            wanted["unnamed"] = options.unnamed;
        }
        const json merge = carry_out(node, signals, "probe.merge", wanted, "there");
        settled = settled && base::flag_of(merge, "merged");
        if (!options.json) {
            fmt::print("{}: {} codings new there, {} known, {} of answers that are not there, {} conflicts{}\n",
                       for_terminal(base::text_of(merge, "name")), base::count_of(merge, "added"),
                       base::count_of(merge, "same"), base::count_of(merge, "missing"),
                       base::count_of(merge, "conflicts_in_all"),
                       base::flag_of(merge, "merged") ? "" : "; nothing was merged");
        }
        merges.push_back(merge);
    }
    if (options.json) {
        print_json({{"merges", merges}});
    }
    if (!settled) {
        print_unsettled();
    }
    return settled ? 0 : kUnsettled;
}

int merge_command(const Paths& paths, const MergeOptions& options) {
    if (!options.node.empty()) {
        return merge_there(paths, options);
    }
    if (options.others.empty()) {
        const auto session = sessions::Session::open(options.session, sessions::Journal::Mode::read_only);
        return show_agreement(options, json::array(), *session);
    }
    if (!fs::exists(fs::path(options.session) / "manifest.json")) {
        throw base::Error(
            base::say("{} is no session; the first of them is the one that codings are merged into", options.session));
    }
    HeldSignals signals;
    std::optional<ProgressLine> line;
    const auto progress = [&signals, &line](std::uint64_t done, std::uint64_t total) {
        if (signals.taken(0)) {
            throw Stopped(signals.first(), base::say("before it was done; nothing was merged"));
        }
        line->show_bytes(done, total);
    };
    LocalNode node(paths, options.session, [](protocol::RecordType, const std::vector<std::byte>&) {});
    MergeRequest request;
    request.rule = conflict_rule(options.conflicts);
    request.run = options.run;
    request.unnamed = base::shown_name(options.unnamed);
    json merges = json::array();
    for (const std::string& other : options.others) {
        line.emplace();
        const MergeSource source = open_merge_source(other, progress);
        line.reset();
        print_warnings(source.session->problems());
        const MergePlan plan =
            plan_merge(read_codings(*node.session), read_codings(*source.session), source.name, request);
        if (!plan.undecided()) {
            write_merge(*node.session, node.journal, plan);
        }
        json merge = to_json(plan);
        merge["name"] = source.name;
        if (!options.json) {
            print_merge(merge);
        }
        merges.push_back(std::move(merge));
    }
    return show_agreement(options, merges, *node.session);
}

}  // namespace

void add_merge(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<MergeOptions>();
    auto* merge = app.add_subcommand(
        "merge", "Bring the codings of a probe run from copies of a session together, and say how far coders agree");
    merge
        ->add_option("session", options->session,
                     "Session folder that they are merged into; with --node the first of the copies")
        ->required()
        ->check(filled());
    merge
        ->add_option("others", options->others,
                     "Copies of it that others have coded, folders or archives; none: only say how far coders agree")
        ->check(filled());
    merge
        ->add_option(
            "--conflicts", options->conflicts,
            "Where a coder's codings of one answer differ: ask (merge nothing, list them), mine, theirs, newest")
        ->capture_default_str()
        ->check(CLI::IsMember({"ask", "mine", "theirs", "newest"}));
    merge->add_option("--run", options->run, "Only this probe run of the others; left out: all that somebody has coded")
        ->check(whole_number(1, std::numeric_limits<std::uint32_t>::max()));
    merge->add_option("--unnamed", options->unnamed, "Name for codings there that have none")->check(filled());
    merge->add_flag("--json", options->json, "JSON on standard output");
    add_node_option(*merge, options->node, options->wait,
                    "Into the session on another machine, to which the copies are sent");
    merge->callback([&chosen, options] {
        if (!options->node.empty()) {
            options->others.insert(options->others.begin(), options->session);
        }
        chosen.command = [options](const Paths& paths) { return merge_command(paths, *options); };
    });
}

}  // namespace moescope::node
