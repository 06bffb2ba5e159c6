// moescope-node import: a trace, or what other programs recorded of a router, as a trace or as a run of a session.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/recording.hpp"
#include "nodes/service/jobs/route_job.hpp"
#include "nodes/service/library/trace_export.hpp"
#include "routing/trace_file.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

struct ImportOptions {
    RecordingOrder recording;
    std::string out;
    bool force = false, json = false;
};

/// A session that is there already: the recording becomes a run of it.
bool is_session(const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::is_directory(path / "segments", error);
}

void print_end(const ImportOptions& options, const json& router, std::uint64_t tokens, std::uint64_t counts,
               const json& more) {
    if (options.json) {
        json line = {{"file", options.recording.path},
                     {"out", options.out},
                     {"tokens", tokens},
                     {"counts", counts},
                     {"router", router}};
        line.update(more);
        print_json(line);
    } else {
        fmt::print("{}: {} layers of {} experts, {} per token; {}\n", base::one_line(options.out),
                   router.at("routed_layers").size(), base::count_of(router, "experts"),
                   base::count_of(router, "experts_per_token"),
                   tokens > 0 ? fmt::format("{} tokens", tokens) : fmt::format("{} times the counts", counts));
    }
}

int import_into_session(const Paths& paths, const ImportOptions& options) {
    HeldSignals signals;
    json router;
    LocalNode node(paths, options.out, [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        if (type == protocol::RecordType::routing_started) {
            router = base::member(protocol::decode_json(body).value_or(json()), "router");
        }
    });
    const RecordingOrder& recording = options.recording;
    json wanted = {{"path", std::filesystem::absolute(recording.path).string()},
                   {"format", recording.format},
                   {"layers", recording.layers},
                   {"experts", recording.experts},
                   {"experts_per_token", recording.per_token}};
    if (!recording.config.empty()) {
        wanted["config"] = recording.config;
    }
    if (!recording.model.empty()) {
        wanted["model"] = recording.model;
    }
    RouteRequest order = parse_import(wanted);
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::route), order.title);
    RouteResult result;
    {
        RouteJob job(node.parts, order);
        wait_for(job, signals);
        result = job.result();
    }
    finish(node, result);
    if (result.state == protocol::RunState::stopped) {
        throw Stopped(signals.first(), base::say("before it was done"));
    }
    print_warnings(result.doubts);
    print_end(options, router, result.tokens, result.counts, {{"run", order.run}});
    return 0;
}

int import_command(const Paths& paths, const ImportOptions& options) {
    if (!sessions::is_standard_output(options.out) && is_session(options.out)) {
        try {
            return import_into_session(paths, options);
        } catch (const sessions::InUse& error) {
            throw base::Error(base::say(
                "{}; where it is open in a window, import the file there: File, Import a routing", error.sentence()));
        }
    }
    FileOutput output(options.out, sessions::existing_files(options.force, "--force"),
                      {options.recording.path, options.recording.config});
    HeldSignals signals;
    const auto read_one = std::make_shared<routing::Import>();
    run_or_leave(signals, [options, read_one] { *read_one = read_recording(options.recording); });
    const routing::RouterSpec& spec = read_one->spec;
    std::size_t tokens = 0, counts = 0;
    const bool as_text = !output.is_file() || std::filesystem::path(options.out).extension() == ".jsonl";
    std::vector<std::shared_ptr<const routing::Chunk>> chunks;
    std::optional<routing::TraceWriter> writer;
    if (!as_text) {
        writer.emplace(output.temporary(), spec, read_one->interventions);
    }
    read_one->each([&](std::shared_ptr<const routing::Chunk> chunk) {
        signals.stop_if_taken();
        tokens += chunk->tokens;
        counts += chunk->loads.size();
        if (writer) {
            writer->append(*chunk);
        } else {
            chunks.push_back(std::move(chunk));
        }
    });
    if (as_text) {
        write_trace_lines(output.temporary(),
                          {std::make_shared<routing::MemoryTrace>(spec, std::move(chunks)), read_one->interventions});
    }
    const std::uint64_t bytes = std::filesystem::file_size(output.temporary());
    output.commit();
    print_warnings(spec.doubts);
    if (output.is_file()) {
        print_end(options, routing::router_to_json(spec), tokens, counts, {{"bytes", bytes}});
    }
    return 0;
}

}  // namespace

void add_import(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ImportOptions>();
    auto* command = app.add_subcommand(
        "import", "A trace, or what another program recorded of a router, as a trace or as a run of a session");
    command
        ->add_option("file", options->recording.path,
                     "A trace, answers of a server, counts of a training run, or an importance matrix")
        ->required()
        ->check(filled());
    command
        ->add_option("--format", options->recording.format,
                     fmt::format("{}; trace, what route writes, where none is given", kRecordingFormats))
        ->check(CLI::IsMember({kOwnTrace, "vllm", "sglang", "megatron", "imatrix"}));
    command
        ->add_option("--out", options->out,
                     "Trace to write: columns, or text when the name ends with .jsonl; - for text on standard output; "
                     "or the folder of a session that "
                     "is there, to which it is added")
        ->required()
        ->check(filled());
    command->add_flag("--force", options->force, "Replace a file that is there");
    command->add_option("--config", options->recording.config, "config.json of the model: its layers and experts")
        ->check(filled());
    command->add_option("--model", options->recording.model, "Its name, for people")->check(filled());
    command->add_option("--layers", options->recording.layers, "Layers of the model, those without experts too")
        ->check(whole_number(1, routing::kMostLayers));
    command->add_option("--experts", options->recording.experts, "Experts of a layer")
        ->check(whole_number(1, routing::kMostExperts));
    command->add_option("--experts-per-token", options->recording.per_token, "Experts that are chosen for a token")
        ->check(whole_number(1, routing::kMostExperts));
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return import_command(paths, *options); };
    });
}

}  // namespace moescope::node
