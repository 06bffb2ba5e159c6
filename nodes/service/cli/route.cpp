// moescope-node route: what the routers of a model decide for a text, and how that changes when they are changed.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <optional>

#include "base/json_fields.hpp"
#include "nodes/service/cli/asked_model.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/routing_order.hpp"
#include "nodes/service/library/model_library.hpp"
#include "routing/interventions.hpp"
#include "routing/replay.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct RouteOptions {
    std::string model, device, text, tokens, out, detail = "weights", replay;
    std::vector<std::string> knock_out, force, bias, limit, zero;
    bool chat = false, overwrite = false, json = false;
};

routing::Interventions interventions_of(const RouteOptions& options) {
    routing::Interventions all;
    const auto add = [](auto& into, const auto& more) { into.insert(into.end(), more.begin(), more.end()); };
    for (const std::string& one : options.knock_out) {
        add(all.knocked_out, routing::parse_places(one));
    }
    for (const std::string& one : options.force) {
        add(all.forced, routing::parse_places(one));
    }
    for (const std::string& one : options.bias) {
        add(all.biases, routing::parse_biases(one));
    }
    for (const std::string& one : options.limit) {
        add(all.limits, routing::parse_limits(one));
    }
    for (const std::string& one : options.zero) {
        add(all.zeroed, routing::parse_places(one));
    }
    refuse_two_limits(all);
    return all;
}

/// The trace as it grows: into a file that takes its name at the end, or on standard output.
class TraceOutput {
 public:
    TraceOutput(const std::string& out, sessions::Existing existing, const sessions::Sources& sources) : out_(out) {
        if (!sessions::is_standard_output(out)) {
            file_.emplace(out, existing, sources);
            stream_.open(file_->temporary(), std::ios::binary | std::ios::app);
        }
    }
    void write(std::span<const std::byte> lines) {
        const std::string_view text(reinterpret_cast<const char*>(lines.data()), lines.size());
        if (file_) {
            stream_ << text << std::flush;
        } else {
            sessions::write_standard_output(text);
        }
    }
    void finish() {
        if (!file_) {
            return;
        }
        stream_.close();
        if (!stream_) {
            throw base::Error(base::say("{} could not be written; the disk may be full", out_));
        }
        file_->commit();
    }
    bool is_file() const { return file_.has_value(); }

 private:
    const std::string out_;
    std::optional<sessions::OutputFile> file_;
    std::ofstream stream_;
};

void print_summary(const RouteOptions& options, const json& answer, const std::vector<base::Sentence>& doubts) {
    json summary = {{"model", options.model}, {"out", options.out}, {"tokens", answer.value("tokens", 0)}};
    for (const char* key : {"device", "mean_log_probability", "agreement", "replay"}) {
        if (answer.contains(key)) {
            summary[key] = answer.at(key);
        }
    }
    if (options.json) {
        summary["doubts"] = json::array();
        for (const base::Sentence& doubt : doubts) {
            summary["doubts"].push_back(doubt.english());
        }
        print_json(summary);
        return;
    }
    fmt::print("{} tokens in {}\n", answer.value("tokens", 0), for_terminal(options.out));
    if (answer.contains("mean_log_probability")) {
        fmt::print("mean log-probability of the next token: {:.4f}\n", answer.value("mean_log_probability", 0.0));
    }
    if (const json& agreement = base::member(answer, "agreement"); agreement.is_object()) {
        fmt::print("recomputed from the scores, {} of {} choices are the executed ones\n",
                   base::count_of(agreement, "equal"), base::count_of(agreement, "decisions"));
    }
    if (const json& replay = base::member(answer, "replay"); replay.is_object()) {
        fmt::print("{} of the {} decisions of {} found their place in the text\n", base::count_of(replay, "taken"),
                   base::count_of(replay, "decisions"), for_terminal(options.replay));
        if (const std::uint64_t altered = base::count_of(replay, "altered"); altered > 0) {
            fmt::print("{} of them were made with other experts, because of what is knocked out or limited\n", altered);
        }
    }
}

int route_command(const Paths& paths, const RouteOptions& options) {
    json request = {{"op", "route"},
                    {"name", options.model},
                    {"detail", options.detail},
                    {"chat", options.chat},
                    {"interventions", routing::items_to_json(interventions_of(options))}};
    sessions::Sources sources = files_of_model(ModelLibrary(paths).resolve(options.model));
    if (options.tokens.empty()) {
        request["text"] = text_option(options.text, base::marked("the text"), sources);
    } else {
        request["tokens"] = fs::absolute(options.tokens).string();
        sources.emplace_back(options.tokens);
    }
    if (!options.replay.empty()) {
        routing::read_replay(options.replay);  // a bad one is named before a model is loaded
        request["replay"] = fs::absolute(options.replay).string();
        sources.emplace_back(options.replay);
    }
    TraceOutput output(options.out, sessions::existing_files(options.overwrite, "--force-overwrite"), sources);
    const json answer =
        ask_model(paths, options.model, options.device, request, base::say("routing a text with {}", options.model),
                  [&](WorkerMessageKind kind, std::span<const std::byte> lines) {
                      if (kind == WorkerMessageKind::lines) {
                          output.write(lines);
                      }
                  });
    output.finish();
    const std::vector<base::Sentence> doubts = sentences_in(answer, "doubts");
    print_warnings(doubts);
    const json& replay = base::member(answer, "replay");
    if (const std::uint64_t all = base::count_of(replay, "decisions"), taken = base::count_of(replay, "taken");
        taken < all) {
        print_warnings(
            {base::say("{} of the {} decisions of {} have no place in this text", all - taken, all, options.replay)});
    }
    if (output.is_file()) {
        print_summary(options, answer, doubts);
    }
    return 0;
}

}  // namespace

void add_route(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<RouteOptions>();
    auto* route = app.add_subcommand("route", "Which experts a model chooses for each token of a text");
    add_model_option(*route, options->model);
    add_device_option(*route, options->device);
    auto* input = route->add_option_group("input", "What is read");
    input->add_option("--text", options->text, "UTF-8; @FILE: the text of a file")->check(filled());
    input->add_option("--tokens", options->tokens, "NumPy file, int32 [T]: token ids instead of a text")
        ->check(filled());
    input->require_option(1);
    route->add_flag("--chat", options->chat, "Put the text in the model's chat template");
    route->add_option("--out", options->out, "JSON Lines to write, one line per token; \"-\": standard output")
        ->required()
        ->check(filled());
    route->add_option("--detail", options->detail, "ids, weights, or scores: everything that the choice was made of")
        ->check(CLI::IsMember({"ids", "weights", "scores"}))
        ->capture_default_str();
    const char* places = "LAYER:EXPERT,...; ranges 3:0-4, * for every: *:5";
    route->add_option("--knock-out", options->knock_out, std::string("Never choose these experts. ") + places);
    route->add_option("--force", options->force, "Always choose these experts. Written as above");
    route->add_option("--bias", options->bias,
                      "Add to the score that the choice is by: LAYER:EXPERT=VALUE,... from -" +
                          std::to_string(routing::kLargestBias) + " to " + std::to_string(routing::kLargestBias) +
                          "; two for one place add up");
    route->add_option("--limit-k", options->limit,
                      "Choose at most so many experts: K, or LAYER:K,...; one for each layer");
    route->add_option("--zero", options->zero, "Multiply these experts' outputs by zero without choosing others");
    route
        ->add_option(
            "--replay", options->replay,
            "Take the experts of this trace instead of choosing; layers that it has can't be forced or given a bias")
        ->check(filled());
    route->add_flag("--force-overwrite", options->overwrite, "Replace a file that is there");
    route->add_flag("--json", options->json, "One JSON object on standard output at the end");
    route->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return route_command(paths, *options); };
    });
}

}  // namespace moescope::node
