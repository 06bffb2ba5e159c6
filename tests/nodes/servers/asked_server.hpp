// A model on a server of the tests, and what came of asking it.
#pragma once

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "nodes/servers/server_model.hpp"
#include "tests/nodes/servers/dialects.hpp"

namespace moescope::test {

struct AskedModel {
    std::vector<protocol::TokenRecord> tokens;
    servers::Answered answered;
    std::optional<routing::RouterSpec> router;
    std::vector<std::shared_ptr<const routing::Chunk>> pieces;
    std::string failure;  ///< the sentence; empty: none
    double seconds = 0;

    std::string text() const {
        std::string all;
        for (const auto& token : tokens) {
            all += token.chosen.bytes;
        }
        return all;
    }
    std::string notes() const {
        std::string all;
        for (const auto& note : answered.notes) {
            all += note.english() + "\n";
        }
        return all;
    }
};

inline servers::Server server_at(const std::string& address, int silence = 5) {
    servers::Server server;
    server.address = servers::parse_address(address);
    server.key_variable = "MOESCOPE_TEST_NO_KEY";
    server.silence = silence;
    server.shape.layers = kSpokenLayers;
    server.shape.experts = kSpokenExperts;
    server.shape.per_token = kSpokenPerToken;
    return server;
}

/// Opens the model and asks it once, within whatever time it takes.
inline AskedModel ask(const servers::Server& server, const servers::Question& question, bool routing,
                      const std::atomic<bool>& cancel) {
    AskedModel asked;
    const auto start = std::chrono::steady_clock::now();
    try {
        servers::ServerModel model(server);
        EXPECT_TRUE(model.open(cancel));
        servers::OnRouting on_routing;
        if (routing) {
            on_routing.router = [&](const routing::RouterSpec& spec) { asked.router = spec; };
            on_routing.piece = [&](std::shared_ptr<const routing::Chunk> piece) {
                asked.pieces.push_back(std::move(piece));
            };
        }
        asked.answered = model.answer(
            question, [&](protocol::TokenRecord token) { asked.tokens.push_back(std::move(token)); }, on_routing,
            cancel);
    } catch (const base::Error& error) {
        asked.failure = error.what();
        EXPECT_FALSE(error.sentence().is_verbatim()) << "it has no translation";
    }
    asked.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return asked;
}

inline AskedModel ask(const servers::Server& server, const servers::Question& question = {}, bool routing = false) {
    const std::atomic<bool> never{false};
    return ask(server, question, routing, never);
}

}  // namespace moescope::test
