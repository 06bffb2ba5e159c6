#include "tests/fuzz/seeds.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <stdexcept>
#include <zlib.h>
#include <zstd.h>

#include "base/json_guard.hpp"
#include "base/little_endian.hpp"
#include "base/sha256.hpp"
#include "engine/checkpoint/checkpoint.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/files/npy.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/token_cache.hpp"
#include "nodes/curves/event_writer.hpp"
#include "nodes/history/record_parts.hpp"
#include "nodes/protocol/curve_record.hpp"
#include "nodes/protocol/ranges.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/security/known_nodes.hpp"
#include "nodes/security/pairing.hpp"
#include "routing/packed_trace.hpp"
#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"
#include "sessions/archive.hpp"
#include "sessions/packed_segment.hpp"
#include "sessions/segment.hpp"
#include "sessions/session.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/files.hpp"
#include "tests/fuzz/routing_of.hpp"
#include "tests/nodes/protocol/samples.hpp"
#include "tests/paths.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::fuzz {

namespace fs = std::filesystem;
using nlohmann::json;
using test::read_text;
using Seeds = std::vector<std::string>;

namespace {

fs::path data() {
    return test::test_data();
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
template <class T>
std::string raw(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
template <class T>
std::string number(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// What `write` puts into a file of this name.
std::string written(const char* name, const std::function<void(const fs::path&)>& write) {
    const test::TemporaryFolder folder;
    write(folder / name);
    return read_text(folder / name);
}

std::string base64(const std::string& bytes) {
    std::string text(bytes.size() / 3 * 4 + 5, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                         reinterpret_cast<const unsigned char*>(bytes.data()),
                                                         static_cast<int>(bytes.size()))));
    return text;
}

std::string zstd(const std::string& text) {
    std::string packed(ZSTD_compressBound(text.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
    return packed;
}

/// Of frames that this program made; they are small.
std::string unzstd(const std::string& packed) {
    std::string text(1 << 20, '\0');
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    ZSTD_outBuffer out{text.data(), text.size(), 0};
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> stream(ZSTD_createDCtx(), ZSTD_freeDCtx);
    while (in.pos < in.size && ZSTD_isError(ZSTD_decompressStream(stream.get(), &out, &in)) == 0) {
    }
    text.resize(out.pos);
    return text;
}

Seeds files_in(const fs::path& folder, const std::string& extension) {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == extension) {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    Seeds all;
    for (const fs::path& path : paths) {
        all.push_back(read_text(path));
    }
    return all;
}

Seeds golden_frames() {
    return files_in(data() / "nodes/protocol/golden", ".bin");
}

std::string wire_of(const std::vector<protocol::Frame>& frames) {
    std::vector<std::byte> bytes;
    for (const protocol::Frame& frame : frames) {
        protocol::append_frame(bytes, frame);
    }
    return text_of(bytes);
}

Seeds frames() {
    Seeds all = golden_frames();
    std::string stream;
    for (const std::string& frame : all) {
        stream += frame;
    }
    all.push_back(stream);
    return all;
}

Seeds greetings() {
    Seeds all;
    for (const char* name : {"hello", "refuse", "auth", "subscribe", "credit"}) {
        all.push_back(text_of(protocol::test::sample_frames().at(name).body));
    }
    return all;
}

Seeds to_a_node() {
    auto samples = protocol::test::sample_frames();
    const auto request = [&](const std::string& id, const std::string& command) {
        return protocol::make_frame(protocol::FrameType::request,
                                    protocol::encode_json({{"id", std::string(31, '0') + id}, {"command", command}}));
    };
    return {wire_of({samples["auth"], samples["subscribe"], samples["credit"], samples["request"], samples["ping"],
                     samples["unsubscribe"], samples["bye"]}),
            wire_of({samples["auth"], request("1", "train.start"), request("2", "models.list"), request("3", "x")}),
            wire_of({samples["subscribe"], samples["credit"], samples["credit"]}), wire_of({samples["request"]})};
}

Seeds to_a_viewer() {
    auto samples = protocol::test::sample_frames();
    std::vector<protocol::Frame> records;
    for (auto& [name, frame] : samples) {
        if (protocol::is_data(frame)) {
            frame.sequence = 1000 + records.size();
            records.push_back(frame);
        }
    }
    return {wire_of({samples["state"], samples["response"], samples["gap"], samples["ping"], samples["pong"]}),
            wire_of(records), wire_of({samples["state"]}), wire_of({samples["bye"]})};
}

std::vector<routing::TokenDecisions> decisions() {
    return routing::RandomTrace(small_router(), 1).tokens(12);
}
std::shared_ptr<const routing::Chunk> small_chunk() {
    return routing::chunks_of(small_router(), decisions()).front();
}

std::string record(protocol::RecordType type, const std::vector<std::byte>& body) {
    return number(static_cast<std::uint8_t>(type)) + number(static_cast<std::uint16_t>(body.size())) + text_of(body);
}
std::string record(protocol::RecordType type, const json& body) {
    return record(type, protocol::encode_json(body));
}

Seeds records() {
    using protocol::RecordType;
    const json config = json::parse(read_text(fs::path(test::source_assets()) / "presets/qwen3-mini.json"));
    protocol::StepRecord step = protocol::test::sample_step();
    step.run = 1;
    protocol::RankRecord ranks = protocol::test::sample_ranks();
    ranks.run = 1;
    std::string training =
        record(RecordType::run_started,
               {{"run", 1}, {"kind", "train"}, {"name", "a"}, {"manifest", {{"config", config}, {"seed", 1}}}});
    for (std::uint64_t at = 1; at < 4; ++at) {
        step.step = at;
        training += record(RecordType::step, protocol::encode_step(step));
    }
    training += record(RecordType::ranks, protocol::encode_ranks(ranks));
    training +=
        record(RecordType::evaluation,
               {{"run", 1}, {"step", 3}, {"loss", {{"en", 2.5}, {"zh", 3.5}}}, {"tokens", {{"en", 9}, {"zh", 8}}}});
    training += record(RecordType::event, {{"run", 1}, {"step", 2}, {"kind", "checkpoint"}, {"name", "2"}});
    training += record(RecordType::event,
                       {{"run", 1}, {"step", 3}, {"kind", "knob"}, {"name", "learning_rate"}, {"old", 1}, {"new", 2}});
    training += record(RecordType::event, {{"run", 1}, {"step", 2}, {"kind", "resume"}});
    training +=
        record(RecordType::sample, {{"run", 1}, {"step", 3}, {"language", "zh"}, {"prompt", "p"}, {"text", "t"}});
    training += record(RecordType::run_ended, {{"run", 1}, {"state", "done"}, {"step", 3}});
    std::string imported = record(
        RecordType::run_started,
        {{"run", 6}, {"kind", "imported"}, {"name", "c"}, {"manifest", {{"source", "a.csv"}, {"format", "csv"}}}});
    imported += record(RecordType::curve,
                       protocol::encode_curve({6, 0, "loss", "loss", "nats/token", {1, 2, 5}, {3, 2, 1}, {}}));
    imported +=
        record(RecordType::curve, protocol::encode_curve({6, 0, "loss", "loss", "", {3, 9}, {2.5, 0.5}, {7, 8}}));

    protocol::TokenBatch tokens = protocol::test::sample_tokens();
    tokens.run = 2;
    tokens.first = 0;
    std::string answer =
        record(RecordType::run_started, {{"run", 2},
                                         {"kind", "generate"},
                                         {"name", "b"},
                                         {"manifest", {{"model", "m"}, {"prompt", "p"}, {"max_tokens", 9}}}});
    answer += record(RecordType::tokens, protocol::encode_tokens(tokens));
    answer +=
        record(RecordType::routing_started, {{"run", 2},
                                             {"router", routing::router_to_json(small_router())},
                                             {"interventions", {{{"kind", "knock_out"}, {"layer", 1}, {"expert", 5}}}},
                                             {"set", "quiet"},
                                             {"detail", "scores"}});
    answer += record(RecordType::routing_chunk, protocol::encode_routing({2, 0, routing::pack(*small_chunk())}));
    answer += record(RecordType::routing_scores,
                     protocol::encode_routing({2, 0, routing::pack_decisions(decisions().front())}));
    answer += record(RecordType::generation_ended, {{"run", 2}, {"state", "done"}, {"stop", "end"}, {"tokens", 2}});

    std::string probe =
        record(RecordType::run_started, {{"run", 3}, {"kind", "probe"}, {"name", "c"}, {"manifest", json::object()}});
    probe += record(RecordType::probe_draw, {{"run", 3},
                                             {"item", "i"},
                                             {"model", "m"},
                                             {"language", "en"},
                                             {"draw", 0},
                                             {"answer", "No."},
                                             {"delivery", "refused"},
                                             {"engagement", 0}});
    probe += record(RecordType::probe_label, {{"run", 3},
                                              {"item", "i"},
                                              {"model", "m"},
                                              {"language", "en"},
                                              {"draw", 0},
                                              {"field", "delivery"},
                                              {"value", "answered"},
                                              {"coder", "ab"}});
    probe += record(RecordType::probe_codings, {{"run", 3},
                                                {"codings",
                                                 {{{"item", "i"},
                                                   {"model", "m"},
                                                   {"language", "en"},
                                                   {"draw", 0},
                                                   {"coder", "cd"},
                                                   {"field", "engagement"},
                                                   {"value", "2"},
                                                   {"time_ns", 5}},
                                                  {{"item", "i"},
                                                   {"model", "m"},
                                                   {"language", "en"},
                                                   {"draw", 0},
                                                   {"coder", "ef"},
                                                   {"field", "delivery"},
                                                   {"value", "cut"},
                                                   {"consensus", true}}}}});
    probe += record(RecordType::intervention_set,
                    {{"name", "s"}, {"items", {{{"kind", "zero"}, {"layer", 0}, {"expert", 1}}}}});
    probe += record(RecordType::note, {{"note", 1},
                                       {"revision", 1},
                                       {"on", {{"kind", "step"}, {"run", 3}, {"step", 4}}},
                                       {"text", "odd"},
                                       {"author", "ab"},
                                       {"role", "admin"}});
    probe += record(
        RecordType::note,
        {{"note", 2},
         {"revision", 1},
         {"on", {{"kind", "answer"}, {"run", 3}, {"item", "i"}, {"model", "m"}, {"language", "en"}, {"draw", 0}}},
         {"text", "x"}});
    probe += record(RecordType::note, {{"note", 1}, {"revision", 2}, {"on", {{"kind", "session"}}}, {"text", nullptr}});
    probe += record(RecordType::experiment,
                    {{"experiment", 1},
                     {"definition",
                      {{"name", "e"},
                       {"key", "learning_rate"},
                       {"data", "d"},
                       {"runs", {{{"run", 5}, {"name", "r"}, {"value", 0.1}, {"config", config}}}}}}});
    probe += record(RecordType::run_started,
                    {{"run", 4}, {"kind", "route"}, {"name", "d"}, {"manifest", {{"what", "effect"}}}});
    probe += record(RecordType::routing_result, {{"run", 4}, {"result", {{"tokens", 3}, {"kl", 0.5}}}});
    probe += record(RecordType::log, {{"level", "warning"}, {"text", "t"}, {"source", "s"}});
    probe += record(RecordType::gap, {{"from", 1}, {"to", 2}, {"count", 2}, {"reason", "r"}});
    return {training, answer, probe, imported};
}

std::string segment() {
    std::string bytes = text_of(sessions::encode_segment_begin(3, {{2, 9}, 12}));
    for (std::uint64_t at = 1; at < 5; ++at) {
        const std::string body = at % 2 == 0 ? std::string(at * 20, 'x') : json{{"run", at}}.dump();
        bytes += text_of(sessions::encode_record({3, at}, 1000 + at, 1, 1, std::as_bytes(std::span(body))));
    }
    return bytes;
}

std::string packed_archive() {
    const test::TemporaryFolder folder;
    const auto session = folder / "s";
    {
        const auto open = sessions::Session::open(session, sessions::Journal::Mode::read_write);
        const std::string body = "{\"run\": 1}";
        open->journal().append(1, 1, 5, std::as_bytes(std::span(body)));
    }
    for (const char* file : {"session.db", "session.db-wal", "session.db-shm"}) {
        fs::remove(session / file);  // 20 KiB that nothing looks at
    }
    test::write_text(session / "files/a/b.txt", "text");
    sessions::write_archive(session, folder / "s.moescope");
    return read_text(folder / "s.moescope");
}

Seeds manifests() {
    const std::string hash = base::sha256("a");
    return {json{{"program", "moescope"}, {"format", 1}, {"id", "0123"}, {"created_ns", 1}}.dump(1),
            json{{"format", 1},
                 {"files",
                  {{{"name", "a"}, {"bytes", 1}, {"sha256", hash}}, {{"name", "b/c"}, {"bytes", 1}, {"sha256", hash}}}}}
                .dump(1)};
}

std::string safetensors() {
    return written("a.safetensors", [](const fs::path& path) {
        const std::vector<float> values{1, 2, 3, 4, 5, 6};
        engine::write_safetensors(
            path,
            {{"a", {2, 3}, values.data()},
             {.name = "b.c", .shape = {3}, .dtype = "BF16", .write = [](std::ostream& out) { out << "abcdef"; }},
             {"empty", {0}, values.data()}},
            {{"key", "value"}});
    });
}

engine::ModelConfig tiny_model() {
    engine::ModelConfig m;
    m.vocabulary = 8;
    m.width = 4;
    m.layers = 1;
    m.context = 8;
    m.tied_head = false;
    m.heads = 2;
    m.kv_heads = 1;
    m.head_width = 2;
    m.experts = 2;
    m.experts_per_token = 1;
    m.expert_width = 2;
    return m;
}

std::string exported_gguf(const engine::ModelConfig& model) {
    return written("a.gguf", [&](const fs::path& path) {
        const auto layout = engine::make_layout(model);
        const std::vector<float> parameters(layout.floats, 0.5f);
        engine::export_gguf(path, model, layout, parameters.data(), nullptr);
    });
}

Seeds models() {
    engine::ModelConfig latent = tiny_model();
    latent.attention = engine::AttentionKind::latent;
    latent.qk_norm = engine::QkNorm::none;
    latent.kv_heads = latent.heads;
    latent.kv_rank = 4;
    latent.nope_width = 2;
    latent.rope_width = 2;
    latent.value_width = 2;
    latent.rope_order = engine::RopeOrder::interleaved;
    latent.shared_experts = 1;
    latent.router_scoring = engine::Scoring::sigmoid;
    latent.selection_bias = true;
    return {exported_gguf(tiny_model()), exported_gguf(latent)};
}

Seeds gguf() {
    engine::GgufBytes part = engine::small_moe();
    part.u16("split.no", 0);
    part.u16("split.count", 2);
    Seeds all = models();
    all.push_back(engine::small_moe().file(256));
    all.push_back(part.file(256));
    return all;
}

std::string npy(const std::string& type, const std::string& shape, const std::string& bytes) {
    std::string head = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
    head.resize((10 + head.size() + 1 + 63) / 64 * 64 - 11, ' ');
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(head.size() + 1) + '\0' + head + '\n' + bytes;
}

Seeds arrays() {
    const std::vector<std::int32_t> tokens{1, 2, 3, 400};
    return {written("a.npy", [&](const fs::path& path) { engine::write_npy(path, std::span(tokens), {4}); }),
            npy(">i8", "2,", std::string(16, '\0')), npy("|u1", "3, 2, 2", std::string(12, '\1')),
            npy("<f4", "2, 1", std::string(8, '\0'))};
}

Seeds anything() {
    Seeds all = gguf();
    for (const std::string& array : arrays()) {
        all.push_back(array);
    }
    all.push_back(safetensors());
    all.push_back("\x80\x04]q.");
    all.push_back("(dp0\n.");
    all.push_back(std::string("PK\x03\x04", 4) + "archive/data.pkl");
    return all;
}

Seeds configs() {
    return files_in(fs::path(test::source_assets()) / "presets", ".json");
}

/// With values as deep as they may be, so that one level more is tried.
Seeds json_texts() {
    Seeds all = configs();
    std::string lists = "1", objects = "1";
    for (int level = 0; level < base::kJsonDepth; ++level) {
        lists = "[" + lists + "]";
        objects = "{\"k\":" + objects + "}";
    }
    all.push_back(lists);
    all.push_back(objects);
    return all;
}

Seeds checkpoints() {
    engine::CheckpointState state;
    state.step = 12;
    state.updates = 11;
    state.sequences = 96;
    state.data_name = "d";
    state.data_sha256 = base::sha256("d");
    state.data_tokens = 1000;
    state.experts_per_token = 2;
    state.capacity_factor = 1.5;
    state.disabled = {{0, 1}, {1, 3}};
    engine::RunConfig config;
    const test::TemporaryFolder folder;
    engine::write_checkpoint_texts(folder.path(), config, state, nullptr);
    return {read_text(folder / engine::kConfigFile), read_text(folder / engine::kStateFile)};
}

/// Two of its questions: the rest are alike.
Seeds probe_sets() {
    json set = json::parse(read_text(fs::path(test::source_assets()) / "probe_sets/starter.json"));
    json items = json::array();
    json topics = json::object();
    for (const json& item : set["items"]) {
        if (items.size() < 2 && item.value("mirrors", "").empty()) {
            items.push_back(item);
            topics[item["topic"].get<std::string>()] = set["topics"][item["topic"].get<std::string>()];
        }
    }
    set["items"] = items;
    set["topics"] = topics;
    return {set.dump()};
}

Seeds hugging_face_configs() {
    Seeds all;
    for (const auto& entry : fs::directory_iterator(data() / "oracle/data")) {
        if (fs::exists(entry.path() / "config.json")) {
            all.push_back(read_text(entry.path() / "config.json"));
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

/// Without their vocabularies, and with merges and added tokens of that which the target puts in.
Seeds tokenizers() {
    Seeds all;
    std::vector<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(data() / "oracle/data/tokenizers")) {
        if (entry.is_directory()) {
            folders.push_back(entry.path());
        }
    }
    std::sort(folders.begin(), folders.end());
    for (const fs::path& folder : folders) {
        json file = json::parse(read_text(folder / "tokenizer.json"));
        json& model = file["model"];
        const bool as_text = model.value("byte_fallback", false);
        model["vocab"] = nullptr;
        model["merges"] = all.size() % 2 == 0 ? json{"a b", "ab c"} : json{{"a", "b"}, {"ab", "c"}};
        int next = 258;
        for (json& added : file["added_tokens"]) {
            if (!as_text) {
                added["id"] = next++;
            }
        }
        all.push_back(file.dump());
    }
    return all;
}

/// As SentencePiece writes them: field 1 of the model is a piece (1 its text, 2 its score, 3 its kind).
Seeds tokenizer_models() {
    const auto piece = [](const std::string& text, float score, int kind) {
        const std::string body = "\x0a" + std::string(1, static_cast<char>(text.size())) + text + "\x15" +
                                 number(score) + "\x18" + std::string(1, static_cast<char>(kind));
        return "\x0a" + std::string(1, static_cast<char>(body.size())) + body;
    };
    const std::string pieces =
        piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("<0x41>", -1, 6) + piece("\xe2\x96\x81the", -2.5f, 1);
    // Trainer: model type unigram. Normaliser: identity, no blank put before, none removed.
    return {pieces + std::string("\x12\x02\x18\x01", 4) + "\x1a\x0e\x0a\x08identity\x18" + std::string(1, '\0') +
                "\x20" + std::string(1, '\0'),
            pieces};
}

Seeds text_settings() {
    Seeds all;
    for (const auto& entry : fs::directory_iterator(data() / "oracle/data/tokenizers")) {
        if (entry.is_directory()) {
            all.push_back(read_text(entry.path() / "tokenizer_config.json"));
        }
    }
    std::sort(all.begin(), all.end());
    all.push_back(json{{"bos_token", {{"content", "<s>"}}},
                       {"eos_token", "</s>"},
                       {"add_bos_token", true},
                       {"chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}"},
                       {"added_tokens_decoder", {{"2", {{"content", "<s>"}, {"special", true}}}}}}
                      .dump());
    all.push_back(json{{"chat_template", {{{"name", "default"}, {"template", "{{ messages[0].content }}"}}}}}.dump());
    all.push_back(json{{"eos_token_id", {2, 3}}, {"bos_token_id", 2}}.dump());
    return all;
}

Seeds traces() {
    std::string lines;
    const auto spec = small_router();
    for (const auto& token : decisions()) {
        lines += routing::trace_line(token, lines.empty() ? &spec : nullptr) + "\n";
    }
    const std::string file = written("t", [&](const fs::path& path) {
        routing::TraceWriter writer(path, spec);
        for (const auto& chunk : routing::chunks_of(spec, decisions(), 6)) {
            writer.append(*chunk);
        }
    });
    return {lines, file};
}

/// The parts of a packed piece, unpacked, in the form that the target reads.
std::string chunk_of(const routing::Chunk& chunk) {
    const auto packed = routing::pack(chunk);
    base::Reader in(packed);
    (void)in.get<std::uint32_t>();
    struct Entry {
        std::uint32_t kind, raw, size;
    };
    std::vector<Entry> entries(in.get<std::uint32_t>());
    std::string out = in.get_string(sizeof(std::uint64_t) + 2 * sizeof(std::uint32_t));
    for (Entry& entry : entries) {
        entry = {in.get<std::uint32_t>(), in.get<std::uint32_t>(), in.get<std::uint32_t>()};
        (void)in.get<std::uint32_t>();
    }
    (void)in.get<std::uint32_t>();
    for (const Entry& entry : entries) {
        const std::string part = unzstd(in.get_string(entry.size));
        out += number(static_cast<std::uint8_t>(entry.kind)) + number(static_cast<std::uint16_t>(part.size())) + part;
    }
    return out;
}

Seeds chunks() {
    routing::ChunkBuilder loads(small_router());
    loads.add(routing::LoadSample{7, std::vector<std::uint64_t>(16, 3)});
    return {chunk_of(*small_chunk()), chunk_of(*loads.take())};
}

Seeds scores() {
    routing::TokenDecisions token = decisions().front();
    Seeds all{text_of(routing::pack_decisions(token))};
    for (auto& layer : token.layers) {
        layer.logits.assign(8, 0.5f);
        layer.scores.assign(8, 0.125f);
        layer.selection.assign(8, 0.125f);
    }
    all.push_back(text_of(routing::pack_decisions(token)));
    return all;
}

Seeds recordings() {
    const std::vector<std::uint8_t> ids{1, 2, 3, 4, 5, 6, 7, 0, 0, 3, 2, 1};
    const std::string array = npy("|u1", "3, 2, 2", raw(ids));
    const std::vector<std::int32_t> wide(ids.begin(), ids.end());
    Seeds all{
        json{{"prompt_token_ids", {10, 11}},
             {"choices", {{{"token_ids", {12, 13}}, {"routed_experts", base64(array)}}}}}
            .dump(),
        json{{"prompt_routed_experts", {{{-1, -1}, {-1, -1}}, {{1, 2}, {3, 4}}}},
             {"choices", {{{"routed_experts", {{{5, 6}, {7, 0}}}}, {"token_ids", {3, 4}}}}},
             {"prompt_token_ids", {1, 2}}}
            .dump(),
        array,
        json{{"text", "x"}, {"output_ids", {7}}, {"meta_info", {{"routed_experts", base64(raw(wide))}}}}.dump(),
        json{{"choices", {{{"sgl_ext", {{"routed_experts", base64(raw(ids))}, {"routed_experts_dtype", "uint8"}}}}}}}
            .dump(),
        "layer_id,expert_id,count\n0,0,3\n0,2,4\n\n1,1,7\n",
        npy("<i4", "2, 3", raw(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6})),
        "{\"iter\": 1, \"block\": \"decoder\", \"layer\": 0, \"tpe\": [[1, 2]]}\n"
        "{\"iter\": 1, \"block\": \"decoder\", \"layer\": 1, \"tpe\": [[2, 1]]}\n"};
    for (const std::string& trace : traces()) {
        all.push_back(trace);
    }
    return all;
}

Seeds imatrices() {
    engine::GgufBytes gguf;
    gguf.string("general.type", "imatrix");
    gguf.u32("imatrix.chunk_count", 4);
    std::string counts;
    for (const char* name : {"blk.0.ffn_up_exps.weight.counts", "blk.1.ffn_up_exps.weight.counts"}) {
        gguf.tensor({name, {1, 8}, 0, counts.size()});
        counts += raw(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
    }
    return {gguf.file(0) + counts};
}

Seeds changes() {
    return {json{{{"kind", "knock_out"}, {"layer", 3}, {"expert", 5}},
                 {{"kind", "bias"}, {"expert", 2}, {"value", -0.5}},
                 {{"kind", "limit_k"}, {"layer", 0}, {"experts", 1}},
                 {{"kind", "force"}, {"layer", 0}, {"expert", 1}}}
                .dump(),
            json{{"name", "s"}, {"items", {{{"kind", "zero"}, {"layer", 1}}}}}.dump(),
            routing::router_to_json(small_router()).dump(),
            "3:5,3:0-4,*:7",
            "3:5=-0.5,*:7=2",
            "3:1,4-5:2",
            "[[90, 132.5, 0], [20, 1e3, 104]]",
            "90,132.5,0\n20,1e3,104\n"};
}

Seeds server_answers() {
    const auto event = [](const json& value) { return "data: " + value.dump() + "\n\n"; };
    const auto delta = [](const std::string& text, const json& logprobs, const json& reason) {
        return json{
            {"choices",
             {{{"index", 0}, {"delta", {{"content", text}}}, {"logprobs", logprobs}, {"finish_reason", reason}}}}};
    };
    const json entry = {{"token", "Hi"},
                        {"logprob", -0.5},
                        {"bytes", {72, 105}},
                        {"top_logprobs", {{{"token", "Hi"}, {"logprob", -0.5}}, {{"token", "No"}, {"logprob", -2}}}}};
    const std::vector<std::int32_t> ids{1, 2, 3, 4, 5, 6, 7, 0, 0, 3, 2, 1};
    json last = delta("", nullptr, "stop");
    last["usage"] = {{"prompt_tokens", 2}, {"completion_tokens", 2}};
    last["prompt_token_ids"] = {1, 2};
    last["choices"][0]["token_ids"] = {3, 4};
    last["choices"][0]["routed_experts"] = base64(npy("<i4", "3, 2, 2", raw(ids)));
    return {
        event(delta("Hi", {{"content", {entry}}}, nullptr)) + ": a comment\r\n\r\n" +
            event(delta(" there", nullptr, nullptr)) + event(last) + "data: [DONE]\n\n",
        event({{"choices",
                {{{"text", "Hi"},
                  {"finish_reason", "length"},
                  {"logprobs", {{"tokens", {"Hi"}}, {"token_logprobs", {-0.5}}, {"top_logprobs", {{{"Hi", -0.5}}}}}}}}},
               {"usage", {{"prompt_tokens", 2}, {"completion_tokens", 1}}}}),
        event({{"choices",
                {{{"message", {{"content", "Hi"}, {"reasoning_content", "think"}}}, {"finish_reason", "stop"}}}}}),
        event({{"error", {{"message", "no such model"}, {"code", 404}}}})};
}

Seeds addresses() {
    const security::Invitation invitation{"fe80::1", 7443, security::KeyHash{1, 2, 3}, security::Secret{9, 8, 7}};
    return {"http://127.0.0.1:8000/v1#tiny-moe",
            "https://[::1]/v1#a/b",
            "ssh://user@host:22/data/run",
            "tls://gpu3.lab:7443",
            "unix:/run/node.sock",
            "[::1]:7443",
            security::to_text(invitation),
            json{{"remote", true}, {"dialect", "vllm"}, {"silence", 60}, {"layers", 2}, {"experts", 8}}.dump(),
            json{{"key_variable", "MOESCOPE_API_KEY"}}.dump()};
}

Seeds peers() {
    const test::TemporaryFolder folder;
    security::PairingBook book(folder / "node");
    const auto secret = book.invite(protocol::Right::operator_, 0);
    const security::ChannelBinding channel{7};
    book.accept(security::proof_of(secret, channel), channel, security::KeyHash{5}, "lab", 0);
    book.invite(protocol::Right::viewer, 0);
    security::KnownNodes(folder / "known.json").remember("tls://a:1", security::KeyHash{4});
    return {read_text(folder / "node/paired.json"), read_text(folder / "known.json")};
}

Seeds worker_messages() {
    const auto message = [](char kind, const std::string& body) {
        return number(static_cast<std::uint32_t>(body.size())) + kind + body;
    };
    return {message('J', json{{"op", "failed"}, {"message", "m"}, {"message_id", "m"}, {"notes", {"a", "b"}}}.dump()) +
                message('T', text_of(protocol::encode_tokens(protocol::test::sample_tokens()))) +
                message('L', "a\nb\n"),
            "/where/it/was/built/x.cpp:66: GGML_ASSERT(a == b) failed\nterminate called after throwing an instance of "
            "'std::x'\n  what():  y\n",
            message('J', "{}")};
}

Seeds documents() {
    return {"{\"text\": \"a document\", \"language\": \"en\"}\n{\"text\": \"二\"}\n",
            "[{\"text\": \"a\", \"n\": [1, {\"b\": null}]}, \"plain \\u4e2d\"]", "{\"text\": \"a\"} {\"text\": \"b\"}"};
}

Seeds text_files() {
    Seeds all = documents();
    all.push_back("plain text\n\nwith paragraphs\f and a page\n");
    all.push_back(zstd(all[3]));
    all.push_back(zstd(all[1]));
    all.push_back(read_text(data() / "readers/data/text.gz"));
    return all;
}

Seeds token_caches() {
    engine::Dataset dataset;
    dataset.train_tokens = {1, 2, 3, 400};
    dataset.train_languages = {0, 1, 1, 0};
    dataset.held_out[0] = {5, 6};
    dataset.held_out[1] = {7};
    dataset.bytes_per_token = {3.5, 2.5};
    return {written("a.tokens", [&](const fs::path& path) { engine::write_cached_tokens(path, dataset, {}); })};
}

Seeds texts() {
    return {"plain", "中文 and English \xf0\x9f\x98\x80", "YWJj", "a\x1b[31mred\r\n\t\xe2\x80\xae",
            std::string("\xe4\xb8\0\xff", 4)};
}

Seeds ranges() {
    const auto framed = [](const std::vector<std::byte>& body) {
        return number(static_cast<std::uint16_t>(body.size())) + text_of(body);
    };
    const protocol::RangeOrder order{7, {1, 2, 3}, 0, 100, 8};
    const std::string bytes = "abcdefgh";
    protocol::RangeEnd failed{7, protocol::RangeEnd::State::failed, "", base::say("the node ends")};
    protocol::RangeEnd whole{7, protocol::RangeEnd::State::whole, base::sha256(bytes), {}};
    const auto piece = [&](std::size_t from, std::size_t count) {
        return protocol::encode_chunk({7, 100 + from, std::as_bytes(std::span(bytes)).subspan(from, count)});
    };
    return {framed(protocol::encode_range_order(order)) + framed(piece(0, 5)) + framed(piece(5, 3)) +
                framed(protocol::encode_range_end(whole)),
            framed(protocol::encode_push({order, base::sha256(bytes)})) + framed(protocol::encode_range_end(failed))};
}

/// Steps as a training writes them, with their heads.
std::vector<sessions::Record> step_records() {
    std::vector<sessions::Record> all;
    for (std::uint64_t at = 1; at < 12; ++at) {
        protocol::StepRecord step = protocol::test::sample_step();
        step.step = at;
        sessions::Record one;
        one.epoch = 3;
        one.sequence = at;
        one.time_ns = 1000 * at;
        one.type = static_cast<std::uint16_t>(protocol::RecordType::step);
        one.channel = 2;
        one.body = protocol::encode_step(step);
        all.push_back(std::move(one));
    }
    return all;
}

Seeds packed_records() {
    const auto records = step_records();
    std::vector<std::uint32_t> heads;
    for (const sessions::Record& one : records) {
        heads.push_back(static_cast<std::uint32_t>(protocol::head_of(protocol::RecordType::step, one.body).bytes));
    }
    const std::string packed = text_of(sessions::pack_heads(records, heads)),
                      tails = text_of(sessions::pack_tails(records, heads));
    const auto seed = [](const std::string& head_part, const std::string& tail_part) {
        return number(static_cast<std::uint32_t>(head_part.size())) + head_part + tail_part;
    };
    // The same as they are before zstd packs them, so that the tables are reached.
    const auto plain = [](const std::string& part) {
        constexpr std::size_t kBefore = 8;
        return part[1] == 0 ? part : part.substr(0, 1) + '\0' + part.substr(2, 6) + unzstd(part.substr(kBefore));
    };
    return {seed(plain(packed), plain(tails)), seed(packed, tails)};
}

Seeds packed_segments() {
    sessions::SegmentPacker packer(history::record_parts);
    sessions::PackedIndex index;
    index.epoch = 3;
    index.first = {3, 1};
    index.last = {3, 11};
    for (sessions::Record& one : step_records()) {
        index.bytes += sessions::kRecordOverhead + one.body.size();
        if (!packer.add(std::move(one))) {
            throw std::runtime_error("the records of a seed can't be packed");
        }
    }
    const auto file = packer.finish(index);
    return file ? Seeds{text_of(*file)} : Seeds{};
}

Seeds curve_files() {
    return {curves::version_record(1) + curves::scalars_record(2, 1, {{"loss", 2.5}, {"loss/zh", 3.5}}) +
                curves::scalars_record(3, 2, {{"loss", 2.25}}),
            "step,loss [nats/token],\"a \"\"b\"\"\"\n1,2.5,NaN\n2,,3\n", "Step;Value;Wall time\n1;2,5;3\n"};
}

/// Those of real models that llama.cpp brings for its tests, and what people write seldom.
Seeds templates() {
    Seeds all = {
        "{% macro m(a, b=2) %}{{ a ~ b }}{% endmacro %}{{ m(1) }}{% set n = namespace(x=0) %}"
        "{% for k, v in {'a': 1}.items() recursive %}{% set n.x = n.x + v %}{{ loop.index }}{% else %}-{% endfor %}",
        "{{ messages[-1].content | trim | upper | replace('A', 'B') }}{{ [3, 1, 2] | sort | join(', ') }}",
        "{{ 'ab' * 3 }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}",
        "{%- if messages is defined and not tools is none -%}{{ messages | tojson(indent=2) }}{%- elif 1 -%}"
        "{{ 'a' if 1 > 2 else ('b' if true else 'c') }}{%- endif -%}{# remark #}{{ 1.5 // 0.5 }}{{ 'abc'[::-1] }}",
        "{% filter upper %}{{ raise_exception('no') if messages | length > 9 }}{% endfilter %}"
        "{% call m() %}x{% endcall %}{% generation %}y{% endgeneration %}"};
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(MOESCOPE_TEMPLATES, none)) {
        all.push_back(read_text(entry.path()));
    }
    std::sort(all.begin(), all.end());
    return all;
}

const std::map<std::string, std::function<Seeds()>>& makers() {
    static const std::map<std::string, std::function<Seeds()>> all = {
        {"frame", frames},
        {"greeting", greetings},
        {"json", json_texts},
        {"node_session", to_a_node},
        {"viewer_session", to_a_viewer},
        {"records", records},
        {"manifest", manifests},
        {"segment", [] { return Seeds{segment()}; }},
        {"archive", [] { return Seeds{unzstd(packed_archive())}; }},
        {"archive_packed", [] { return Seeds{packed_archive()}; }},
        {"safetensors", [] { return Seeds{safetensors()}; }},
        {"gguf", gguf},
        {"gguf_import", models},
        {"inspect", anything},
        {"npy", arrays},
        {"config", configs},
        {"checkpoint", checkpoints},
        {"probe_set", probe_sets},
        {"hf_config", hugging_face_configs},
        {"tokenizer_json", tokenizers},
        {"tokenizer_model", tokenizer_models},
        {"text_rules", text_settings},
        {"chat_template", templates},
        {"trace", traces},
        {"chunk", chunks},
        {"scores", scores},
        {"recordings", recordings},
        {"imatrix", imatrices},
        {"changes", changes},
        {"server_answer", server_answers},
        {"addresses", addresses},
        {"known_peers", peers},
        {"worker_wire", worker_messages},
        {"documents", documents},
        {"text_file", text_files},
        {"token_cache", token_caches},
        {"text", texts},
        {"ranges", ranges},
        {"packed_records", packed_records},
        {"packed_segment", packed_segments},
        {"curves", curve_files},
    };
    return all;
}

}  // namespace

std::vector<std::string> seeds_of(const std::string& target) {
    const auto maker = makers().find(target);
    if (maker == makers().end()) {
        throw std::runtime_error("the target " + target + " has no seeds");
    }
    Seeds seeds = maker->second();
    const fs::path corpus = data() / "fuzz/corpus" / target;
    std::error_code error;
    std::vector<fs::path> found;
    for (fs::directory_iterator it(corpus, error), end; !error && it != end; it.increment(error)) {
        found.push_back(it->path());
    }
    std::sort(found.begin(), found.end());
    for (const fs::path& path : found) {
        seeds.push_back(read_text(path));
    }
    return seeds;
}

}  // namespace moescope::fuzz
