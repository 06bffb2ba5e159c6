// Tokens per second of LanguageModel::generate next to a bare libllama loop on the same model, prompt and settings,
// taken in turns so that both see the same machine. Usage: generate_vs_llama MODEL.gguf [tokens] [rounds] [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <llama.h>
#include <memory>
#include <string>
#include <vector>

#include "engine/runner/language_model.hpp"

namespace {

using namespace moescope::engine;
using Clock = std::chrono::steady_clock;

constexpr const char* kPrompt = "Rivers shape the land around them in many ways. The first of these is that they";

// Of one way to generate: the best of all rounds.
struct Best {
    double tokens_per_second = 0;
    double cpu_ms_per_token = 1e9;

    void add(double rate, std::clock_t cpu, std::size_t tokens) {
        tokens_per_second = std::max(tokens_per_second, rate);
        cpu_ms_per_token = std::min(cpu_ms_per_token,
                                    1000.0 * static_cast<double>(cpu) / CLOCKS_PER_SEC / static_cast<double>(tokens));
    }
};

struct Bare {
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model{nullptr, llama_model_free};
    std::unique_ptr<llama_context, decltype(&llama_free)> context{nullptr, llama_free};
    const llama_vocab* vocab = nullptr;

    Bare(const char* path, int threads) {
        llama_model_params mp = llama_model_default_params();
        mp.n_gpu_layers = 0;
        model.reset(llama_model_load_from_file(path, mp));
        if (!model) {
            throw std::runtime_error(std::string(path) + " cannot be opened");
        }
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx = 4096;
        cp.n_batch = cp.n_ubatch = 512;
        cp.n_threads = cp.n_threads_batch = threads;
        context.reset(llama_init_from_model(model.get(), cp));
        vocab = llama_model_get_vocab(model.get());
    }

    // Greedy, ids only. Goes on after an end-of-text token never happens here: both stop at it. Returns tokens per
    // second.
    double run(std::vector<llama_token> prompt, int tokens, std::vector<llama_token>& ids) {
        ids.clear();
        llama_memory_clear(llama_get_memory(context.get()), false);
        llama_decode(context.get(), llama_batch_get_one(prompt.data(), static_cast<int>(prompt.size())));
        const int width = llama_vocab_n_tokens(vocab);
        const auto start = Clock::now();
        for (int n = 0;;) {
            const float* logits = llama_get_logits_ith(context.get(), -1);
            llama_token next = static_cast<llama_token>(std::max_element(logits, logits + width) - logits);
            if (llama_vocab_is_eog(vocab, next)) {
                break;
            }
            ids.push_back(next);
            if (++n == tokens) {
                break;
            }
            llama_decode(context.get(), llama_batch_get_one(&next, 1));
        }
        return static_cast<double>(ids.size()) / std::chrono::duration<double>(Clock::now() - start).count();
    }
};

double run_ours(LanguageModel& model, int tokens, std::vector<llama_token>& ids) {
    ids.clear();
    GenerateRequest request;
    request.prompt = kPrompt;
    request.chat = false;
    request.max_tokens = tokens;
    std::atomic<bool> cancel = false;
    const GenerateResult result = model.generate(
        request, [&](const GeneratedToken& token) { ids.push_back(token.chosen.token); }, cancel);
    return 1000.0 * result.tokens / result.generate_ms;
}

int compare(int argc, char** argv) {
    const int tokens = argc > 2 ? std::atoi(argv[2]) : 96;
    const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
    const int threads = argc > 4 ? std::atoi(argv[4]) : 2;
    const auto model = open_model(argv[1], threads);  // first: it also silences libllama's log
    Bare bare(argv[1], threads);
    const std::vector<llama_token> prompt = model->tokenize(kPrompt, true);
    std::vector<llama_token> ours_ids, bare_ids;
    Best ours, theirs;
    for (int round = 0; round < rounds; ++round) {
        const std::clock_t start = std::clock();
        const double bare_rate = bare.run(prompt, tokens, bare_ids);
        const std::clock_t middle = std::clock();
        const double our_rate = run_ours(*model, tokens, ours_ids);
        theirs.add(bare_rate, middle - start, bare_ids.size());
        ours.add(our_rate, std::clock() - middle, ours_ids.size());
    }
    if (ours_ids != bare_ids || ours_ids.empty()) {
        std::fprintf(stderr, "the two loops wrote different tokens, or none\n");
        return 1;
    }
    std::printf("%s: best of %d, %zu tokens, %d threads\n", argv[1], rounds, ours_ids.size(), threads);
    std::printf("  tokens/s: bare libllama %.2f, generate %.2f, ratio %.4f\n", theirs.tokens_per_second,
                ours.tokens_per_second, ours.tokens_per_second / theirs.tokens_per_second);
    std::printf("  processor ms per token, prompt included: bare libllama %.3f, generate %.3f, ratio %.4f\n",
                theirs.cpu_ms_per_token, ours.cpu_ms_per_token, ours.cpu_ms_per_token / theirs.cpu_ms_per_token);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: generate_vs_llama MODEL.gguf [tokens] [rounds] [threads]\n");
        return 2;
    }
    try {
        return compare(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
