#include "nodes/service/jobs/generation.hpp"

#include <fmt/format.h>
#include <tuple>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "engine/runner/chat_template.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/parameters.hpp"
#include "routing/router_spec.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RecordType;
using protocol::RunState;

namespace {

constexpr std::size_t kLongestSystem = 20000;  // bytes; a prompt beside it may be shorter than its own limit

/// Two columns of Compare are started by two commands a moment apart; waiting for the second gives both the right share
/// of the cores.
constexpr auto kGather = std::chrono::milliseconds(25);

/// Leaves room in a record for what stands beside the text.
constexpr std::size_t kLongestText = sessions::kRecordLimit - (std::size_t{64} << 10);

void take_answer(const json& answer, GenerationResult& result) {
    result.stop = answer.value("stop", std::string("end"));
    result.state = result.stop == "cancelled" ? RunState::stopped : RunState::done;
    result.prompt_tokens = answer.value("prompt_tokens", 0);
    result.tokens = answer.value("tokens", 0);
    result.prompt_ms = answer.value("prompt_ms", 0.0);
    const double ms = answer.value("generate_ms", 0.0);
    result.tokens_per_second = ms > 0 ? result.tokens * 1000.0 / ms : 0;
}

std::string task_id(std::uint32_t run) {
    return fmt::format("generate-{}", run);
}

GenerationResult failed(const WorkerError& error, const std::atomic<bool>& cancel) {
    GenerationResult result;
    result.process_died = error.died;
    result.state = cancel ? RunState::stopped : RunState::failed;
    result.stop = cancel ? "cancelled" : "error";
    if (!cancel) {
        result.message = base::sentence_of(error);
    }
    return result;
}

}  // namespace

GenerationRequest parse_generation(const json& value) {
    const Parameters parameters(
        value, {"model", "prompt", "group", "max_tokens", "temperature", "top_k", "top_p", "min_p", "seed",
                "alternatives", "chat", "system", "threads", "routing", "interventions", "set"});
    GenerationRequest order;
    order.model = parameters.path("model");
    order.prompt = parameters.text("prompt");
    order.group = parameters.text("group", "");
    order.chat = parameters.flag("chat", true);
    if (parameters.has("system")) {
        order.system = parameters.text("system", "");
    }
    order.max_tokens = static_cast<int>(parameters.integer("max_tokens", 256, 1, kMostAnswerTokens));
    order.alternatives = static_cast<int>(parameters.integer("alternatives", 0, 0, kMostAlternatives));
    order.threads = static_cast<int>(parameters.integer("threads", 0, 0, kMostThreads));
    order.temperature = parameters.number("temperature", 0, 0, kMostTemperature);
    order.top_k = static_cast<int>(parameters.integer("top_k", 40, 0, kMostTopK));
    order.top_p = parameters.number("top_p", 0.95, 0, 1);
    order.min_p = parameters.number("min_p", 0.05, 0, 1);
    order.seed = parameters.seed(1);
    order.routing = parse_changes(parameters);
    if (parameters.has("routing") && parameters.text("routing") != "none") {
        order.routing.detail = parse_detail(parameters, "routing", routing::Detail::weights);
    }
    if (order.prompt.empty()) {
        throw CommandError(say("the prompt is empty; type a question first"));
    }
    if (order.prompt.size() > kLongestPrompt) {
        throw CommandError(
            say("the prompt has {} bytes; at most {} are sent to a model", order.prompt.size(), kLongestPrompt));
    }
    check_system(order.system, order.chat);
    return order;
}

void check_system(const std::optional<std::string>& system, bool chat) {
    if (system && !chat) {
        throw CommandError(say("a system text needs the chat template; leave one of the two out"));
    }
    if (system && system->size() > kLongestSystem) {
        throw CommandError(
            say("the system text has {} bytes; at most {} are sent to a model", system->size(), kLongestSystem));
    }
}

GenerationResult generate_with(WorkerProcess& process, const GenerationRequest& order, const ReplayFile& replay,
                               const OnPart& on_part, const std::atomic<bool>& cancel) {
    return generate_several(process, order, replay, 1, on_part, cancel)[0];
}

std::vector<GenerationResult> generate_several(WorkerProcess& process, const GenerationRequest& order,
                                               const ReplayFile& replay, int count, const OnPart& on_part,
                                               const std::atomic<bool>& cancel) {
    json request = {{"op", "generate"},
                    {"run", order.run},
                    {"count", count},
                    {"prompt", order.prompt},
                    {"chat", order.chat},
                    {"threads", order.threads},
                    {"max_tokens", order.max_tokens},
                    {"alternatives", order.alternatives},
                    {"temperature", order.temperature},
                    {"top_k", order.top_k},
                    {"top_p", order.top_p},
                    {"min_p", order.min_p},
                    {"seed", order.seed}};
    if (order.system) {
        request["system"] = *order.system;
    }
    if (order.routing.detail) {
        request["routing"] = routing::detail_name(*order.routing.detail);
    }
    request["name"] = model_alone(order.model, order.routing);
    put_changes(request, order.routing, replay);
    struct Written {
        std::string text;
        int tokens = 0;
    };
    std::vector<Written> written(static_cast<std::size_t>(count));
    const auto collect = [&](WorkerMessageKind kind, std::span<const std::byte> body) {
        const auto batch = kind == WorkerMessageKind::tokens ? protocol::decode_tokens(body) : std::nullopt;
        if (batch && batch->run - order.run < written.size()) {
            for (const auto& token : batch->tokens) {
                auto& [text, tokens] = written[batch->run - order.run];
                text += token.chosen.bytes;
                ++tokens;
            }
        }
        on_part(kind, body);
    };
    std::vector<GenerationResult> results(written.size());
    try {
        const json reply =
            process.ask(request, say("answering with {}", history::model_sentence(order.model)), collect, cancel);
        const json answers = reply.value("answers", json::array());
        for (std::size_t i = 0; i < results.size(); ++i) {
            take_answer(i < answers.size() ? answers[i] : json::object(), results[i]);
            results[i].shown = base::text_of(reply, "shown");
            results[i].notes = sentences_in(reply, "notes");
            results[i].routing_problem = base::sentence_in(reply, "routing_problem");
        }
    } catch (const WorkerError& error) {
        for (std::size_t i = 0; i < results.size(); ++i) {
            results[i] = failed(error, cancel);
            results[i].tokens = written[i].tokens;
        }
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
        results[i].text = std::move(written[i].text);
    }
    return results;
}

const char* answer_state_name(RunState state) {
    return state == RunState::stopped ? "cancelled" : protocol::run_state_name(state);
}

std::string text_for_record(std::string text) {
    while (base::dump_json(text).size() > kLongestText) {
        text.resize(text.size() / 2);
    }
    return text;
}

void put_shown(json& record, const GenerationResult& result) {
    // What a template makes of a prompt has a bound far below that of a record.
    if (!result.shown.empty()) {
        record["shown"] = result.shown;
    }
}

GenerationJob::GenerationJob(NodeParts parts, GenerationRequest order) : parts_(parts), order_(std::move(order)) {
    place_.emplace(parts_.turns, order_.group);
    RunStatus gauge;
    gauge.run = order_.run;
    gauge.kind = protocol::RunKind::generate;
    gauge.name = order_.model;
    gauge.state = place_->is_next() ? RunState::running : RunState::planned;
    parts_.board.set_run(gauge);
    thread_ = std::thread([this] { main(); });
}

GenerationJob::~GenerationJob() {
    request_stop();
    wait();
}

void GenerationJob::wait() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void GenerationJob::main() {
    GenerationResult result;
    try {
        result = answer();
    } catch (const WorkerError& error) {
        result = failed(error, cancel_);
    } catch (const std::exception& error) {
        result.state = RunState::failed;
        result.stop = "error";
        result.message = base::sentence_of(error);
    }
    write_end(result);
    place_.reset();
    finished_ = true;
}

bool GenerationJob::repeats(const GenerationRequest& order) const {
    if (finished_ || cancel_ || (!order.group.empty() && order.group == order_.group)) {
        return false;
    }
    const auto settings = [](const GenerationRequest& o) {
        return std::tie(o.path, o.prompt, o.system, o.chat, o.max_tokens, o.alternatives, o.threads, o.temperature,
                        o.top_p, o.min_p, o.top_k, o.seed, o.routing.detail, o.routing.interventions);
    };
    return settings(order) == settings(order_);
}

void put_question(json& manifest, const std::optional<std::string>& system, bool chat) {
    manifest["chat"] = chat;
    manifest["template_date"] = engine::kTemplateDate;
    if (system) {
        manifest["system"] = *system;
    }
}

void GenerationJob::announce(int threads) {
    json manifest = {{"model", order_.model},
                     {"model_path", order_.path.string()},
                     {"model_sha256", order_.model_sha256},
                     {"prompt", order_.prompt},
                     {"group", order_.group},
                     {"seed", order_.seed},
                     {"temperature", order_.temperature},
                     {"top_k", order_.top_k},
                     {"top_p", order_.top_p},
                     {"min_p", order_.min_p},
                     {"max_tokens", order_.max_tokens},
                     {"alternatives", order_.alternatives},
                     {"threads", threads},
                     {"program_version", MOESCOPE_VERSION}};
    if (!order_.model_title.empty()) {
        manifest["model_title"] = order_.model_title;
    }
    put_question(manifest, order_.system, order_.chat);
    if (const std::string file = order_.path.is_server() ? std::string() : state_of_files(order_.path.path);
        !file.empty()) {
        manifest["model_file"] = file;
    }
    if (order_.path.is_server()) {
        // It puts the question into a template of its own, and what the model reads is not known here.
        manifest["template"] = "server";
        manifest["server"] = order_.path.server;
        manifest.erase("template_date");
        manifest.erase("threads");
    }
    put_routing(manifest, order_.routing);
    parts_.sink.write_json(RecordType::run_started, {{"run", order_.run},
                                                     {"kind", protocol::run_kind_name(protocol::RunKind::generate)},
                                                     {"name", order_.model},
                                                     {"manifest", std::move(manifest)}});
    parts_.sink.log("info", "generate", say("{} begins to answer", history::model_sentence(order_.model)));
    parts_.board.change_run(order_.run, [](RunStatus& gauge) { gauge.state = RunState::running; });
}

/// Another answer of the same model, in this comparison or in a probe, comes before.
WorkerPool::Lease GenerationJob::wait_for_model() {
    try {
        return parts_.workers.acquire(order_.model, order_.path, cancel_);
    } catch (...) {
        announce(0);
        throw;
    }
}

GenerationResult GenerationJob::answer() {
    protocol::Task task;
    task.id = task_id(order_.run);
    task.kind = protocol::TaskKind::wait;
    task.title = order_.model;
    task.cancel_command = "generate.cancel";
    task.run = order_.run;
    parts_.board.set_task(task);
    if (!place_->wait(cancel_)) {
        announce(0);
        throw WorkerError(say("cancelled before its turn"), false);
    }
    WorkerPool::Lease lease = wait_for_model();
    const ThreadShare::Slot slot(parts_.threads);
    if (order_.threads == 0 && !order_.group.empty()) {
        std::this_thread::sleep_for(kGather);
    }
    GenerationRequest order = order_;
    order.threads = order_.threads > 0 ? order_.threads : slot.threads();
    announce(order.threads);
    task.kind = protocol::TaskKind::load;
    parts_.board.set_task(task);
    const json& opened = lease.open(order.threads, cancel_);
    const json computed = computed_by(opened);
    if (const Sentence why = why_processor(opened); !why.empty()) {
        parts_.sink.log("info", "generate", why);
    }
    task.kind = protocol::TaskKind::generate;
    parts_.board.set_task(task);
    const ReplayFile replay(order.routing, parts_.session.journal());
    GenerationResult result = generate_with(
        *lease, order, replay,
        [this](WorkerMessageKind kind, std::span<const std::byte> body) {
            if (kind == WorkerMessageKind::tokens) {
                parts_.sink.write(RecordType::tokens, std::vector<std::byte>(body.begin(), body.end()));
            } else {
                write_routing(
                    parts_.sink, kind, body,
                    [this](std::uint32_t run) { return run == order_.run ? &order_.routing : nullptr; }, cancel_);
            }
        },
        cancel_);
    result.computed = computed;
    if (!result.routing_problem.empty()) {
        parts_.sink.log(
            "warning", "generate",
            say("the routing of {} is not recorded: {}", history::model_sentence(order.model), result.routing_problem));
    }
    return result;
}

void GenerationJob::write_end(const GenerationResult& result) {
    parts_.board.remove_task(task_id(order_.run));
    json ending = {{"run", order_.run},
                   {"state", answer_state_name(result.state)},
                   {"stop", result.stop},
                   {"prompt_tokens", result.prompt_tokens},
                   {"tokens", result.tokens},
                   {"tokens_per_second", result.tokens_per_second},
                   {"prompt_ms", result.prompt_ms},
                   {"text", text_for_record(result.text)}};
    put_shown(ending, result);
    ending.update(result.computed);
    if (!result.notes.empty()) {
        ending["notes"] = sentences_json(result.notes);
    }
    for (const Sentence& note : result.notes) {
        parts_.sink.log("warning", "generate", note);
    }
    base::put_sentence(ending, "message", result.message);
    parts_.sink.write_json(RecordType::generation_ended, ending);
    // Runs of every kind end on the events channel too, so that one channel tells which are still open.
    json record = {{"run", order_.run}, {"state", protocol::run_state_name(result.state)}, {"step", result.tokens}};
    base::put_sentence(record, "message", result.message);
    parts_.sink.write_json(RecordType::run_ended, record);
    const Sentence model = history::model_sentence(order_.model);
    parts_.sink.log_end("generate", result.state,
                        {say("{} has answered: {} tokens", model, result.tokens),
                         say("{} was stopped after {} tokens", model, result.tokens),
                         say("{} could not answer: {}", model, result.message)});
    parts_.board.remove_run(order_.run);
}

}  // namespace moescope::node
