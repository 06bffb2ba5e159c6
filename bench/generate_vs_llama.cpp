// Tokens per second of LanguageModel::generate next to a bare libllama loop on the same prompt and settings, taken in
// turns so that both see the same machine. MODEL is what we open: the same GGUF file, or the checkpoint that it was
// exported from, and then our own decoder computes. Several answers go side by side on both sides. libllama runs
// with its own defaults, and with a cache of the weights' precision. Usage: generate_vs_llama MODEL GGUF [tokens]
// [rounds] [threads] [answers]
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
#include "engine/runner/sampler.hpp"

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

using Answers = std::vector<std::vector<llama_token>>;

// One answer is greedy; several must differ, or they would share their experts.
Sampling sampling_for(int answers, int answer) {
    Sampling sampling;
    sampling.temperature = answers == 1 ? 0 : 1;
    sampling.seed = 1 + static_cast<std::uint64_t>(answer);
    return sampling;
}

struct Bare {
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model{nullptr, llama_model_free};
    std::unique_ptr<llama_context, decltype(&llama_free)> context{nullptr, llama_free};
    std::unique_ptr<llama_batch, void (*)(llama_batch*)> batch{nullptr, nullptr};
    const llama_vocab* vocab = nullptr;

    // `full_precision`: the cache too, not in halves as libllama has it otherwise.
    Bare(const char* path, int threads, int answers, bool full_precision) {
        llama_model_params mp = llama_model_default_params();
        mp.n_gpu_layers = 0;
        model.reset(llama_model_load_from_file(path, mp));
        if (!model) {
            throw std::runtime_error(std::string(path) + " cannot be opened");
        }
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx = static_cast<std::uint32_t>(std::min(4096, answers * llama_model_n_ctx_train(model.get())));
        cp.n_batch = cp.n_ubatch = 512;
        cp.n_threads = cp.n_threads_batch = threads;
        cp.n_seq_max = static_cast<std::uint32_t>(answers);
        if (full_precision) {
            cp.type_k = cp.type_v = GGML_TYPE_F32;
        }
        context.reset(llama_init_from_model(model.get(), cp));
        vocab = llama_model_get_vocab(model.get());
        batch = {new llama_batch(llama_batch_init(512, 0, 1)), [](llama_batch* b) {
                     llama_batch_free(*b);
                     delete b;
                 }};
    }

    void put(int i, llama_token token, int position, int sequence, bool logits) {
        batch->token[i] = token;
        batch->pos[i] = position;
        batch->n_seq_id[i] = 1;
        batch->seq_id[i][0] = sequence;
        batch->logits[i] = logits;
        batch->n_tokens = i + 1;
    }
    void decode() {
        if (llama_decode(context.get(), *batch) != 0) {
            throw std::runtime_error("libllama could not decode");
        }
    }

    // The answers' ids; tokens per second, all answers together, from the end of the prompt.
    double run(const std::vector<llama_token>& prompt, int tokens, Answers& ids) {
        const int answers = static_cast<int>(ids.size()), width = llama_vocab_n_tokens(vocab);
        std::vector<Sampler> samplers;
        for (int a = 0; a < answers; ++a) {
            ids[static_cast<std::size_t>(a)].clear();
            samplers.emplace_back(sampling_for(answers, a), 0);
        }
        llama_memory_clear(llama_get_memory(context.get()), true);
        // Every answer reads the prompt: copying the first one's cache would take place while the clock runs.
        const int length = static_cast<int>(prompt.size());
        std::vector<int> row_of;  // of the answers' logits; -1: it has ended
        for (int i = 0; i < answers * length; ++i) {
            put(i, prompt[static_cast<std::size_t>(i % length)], i % length, i / length, (i + 1) % length == 0);
            if ((i + 1) % length == 0) {
                row_of.push_back(i);
            }
        }
        decode();
        int total = 0;
        const auto start = Clock::now();
        for (int n = 0; n < tokens; ++n) {
            std::vector<llama_token> next(row_of.size(), -1);
            int rows = 0;
            for (std::size_t a = 0; a < row_of.size(); ++a) {
                if (row_of[a] < 0) {
                    continue;
                }
                const float* logits = llama_get_logits_ith(context.get(), row_of[a]);
                const llama_token token =
                    answers == 1 ? static_cast<llama_token>(std::max_element(logits, logits + width) - logits)
                                 : samplers[a].choose({logits, static_cast<std::size_t>(width)}).chosen.token;
                row_of[a] = -1;
                if (!llama_vocab_is_eog(vocab, token)) {
                    ids[a].push_back(token);
                    ++total;
                    next[a] = token;
                }
            }
            for (std::size_t a = 0; a < row_of.size() && n + 1 < tokens; ++a) {
                if (next[a] >= 0) {
                    put(rows, next[a], length + n, static_cast<int>(a), true);
                    row_of[a] = rows++;
                }
            }
            if (rows == 0) {
                break;
            }
            decode();
        }
        return total / std::chrono::duration<double>(Clock::now() - start).count();
    }
};

double run_ours(LanguageModel& model, int tokens, Answers& ids) {
    for (auto& answer : ids) {
        answer.clear();
    }
    GenerateRequest request;
    request.prompt = kPrompt;
    request.chat = false;
    request.max_tokens = tokens;
    request.sampling = sampling_for(static_cast<int>(ids.size()), 0);
    std::atomic<bool> cancel = false;
    const auto results = model.generate_many(
        request, static_cast<int>(ids.size()),
        [&](int answer, const GeneratedToken& token) {
            ids[static_cast<std::size_t>(answer)].push_back(token.chosen.token);
        },
        cancel);
    double longest = 0;
    int total = 0;
    for (const GenerateResult& result : results) {
        longest = std::max(longest, result.generate_ms);
        total += result.tokens;
    }
    return 1000.0 * total / longest;
}

std::size_t count(const Answers& ids) {
    std::size_t total = 0;
    for (const auto& answer : ids) {
        total += answer.size();
    }
    return total;
}

int compare(int argc, char** argv) {
    const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
    const int tokens = number(3, 96), rounds = number(4, 5), threads = number(5, 2), answers = number(6, 1);
    const auto model = open_model(argv[1], threads);
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    Bare bare(argv[2], threads, answers, model->info().precision == "F32");
    const std::vector<llama_token> prompt = model->tokenize(kPrompt, true);
    Answers ours_ids(static_cast<std::size_t>(answers)), bare_ids = ours_ids;
    Best ours, theirs;
    std::vector<double> ratios;  // of each pair
    for (int round = 0; round < rounds; ++round) {
        const std::clock_t start = std::clock();
        const double bare_rate = bare.run(prompt, tokens, bare_ids);
        const std::clock_t middle = std::clock();
        const double our_rate = run_ours(*model, tokens, ours_ids);
        theirs.add(bare_rate, middle - start, count(bare_ids));
        ours.add(our_rate, std::clock() - middle, count(ours_ids));
        ratios.push_back(our_rate / bare_rate);
    }
    // Drawn answers may part at a close call; greedy ones must not.
    if (count(ours_ids) == 0 || (answers == 1 && ours_ids != bare_ids)) {
        std::fprintf(stderr, "the two loops wrote different tokens, or none\n");
        return 1;
    }
    std::size_t same = 0;
    for (std::size_t a = 0; a < ours_ids.size(); ++a) {
        same += ours_ids[a] == bare_ids[a] ? 1 : 0;
    }
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf(
        "%s against libllama with %s: best of %d, %zu and %zu tokens in %d answers (%zu the same), %d threads\n",
        argv[1], argv[2], rounds, count(ours_ids), count(bare_ids), answers, same, threads);
    std::printf("  tokens/s: bare libllama %.2f, generate %.2f, ratio %.4f (pairs %.3f to %.3f)\n",
                theirs.tokens_per_second, ours.tokens_per_second, ours.tokens_per_second / theirs.tokens_per_second,
                *low, *high);
    std::printf("  processor ms per token, prompt included: bare libllama %.3f, generate %.3f, ratio %.4f\n",
                theirs.cpu_ms_per_token, ours.cpu_ms_per_token, ours.cpu_ms_per_token / theirs.cpu_ms_per_token);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: generate_vs_llama MODEL GGUF [tokens] [rounds] [threads] [answers]\n");
        return 2;
    }
    try {
        return compare(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
