// What a trace of routing costs: bytes per chosen expert, and the time from opening it to the load of every layer and
// to each figure.
//   trace_cost make FILE [DECISIONS]    a trace of a router of 48 layers, 128 experts, 8 chosen, drawn at random
//   trace_cost read FILE                any trace
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "routing/figures/groups.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/pairs.hpp"
#include "routing/figures/vocabulary.hpp"
#include "routing/trace_file.hpp"

namespace {

using namespace moescope::routing;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Scores with the spread of a softmax router; experts have habits.
void make(const std::string& path, std::size_t decisions) {
    constexpr int kLayers = 48, kExperts = 128, kChosen = 8;
    RouterSpec spec;
    spec.layers = kLayers;
    spec.experts = kExperts;
    spec.experts_per_token = kChosen;
    for (int layer = 0; layer < kLayers; ++layer) {
        spec.routed_layers.push_back(layer);
    }
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> habit(kLayers * kExperts), noise(1 << 16);
    for (float& value : habit) {
        value = 0.7f * normal(random);
    }
    for (float& value : noise) {
        value = normal(random);
    }
    TraceWriter writer(path, spec);
    ChunkBuilder builder(spec);
    for (std::size_t position = 0; position * kLayers < decisions; ++position) {
        TokenDecisions token;
        token.position = static_cast<int>(position);
        token.token = static_cast<std::int32_t>(random() % 30000);
        token.bytes = std::to_string(token.token);
        token.document = static_cast<std::uint32_t>(position / 500);
        token.language = token.document % 2 == 0 ? "en" : "zh";
        for (int layer = 0; layer < kLayers; ++layer) {
            LayerDecision decision;
            decision.layer = layer;
            std::vector<std::pair<float, std::int32_t>> logits;
            float sum = 0;
            const std::size_t from = random();
            for (int expert = 0; expert < kExperts; ++expert) {
                const std::size_t place = (from + static_cast<std::size_t>(expert)) % noise.size();
                logits.emplace_back(habit[static_cast<std::size_t>(layer * kExperts + expert)] + noise[place], expert);
            }
            std::partial_sort(logits.begin(), logits.begin() + kChosen + 1, logits.end(), std::greater<>());
            for (int rank = 0; rank < kChosen; ++rank) {
                decision.ids.push_back(logits[static_cast<std::size_t>(rank)].second);
                decision.weights.push_back(std::exp(logits[static_cast<std::size_t>(rank)].first));
                sum += decision.weights.back();
            }
            for (float& weight : decision.weights) {
                weight /= sum;
            }
            decision.margin = logits[kChosen - 1].first - logits[kChosen].first;
            decision.entropy = 4;
            token.layers.push_back(std::move(decision));
        }
        builder.add(token);
        if (builder.full()) {
            writer.append(*builder.take());
        }
    }
    if (!builder.empty()) {
        writer.append(*builder.take());
    }
}

template <class Figure>
void time_of(const char* name, const TraceFile& file, Figure figure) {
    const auto begin = Clock::now();
    for (std::size_t i = 0; i < file.chunks(); ++i) {
        if (const auto chunk = file.chunk(i, Figure::kWanted)) {
            figure.add(*chunk);
        }
    }
    std::printf("%-40s %8.3f s\n", name, seconds_since(begin));
}

void read(const std::string& path) {
    auto begin = Clock::now();
    const TraceFile file(path);
    std::printf("%-40s %8.3f s\n", "open", seconds_since(begin));
    const Shape shape = shape_of(file.spec());
    Load load(shape);
    load.add(*file.chunk(0, Load::kWanted));
    std::printf("%-40s %8.3f s\n", "open, load of the first piece", seconds_since(begin));
    for (std::size_t i = 1; i < file.chunks(); ++i) {
        load.add(*file.chunk(i, Load::kWanted));
    }
    std::printf("%-40s %8.3f s\n", "open, load of every layer", seconds_since(begin));
    time_of("co-activation of a layer, all pairs", file, CoActivation(shape, 0));
    if (shape.layers > 1) {
        time_of("transitions of a layer", file, Transitions(shape, 0, 1));
    }
    time_of("vocabulary of a layer", file, Vocabulary(shape, 0, Vocabulary::By::input));
    time_of("shares by language, every layer", file, GroupLoad(shape, GroupLoad::By::language));
    std::uint64_t chosen = 0, decisions = 0, bytes = file.file_bytes(kIds | kWeights);
    for (std::size_t i = 0; i < file.chunks(); ++i) {
        const auto chunk = file.chunk(i, kIds);
        for (const std::uint16_t here : chunk->chosen) {
            chosen += here;
            decisions += here > 0 ? 1 : 0;
        }
    }
    std::printf("%llu decisions, %llu chosen experts; ids and weights %.3f, everything %.3f bytes per expert\n",
                static_cast<unsigned long long>(decisions), static_cast<unsigned long long>(chosen),
                static_cast<double>(bytes) / static_cast<double>(chosen),
                static_cast<double>(file.file_bytes(kAllColumns)) / static_cast<double>(chosen));
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc >= 3 && std::strcmp(argv[1], "make") == 0) {
            make(argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 10'000'000);
            return 0;
        }
        if (argc == 3 && std::strcmp(argv[1], "read") == 0) {
            read(argv[2]);
            return 0;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: trace_cost make FILE [DECISIONS] | read FILE\n");
    return 2;
}
