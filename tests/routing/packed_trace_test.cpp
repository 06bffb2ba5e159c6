// Traces that stay packed in memory: what was put in comes out, what is damaged or out of order is refused, and readers
// need not wait for who appends.
#include "routing/packed_trace.hpp"

#include <atomic>
#include <cmath>
#include <gtest/gtest.h>
#include <thread>

#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

/// Chunks of random lengths.
std::vector<std::shared_ptr<const Chunk>> random_chunks(const RouterSpec& spec, unsigned seed, int tokens) {
    RandomTrace trace(spec, seed);
    std::mt19937 random(seed);
    ChunkBuilder builder(spec);
    std::vector<std::shared_ptr<const Chunk>> chunks;
    for (int position = 0; position < tokens; ++position) {
        builder.add(trace.token(position));
        if (random() % 9 == 0) {
            chunks.push_back(builder.take());
        }
    }
    if (!builder.empty()) {
        chunks.push_back(builder.take());
    }
    return chunks;
}

void expect_same(const Chunk& read, const Chunk& made) {
    EXPECT_EQ(read.first, made.first);
    ASSERT_EQ(read.tokens, made.tokens);
    EXPECT_EQ(read.position, made.position);
    EXPECT_EQ(read.token, made.token);
    EXPECT_EQ(read.next, made.next);
    EXPECT_EQ(read.predicted, made.predicted);
    EXPECT_EQ(read.document, made.document);
    EXPECT_EQ(read.chosen, made.chosen);
    EXPECT_EQ(read.ids, made.ids);
    for (std::size_t at = 0; at < made.tokens; ++at) {
        EXPECT_EQ(read.piece_of(at), made.piece_of(at));
        EXPECT_EQ(read.names[read.language[at]], made.names[made.language[at]]);
        EXPECT_EQ(read.names[read.group[at]], made.names[made.group[at]]);
    }
    ASSERT_EQ(read.weights.size(), made.weights.size());
    for (std::size_t i = 0; i < made.weights.size(); ++i) {
        EXPECT_TRUE(std::isnan(made.weights[i])
                        ? std::isnan(read.weights[i])
                        : std::abs(read.weights[i] - made.weights[i]) <= 0.0055f * made.weights[i]);
    }
}

TEST(PackedTrace, GivesWhatMemoryHas) {
    for (unsigned seed = 1; seed <= 8; ++seed) {
        const RouterSpec spec =
            make_spec(1 + static_cast<int>(seed % 3), seed % 2 == 0 ? 300 : 8, 1 + static_cast<int>(seed % 4));
        const MemoryTrace made(spec, random_chunks(spec, seed, 120));
        PackedTrace trace(spec);
        std::uint64_t bytes = 0;
        for (std::size_t i = 0; i < made.chunks(); ++i) {
            auto packed = pack(*made.chunk(i, kAllColumns));
            bytes += packed.size();
            ASSERT_TRUE(trace.append(std::move(packed)));
        }
        EXPECT_EQ(trace.bytes(), bytes);
        EXPECT_EQ(trace.tokens(), 120u);
        ASSERT_EQ(trace.chunks(), made.chunks());
        for (std::size_t i = 0; i < made.chunks(); ++i) {
            const auto whole = made.chunk(i, kAllColumns), read = trace.chunk(i, kAllColumns);
            ASSERT_TRUE(read);
            ASSERT_NO_FATAL_FAILURE(expect_same(*read, *whole));
            const auto ids = trace.chunk(i, kIds);
            ASSERT_TRUE(ids);
            EXPECT_EQ(ids->ids, whole->ids);
            EXPECT_TRUE(ids->weights.empty());
            EXPECT_TRUE(ids->token.empty()) << "only what is wanted is unpacked";
            for (std::uint64_t token = whole->first; token < whole->first + whole->tokens; ++token) {
                EXPECT_EQ(trace.chunk_holding(token), i);
            }
        }
        EXPECT_EQ(trace.chunk_holding(120), trace.chunks());
        EXPECT_EQ(trace.chunk(made.chunks(), kIds), nullptr);
    }
}

TEST(PackedTrace, RefusesWhatIsDamagedOrOutOfOrder) {
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto chunks = random_chunks(spec, 3, 60);
    ASSERT_GT(chunks.size(), 3u);
    PackedTrace trace(spec);
    ASSERT_TRUE(trace.append(pack(*chunks[1])));
    EXPECT_FALSE(trace.append(pack(*chunks[1]))) << "twice";
    EXPECT_FALSE(trace.append(pack(*chunks[0]))) << "an earlier one";
    EXPECT_FALSE(trace.append({}));
    const auto sound = pack(*chunks[2]);
    for (std::size_t cut = 0; cut < sound.size(); cut += 3) {
        EXPECT_FALSE(trace.append({sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(cut)}));
    }
    auto longer = sound;
    longer.push_back({});
    EXPECT_FALSE(trace.append(longer));
    std::size_t refused = 0, damaged = 0;
    for (std::size_t at = 0; at < sound.size(); ++at) {
        auto changed = sound;
        changed[at] ^= std::byte{0x40};
        PackedTrace other(spec);
        if (!other.append(changed)) {
            ++refused;
        } else if (!other.chunk(0, kAllColumns)) {
            ++damaged;
        }
    }
    EXPECT_EQ(refused + damaged, sound.size()) << "every byte is under a checksum";
    EXPECT_GT(refused, 20u);
    EXPECT_GT(damaged, 20u);
    ASSERT_TRUE(trace.append(sound)) << "what was refused left nothing behind";
    ASSERT_TRUE(trace.append(pack(*chunks[3])));
    EXPECT_EQ(trace.chunks(), 3u);
    EXPECT_EQ(trace.chunk_holding(0), trace.chunks()) << "the first piece did not come";
    EXPECT_EQ(trace.chunk_holding(chunks[3]->first), 2u);
    RouterSpec none = make_spec(2, 8, 2);
    none.routed_layers = {1, 1};
    EXPECT_THROW(PackedTrace{none}, Error);
}

TokenDecisions with_scores(const RouterSpec& spec, unsigned seed) {
    TokenDecisions token = RandomTrace(spec, seed).token(0);
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> unit(-2, 2);
    for (LayerDecision& layer : token.layers) {
        for (auto* values : {&layer.logits, &layer.scores, &layer.selection}) {
            for (int expert = 0; expert < spec.experts; ++expert) {
                values->push_back(unit(random));
            }
        }
        for (float& score : layer.scores) {
            score = std::abs(score) / 2;
        }
        layer.group_scores = {0.5f, 0.25f};
        layer.groups_kept = {1};
    }
    return token;
}

TEST(PackedTrace, KeepsTheScoresOfATokenExactly) {
    RouterSpec spec = make_spec(3, 8, 2);
    spec.groups = 2;
    spec.group_score = "top2";
    PackedTrace trace(spec);
    EXPECT_FALSE(trace.has_scores());
    const TokenDecisions made = with_scores(spec, 5), other = with_scores(spec, 6);
    const auto packed = pack_decisions(made);
    EXPECT_TRUE(trace.append_scores(4, packed)) << "before its piece";
    EXPECT_FALSE(trace.append_scores(4, packed)) << "twice";
    EXPECT_FALSE(trace.append_scores(3, packed)) << "an earlier one";
    EXPECT_TRUE(trace.append_scores(7, pack_decisions(other)));
    EXPECT_TRUE(trace.has_scores());
    EXPECT_FALSE(trace.scores(5));
    const auto read = trace.scores(4);
    ASSERT_TRUE(read);
    ASSERT_EQ(read->size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        const LayerDecision &a = (*read)[i], &b = made.layers[i];
        EXPECT_EQ(a.layer, b.layer);
        EXPECT_EQ(a.ids, b.ids);
        EXPECT_EQ(a.weights, b.weights);
        EXPECT_EQ(a.logits, b.logits);
        EXPECT_EQ(a.scores, b.scores);
        EXPECT_EQ(a.selection, b.selection);
        EXPECT_EQ(a.group_scores, b.group_scores);
        EXPECT_EQ(a.groups_kept, b.groups_kept);
        EXPECT_EQ(a.margin, b.margin);
        EXPECT_EQ(a.entropy, b.entropy);
    }
    for (std::size_t cut = 0; cut < packed.size(); ++cut) {
        EXPECT_FALSE(unpack_decisions(std::span(packed).first(cut), spec));
    }
    auto longer = packed;
    longer.push_back({});
    EXPECT_FALSE(unpack_decisions(longer, spec));
    for (std::size_t at = 0; at < packed.size(); ++at) {
        auto changed = packed;
        changed[at] = std::byte{0xff};
        if (const auto layers = unpack_decisions(changed, spec)) {  // numbers may be any, places may not
            for (const LayerDecision& layer : *layers) {
                EXPECT_LT(layer.layer, 3);
                EXPECT_LE(layer.ids.size(), 2u);
                EXPECT_TRUE(layer.logits.empty() || layer.logits.size() == 8);
                for (const std::int32_t id : layer.ids) {
                    EXPECT_TRUE(id >= 0 && id < 8);
                }
            }
        }
    }
    TokenDecisions twice = made;
    twice.layers[0].ids = {3, 3};
    EXPECT_FALSE(unpack_decisions(pack_decisions(twice), spec)) << "one expert twice";
    EXPECT_FALSE(unpack_decisions(packed, make_spec(3, 4, 2))) << "of another router";
}

TEST(PackedTrace, GivesTheNumbersThatWereComputedWhereItHasThem) {
    RouterSpec spec = make_spec(3, 8, 2);
    spec.groups = 2;
    spec.group_score = "top2";
    std::vector<TokenDecisions> tokens;
    PackedTrace trace(spec);
    for (int position = 0; position < 4; ++position) {
        tokens.push_back(with_scores(spec, 11 + static_cast<unsigned>(position)));
        tokens.back().position = position;
        if (position % 2 == 1) {  // of every other token
            ASSERT_TRUE(trace.append_scores(static_cast<std::uint64_t>(position), pack_decisions(tokens.back())));
        }
    }
    ASSERT_TRUE(trace.append(pack(*chunks_of(spec, tokens).front())));
    const auto chunk = trace.chunk(0, kAllColumns);
    ASSERT_TRUE(chunk);
    std::size_t other = 0;
    for (std::size_t at = 0; at < tokens.size(); ++at) {
        const bool exact = at % 2 == 1;
        EXPECT_EQ(chunk->is_rounded(at), !exact);
        for (std::size_t layer = 0; layer < 3; ++layer) {
            const LayerDecision& made = tokens[at].layers[layer];
            const auto weights = chunk->weights_of(layer, at);
            ASSERT_EQ(weights.size(), made.weights.size());
            for (std::size_t rank = 0; rank < weights.size(); ++rank) {
                EXPECT_TRUE(!exact || weights[rank] == made.weights[rank]) << at;
                other += weights[rank] == made.weights[rank] ? 0 : 1;
            }
            EXPECT_TRUE(!exact || chunk->margin[chunk->cell(layer, at)] == made.margin);
            EXPECT_TRUE(!exact || chunk->entropy[chunk->cell(layer, at)] == made.entropy);
        }
    }
    EXPECT_GT(other, 0u) << "codes are coarser than floats";
    EXPECT_TRUE(trace.chunk(0, kIds)->rounded.empty()) << "nothing that could be";
    // Scores without the weights say less than the piece, whose weights stay rounded.
    PackedTrace unweighed(spec);
    TokenDecisions without = tokens[1];
    for (LayerDecision& layer : without.layers) {
        layer.weights.clear();
    }
    ASSERT_TRUE(unweighed.append_scores(1, pack_decisions(without)));
    ASSERT_TRUE(unweighed.append(pack(*chunks_of(spec, tokens).front())));
    EXPECT_TRUE(unweighed.chunk(0, kAllColumns)->is_rounded(1));
    EXPECT_FALSE(unweighed.chunk(0, kMargins | kEntropies)->is_rounded(1)) << "where no weights are wanted";
    EXPECT_FALSE(MemoryTrace(spec, chunks_of(spec, tokens)).chunk(0, kAllColumns)->is_rounded(0));
}

TEST(PackedTrace, GrowsWhileItIsRead) {
    const RouterSpec spec = make_spec(2, 16, 2);
    const auto chunks = random_chunks(spec, 9, 600);
    PackedTrace trace(spec);
    std::atomic<bool> done{false};
    std::vector<std::thread> readers;
    std::atomic<std::uint64_t> seen{0};
    for (int i = 0; i < 3; ++i) {
        readers.emplace_back([&] {
            while (!done) {
                const std::size_t count = trace.chunks();
                for (std::size_t number = count > 4 ? count - 4 : 0; number < count; ++number) {
                    const auto chunk = trace.chunk(number, kIds | kTokens);
                    ASSERT_TRUE(chunk);
                    EXPECT_EQ(chunk->ids, chunks[number]->ids);
                    EXPECT_LE(chunk->first + chunk->tokens, trace.tokens());
                    ++seen;
                }
            }
        });
    }
    for (const auto& chunk : chunks) {
        EXPECT_TRUE(trace.append(pack(*chunk)));
        std::this_thread::yield();
    }
    while (seen == 0) {
        std::this_thread::yield();
    }
    done = true;
    for (std::thread& reader : readers) {
        reader.join();
    }
    EXPECT_EQ(trace.tokens(), 600u);
}

/// Numbers that no router has are damage: a figure over them would show nonsense.
TEST(PackedTrace, GivesNoNumbersThatNoRouterHas) {
    RouterSpec spec = make_spec(3, 8, 2);
    spec.groups = 2;
    spec.group_score = "top2";
    const auto tokens = RandomTrace(spec, 7).tokens(4);
    const auto shown = [&](const auto& change) {
        auto changed = tokens;
        change(changed[2]);
        PackedTrace trace(spec);
        EXPECT_TRUE(trace.append(pack(*chunks_of(spec, changed)[0])));
        return trace.chunk(0, kAllColumns) != nullptr;
    };
    EXPECT_TRUE(shown([](TokenDecisions&) {}));
    EXPECT_FALSE(shown([](TokenDecisions& t) { t.log_probability = 700; }));
    EXPECT_FALSE(shown([](TokenDecisions& t) { t.layers[0].entropy = 5; })) << "ln 8 is 2.08";
    EXPECT_FALSE(shown([](TokenDecisions& t) { t.layers[0].weights[0] = -5; }));
    PackedTrace trace(spec);
    TokenDecisions scored = with_scores(spec, 5);
    scored.layers[1].scores[3] = -0.5f;
    EXPECT_FALSE(trace.append_scores(0, pack_decisions(scored)));
    scored.layers[1].scores[3] = 0.5f;
    EXPECT_TRUE(trace.append_scores(0, pack_decisions(scored)));
}

}  // namespace
}  // namespace moescope::routing
