// moescope-node sweep: what each expert of a layer does, knocked out one after the other.
#include <CLI/CLI.hpp>
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/lines.hpp"
#include "nodes/service/cli/asked_model.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"

namespace moescope::node {
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kLongestPrompt = std::size_t{1} << 20;  // bytes
constexpr std::size_t kMostPrompts = 10'000, kMostBytes = std::size_t{1} << 21;

struct SweepOptions {
    std::string model, device, prompts;
    int layer = 0;
    bool json = false;
};

std::vector<std::string> read_prompts(const std::string& file) {
    std::vector<std::string> prompts;
    std::size_t bytes = 0;
    base::Lines lines(file, kLongestPrompt);
    try {
        for (std::string line; lines.next(line);) {
            if (line.find_first_not_of(" \t\r") == std::string::npos) {
                continue;
            }
            base::require_utf8(line, base::marked("a prompt"));
            bytes += line.size();
            prompts.push_back(std::move(line));
            if (prompts.size() > kMostPrompts || bytes > kMostBytes) {
                throw base::Error(base::say("more than {} prompts or {} bytes", kMostPrompts, kMostBytes));
            }
        }
    } catch (const base::Error& error) {
        throw base::Error(base::say("line {} of {}: {}", lines.number(), file, error));
    }
    if (prompts.empty()) {
        throw base::Error(base::say("{} has no prompt; write one per line", file));
    }
    return prompts;
}

std::string words(const json& figure) {
    const double mean = base::number_of(figure, "mean");
    return figure.contains("low") ? fmt::format("{:>9.5f} [{:>8.5f}, {:>8.5f}]", mean, base::number_of(figure, "low"),
                                                base::number_of(figure, "high"))
                                  : fmt::format("{:>9.5f} {:>20}", mean, "");
}

void print_table(const json& answer) {
    fmt::print("layer {}: {} texts, {} tokens, loss {}\n\n", answer.value("layer", 0), answer.value("texts", 0),
               answer.value("tokens", 0), words(answer.at("loss")));
    fmt::print("{:>6} {:>7}  {:<30}  {:<30}  {:<30}\n", "expert", "tokens", "KL, nats per token", "change of loss",
               "KL above the control");
    for (const json& one : answer.at("experts")) {
        fmt::print("{:>6} {:>7}  {}  {}  {}\n", one.value("expert", 0), base::count_of(one, "tokens"),
                   words(one.at("kl")), words(one.at("loss")), words(one.at("above_kl")));
    }
}

int sweep_command(const Paths& paths, const SweepOptions& options) {
    const json request = {
        {"op", "sweep"}, {"name", options.model}, {"layer", options.layer}, {"texts", read_prompts(options.prompts)}};
    std::optional<ProgressLine> progress;
    if (!options.json) {
        progress.emplace();
    }
    const auto start = Clock::now();
    const json answer =
        ask_model(paths, options.model, options.device, request, base::say("knocking out experts of {}", options.model),
                  [&](WorkerMessageKind, std::span<const std::byte> body) {
                      if (progress) {
                          progress->show(body);
                      } else {
                          print_json(base::parse_object(body, body.size()).value_or(json::object()));
                      }
                  });
    progress.reset();
    if (!options.json) {
        print_table(answer);
        return 0;
    }
    for (const json& one : answer.at("experts")) {
        json line = one;
        line["layer"] = options.layer;
        print_json(line);
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    json last = {{"done", true},
                 {"model", options.model},
                 {"layer", options.layer},
                 {"texts", answer.at("texts")},
                 {"tokens", answer.at("tokens")},
                 {"loss", answer.at("loss")},
                 {"seconds", seconds}};
    if (answer.contains("device")) {
        last["device"] = answer.at("device");
    }
    print_json(last);
    return 0;
}

}  // namespace

void add_sweep(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<SweepOptions>();
    auto* sweep = app.add_subcommand("sweep", "What each expert of a layer does: every one is knocked out alone");
    add_model_option(*sweep, options->model);
    add_device_option(*sweep, options->device);
    sweep->add_option("--layer", options->layer, "Number of the layer, from 0")
        ->required()
        ->check(whole_number(0, 65535));
    sweep
        ->add_option("--prompts", options->prompts, "Texts to measure with, one per line, UTF-8; \"-\": standard input")
        ->required()
        ->check(filled());
    sweep->add_flag("--json", options->json, "JSON Lines: progress, then a line per expert, then a summary");
    sweep->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return sweep_command(paths, *options); };
    });
}

}  // namespace moescope::node
