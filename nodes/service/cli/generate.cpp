// moescope-node generate: answers to one prompt.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <limits>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "base/utf8.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/asked_model.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/remote_jobs.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/generation.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RunState;

namespace {

constexpr int kMostCount = 1000;  // answers

struct GenerateOptions {
    std::string model, prompt, device, node;
    Wait wait;
    std::optional<std::string> system;
    bool plain = false;  ///< not in the chat template
    int max_tokens = 256, threads = 0, count = 1, alternatives = 0, top_k = 40;
    std::uint64_t seed = 1;
    double temperature = 0, top_p = 0.95, min_p = 0.05;
    bool json = false;
};

json token_json(const protocol::TokenCandidate& token) {
    return {
        {"token", token.token}, {"text", base::to_valid_utf8(token.bytes)}, {"log_probability", token.log_probability}};
}

void print_answer(const GenerateOptions& options, const GenerationResult& result, const json& tokens,
                  std::uint64_t seed) {
    if (!options.json) {
        if (options.count > 1) {
            fmt::print("--- seed {}\n", seed);
        }
        fmt::print("{}\n", result.text);
        return;
    }
    json line = {{"text", result.text},
                 {"tokens", result.tokens},
                 {"tokens_per_second", result.tokens_per_second},
                 {"stop", result.stop},
                 {"prompt_tokens", result.prompt_tokens},
                 {"prompt_ms", result.prompt_ms},
                 {"shown", result.shown},
                 {"model", options.model},
                 {"seed", seed},
                 {"temperature", options.temperature}};
    line.update(result.computed);
    if (options.alternatives > 0) {
        line["log_probabilities"] = tokens;
    }
    print_json(line);
}

json parameters_of(const GenerateOptions& options) {
    json wanted = {{"model", options.model},
                   {"prompt", options.prompt},
                   {"chat", !options.plain},
                   {"max_tokens", options.max_tokens},
                   {"alternatives", options.alternatives},
                   {"seed", options.seed},
                   {"temperature", options.temperature},
                   {"top_k", options.top_k},
                   {"top_p", options.top_p},
                   {"min_p", options.min_p},
                   {"threads", options.threads}};
    if (options.system) {
        wanted["system"] = *options.system;
    }
    return wanted;
}

int generate_command(const Paths& paths, const GenerateOptions& options) {
    if (!options.node.empty()) {
        if (options.count > 1 || options.alternatives > 0 || !options.device.empty()) {
            throw base::Error(base::say("--count, --alternatives and --device do not go with --node"));
        }
        return generate_on_node(paths, options.node, options.wait, parameters_of(options), options.json);
    }
    HeldSignals signals;
    const PrintedLibrary models(paths);
    GenerationRequest order = parse_generation(parameters_of(options));
    order.path = on_device(models.resolve_source(options.model), options.device);
    const auto count = static_cast<std::size_t>(options.count);
    WorkerPool workers(paths.program);
    std::vector<GenerationResult> results;
    std::vector<json> tokens(count, json::array());
    const auto collect = [&](WorkerMessageKind kind, std::span<const std::byte> body) {
        const bool wanted_one = options.alternatives > 0 && kind == WorkerMessageKind::tokens;
        const auto batch = wanted_one ? protocol::decode_tokens(body) : std::nullopt;
        if (!batch || batch->run - order.run >= count) {
            return;
        }
        for (const auto& token : batch->tokens) {
            json one = token_json(token.chosen);
            for (const auto& other : token.alternatives) {
                one["alternatives"].push_back(token_json(other));
            }
            tokens[batch->run - order.run].push_back(std::move(one));
        }
    };
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        auto lease = workers.acquire(order.model, order.path, stop);
        const json& opened = lease.open(order.threads > 0 ? order.threads : cores(), stop);
        print_why_processor(opened);
        const json computed = computed_by(opened);
        results = generate_several(*lease, order, ReplayFile(), options.count, collect, stop);
        for (GenerationResult& result : results) {
            result.computed = computed;
        }
    });
    if (results[0].state == RunState::failed) {
        throw base::Error(results[0].message);
    }
    print_warnings(results[0].notes);
    for (std::size_t i = 0; i < count; ++i) {
        print_answer(options, results[i], tokens[i], options.seed + i);
    }
    if (std::any_of(results.begin(), results.end(),
                    [](const GenerationResult& result) { return result.state == RunState::stopped; })) {
        throw Stopped(signals.first(), base::say("before the model had ended"));
    }
    return 0;
}

}  // namespace

void add_generate(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<GenerateOptions>();
    auto* generate = app.add_subcommand("generate", "Answer one prompt");
    add_model_option(*generate, options->model);
    add_device_option(*generate, options->device);
    generate->add_option("--prompt", options->prompt, "What to ask, UTF-8")->required();
    generate->add_option("--system", options->system, kSystemHelp);
    generate->add_flag("--no-chat", options->plain, kPlainHelp);
    generate->add_option("--max-tokens", options->max_tokens, "Longest answer")
        ->check(whole_number(1, kMostAnswerTokens))
        ->capture_default_str();
    generate->add_option("--count", options->count, "Answers, drawn with the seed and those that follow it")
        ->check(whole_number(1, kMostCount))
        ->capture_default_str();
    generate->add_option("--seed", options->seed, "Seed of sampling")
        ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()))
        ->capture_default_str();
    generate->add_option("--temperature", options->temperature, "0 is greedy")
        ->check(real_number(0, kMostTemperature))
        ->capture_default_str();
    generate->add_option("--top-k", options->top_k, "Draw from so many tokens; 0: all")
        ->check(whole_number(0, kMostTopK))
        ->capture_default_str();
    generate->add_option("--top-p", options->top_p, "Draw from the fewest that hold this share")
        ->check(real_number(0, 1))
        ->capture_default_str();
    generate->add_option("--min-p", options->min_p, "Leave out what is rarer than this share of the likeliest")
        ->check(real_number(0, 1))
        ->capture_default_str();
    generate
        ->add_option("--alternatives", options->alternatives,
                     "With --json: log-probabilities of each token and of so many others")
        ->check(whole_number(0, kMostAlternatives));
    generate->add_option("--threads", options->threads, "Compute threads; all cores when left out")
        ->check(whole_number(0, kMostThreads));
    generate->add_flag("--json", options->json, "One JSON object on standard output");
    add_node_option(*generate, options->node, options->wait);
    generate->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            base::require_utf8(options->prompt, base::marked("the prompt"));
            base::require_utf8(options->system.value_or(""), base::marked("the system text"));
            return generate_command(paths, *options);
        };
    });
}

}  // namespace moescope::node
