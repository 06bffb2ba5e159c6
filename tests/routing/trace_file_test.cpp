// Traces in columns: what was written is read back, within the precision that is promised; a file that is cut, damaged
// or made to hurt costs what is damaged and nothing else.
#include "routing/trace_file.hpp"

#include <chrono>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "base/crc32c.hpp"
#include "routing/chunk_codec.hpp"
#include "routing/number_codes.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

using test::read_text;
using test::TemporaryFolder;
using test::write_text;

void write_trace(const std::filesystem::path& path, const RouterSpec& spec,
                 const std::vector<std::shared_ptr<const Chunk>>& chunks) {
    TraceWriter writer(path, spec);
    for (const auto& chunk : chunks) {
        writer.append(*chunk);
    }
    EXPECT_EQ(writer.bytes(), std::filesystem::file_size(path));
}

void expect_equal(const Chunk& read, const Chunk& made) {
    EXPECT_EQ(read.first, made.first);
    EXPECT_EQ(read.position, made.position);
    EXPECT_EQ(read.token, made.token);
    EXPECT_EQ(read.next, made.next);
    EXPECT_EQ(read.predicted, made.predicted);
    EXPECT_EQ(read.document, made.document);
    EXPECT_EQ(read.language, made.language);
    EXPECT_EQ(read.group, made.group);
    EXPECT_EQ(read.pieces, made.pieces);
    EXPECT_EQ(read.names, made.names);
    EXPECT_EQ(read.piece, made.piece);
    EXPECT_EQ(read.chosen, made.chosen);
    EXPECT_EQ(read.ids, made.ids);
    ASSERT_EQ(read.weights.size(), made.weights.size());
    for (std::size_t i = 0; i < made.weights.size(); ++i) {
        if (std::isnan(made.weights[i])) {
            EXPECT_TRUE(std::isnan(read.weights[i]));
        } else if (std::isinf(made.weights[i])) {
            EXPECT_EQ(read.weights[i], made.weights[i]);
        } else {
            EXPECT_NEAR(read.weights[i], made.weights[i], 0.0055 * std::abs(made.weights[i]));
        }
    }
    for (std::size_t i = 0; i < made.log_probability.size(); ++i) {
        EXPECT_EQ(std::isnan(read.log_probability[i]), std::isnan(made.log_probability[i]));
        EXPECT_TRUE(std::isnan(made.log_probability[i]) || read.log_probability[i] == made.log_probability[i]);
    }
    for (std::size_t i = 0; i < made.margin.size() && !read.margin.empty(); ++i) {
        EXPECT_TRUE(std::isnan(made.margin[i])
                        ? std::isnan(read.margin[i])
                        : std::abs(read.margin[i] - made.margin[i]) <= 0.022f * std::abs(made.margin[i]))
            << made.margin[i] << " " << read.margin[i];
    }
    for (std::size_t i = 0; i < made.entropy.size() && !read.entropy.empty(); ++i) {
        EXPECT_TRUE(std::isnan(made.entropy[i]) || std::abs(read.entropy[i] - made.entropy[i]) <= 1.0f / 8000);
    }
}

TEST(NumberCodes, AreAsPreciseAsTheySay) {
    for (float weight = 1e-12f; weight < 1e6f; weight *= 1.0173f) {
        EXPECT_LT(std::abs(weight_of_code(weight_code(weight)) / weight - 1), 0.0055) << weight;
        EXPECT_LT(std::abs(margin_of_code(margin_code(weight)) / weight - 1), 0.022) << weight;
        EXPECT_LT(std::abs(margin_of_code(margin_code(-weight)) / -weight - 1), 0.022) << weight;
    }
    EXPECT_EQ(weight_of_code(weight_code(0)), 0);
    EXPECT_EQ(weight_of_code(weight_code(1)), 1);
    EXPECT_EQ(weight_code(-0.5f), kRawWeight);
    EXPECT_EQ(weight_code(NAN), kRawWeight);
    EXPECT_EQ(weight_code(INFINITY), kRawWeight);
    EXPECT_GT(weight_of_code(weight_code(std::numeric_limits<float>::denorm_min())), 0);
    EXPECT_EQ(margin_of_code(margin_code(0)), 0);
    EXPECT_TRUE(std::isnan(margin_of_code(margin_code(NAN))));
    EXPECT_TRUE(std::isnan(entropy_of_code(entropy_code(NAN))));
    EXPECT_NEAR(entropy_of_code(entropy_code(5.5f)), 5.5, 1.0 / 8000);
}

TEST(TraceFiles, ReadBackWhatWasWritten) {
    const TemporaryFolder folder;
    for (const int experts : {4, 256, 300}) {
        RouterSpec spec = make_spec(3, experts, 4);
        spec.scoring.clear();  // of a known one no weight is below 0
        auto tokens = RandomTrace(spec, 5).tokens(170);
        tokens[3].layers[1].weights = {0.5f, 0, -0.25f, INFINITY};  // as nothing that is expected
        tokens[4].layers.erase(tokens[4].layers.begin());
        tokens[5].layers[0].ids = {1};
        tokens[5].layers[0].weights = {0.125f};
        tokens[6].token = tokens[6].next = -1;
        tokens[7].position = 100000;
        tokens[8].layers[0].weights = {1e-9f, 0.9f, 1e-9f, 16.0f};  // rises and falls beyond a byte
        const auto chunks = chunks_of(spec, tokens);
        write_trace(folder / "t", spec, chunks);
        const TraceFile file(folder / "t");
        EXPECT_EQ(router_to_json(file.spec()), router_to_json(spec));
        EXPECT_TRUE(file.problems(0).empty());
        ASSERT_EQ(file.chunks(), chunks.size());
        EXPECT_EQ(file.tokens(), tokens.size());
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            const auto read = file.chunk(i, kAllColumns);
            ASSERT_TRUE(read) << i;
            expect_equal(*read, *chunks[i]);
            const auto ids = file.chunk(i, kIds);
            EXPECT_EQ(ids->ids, chunks[i]->ids);
            EXPECT_TRUE(ids->weights.empty() && ids->token.empty() && ids->margin.empty());
            EXPECT_TRUE(file.chunk(i, kTokens)->ids.empty());
        }
        EXPECT_EQ(file.chunk(chunks.size(), kIds), nullptr);
        EXPECT_EQ(file.chunk_holding(0), 0u);
        EXPECT_EQ(file.chunk_holding(50), 1u);
        EXPECT_EQ(file.chunk_holding(169), 3u);
        EXPECT_EQ(file.chunk_holding(170), file.chunks());
    }
}

TEST(TraceFiles, CountsWithoutTokens) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 3, 1);
    ChunkBuilder builder(spec);
    builder.add(LoadSample{100, {1, 2, 3, 4, 5, 1u << 31}});
    builder.add(LoadSample{-1, {0, 0, 0, 0, 0, 0}});
    write_trace(folder / "t", spec, {builder.take()});
    const TraceFile file(folder / "t");
    const auto chunk = file.chunk(0, kLoads);
    ASSERT_EQ(chunk->loads.size(), 2u);
    EXPECT_EQ(chunk->loads[0].step, 100);
    EXPECT_EQ(chunk->loads[0].counts, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 1u << 31}));
    EXPECT_EQ(chunk->loads[1].step, -1);
    EXPECT_EQ(file.chunk_holding(0), 1u);
}

TEST(TraceFiles, GrowWhileTheyAreRead) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 2).tokens(100));
    TraceWriter writer(folder / "t", spec, nlohmann::json::array({{{"kind", "knock_out"}}}));
    TraceFile file(folder / "t");
    EXPECT_EQ(file.interventions().size(), 1u);
    EXPECT_EQ(file.chunks(), 0u);
    writer.append(*chunks[0]);
    EXPECT_EQ(file.chunks(), 0u);
    file.refresh();
    EXPECT_EQ(file.chunks(), 1u);
    // Half of a chunk is not there yet, and no damage.
    const std::string before = read_text(folder / "t");
    writer.append(*chunks[1]);
    const std::string whole = read_text(folder / "t");
    std::filesystem::resize_file(folder / "t", before.size() + (whole.size() - before.size()) / 2);
    file.refresh();
    EXPECT_EQ(file.chunks(), 1u);
    write_text(folder / "t", whole);  // into the same file
    file.refresh();
    ASSERT_EQ(file.chunks(), 2u);
    EXPECT_TRUE(file.chunk(1, kAllColumns));
}

TEST(TraceFiles, DamageCostsWhatIsDamaged) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 3).tokens(200));
    write_trace(folder / "t", spec, chunks);
    const std::string good = read_text(folder / "t");
    std::vector<std::size_t> begins;
    for (std::size_t at = 0; (at = good.find("MTCK", at)) != std::string::npos; ++at) {
        begins.push_back(at);
    }
    ASSERT_EQ(begins.size(), 4u);
    const auto sound = [&](const std::string& bytes) {
        write_text(folder / "d", bytes);
        const TraceFile file(folder / "d");
        std::size_t count = 0, damaged = 0;
        for (std::size_t i = 0; i < file.chunks(); ++i) {
            ++(file.chunk(i, kAllColumns) ? count : damaged);
        }
        return std::pair(count, file.problems(damaged).size());
    };
    EXPECT_EQ(sound(good), std::pair(std::size_t{4}, std::size_t{0}));
    // A byte anywhere behind the head costs its chunk, no more.
    for (std::size_t at = begins[0]; at < good.size(); at += 37) {
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
        EXPECT_EQ(sound(bytes), std::pair(std::size_t{3}, std::size_t{1})) << at;
    }
    // Cut anywhere: the chunks before it are there.
    for (std::size_t size = begins[0]; size < good.size(); size += 101) {
        const auto whole = static_cast<std::size_t>(
            std::count_if(begins.begin() + 1, begins.end(), [&](std::size_t begin) { return begin <= size; }));
        EXPECT_EQ(sound(good.substr(0, size)).first, whole) << size;
    }
    // Bytes put in or taken out between chunks; a chunk a second time.
    EXPECT_EQ(sound(good.substr(0, begins[2]) + "something else" + good.substr(begins[2])).first, 4u);
    EXPECT_EQ(sound(good.substr(0, begins[1]) + good.substr(begins[2])), std::pair(std::size_t{3}, std::size_t{1}));
    EXPECT_EQ(sound(good.substr(0, begins[0]) + good.substr(begins[1])), std::pair(std::size_t{3}, std::size_t{1}));
    EXPECT_EQ(sound(good.substr(0, begins[2]) + good.substr(begins[1])), std::pair(std::size_t{4}, std::size_t{1}));
}

TEST(TraceFiles, HeadsAreRefusedWithTheirReason) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    write_trace(folder / "t", spec, {});
    const std::string good = read_text(folder / "t");
    const auto problem = [&](const std::string& bytes) {
        write_text(folder / "d", bytes);
        return sentence_of([&] { TraceFile file(folder / "d"); });
    };
    EXPECT_EQ(problem(good), "");
    EXPECT_NE(problem("").find("is no trace"), std::string::npos);
    EXPECT_NE(problem("{}").find("is no trace"), std::string::npos);
    std::string bytes = good;
    bytes[8] = 9;
    EXPECT_NE(problem(bytes).find("version 9"), std::string::npos);
    bytes = good;
    bytes[12] = bytes[13] = bytes[14] = bytes[15] = '\xff';
    EXPECT_NE(problem(bytes).find("ends within its head"), std::string::npos);
    bytes = good;
    bytes[30] = 'X';
    EXPECT_NE(problem(bytes).find("damaged head"), std::string::npos);
}

TEST(TraceFiles, NothingIsWrittenThatCouldNotBeRead) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto head = [&](const auto& change, const nlohmann::json& interventions = nullptr) {
        RouterSpec other = spec;
        change(other);
        return sentence_of([&] { TraceWriter(folder / "t", other, interventions); });
    };
    EXPECT_EQ(head([](RouterSpec&) {}), "");
    EXPECT_NE(head([](RouterSpec& s) { s.model = std::string(5000, 'm'); }).find("5000 bytes under \"model\""),
              std::string::npos);
    EXPECT_NE(
        head([](RouterSpec& s) { s.doubts = {Sentence::verbatim(std::string(2'000'000, 'd'))}; }).find("a head of"),
        std::string::npos);
    EXPECT_NE(head([](RouterSpec& s) { s.scale = NAN; }), "");
    EXPECT_NE(head([](RouterSpec&) {}, {{{"kind", "nope"}}}), "");
    const auto chunks = chunks_of(spec, RandomTrace(spec, 2).tokens(100));
    TraceWriter writer(folder / "t", spec);
    const auto append = [&](const Chunk& chunk) { return sentence_of([&] { writer.append(chunk); }); };
    EXPECT_EQ(append(*chunks[1]), "");
    EXPECT_NE(append(*chunks[0]).find("no reader would take it"), std::string::npos) << "its tokens were before";
    const RouterSpec other = make_spec(2, 9, 2);
    EXPECT_NE(append(*chunks_of(other, RandomTrace(other, 2).tokens(60))[1]), "") << "of another router";
    EXPECT_EQ(TraceFile(folder / "t").chunks(), 1u);
    EXPECT_EQ(TraceFile(folder / "t").damaged_places(), 1u) << "50 tokens before it are missing";
    EXPECT_NE(TraceFile(folder / "t").problems(0).at(0).english().find("50 tokens are missing"), std::string::npos);
    auto wrong = RandomTrace(spec, 2).token(0);
    wrong.layers[0].weights[0] = -5;
    TraceWriter other_writer(folder / "o", spec);
    EXPECT_NE(sentence_of([&] { other_writer.append(*chunks_of(spec, {wrong})[0]); }).find("no reader would take it"),
              std::string::npos);
    // A token's text is cut, a name of a group is refused, as they come.
    ChunkBuilder builder(spec);
    TokenDecisions token;
    token.bytes = std::string(5000, 'x');
    builder.add(token);
    EXPECT_EQ(builder.take()->piece_of(0).size(), kLongestPiece);
    token.group = std::string(5000, 'g');
    EXPECT_NE(sentence_of([&] { builder.add(token); }).find("a name of 5000 bytes"), std::string::npos);
}

/// A chunk header that is sound but lies.
std::string lying_chunk(std::uint32_t tokens, std::uint32_t samples, std::vector<PartEntry> parts,
                        const std::string& packed) {
    std::string bytes;
    const auto put = [&](auto value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); };
    put(kChunkMark);
    put(static_cast<std::uint32_t>(parts.size()));
    put(std::uint64_t{0});
    put(tokens);
    put(samples);
    for (const PartEntry& part : parts) {
        put(part.kind);
        put(part.raw);
        put(part.packed);
        put(part.crc);
    }
    put(base::crc32c(std::as_bytes(std::span(bytes))));
    return bytes + packed;
}

TEST(TraceFiles, ChunksThatLieAreLeftOut) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    write_trace(folder / "t", spec, {});
    const std::string head = read_text(folder / "t");
    const auto read = [&](const std::string& chunk) {
        write_text(folder / "d", head + chunk);
        const TraceFile file(folder / "d");
        return file.chunks() == 1 && file.chunk(0, kAllColumns) != nullptr;
    };
    EXPECT_TRUE(read(lying_chunk(0, 0, {}, "")));
    EXPECT_FALSE(read(lying_chunk(0xffffffff, 0, {}, "")));
    EXPECT_FALSE(read(lying_chunk(1, 0, {}, "")));  // tokens without a part
    EXPECT_FALSE(read(lying_chunk(0, 0xffffffff, {}, "")));
    EXPECT_FALSE(read(lying_chunk(1, 0, {{4, 0xffffffff, 0xffffffff, 0}}, "")));
    EXPECT_FALSE(read(
        lying_chunk(1, 0, {{4, 100, 4, base::crc32c(std::as_bytes(std::span("abc", 4)))}}, std::string("abc\0", 4))));
    // Sound parts of a chunk with fewer tokens, under a header that says more.
    const auto made = chunks_of(spec, RandomTrace(spec, 4).tokens(20));
    const auto encoded = encode_chunk(*made[0]);
    const auto header = read_chunk_header(encoded, shape_of(spec));
    ASSERT_TRUE(header);
    const std::string packed(reinterpret_cast<const char*>(encoded.data()) + header->header_bytes,
                             encoded.size() - header->header_bytes);
    EXPECT_TRUE(read(lying_chunk(20, 0, header->parts, packed)));
    EXPECT_FALSE(read(lying_chunk(21, 0, header->parts, packed)));
    EXPECT_FALSE(read(lying_chunk(19, 0, header->parts, packed)));
    // Of a router with more experts: ids that this one does not have.
    const RouterSpec larger = make_spec(2, 200, 2);
    const auto other = encode_chunk(*chunks_of(larger, RandomTrace(larger, 4).tokens(20))[0]);
    EXPECT_FALSE(read(std::string(reinterpret_cast<const char*>(other.data()), other.size())));
    // How many experts are chosen, once more behind the ids: there would be ids that nobody has looked at.
    auto fewer = RandomTrace(spec, 4).tokens(20);
    for (TokenDecisions& token : fewer) {
        for (LayerDecision& layer : token.layers) {
            layer.ids.resize(1);
            layer.weights.clear();
        }
    }
    const auto parts_of = [&](const Chunk& chunk) {
        const auto bytes = encode_chunk(chunk);
        const auto known = read_chunk_header(bytes, shape_of(spec));
        std::vector<std::pair<PartEntry, std::string>> parts;
        std::size_t at = known->header_bytes;
        for (const PartEntry& part : known->parts) {
            parts.emplace_back(part, std::string(reinterpret_cast<const char*>(bytes.data()) + at, part.packed));
            at += part.packed;
        }
        return parts;
    };
    const auto read_parts = [&](const std::vector<std::pair<PartEntry, std::string>>& parts) {
        std::vector<PartEntry> entries;
        std::string content;
        for (const auto& [entry, bytes_of_part] : parts) {
            entries.push_back(entry);
            content += bytes_of_part;
        }
        return read(lying_chunk(20, 0, entries, content));
    };
    auto parts = parts_of(*chunks_of(spec, fewer)[0]);
    EXPECT_TRUE(read_parts(parts));
    for (const auto& part : parts_of(*made[0])) {
        if (static_cast<Part>(part.first.kind) == Part::chosen) {
            parts.push_back(part);
        }
    }
    EXPECT_FALSE(read_parts(parts));
    // An expert that is chosen twice.
    Chunk twice = *made[0];
    twice.ids[1] = twice.ids[0];
    const auto wrong = encode_chunk(twice);
    EXPECT_FALSE(read(std::string(reinterpret_cast<const char*>(wrong.data()), wrong.size())));
}

TEST(TraceFiles, NumbersThatNoRouterHasAreDamage) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    write_trace(folder / "t", spec, {});
    const std::string head = read_text(folder / "t");
    const auto read = [&](const auto& change) {
        auto tokens = RandomTrace(spec, 4).tokens(20);
        change(tokens[7]);
        const auto encoded = encode_chunk(*chunks_of(spec, tokens)[0]);
        write_text(folder / "d", head + std::string(reinterpret_cast<const char*>(encoded.data()), encoded.size()));
        return TraceFile(folder / "d").chunk(0, kAllColumns) != nullptr;
    };
    EXPECT_TRUE(read([](TokenDecisions&) {}));
    EXPECT_TRUE(read([](TokenDecisions& t) { t.log_probability = -INFINITY; }));
    EXPECT_TRUE(read([](TokenDecisions& t) { t.layers[0].margin = 1; }));
    EXPECT_FALSE(read([](TokenDecisions& t) { t.log_probability = 700; }));
    EXPECT_FALSE(read([](TokenDecisions& t) { t.layers[0].entropy = 1e30f; }));
    EXPECT_FALSE(read([](TokenDecisions& t) { t.layers[1].margin = -5; }));
    EXPECT_FALSE(read([](TokenDecisions& t) { t.layers[1].weights = {-5, 0.1f}; }));
}

TEST(TraceFiles, RandomBytesAreNeverMoreThanDamage) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto encoded = encode_chunk(*chunks_of(spec, RandomTrace(spec, 9).tokens(40))[0]);
    std::mt19937 random(7);
    for (int i = 0; i < 3000; ++i) {
        // Parts whose checksums are right and whose content is not: what the decoder itself has to find.
        const auto header = *read_chunk_header(encoded, shape_of(spec));
        ChunkDecoder decoder(header, shape_of(spec));
        std::size_t at = header.header_bytes;
        bool good = true;
        for (PartEntry part : header.parts) {
            std::vector<std::byte> bytes(encoded.begin() + static_cast<std::ptrdiff_t>(at),
                                         encoded.begin() + static_cast<std::ptrdiff_t>(at + part.packed));
            at += part.packed;
            if (!bytes.empty() && random() % 3 == 0) {
                bytes[random() % bytes.size()] = static_cast<std::byte>(random());
                part.crc = base::crc32c(bytes);
            }
            good = good && decoder.take(part, bytes);
        }
        if (const auto chunk = good ? decoder.finish(kAllColumns) : nullptr) {
            for (std::size_t layer = 0; layer < 2 && !chunk->ids.empty(); ++layer) {
                for (const std::uint16_t id : chunk->ids_of(layer, 0)) {
                    EXPECT_LT(id, 8);
                }
            }
        }
    }
}

/// Bytes of ids and weights per chosen expert.
double bytes_per_expert(const RouterSpec& spec, int tokens) {
    std::uint64_t bytes = 0, chosen = 0;
    for (const auto& chunk : chunks_of(spec, RandomTrace(spec, 6).tokens(tokens), static_cast<std::size_t>(tokens))) {
        const auto header = read_chunk_header(encode_chunk(*chunk), shape_of(spec));
        for (const PartEntry& part : header->parts) {
            const auto kind = static_cast<Part>(part.kind);
            bytes += kind == Part::ids || kind == Part::weights || kind == Part::chosen ? part.packed : 0;
        }
        for (const std::uint16_t here : chunk->chosen) {
            chosen += here;
        }
    }
    return static_cast<double>(bytes) / static_cast<double>(chosen);
}

TEST(TraceFiles, TakeLittlePerExpert) {
    // Logits of these are drawn independently, which real ones are not: they are the upper end.
    EXPECT_LT(bytes_per_expert(make_spec(8, 64, 8), 1000), 1.6);
    EXPECT_LT(bytes_per_expert(make_spec(8, 16, 4), 1000), 1.6);
    EXPECT_LT(bytes_per_expert(make_spec(8, 8, 2), 1000), 1.6);
}

}  // namespace
}  // namespace moescope::routing
