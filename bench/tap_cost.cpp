// What watching routers costs: tokens per second of one greedy answer with the context that answers, and with the
// watched one at each level of detail, in turns that begin with another level each round, best of the rounds: what else
// the machine does can only take time away.
//
//   tap_cost MODEL [TOKENS] [THREADS]
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "engine/runner/language_model.hpp"

namespace {

using namespace moescope;

struct Level {
    const char* name;
    bool watched;
    routing::Detail detail;
};
constexpr std::array kLevels = {Level{"none", false, routing::Detail::ids}, Level{"ids", true, routing::Detail::ids},
                                Level{"ids and weights", true, routing::Detail::weights},
                                Level{"scores", true, routing::Detail::scores}};
constexpr int kRounds = 16;

double tokens_per_second(engine::LanguageModel& model, const Level& level, int tokens) {
    engine::ShownPrompt prompt;
    for (std::int32_t token = 0; token < 16; ++token) {
        prompt.tokens.push_back(1 + token % std::max(1, model.info().vocabulary - 1));
    }
    engine::GenerateRequest request;
    request.max_tokens = tokens;
    const std::atomic<bool> cancel = false;
    engine::GenerateResult result;
    if (level.watched) {
        result = model.answer_routed(
            prompt, request, {level.detail, {}}, [](const engine::GeneratedToken&) {},
            [](const routing::TokenDecisions&) {}, cancel);
    } else {
        result = model.answer(
            prompt, request, 1, [](int, const engine::GeneratedToken&) {}, cancel)[0];
    }
    return result.generate_ms > 0 ? 1000.0 * result.tokens / result.generate_ms : 0.0;
}

int run(const char* path, int tokens, int threads) {
    const auto model = engine::open_model(path, threads);
    std::array<double, kLevels.size()> best{};
    for (std::size_t turn = 0; turn < kRounds * kLevels.size(); ++turn) {
        const std::size_t level = (turn + turn / kLevels.size()) % kLevels.size();
        best[level] = std::max(best[level], tokens_per_second(*model, kLevels[level], tokens));
    }
    std::printf("%-16s %10s %10s   best of %d rounds of %d tokens\n", "watched", "tokens/s", "of none", kRounds,
                tokens);
    for (std::size_t i = 0; i < kLevels.size(); ++i) {
        std::printf("%-16s %10.1f %9.1f %%\n", kLevels[i].name, best[i], 100 * best[i] / best[0]);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::array<int, 2> numbers = {64, 0};  // tokens; threads, 0: all cores
    bool good = argc >= 2 && argc <= 4;
    for (int i = 2; good && i < argc; ++i) {
        const std::string_view text = argv[i];
        good = std::from_chars(text.data(), text.data() + text.size(), numbers[static_cast<std::size_t>(i - 2)]).ec ==
               std::errc();
    }
    if (!good) {
        std::fprintf(stderr, "usage: tap_cost MODEL [TOKENS] [THREADS]\n");
        return 2;
    }
    try {
        return run(argv[1], std::max(1, numbers[0]), numbers[1]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "tap_cost: %s\n", error.what());
        return 1;
    }
}
