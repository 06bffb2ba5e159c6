// One small model twice: as our engine opens it and as libllama does, from the same weights; and what their routers
// decide for some tokens.
#pragma once

#include <atomic>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/hugging_face_export.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/runner/routed_model.hpp"
#include "tests/engine/exchange/exchange_models.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine::test {

struct Twice {
    Twice(const ModelConfig& model, const Filled& filled) {
        export_hugging_face(folder.path() / "own", model, filled.layout, filled.parameters.data(), nullptr);
        own = open_model(folder.path() / "own", 1);
        export_gguf(folder.path() / "m.gguf", model, filled.layout, filled.parameters.data(), nullptr);
        theirs = open_model(folder.path() / "m.gguf", 1);
    }
    std::vector<LanguageModel*> both() const { return {own.get(), theirs.get()}; }

    TemporaryFolder folder;
    std::unique_ptr<LanguageModel> own, theirs;
};

inline std::vector<std::int32_t> random_tokens(int count, int vocabulary) {
    std::vector<std::int32_t> tokens;
    std::mt19937 random(5);
    for (int i = 0; i < count; ++i) {
        tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary)));
    }
    return tokens;
}

/// Everything that a model says of a text.
struct Seen {
    std::vector<routing::TokenDecisions> tokens;
    std::vector<float> logits;  ///< [T][V]
};

inline Seen look(LanguageModel& model, const std::vector<std::int32_t>& tokens,
                 const routing::Interventions& interventions = {}, routing::Detail detail = routing::Detail::scores) {
    Seen seen;
    const std::atomic<bool> cancel = false;
    const RouteRequest request{detail, interventions};
    EXPECT_TRUE(model.route(
        tokens, request, [&](const routing::TokenDecisions& token) { seen.tokens.push_back(token); }, cancel));
    RoutedModel& routed = model.routed(request);
    routed.restart();
    std::vector<std::vector<routing::LayerDecision>> layers;
    const auto step = static_cast<std::size_t>(routed.most_tokens());
    for (std::size_t start = 0; start < tokens.size(); start += step) {
        const auto part = std::span(tokens).subspan(start, std::min(step, tokens.size() - start));
        const auto logits = routed.feed(part, layers, cancel);
        seen.logits.insert(seen.logits.end(), logits.begin(), logits.end());
    }
    return seen;
}

/// Mean squared difference over the mean square.
inline double difference(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    double error = 0, power = 0;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        error += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
        power += static_cast<double>(b[i]) * b[i];
    }
    return error / power;
}

}  // namespace moescope::engine::test
