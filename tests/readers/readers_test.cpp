// Every reader that the node and its command line have. A new one gets a row here and in cmake/readers.txt.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/json_guard.hpp"
#include "base/messages.hpp"
#include "base/sha256.hpp"
#include "engine/checkpoint/checkpoint.hpp"
#include "engine/checkpoint/loaded_model.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/gguf_import.hpp"
#include "engine/exchange/hugging_face_import.hpp"
#include "engine/exchange/hugging_face_text.hpp"
#include "engine/exchange/hugging_face_vocabulary.hpp"
#include "engine/exchange/imatrix.hpp"
#include "engine/files/gguf_limits.hpp"
#include "engine/files/inspect.hpp"
#include "engine/files/npy.hpp"
#include "engine/files/safetensors_folder.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/text/corpus.hpp"
#include "engine/text/dataset.hpp"
#include "engine/text/token_cache.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/devices.hpp"
#include "nodes/client/child_process.hpp"
#include "nodes/curves/read_curves.hpp"
#include "nodes/history/record_parts.hpp"
#include "nodes/security/identity.hpp"
#include "nodes/security/known_nodes.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/probe_job.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/lent_files.hpp"
#include "nodes/transfer/incoming.hpp"
#include "nodes/transfer/outgoing.hpp"
#include "probes/probes.hpp"
#include "routing/expert_loads.hpp"
#include "routing/imports/import.hpp"
#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"
#include "routing/trace_reader.hpp"
#include "sessions/archive.hpp"
#include "sessions/session.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/files.hpp"
#include "tests/nodes/curves/event_bytes.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/paths.hpp"
#include "tests/readers/hostile.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::test {
namespace {

using base::Error;
using base::say;
using engine::GgufBytes;

constexpr std::uintmax_t kMostText = std::uintmax_t{1} << 30;

void copy_file_or_folder(const fs::path& from, const fs::path& to) {
    fs::create_directories(to.parent_path());
    fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

/// A session with one checkpoint, trained once.
const fs::path& session() {
    static const TemporaryFolder folder;
    static const fs::path path = [] {
        const fs::path out = folder / "session";
        const Output output = run_node({"train", "--config", write_config(folder, tiny_config(2, 2)).string(), "--data",
                                        write_corpus(folder).string(), "--out", out.string()});
        EXPECT_EQ(output.status, 0) << output.error;
        return out;
    }();
    return path;
}

fs::path checkpoint() {
    for (const auto& entry : fs::recursive_directory_iterator(session() / "checkpoints")) {
        if (entry.path().filename() == "DONE") {
            return entry.path().parent_path();
        }
    }
    ADD_FAILURE() << "no checkpoint";
    return {};
}

void inspect(const fs::path& path) {
    const auto report = engine::inspect_file(path);
    if (!report.safe) {
        throw Error(report.problem);
    }
}

TEST(Readers, OfTheGroundFloor) {
    expect_guarded({
        {READER("file"), "a", "text", [](const fs::path& f) { base::read_file(f / "a", 1 << 20); }},
        {.name = READER("optional-file"),
         .place = "a",
         .good = "text",
         .read = [](const fs::path& f) { base::try_read_file(f / "a", 1 << 20); },
         .tolerant = true},
        {READER("json-file"), "a.json", "{\"a\": [1, 2, 3]}",
         [](const fs::path& f) { base::read_json_file(f / "a.json", 1 << 20); }},
        {READER("named-file"), "a", "text", [](const fs::path& f) { base::require_regular_file(f / "a"); }},
        {.name = READER("hash"),
         .place = "a",
         .good = "text",
         .read = [](const fs::path& f) { base::sha256_of_file(f / "a"); },
         .endless = true},
        {READER("messages"), "messages.json", "{\"a sentence\": \"一句话\"}",
         [](const fs::path& f) { base::Messages::of_language(f); }},
        {.name = READER("machine"),
         .place = "proc/meminfo",
         .good = "MemAvailable: 1000 kB\n",
         .read = [](const fs::path& f) { engine::available_memory(f); },
         .tolerant = true},
        {.name = READER("gpu-driver"),
         .place = "version",
         .good = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:08:28 UTC 2025\n",
         .read = [](const fs::path& f) { kernels::driver_version(f / "version"); },
         .tolerant = true},
        {.name = READER("gpu-plugin"),
         .place = "libmoescope-cuda.so",
         .good = "no shared object, which the loader says",
         .read = [](const fs::path& f) { kernels::cut_off(f / "libmoescope-cuda.so"); },
         .tolerant = true},
    });
}

/// For the user alone, as the program makes it; whatever stands there.
fs::path made_private(const fs::path& file) {
    std::error_code ignored;
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write, ignored);
    return file;
}

TEST(Readers, OfKeysAndArchives) {
    const TemporaryFolder made;
    security::load_or_make_identity(made / "identity.pem");
    sessions::Session::open(made / "s", sessions::Journal::Mode::read_write);
    sessions::write_archive(made / "s", made / "a");
    const transfer::Description coming{"a", "1", false, {{"a", 4}}};
    expect_guarded({
        {READER("identity"), "identity.pem", test::read_text(made / "identity.pem"),
         [](const fs::path& f) { security::load_or_make_identity(made_private(f / "identity.pem")); }},
        {READER("known-nodes"), "known_nodes.json", "{}",
         [](const fs::path& f) { security::KnownNodes(f / "known_nodes.json").key_of("tls://a:1"); }},
        {READER("paired"), "paired.json", "{\"invitations\": [], \"viewers\": []}",
         [](const fs::path& f) {
             made_private(f / "paired.json");
             security::PairingBook(f).viewers();
         }},
        {READER("session-archive"), "s.moescope", test::read_text(made / "a"),
         [&](const fs::path& f) {
             fs::remove_all(made / "t");
             sessions::unpack_archive(f / "s.moescope", made / "t");
         }},
        {.name = READER("sent-file"),
         .place = "a",
         .good = "text",
         .read =
             [](const fs::path& f) {
                 const transfer::Outgoing sent(f / "a");
                 sent.read(transfer::range_at(sent.what(), 0, 0));
             },
         .tolerant = true},
        {.name = READER("transfer-notes"),
         .place = std::string("a.part/") + transfer::kNotes,
         .good = base::dump_json(transfer::to_json(coming)) + "\n0 0\n",
         .read = [&](const fs::path& f) { transfer::Incoming(f / "a", coming, sessions::Existing::refuse); },
         .tolerant = true},
    });
}

TEST(Readers, OfTexts) {
    const std::string line = "{\"text\": \"a document\"}\n";
    const auto text = [](const char* name) {
        return [name](const fs::path& f) { engine::read_text_file(f / name, kMostText); };
    };
    const auto built_in = [](const fs::path& f) { engine::read_corpus("manpages", f); };
    const auto describe = [](const fs::path& f) {
        const auto entry = [](const std::string& content) { return nlohmann::json{{"sha256", base::sha256(content)}}; };
        write_text(f / "corpus/en.txt", "English\n");
        write_text(f / "corpus/zh.txt", "中文\n");
        write_text(f / "corpus/corpus.json",
                   nlohmann::json{{"files", {{"en.txt", entry("English\n")}, {"zh.txt", entry("中文\n")}}}}.dump());
    };
    const std::string description = [&] {
        const TemporaryFolder folder;
        describe(folder.path());
        return read_text(folder / "corpus/corpus.json");
    }();
    expect_guarded({
        {READER("text"), "a.txt", "text\n", text("a.txt")},
        {READER("text-of-another-name"), "a", "text\n", text("a")},
        {READER("json-lines"), "a.jsonl", line + line, text("a.jsonl")},
        {READER("json-documents"), "a.json", "[" + line + "," + line + "]", text("a.json")},
        {READER("gzip"), "a.txt.gz", read_text(fs::path(test_data()) / "readers/data/text.gz"), text("a.txt.gz")},
        {READER("zstd"), "a.txt.zst", read_text(fs::path(test_data()) / "readers/data/text.zst"), text("a.txt.zst")},
        {.name = READER("text-folder"),
         .place = "b.txt",
         .good = "more text\n",
         .read = [](const fs::path& f) { engine::read_corpus(f.string(), {}); },
         .prepare = [](const fs::path& f) { write_text(f / "a.txt", "some text\n"); },
         .tolerant = true},
        {.name = READER("json-of-a-folder"),
         .place = "b.json",
         .good = "[\"more text\"]",
         .read = [](const fs::path& f) { engine::read_corpus(f.string(), {}); },
         .prepare = [](const fs::path& f) { write_text(f / "a.txt", "some text\n"); },
         .tolerant = true},
        {READER("built-in-text"), "corpus/en.txt", "English\n", built_in, describe},
        {READER("built-in-description"), "corpus/corpus.json", description, built_in, describe},
        {.name = READER("cached-tokenizer"),
         .place = "a.model",
         .good = "bytes",
         .read = [](const fs::path& f) { engine::read_cached(f / "a.model"); },
         .tolerant = true},
        {.name = READER("cached-tokens"),
         .place = "a.tokens",
         .good = "bytes",
         .read =
             [](const fs::path& f) {
                 engine::Dataset dataset;
                 engine::read_cached_tokens(f / "a.tokens", 512, dataset, {});
             },
         .tolerant = true},
    });
}

TEST(Readers, OfModels) {
    const std::string array = "\x93NUMPY\x01" + std::string("\0\x37\0", 3) +
                              "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}" +
                              std::string("\x01\0\0\0\x02\0\0\0", 8);
    GgufBytes gguf;
    gguf.string("general.architecture", "llama");
    gguf.tensor({"a", {32}, 0, 0});
    const fs::path golden = fs::path(test_data()) / "oracle/data/qwen3_moe";
    const std::string weights = read_text(golden / "model.safetensors");
    const auto beside = [golden](const fs::path& f) {
        copy_file_or_folder(golden / "config.json", f / "config.json");
        copy_file_or_folder(golden / "model.safetensors", f / "model.safetensors");
    };
    const auto import = [](const fs::path& f) { engine::import_hugging_face(f); };
    const auto tokenizer = engine::read_checkpoint_tokenizer(checkpoint());
    const std::string own = [] {
        const TemporaryFolder folder;
        const std::string file = (folder / "own.gguf").string();
        const Output output = run_node({"export", "--model", session().string(), "--format", "gguf", "--out", file});
        EXPECT_EQ(output.status, 0) << output.error;
        return read_text(file);
    }();
    const auto text_rules = [tokenizer](const fs::path& f) {
        std::vector<base::Sentence> notes;
        engine::read_hugging_face_text(f, nlohmann::json::object(), *tokenizer, tokenizer->size(), notes);
    };
    const std::string vocabulary = read_text(fs::path(test_data()) / "oracle/data/tokenizers/qwen3_moe/tokenizer.json");
    const auto read_vocabulary = [](const fs::path& f) { engine::read_hugging_face_vocabulary(f, 2000); };
    expect_guarded({
        {READER("npy"), "a.npy", array, [](const fs::path& f) { engine::read_npy_tokens(f / "a.npy"); }},
        {READER("npy-inspection"), "a.npy", array, [](const fs::path& f) { inspect(f / "a.npy"); }},
        {READER("tokens-as-data"), "a.npy", array,
         [](const fs::path& f) { engine::load_dataset((f / "a.npy").string(), 512, f, {}); }},
        {READER("gguf-inspection"), "a.gguf", gguf.file(128), [](const fs::path& f) { inspect(f / "a.gguf"); }},
        {READER("gguf-import"), "a.gguf", own, [](const fs::path& f) { engine::import_gguf(f / "a.gguf"); }},
        {READER("gguf-limits"), "a.gguf", gguf.file(128),
         [](const fs::path& f) {
             engine::check_limits_of_libllama(f / "a.gguf", engine::read_gguf_model(f / "a.gguf").header);
         }},
        {READER("safetensors"), "a.safetensors", weights,
         [](const fs::path& f) { const engine::SafetensorsFile file(f / "a.safetensors"); }},
        {READER("safetensors-inspection"), "a.safetensors", weights,
         [](const fs::path& f) { inspect(f / "a.safetensors"); }},
        {READER("hugging-face-config"), "config.json", read_text(golden / "config.json"), import, beside},
        {READER("hugging-face-weights"), "model.safetensors", weights, import, beside},
        {.name = READER("hugging-face-tokenizer"),
         .place = "tokenizer.model",
         .good = read_text(checkpoint() / engine::kTokenizerFile),
         .read = import,
         .prepare = beside,
         .tolerant = true},
        {READER("hugging-face-settings"), "tokenizer_config.json", "{}", text_rules},
        {READER("hugging-face-vocabulary"), "tokenizer.json", vocabulary, read_vocabulary},
        {.name = READER("hugging-face-vocabulary-settings"),
         .place = "tokenizer_config.json",
         .good = "{}",
         .read = read_vocabulary,
         .prepare = [vocabulary](const fs::path& f) { write_text(f / "tokenizer.json", vocabulary); },
         .tolerant = true},
        {.name = READER("hugging-face-template"),
         .place = "chat_template.jinja",
         .good = "{{ messages[0].content }}",
         .read = text_rules,
         .tolerant = true},
        {READER("folder-inspection"), "config.json", read_text(golden / "config.json"),
         [](const fs::path& f) { inspect(f); }, beside},
        {READER("safetensors-list"), "model.safetensors.index.json", "{\"weight_map\": {\"a\": \"b.safetensors\"}}",
         [](const fs::path& f) { const engine::SafetensorsFolder folder(f); },
         [](const fs::path& f) {
             const float value = 1;
             engine::write_safetensors(f / "b.safetensors", {{"a", {1}, &value}});
         }},
    });
}

TEST(Readers, OfCheckpoints) {
    const fs::path whole = checkpoint();
    const auto beside = [whole](const fs::path& f) { copy_file_or_folder(whole, f / "c"); };
    const auto load = [](const fs::path& f) { engine::load_model(f / "c"); };
    const auto inspection = [](const fs::path& f) { inspect(f / "c"); };
    std::vector<Reader> readers = {
        {READER("checkpoint-config"), "c/config.json", {}, load, beside},
        {READER("checkpoint-state"), "c/state.json", {}, load, beside},
        {READER("checkpoint-weights"), "c/model.safetensors", {}, load, beside},
        {READER("checkpoint-tokenizer"), "c/tokenizer.model", {}, load, beside},
        {READER("checkpoint-inspection"), "c/config.json", {}, inspection, beside},
    };
    for (Reader& reader : readers) {
        reader.good = read_text(whole / fs::path(reader.place).filename());
    }
    expect_guarded(readers);
}

/// The session of session() with its segments packed.
const fs::path& packed_session() {
    static const TemporaryFolder folder;
    static const fs::path path = [] {
        const fs::path copy = folder / "packed";
        copy_file_or_folder(session(), copy);
        const auto journal =
            sessions::Journal::open(copy, sessions::Journal::Mode::read_write, {nullptr, 64 << 20, 0, 0});
        journal->pack_now(history::record_parts);
        return copy;
    }();
    return path;
}

TEST(Readers, OfPackedSegments) {
    const auto beside = [](const fs::path& f) { copy_file_or_folder(packed_session(), f / "s"); };
    const auto open = [](const fs::path& f) {
        const auto opened = sessions::Session::open(f / "s", sessions::Journal::Mode::read_only);
        for (const std::uint8_t channel : {1, 2, 3, 4}) {
            opened->journal().read(channel, {}, 1000, 1 << 20);
            opened->journal().read_heads(channel, {}, 0);
        }
    };
    std::string packed;
    for (const auto& entry : fs::directory_iterator(packed_session() / "segments")) {
        packed = entry.path().extension() == ".wbp" ? entry.path().filename().string() : packed;
    }
    ASSERT_FALSE(packed.empty());
    std::vector<Reader> readers = {{READER("packed-segment"), "s/segments/" + packed, {}, open, beside, true}};
    readers[0].good = read_text(packed_session() / "segments" / packed);
    expect_guarded(readers);
}

TEST(Readers, OfSessions) {
    const auto beside = [](const fs::path& f) { copy_file_or_folder(session(), f / "s"); };
    const auto open = [](const fs::path& f) {
        const auto opened = sessions::Session::open(f / "s", sessions::Journal::Mode::read_only);
        opened->journal().read(1, {}, 1000, 1 << 20);
        opened->checkpoints(1, true);
        opened->labels(1);
    };
    const fs::path relative = fs::relative(checkpoint(), session());
    std::string segment;
    for (const auto& entry : fs::directory_iterator(session() / "segments")) {
        segment = entry.path().filename().string();
    }
    std::vector<Reader> readers = {
        {READER("session-manifest"), "s/manifest.json", {}, open, beside, true},
        {READER("session-database"), "s/session.db", {}, open, beside, true},
        {READER("session-segment"), "s/segments/" + segment, {}, open, beside, true},
        {READER("checkpoint-list"), "s/" + (relative / "DONE").string(), {}, open, beside, true},
        {READER("checkpoint-files"), "s/" + (relative / "model.safetensors").string(), {}, open, beside, true},
    };
    for (Reader& reader : readers) {
        reader.good = read_text(session() / fs::path(reader.place).lexically_relative("s"));
    }
    readers.push_back({READER("session-database-log"), "s/session.db-wal", "", open, beside, true});
    readers.push_back({READER("session-database-journal"), "s/session.db-journal", "", open, beside, true});
    expect_guarded(readers);
}

TEST(Readers, OfRouting) {
    const routing::RouterSpec spec = routing::make_spec(2, 8, 2);
    const auto tokens = routing::RandomTrace(spec, 1).tokens(200);
    std::string lines;
    for (const auto& token : tokens) {
        lines += routing::trace_line(token, lines.empty() ? &spec : nullptr) + "\n";
    }
    const TemporaryFolder folder;
    {
        routing::TraceWriter writer(folder / "t", spec);
        for (const auto& chunk : routing::chunks_of(spec, tokens)) {
            writer.append(*chunk);
        }
    }
    GgufBytes gguf;
    gguf.string("general.type", "imatrix");
    gguf.tensor({"blk.0.ffn_up_exps.weight.counts", {1, 8}, 0, 0});
    std::string imatrix = gguf.file(0);
    for (int i = 0; i < 8; ++i) {
        imatrix += GgufBytes::raw(static_cast<float>(i));
    }
    const std::string list = "{\"routed_experts\": [[[1, 2], [3, 4]]]}";
    const std::string counts = "layer_id,expert_id,count\n0,0,3\n0,1,4\n";
    const std::string megatron = "{\"iter\": 1, \"block\": \"decoder\", \"layer\": 0, \"tpe\": [[1, 2]]}\n";
    const auto read_all = [](const fs::path& f) {
        const auto trace = routing::open_trace(f / "t");
        while (trace->next()) {
        }
        if (!trace->problems().empty()) {
            throw Error(trace->problems().front());
        }
    };
    expect_guarded({
        {READER("trace-lines"), "t", lines, read_all},
        {READER("trace-file"), "t", read_text(folder / "t"), read_all},
        {READER("lines"), "t", megatron, [](const fs::path& f) { routing::import_megatron(f / "t", {}); }},
        {READER("vllm"), "t", list, [](const fs::path& f) { routing::import_vllm(f / "t", {}); }},
        {READER("sglang"), "t", counts, [](const fs::path& f) { routing::import_sglang(f / "t", {}); }},
        {READER("imatrix"), "t", imatrix, [](const fs::path& f) { engine::import_imatrix(f / "t", {}); }},
        {READER("model-shape"), "t", "{\"num_hidden_layers\": 2, \"num_experts\": 4, \"num_experts_per_tok\": 2}",
         [](const fs::path& f) { routing::read_model_shape(f / "t"); }},
        {READER("expert-loads"), "t", "[[90, 132.5, 0], [20, 1e3, 104]]",
         [](const fs::path& f) { routing::read_expert_loads(f / "t"); }},
    });
}

TEST(Readers, OfTheNode) {
    const fs::path assets = source_assets();
    const std::string models = "{\"models\": []}";
    const auto paths = [](const fs::path& f) {
        node::Paths made;
        made.assets = f / "assets";
        made.cache = f / "cache";
        made.data = f / "data";
        return made;
    };
    const auto library = [paths](const fs::path& f) { const node::ModelLibrary opened(paths(f)); };
    const auto beside = [models](const fs::path& f) { write_text(f / "assets/models.json", models); };
    const std::string set = read_text(assets / "probe_sets/starter.json");
    const auto curves = [](const fs::path& f) {
        for (const auto& entry : fs::directory_iterator(f)) {
            curves::read_curves({entry.path()}, [] {});
        }
    };
    expect_guarded({
        {READER("event-file"), "events.out.tfevents.1", version_event() + summary_event(1, simple_value("a", 1)),
         curves},
        {READER("curve-table"), "a.csv", "step,loss\n1,2\n", curves},
        {READER("probe-set"), "a.json", set, [](const fs::path& f) { probes::load_set(f / "a.json"); }},
        {READER("probe-order"), "a.json", set,
         [paths](const fs::path& f) {
             node::parse_probe({{"set", (f / "a.json").string()}, {"models", {"a", "b"}}}, paths(f));
         }},
        {READER("text-option"), "a.txt", "Some text.",
         [](const fs::path& f) {
             sessions::Sources sources;
             node::text_option("@" + (f / "a.txt").string(), base::marked("the text"), sources);
         }},
        {READER("lent-file"), "a.npy", "tokens",
         [](const fs::path& f) {
             nlohmann::json request = {{"tokens", (f / "a.npy").string()}};
             const node::LentFiles lent(f / "lent", request);
         }},
        {READER("run-config"), "a.json", tiny_config(2, 2).dump(),
         [](const fs::path& f) { node::read_run_config(f / "a.json"); }},
        {READER("preset"), "assets/presets/a.json", tiny_config(2, 2).dump(),
         [paths](const fs::path& f) { node::find_preset("a", paths(f)); }},
        {READER("library"), "assets/models.json", models, library},
        {.name = READER("added-models"),
         .place = "data/models.json",
         .good = models,
         .read = library,
         .prepare = beside,
         .tolerant = true},
        {.name = READER("hashes"),
         .place = "data/hashes.json",
         .good = "{}",
         .read = library,
         .prepare = beside,
         .tolerant = true},
        {.name = READER("node-log"),
         .place = "node.log",
         .good = "a line\n",
         .read = [](const fs::path& f) { client::last_line(f / "node.log", 0); },
         .tolerant = true},
    });
}

}  // namespace
}  // namespace moescope::test
