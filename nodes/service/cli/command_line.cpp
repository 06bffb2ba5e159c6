#include "nodes/service/cli/command_line.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fmt/format.h>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/utf8.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/files/inspect.hpp"
#include "engine/files/npy.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/train/memory_check.hpp"
#include "nodes/service/commands/report.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/generation.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RunState;

namespace {

/// One line of JSON Lines; invalid UTF-8 is replaced.
void print_json(const json& value) {
    const std::string line = base::dump_json(value) + "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fflush(stdout);
}

/// A sink that also hands every record to the command line.
class PrintingSink final : public RecordSink {
 public:
    using Print = std::function<void(protocol::RecordType, const std::vector<std::byte>&)>;
    PrintingSink(RecordSink& inner, Print print) : inner_(inner), print_(std::move(print)) {}
    void write(protocol::RecordType type, std::vector<std::byte> body) override {
        print_(type, body);
        inner_.write(type, std::move(body));
    }
    base::Sentence problem() const override { return inner_.problem(); }

 private:
    RecordSink& inner_;
    const Print print_;
};

/// A session and what jobs need, without a server: the command line writes the same journal as a node does.
struct LocalNode {
    LocalNode(const Paths& paths, const fs::path& folder, PrintingSink::Print print)
        : session(sessions::Session::open(folder, sessions::Journal::Mode::read_write)),
          journal(session->journal()),
          sink(journal, std::move(print)),
          datasets(paths.cache),
          models(paths),
          workers(paths.program),
          parts{paths, *session, sink, board, datasets, models, workers, threads, turns} {}

    std::unique_ptr<sessions::Session> session;
    JournalWriter journal;
    PrintingSink sink;
    StatusBoard board;
    DatasetStore datasets;
    ModelLibrary models;
    WorkerPool workers;
    ThreadShare threads;
    GenerationQueue turns;
    NodeParts parts;
};

/// Waits for a job; a signal asks it to stop.
void wait_for(Job& job, HeldSignals& signals) {
    while (!job.finished())
        if (signals.taken(20))
            job.request_stop();
    job.wait();
}

/// Every value of the table under its key, null where it was not computed; "part_ms.data" is data within part_ms.
json step_json(const protocol::StepRecord& step) {
    json line = {{"step", step.step}, {"tokens_total", step.tokens_total}};
    for (const base::StepValue& row : base::kStepValues) {
        const std::string_view key = row.key, name = base::short_key(row);
        json& place =
            name == key ? line[row.key] : line[std::string(key.substr(0, key.size() - name.size() - 1))][name];
        place = number_or_null(value_of(step, row));
    }
    return line;
}

void print_step(const protocol::StepRecord& step, bool as_json, int planned) {
    if (as_json) {
        print_json(step_json(step));
    } else if (step.step % 10 == 0 || step.step == 1 || step.step == static_cast<std::uint64_t>(planned)) {
        fmt::print("step {:>6} / {}   loss {:.4f}   {:.0f} tok/s   {:.0f} ms\n", step.step, planned, step.loss,
                   step.tokens_per_second, step.step_ms);
        std::fflush(stdout);
    }
}

/// Path of the weights to start from; empty when the run starts from random numbers.
fs::path init_path(const TrainOptions& options, const Paths& paths) {
    return options.init.empty() ? fs::path() : ModelLibrary(paths).resolve(options.init);
}

/// The shape is that of the weights, all but the length of a sequence, which may be shorter.
void take_shape(engine::RunConfig& config, const engine::OpenedWeights& weights, bool has_context) {
    const int context = config.model.context, most = weights.model->config.model.context;
    config.model = weights.model->config.model;
    config.model.context = has_context ? std::min(context, most) : most;
    if (config.name.empty())
        config.name = weights.type;
}

engine::RunConfig config_from(const TrainOptions& options, const Paths& paths) {
    engine::RunConfig config;
    if (!options.config.empty())
        config = read_run_config(options.config);
    else if (!options.preset.empty())
        config = find_preset(options.preset, paths);
    if (!options.init.empty())
        take_shape(config, engine::open_weights(init_path(options, paths)),
                   !options.config.empty() || !options.preset.empty());
    if (options.steps)
        config.train.steps = *options.steps;
    if (options.seed)
        config.train.seed = *options.seed;
    if (options.threads)
        config.train.threads = *options.threads;
    if (config.train.threads == 0)
        config.train.threads = cores();
    // The options are held to the same ranges as the file.
    return engine::parse_run_config(engine::to_json(config), !options.config.empty()   ? options.config
                                                             : !options.preset.empty() ? "preset " + options.preset
                                                                                       : options.init);
}

/// The run that --resume goes on with: the latest of its kind in the session.
std::optional<history::RunHeader> latest_run(const sessions::Journal& journal, protocol::RunKind kind) {
    std::optional<history::RunHeader> latest;
    const history::Session history = history::read_runs(journal);
    for (const auto& [number, run] : history.runs())
        if (run->kind == kind)
            latest = *run;
    return latest;
}

/// --resume must mean the same run: other settings are refused instead of being ignored.
void check_same_run(const TrainOptions& options, const engine::RunConfig& wanted, const TrainingRequest& order) {
    if (engine::to_json(wanted) != engine::to_json(order.config))
        throw CommandError(
            say("the run in {} was started with other settings (steps {}, seed {}, threads {}); give the same ones to "
                "resume it, or another folder with --out to start anew",
                options.out, order.config.train.steps, order.config.train.seed, order.config.train.threads));
    if (options.data != order.data)
        throw CommandError(say("the run in {} was trained on {}, not {}; give the same --data to resume it",
                               options.out, order.data, options.data));
}

/// What a finished run printed last, read from its journal.
json final_line(const TrainingResult& result) {
    json line = {{"done", result.state == RunState::done},
                 {"state", protocol::run_state_name(result.state)},
                 {"steps", result.steps},
                 {"loss", number_or_null(result.loss)},
                 {"parameters_sha256", result.parameters_sha256},
                 {"checkpoint", result.checkpoint.string()},
                 {"seconds", result.seconds}};
    if (result.held_out)
        line["held_out_loss"] = {{"en", number_or_null(result.held_out->loss[0])},
                                 {"zh", number_or_null(result.held_out->loss[1])}};
    return line;
}

/// What a finished job wrote is made durable; a journal that could not be written and a job that failed are errors.
template <class Result>
void finish(LocalNode& node, const Result& result) {
    node.journal.flush();
    if (const auto problem = node.journal.problem(); !problem.empty())
        throw base::Error(problem);
    node.session->journal().sync();
    if (result.state == RunState::failed)
        throw base::Error(result.message);
}

TrainingRequest order_from(const TrainOptions& options, engine::RunConfig config, const Paths& paths, LocalNode& node) {
    TrainingRequest order;
    order.config = std::move(config);
    const auto known = options.resume ? latest_run(node.session->journal(), protocol::RunKind::train) : std::nullopt;
    if (known) {
        auto earlier = order_to_continue(*node.session, *known);
        check_same_run(options, order.config, earlier);
        return earlier;
    }
    order.data = options.data;
    order.init = init_path(options, paths);
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.config.name);
    order.name = fmt::format("{}-{}", order.config.name.empty() ? "run" : order.config.name, order.run);
    return order;
}

}  // namespace

HeldSignals::HeldSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool HeldSignals::taken(int milliseconds) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    const timespec wait{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1000000L};
    if (sigtimedwait(&set, nullptr, &wait) > 0)
        seen_ = true;
    return seen_;
}

int serve_command(const Paths& paths, const std::string& socket, const std::string& session) {
    HeldSignals signals;
    Service service(paths, {socket, session});
    service.run([&] { return signals.taken(100); });
    return 0;
}

int train_command(const Paths& paths, const TrainOptions& options) {
    HeldSignals signals;
    auto config = config_from(options, paths);  // a bad one is found before a session folder is made
    if (!options.resume)
        engine::check_memory(config, engine::available_memory());
    int planned = 0;
    LocalNode node(paths, options.out, [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        if (type == protocol::RecordType::step)
            if (const auto step = protocol::decode_step(body))
                print_step(*step, options.json, planned);
    });
    auto order = order_from(options, std::move(config), paths, node);
    order.faults_end_the_run = true;
    planned = order.config.train.steps;
    TrainingResult result;
    {
        TrainingJob job(node.parts, std::move(order));
        wait_for(job, signals);
        result = job.result();
    }
    finish(node, result);
    if (options.json)
        print_json(final_line(result));
    else
        fmt::print("{} after {} steps; parameters {}\n", protocol::run_state_name(result.state), result.steps,
                   result.parameters_sha256);
    return 0;
}

namespace {

/// A folder that is gone again at the end.
class ScratchFolder {
 public:
    ScratchFolder() {
        std::string name = (fs::temp_directory_path() / "moescope-replay-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw base::Error(say("cannot make the folder {}; check the disk", name));
        path_ = name;
    }
    ~ScratchFolder() {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    const fs::path& path() const { return path_; }

 private:
    fs::path path_;
};

/// The recorded run, and how far the new one has agreed with it.
struct Replay {
    explicit Replay(const std::string& path)
        : session(sessions::Session::open(path, sessions::Journal::Mode::read_only)) {
        const auto known = latest_run(session->journal(), protocol::RunKind::train);
        if (!known)
            throw CommandError(say("the session {} has no training run", path));
        history = history::read_run(*session, known->id);
        if (run().step.empty())
            throw CommandError(say("run {} of {} has no steps to compare", known->id, path));
    }
    const history::TrainingRun& run() const { return history.trainings().begin()->second.value; }

    /// Called for every new step, in order. All values that are the same in every run of the same settings are
    /// compared, and the counts; what only one of them knows (a session of an older program has fewer) says nothing.
    void compare(const protocol::StepRecord& step) {
        const history::Column& steps = run().step;
        while (row < steps.size() && steps[row] < static_cast<double>(step.step))
            ++row;
        if (row == steps.size() || steps[row] != static_cast<double>(step.step) || difference ||
            std::isnan(run()[&base::StepValues::loss][row]))
            return;
        ++compared;
        bool same = true;
        for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
            const double recorded = run().values[i][row], now = value_of(step, base::kStepValues[i]);
            same = same &&
                   (!base::kStepValues[i].reproducible || recorded == now || std::isnan(recorded) || std::isnan(now));
        }
        while (counted < run().counts.size() && run().counts[counted]->step < step.step)
            ++counted;
        if (counted < run().counts.size() && run().counts[counted]->step == step.step)
            same = same && run().counts[counted]->counts == step.counts;
        if (!same) {
            difference = step;
            recorded_loss = run()[&base::StepValues::loss][row];
        }
    }

    std::unique_ptr<sessions::Session> session;
    history::Session history;
    std::size_t row = 0, counted = 0;  ///< how far the recorded columns and counts have been compared
    std::uint64_t compared = 0;
    std::optional<protocol::StepRecord> difference;
    double recorded_loss = 0;
};

/// What a person changed while the run went on, by the step that it acted on first and in order.
std::multimap<std::uint64_t, json> changes_of(const history::TrainingRun& run) {
    std::multimap<std::uint64_t, json> changes;
    for (const history::RunEvent& event : run.events) {
        if (event.kind == "knob")
            changes.emplace(event.step, json{{"knobs", {{event.name, event.new_value}}}});
        else if (event.kind == "expert")
            changes.emplace(
                event.step,
                json{{"expert", {{"layer", event.layer}, {"expert", event.expert}, {"action", event.name}}}});
    }
    return changes;
}

TrainingRequest order_to_replay(const Replay& replay, const TrainOptions& options, LocalNode& node) {
    const history::TrainingRun& run = replay.run();
    const json& manifest = run.manifest;
    TrainingRequest order;
    order.config =
        engine::parse_run_config(base::member(manifest, "config"), fmt::format("the manifest of run {}", run.id));
    order.data = base::text_of(manifest, "data");
    order.changes = changes_of(run);
    order.last_step = static_cast<std::uint64_t>(run.step.back());
    order.faults_end_the_run = true;
    if (options.threads)
        order.config.train.threads = *options.threads;
    // A run from other weights, and a fork, keep their beginning as their first checkpoint.
    if (manifest.contains("init") || manifest.contains("fork")) {
        const auto checkpoints = replay.session->checkpoints(run.id, true);
        if (checkpoints.empty() || !checkpoints.front().complete)
            throw CommandError(
                say("the first checkpoint of run {} is missing; without it, it cannot be run again", run.id));
        order.checkpoint = checkpoints.front().path;
        order.checkpoint_step = checkpoints.front().step;
    }
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.config.name);
    order.name = fmt::format("replay of {}", run.name);
    return order;
}

void print_replay(const Replay& replay, const TrainingResult& result, bool as_json) {
    if (as_json) {
        json line = {
            {"equal", !replay.difference}, {"steps", replay.compared}, {"parameters_sha256", result.parameters_sha256}};
        if (replay.difference)
            line.update({{"first_difference", replay.difference->step},
                         {"recorded_loss", number_or_null(replay.recorded_loss)},
                         {"loss", number_or_null(replay.difference->loss)}});
        print_json(line);
    } else if (replay.difference) {
        fmt::print("first difference at step {}: loss {:.17g} was recorded, now it is {:.17g}\n",
                   replay.difference->step, replay.recorded_loss, replay.difference->loss);
    } else {
        fmt::print("equal: {} steps; parameters {}\n", replay.compared, result.parameters_sha256);
    }
}

}  // namespace

int replay_command(const Paths& paths, const TrainOptions& options) {
    HeldSignals signals;
    Replay replay(options.replay);
    const ScratchFolder scratch;
    TrainingResult result;
    {
        LocalNode node(paths, options.out.empty() ? scratch.path() / "session" : fs::path(options.out),
                       [&](protocol::RecordType type, const std::vector<std::byte>& body) {
                           if (type == protocol::RecordType::step)
                               if (const auto step = protocol::decode_step(body))
                                   replay.compare(*step);
                       });
        TrainingJob job(node.parts, order_to_replay(replay, options, node));
        wait_for(job, signals);
        result = job.result();
        finish(node, result);
    }
    print_replay(replay, result, options.json);
    return replay.difference ? 3 : 0;
}

int export_command(const Paths& paths, const ExportOptions& options) {
    const auto weights = engine::open_weights(ModelLibrary(paths).resolve(options.model));
    const auto& model = *weights.model;
    engine::ExportReport report;
    if (options.format == "gguf") {
        engine::GgufExportOptions settings;
        settings.type = options.precision == "f16"    ? engine::GgufFloat::f16
                        : options.precision == "bf16" ? engine::GgufFloat::bf16
                                                      : engine::GgufFloat::f32;
        settings.name = model.config.name;
        if (fs::exists(options.out))
            throw CommandError(say("{} is there already; choose another name or remove it", options.out));
        report = engine::export_gguf(options.out, model.config.model, model.layout, model.parameters,
                                     model.tokenizer.get(), settings);
    } else {
        report = engine::export_hugging_face(options.out, model.config.model, model.layout, model.parameters,
                                             model.tokenizer.get());
    }
    auto notes = weights.notes;
    for (const auto& note : report.notes)
        if (std::find(notes.begin(), notes.end(), note) == notes.end())  // reading can have said the same
            notes.push_back(note);
    if (options.json) {
        print_json({{"type", report.type}, {"out", options.out}, {"files", report.files}, {"notes", notes}});
        return 0;
    }
    fmt::print("{}: {}, {} files\n", options.out, report.type, report.files.size());
    for (const auto& note : notes)
        fmt::print("{}\n", note);
    return 0;
}

namespace {

json token_json(const protocol::TokenCandidate& token) {
    return {
        {"token", token.token}, {"text", base::to_valid_utf8(token.bytes)}, {"log_probability", token.log_probability}};
}

void print_answer(const GenerateOptions& options, const GenerationResult& result, const json& tokens,
                  std::uint64_t seed) {
    if (!options.json) {
        if (options.count > 1)
            fmt::print("--- seed {}\n", seed);
        fmt::print("{}\n", result.text);
        return;
    }
    json line = {{"text", result.text},
                 {"tokens", result.tokens},
                 {"tokens_per_second", result.tokens_per_second},
                 {"stop", result.stop},
                 {"prompt_tokens", result.prompt_tokens},
                 {"prompt_ms", result.prompt_ms},
                 {"model", options.model},
                 {"seed", seed},
                 {"temperature", options.temperature}};
    if (options.alternatives > 0)
        line["log_probabilities"] = tokens;
    print_json(line);
}

}  // namespace

int generate_command(const Paths& paths, const GenerateOptions& options) {
    HeldSignals signals;
    const ModelLibrary models(paths);
    GenerationRequest order = parse_generation({{"model", options.model},
                                                {"prompt", options.prompt},
                                                {"max_tokens", options.max_tokens},
                                                {"alternatives", options.alternatives},
                                                {"seed", options.seed},
                                                {"temperature", options.temperature},
                                                {"top_k", options.top_k},
                                                {"top_p", options.top_p},
                                                {"min_p", options.min_p},
                                                {"threads", options.threads}});
    order.path = models.resolve(options.model);
    const auto count = static_cast<std::size_t>(options.count);
    WorkerPool workers(paths.program);
    std::atomic<bool> cancel{false}, finished{false};
    std::vector<GenerationResult> results;
    std::vector<json> tokens(count, json::array());
    const auto collect = [&](std::span<const std::byte> body) {
        const auto batch = options.alternatives > 0 ? protocol::decode_tokens(body) : std::nullopt;
        if (!batch || batch->run - order.run >= count)
            return;
        for (const auto& token : batch->tokens) {
            json one = token_json(token.chosen);
            for (const auto& other : token.alternatives)
                one["alternatives"].push_back(token_json(other));
            tokens[batch->run - order.run].push_back(std::move(one));
        }
    };
    std::exception_ptr failure;
    std::thread worker([&] {
        try {
            auto lease = workers.acquire(order.path, order.threads > 0 ? order.threads : cores(), cancel);
            results = generate_several(*lease, order, options.count, collect, cancel);
        } catch (...) {
            failure = std::current_exception();
        }
        finished = true;
    });
    while (!finished)
        if (signals.taken(10))
            cancel = true;
    worker.join();
    if (failure)
        std::rethrow_exception(failure);
    if (results[0].state == RunState::failed)
        throw base::Error(results[0].message);
    for (std::size_t i = 0; i < count; ++i)
        print_answer(options, results[i], tokens[i], options.seed + i);
    return 0;
}

int logits_command(const Paths& paths, const std::string& model, const std::string& tokens, const std::string& out) {
    const ModelLibrary models(paths);
    const fs::path path = models.resolve(model);
    engine::read_npy_tokens(tokens);  // a bad file is named before a model is loaded
    WorkerPool workers(paths.program);
    const std::atomic<bool> never{false};
    auto lease = workers.acquire(path, cores(), never);
    lease->ask(
        {{"op", "logits"}, {"tokens", fs::absolute(tokens).string()}, {"out", fs::absolute(out).string()}},
        say("computing logits with {}", model), [](std::span<const std::byte>) {}, never);
    return 0;
}

namespace {

void print_draw(const json& draw, bool as_json, std::size_t number) {
    if (as_json) {
        print_json(draw);
        return;
    }
    const double left = draw.value("seconds_left", 0.0);
    fmt::print("{:>4} / {}  {}  {}  {}: {} {}  ({:.0f} s left)\n", number, draw.value("planned", 0),
               draw.value("model", ""), draw.value("language", ""), draw.value("item", ""), draw.value("delivery", ""),
               draw.value("engagement", -1), std::max(0.0, left));
    std::fflush(stdout);
}

/// The rates of the two groups, as the panel and the report show them.
void print_rates(const json& statistics) {
    fmt::print("\n{:<24} {:<8} {:<4} {:>22} {:>22}\n", "model", "group", "lang", "answered fully", "refused");
    const auto rate = [](const json& value) {
        if (!value["estimate"].is_number())
            return std::string("no answers");
        return fmt::format("{:.0f} % [{:.0f}, {:.0f}]", 100 * value["estimate"].get<double>(),
                           100 * value["low"].get<double>(), 100 * value["high"].get<double>());
    };
    for (const auto& cell : statistics.at("cells"))
        if (cell.at("scope") == "group")
            fmt::print("{:<24} {:<8} {:<4} {:>22} {:>22}\n", cell["model"].get<std::string>(),
                       cell["group"].get<std::string>(), cell["language"].get<std::string>(), rate(cell["engaged"]),
                       rate(cell["refused"]));
}

/// "3 items of starter, models a, b, max-tokens 160".
std::string probe_settings(const ProbeRequest& order) {
    std::string models;
    for (const auto& model : order.models)
        models += (models.empty() ? "" : ", ") + model.name;
    return fmt::format("{} items of {}, models {}, max-tokens {}", order.set.items.size(), order.set.name, models,
                       order.max_tokens);
}

/// --resume must mean the same run: other settings are refused instead of being ignored.
void check_same_run(const ProbeOptions& options, const ProbeRequest& wanted, const ProbeRequest& earlier) {
    const auto same_item = [](const probes::Item& a, const probes::Item& b) { return a.id == b.id; };
    const auto same_model = [](const ProbeModel& a, const ProbeModel& b) { return a.name == b.name; };
    const bool same = std::equal(wanted.set.items.begin(), wanted.set.items.end(), earlier.set.items.begin(),
                                 earlier.set.items.end(), same_item) &&
                      std::equal(wanted.models.begin(), wanted.models.end(), earlier.models.begin(),
                                 earlier.models.end(), same_model) &&
                      wanted.set.name == earlier.set.name && wanted.max_tokens == earlier.max_tokens &&
                      wanted.languages == earlier.languages && wanted.draws == earlier.draws &&
                      wanted.temperature == earlier.temperature && wanted.seed == earlier.seed;
    if (!same)
        throw CommandError(
            say("the probe run in {} was started with other settings ({}); give the same ones to resume it, or another "
                "folder with --out to start anew",
                options.out, probe_settings(earlier)));
    if (wanted.set.sha256 != earlier.set.sha256)
        throw CommandError(
            say("the probe set {} has changed since the run in {} began; put the old file back to resume it, or give "
                "another folder with --out to start anew",
                options.set, options.out));
}

ProbeRequest order_from(const ProbeOptions& options, ProbeRequest wanted, LocalNode& node) {
    const auto known = options.resume ? latest_run(node.session->journal(), protocol::RunKind::probe) : std::nullopt;
    if (known) {
        auto earlier = order_to_resume(*known);
        check_same_run(options, wanted, earlier);
        take_models(earlier, wanted.models);
        return earlier;
    }
    wanted.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::probe), wanted.set.name);
    wanted.name = fmt::format("{}-{}", wanted.set.name, wanted.run);
    return wanted;
}

}  // namespace

int probe_command(const Paths& paths, const ProbeOptions& options) {
    HeldSignals signals;
    json request = {{"set", options.set}, {"models", options.models}, {"max_tokens", options.max_tokens}};
    if (options.limit)
        request["limit"] = *options.limit;
    auto wanted = parse_probe(request, paths);  // a bad set is found before a session folder is made
    {
        const ModelLibrary models(paths);
        for (auto& model : wanted.models) {
            model.path = models.resolve(model.name);
            model.sha256 = models.known_sha256(model.path);
        }
    }
    std::size_t number = 0;
    LocalNode node(paths, options.out, [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        if (type == protocol::RecordType::probe_draw)
            if (const auto draw = protocol::decode_json(body))
                print_draw(*draw, options.json, ++number);
    });
    auto order = order_from(options, std::move(wanted), node);
    if (order.continues)
        number = history::read_run(*node.session, order.run).probes().at(order.run).value.draws.size();
    ProbeResult result;
    {
        ProbeJob job(node.parts, std::move(order));
        wait_for(job, signals);
        result = job.result();
    }
    finish(node, result);
    if (options.json)
        print_json({{"done", result.state == RunState::done},
                    {"state", protocol::run_state_name(result.state)},
                    {"answers", result.answers},
                    {"statistics", result.statistics}});
    else
        print_rates(result.statistics);
    return 0;
}

int report_command(const Paths& paths, const std::string& session, const std::string& out,
                   const std::string& language) {
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    write_report(*opened, fs::absolute(out), language, report_messages(paths, language));
    return 0;
}

int inspect_command(const std::string& file, bool as_json) {
    const auto report = engine::inspect_file(file);
    if (as_json)
        print_json({{"file", file},
                    {"format", report.format},
                    {"safe", report.safe},
                    {"problem", report.problem.english()},
                    {"details", report.details}});
    else if (report.safe)
        fmt::print("{}: {}, safe to open\n{}\n", file, report.format,
                   report.details.dump(2, ' ', false, json::error_handler_t::replace));
    if (!report.safe)
        throw base::Error(report.problem.empty() ? say("{} is not safe to open", file) : report.problem);
    return 0;
}

int models_list_command(const Paths& paths, bool as_json) {
    const ModelLibrary library(paths);
    for (const auto& model : library.models()) {
        if (as_json)
            print_json(to_json(model));
        else
            fmt::print("{:<22} {:>9.1f} MB  {:<8}  {}, {}; {}{}\n", model.name, static_cast<double>(model.bytes) / 1e6,
                       model.state, model.maker.empty() ? model.title : model.maker,
                       model.country.empty() ? model.origin.english() : model.country, model.licence,
                       model.message.empty() ? "" : "\n    " + model.message.english());
    }
    return 0;
}

int models_add_command(const Paths& paths, const std::string& file, bool as_json) {
    ModelLibrary library(paths);
    const std::string name = library.add(file);
    if (as_json)
        print_json({{"name", name}});
    else
        fmt::print("{}\n", name);
    return 0;
}

}  // namespace moescope::node
