#include "tests/gui/written_session.hpp"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "nodes/history/notes.hpp"
#include "routing/choice.hpp"
#include "routing/packed_trace.hpp"
#include "tests/paths.hpp"

namespace moescope::gui_test {

using nlohmann::json;
using protocol::RecordType;

namespace {

constexpr int kSteps = 40, kTokens = 24, kBeforeStop = 10;

json both(const std::string& text) {
    return {{"en", text}, {"zh", text}};
}

}  // namespace

WrittenSession::WrittenSession(const std::filesystem::path& folder, std::string root, std::uint64_t seed)
    : session_(sessions::Session::open(folder, sessions::Journal::Mode::read_write)),
      root_(std::move(root)),
      random_(seed) {}

void WrittenSession::put(RecordType type, const std::vector<std::byte>& body) {
    time_ns_ += 1'000'000;
    session_->journal().append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)),
                               time_ns_, body);
}

void WrittenSession::put(RecordType type, const json& body) {
    put(type, protocol::encode_json(body));
}

std::string WrittenSession::word() {
    static const std::vector<std::string> endings = {"", "la", "mi", "tor", "bel", "nas", "quo", "fi", "ren", "du"};
    return root_ + endings[random_() % endings.size()] + endings[random_() % endings.size()];
}

std::string WrittenSession::sentence(int words) {
    std::string text;
    for (int i = 0; i < words; ++i) {
        text += (i == 0 ? "" : " ") + word();
    }
    return text;
}

void WrittenSession::write(const std::string& runs) {
    put(RecordType::log, {{"level", "info"}, {"source", "test"}, {"text", sentence(4)}});
    for (const char kind : runs) {
        switch (kind) {
            case 'T':
                training();
                break;
            case 'N':
                training(4);
                break;
            case 'D':
                training(1, true);
                break;
            case 'A':
                comparison(2);
                break;
            case 'B':
                comparison(3);
                break;
            case 'R':
                routing();
                break;
            case 'C':
                put(RecordType::note,
                    history::note_record(
                        {.number = ++notes_,
                         .revision = 1,
                         .on = {.kind = history::NotePlace::Kind::step, .run = 1, .step = 10 + std::uint64_t{notes_}},
                         .text = sentence(5),
                         .author = word(),
                         .role = "operator"}));
                break;
            default:
                probe(kind == 'S');
        }
    }
    session_->journal().sync();
}

void WrittenSession::end_run(std::uint32_t run, int step, const char* state) {
    put(RecordType::run_ended, {{"run", run}, {"state", state}, {"step", step}});
}

/// Rank 1 has the most to do and waits least; tokens go to their experts.
void WrittenSession::ranks(std::uint32_t run, int step, int processes) {
    protocol::RankRecord ranks;
    ranks.run = run;
    ranks.step = static_cast<std::uint64_t>(step);
    ranks.ranks = ranks.expert_ranks = static_cast<std::uint16_t>(processes);
    ranks.layers = 2;
    ranks.tokens_travel = 1;
    ranks.row_bytes = 768;
    const auto N = static_cast<std::size_t>(processes);
    for (std::size_t rank = 0; rank < N; ++rank) {
        const double work = rank == 1 ? 80 : 60 + static_cast<double>(rank);
        ranks.compute_ms.push_back(work);
        ranks.waiting_ms.push_back(90 - work);
        ranks.memory_bytes.push_back(3e8 + 1e6 * static_cast<double>(rank));
    }
    for (std::size_t i = 0; i < 2 * N; ++i) {
        ranks.load.push_back((i % N == 1 ? 3000 : 1000) + random_() % 100);
    }
    ranks.bytes.assign(N * N, 0);
    for (std::size_t layer = 0; layer < 2; ++layer) {
        for (std::size_t from = 0; from < N; ++from) {
            for (std::size_t to = 0; to < N; ++to) {
                ranks.rows.push_back(from == to ? 0 : (from == 1 || to == 1 ? 1500 : 500) + 100 * layer);
                ranks.bytes[from * N + to] += ranks.rows.back() * ranks.row_bytes + (from == to ? 0 : 100'000);
            }
        }
    }
    put(RecordType::ranks, protocol::encode_ranks(ranks));
}

void WrittenSession::training(int processes, bool dense) {
    const std::string name = word();
    const std::uint32_t run = session_->new_run("train", name);
    std::ifstream file(test::source_assets() + "/presets/workshop.json");
    json config = json::parse(file, nullptr, false);
    const double rate = 1e-3 + 1e-6 * static_cast<double>(random_() % 900);
    config["train"]["learning_rate"] = rate;
    config["model"].update({{"layers", 2}, {"experts", 8}, {"experts_per_token", 2}});
    if (dense) {
        config["model"].update({{"dense_layers", 1}, {"prediction_depth", 1}});
    }
    config["train"].update({{"processes", processes}, {"expert_parallel", processes}});
    put(RecordType::run_started,
        {{"run", run},
         {"kind", "train"},
         {"name", name},
         {"manifest", {{"config", config}, {"steps", kSteps}, {"data", "manpages"}, {"seed", random_() % 1000}}}});
    std::uniform_real_distribution<double> around(0.9, 1.1);
    const double level = 2 + static_cast<double>(random_() % 1000) / 200;
    for (int i = 1; i <= kSteps; ++i) {
        protocol::StepRecord step;
        step.run = run;
        step.step = static_cast<std::uint64_t>(i);
        step.tokens_total = step.step * 1000;
        step.loss = level * around(random_);
        step.cross_entropy = step.loss * 0.97;
        step.balance_loss = around(random_);
        step.gradient_norm = around(random_);
        step.learning_rate = rate;
        step.tokens_per_second = 1000 * level * around(random_);
        step.step_ms = 100 * around(random_);
        step.memory_bytes = 1e8 * level;
        step.layers = 2;
        step.experts = 8;
        step.top_k = 2;
        for (int expert = 0; expert < 2 * 2 * 8; ++expert) {
            const auto count = static_cast<std::uint32_t>(random_() % 500);
            step.counts.push_back(dense && expert / 8 % 2 == 0 ? 0 : count);
        }
        step.router_entropy = {static_cast<float>(0.5 * around(random_)), static_cast<float>(0.7 * around(random_))};
        put(RecordType::step, protocol::encode_step(step));
        if (processes > 1) {
            ranks(run, i, processes);
        }
        if (i % 10 == 0) {
            put(RecordType::sample, {{"run", run},
                                     {"step", i},
                                     {"language", i % 20 == 0 ? "zh" : "en"},
                                     {"prompt", word()},
                                     {"text", sentence(6)}});
            put(RecordType::evaluation, {{"run", run},
                                         {"step", i},
                                         {"loss", {{"en", level * 1.1}, {"zh", level * 1.2}}},
                                         {"tokens", {{"en", 100}, {"zh", 100}}}});
        }
    }
    put(RecordType::event,
        {{"run", run}, {"step", 20}, {"kind", "knob"}, {"name", "learning_rate"}, {"old", rate}, {"new", rate * 1.5}});
    end_run(run, kSteps);
    put(RecordType::log, {{"level", "info"}, {"source", "train"}, {"text", sentence(3)}});
}

void WrittenSession::comparison(int columns) {
    std::vector<std::string> models;
    for (int column = 0; column < columns; ++column) {
        models.push_back(word());
    }
    compare(models, sentence(5));
}

void WrittenSession::compare(const std::vector<std::string>& models, const std::string& prompt, bool ended,
                             const json& asked) {
    const std::string group = word() + std::to_string(random_());
    for (const std::string& model : models) {
        const std::uint32_t run = session_->new_run("generate", model);
        json manifest = {{"model", model},
                         {"prompt", prompt},
                         {"group", group},
                         {"seed", 100 + random_() % 900},
                         {"temperature", 0}};
        manifest.update(asked);
        put(RecordType::run_started,
            {{"run", run}, {"kind", "generate"}, {"name", model}, {"manifest", std::move(manifest)}});
        protocol::TokenBatch batch;
        batch.run = run;
        std::string text;
        for (int i = 0; i < kTokens; ++i) {
            protocol::TokenRecord token;
            token.chosen = {i, (i == 0 ? "" : " ") + word(), -0.01f * static_cast<float>(1 + random_() % 300)};
            token.alternatives = {token.chosen, {i + 1, " " + word(), -2.5f}};
            text += token.chosen.bytes;
            batch.tokens.push_back(std::move(token));
        }
        put(RecordType::tokens, protocol::encode_tokens(batch));
        if (!ended) {
            continue;
        }
        put(RecordType::generation_ended, {{"run", run},
                                           {"state", "done"},
                                           {"stop", "end"},
                                           {"prompt_tokens", 10 + random_() % 89},
                                           {"tokens", kTokens},
                                           {"tokens_per_second", 10 + static_cast<double>(random_() % 8999) / 100},
                                           {"prompt_ms", 12},
                                           {"text", text}});
        end_run(run, kTokens);
    }
    session_->journal().sync();
}

void WrittenSession::routing() {
    constexpr int kRead = 60;
    const std::string model = word();
    const std::uint32_t run = session_->new_run("route", model);
    put(RecordType::run_started,
        {{"run", run},
         {"kind", "route"},
         {"name", model},
         {"manifest", {{"what", "read"}, {"model", model}, {"text", sentence(3)}, {"title", word()}}}});
    routing::RouterSpec spec;
    spec.model = model;
    spec.architecture = "deepseek3";
    spec.layers = 5;
    spec.routed_layers = {1, 2, 3, 4};
    spec.experts = 16;
    spec.experts_per_token = 3;
    spec.shared_experts = 1;
    spec.scoring = "sigmoid";
    spec.group_score = "top2";
    spec.groups = 4;
    spec.groups_kept = 2;
    spec.selection_bias = true;
    spec.doubts = {base::Sentence::verbatim(word())};
    put(RecordType::routing_started, {{"run", run},
                                      {"router", routing::router_to_json(spec)},
                                      {"interventions", json::array()},
                                      {"set", ""},
                                      {"detail", "scores"}});
    routing::ChunkBuilder builder(spec);
    std::normal_distribution<float> normal;
    for (int i = 0; i < kRead; ++i) {
        routing::TokenDecisions token;
        token.position = i;
        token.token = i;
        token.bytes = (i == 0 ? "" : " ") + word();
        token.log_probability = -std::abs(normal(random_));
        for (const int layer : spec.routed_layers) {
            routing::LayerDecision decision;
            decision.layer = layer;
            for (int expert = 0; expert < spec.experts; ++expert) {
                decision.logits.push_back(normal(random_));
                decision.scores.push_back(1 / (1 + std::exp(-decision.logits.back())));
                decision.selection.push_back(decision.scores.back() + 0.1f * static_cast<float>(expert % 3));
            }
            decision.ids = routing::choose(decision.selection, routing::choice_rule(spec)).ids;
            for (const std::int32_t id : decision.ids) {
                decision.weights.push_back(decision.scores[static_cast<std::size_t>(id)]);
            }
            routing::complete(decision, routing::choice_rule(spec), nullptr, true);
            token.layers.push_back(std::move(decision));
        }
        const std::vector<std::byte> scores = routing::pack_decisions(token);
        put(RecordType::routing_scores, protocol::encode_routing({run, static_cast<std::uint64_t>(i), scores}));
        builder.add(token);
    }
    const std::vector<std::byte> packed = routing::pack(*builder.take());
    put(RecordType::routing_chunk, protocol::encode_routing({run, 0, packed}));
    end_run(run, kRead);
}

void WrittenSession::probe(bool stopped) {
    json topics, items = json::array(), ids = json::array();
    for (int topic = 0; topic < 2; ++topic) {
        const std::string name = word() + std::to_string(topic);
        topics[name] = both(word());
        for (int i = 0; i < 2; ++i) {
            const std::string id = word() + "-" + std::to_string(topic * 2 + i);
            ids.push_back(id);
            items.push_back({{"id", id},
                             {"topic", name},
                             {"group", i == 0 ? "state" : "mirror"},
                             {"title", both(word())},
                             {"prompt", both(sentence(4))}});
        }
    }
    const std::string set = word(), name = word();
    const json models = {word() + "a", word() + "b"};
    const std::uint32_t run = session_->new_run("probe", name);
    const json whole = {{"name", set},           {"version", "1.0.0"}, {"licence", "CC0"}, {"canary", word()},
                        {"title", both(word())}, {"topics", topics},   {"items", items}};
    put(RecordType::run_started, {{"run", run},
                                  {"kind", "probe"},
                                  {"name", name},
                                  {"manifest",
                                   {{"set", set},
                                    {"set_text", whole.dump()},
                                    {"items", ids},
                                    {"planned", 16},
                                    {"draws", 1},
                                    {"models", models},
                                    {"languages", {"en", "zh"}}}}});
    int answers = 0;
    for (const json& item : items) {
        for (const json& model : models) {
            for (const char* language : {"en", "zh"}) {
                if (stopped && answers == kBeforeStop) {
                    continue;
                }
                ++answers;
                const bool refused = random_() % 3 == 0;
                put(RecordType::probe_draw, {{"run", run},
                                             {"item", item["id"]},
                                             {"topic", item["topic"]},
                                             {"group", item["group"]},
                                             {"model", model},
                                             {"language", language},
                                             {"draw", 0},
                                             {"prompt", item["prompt"]["en"]},
                                             {"answer", sentence(12)},
                                             {"stop", "end"},
                                             {"tokens", 12},
                                             {"delivery", refused ? "refused" : "answered"},
                                             {"engagement", refused ? -1 : static_cast<int>(random_() % 5)},
                                             {"rule", word()},
                                             {"planned", 16}});
            }
        }
    }
    end_run(run, answers, stopped ? "stopped" : "done");
}

}  // namespace moescope::gui_test
