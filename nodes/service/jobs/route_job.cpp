#include "nodes/service/jobs/route_job.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "engine/text/dataset.hpp"
#include "engine/text/dataset_check.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/generation.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/service/library/parameters.hpp"
#include "routing/piece_maker.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunKind;
using protocol::RunState;
using What = RouteRequest::What;

namespace {

constexpr std::chrono::milliseconds kPatience{900};             // of a person who cancels
constexpr std::size_t kBatchBytes = std::size_t{200} << 10;     // of documents in one request to a model's process
constexpr std::size_t kBatchIds = 20'000;                       // the same of recorded tokens
constexpr std::size_t kLongestDocument = std::size_t{8} << 10;  // bytes: more than the tokens that are read of one
// Of each document so many tokens are read at most: a corpus is to show many, also where few tokens are asked for.
constexpr std::uint64_t kDocuments = 16, kShortestPart = 32, kLongestPart = 512;
constexpr std::size_t kLongestTitle = 40;  // made of a text

const char* what_name(What what) {
    switch (what) {
        case What::effect:
            return "effect";
        case What::sweep:
            return "sweep";
        case What::import:
            return "import";
        case What::read:
        case What::other:
            break;
    }
    return "read";
}

protocol::TaskKind task_kind(What what) {
    switch (what) {
        case What::effect:
            return protocol::TaskKind::effect;
        case What::sweep:
            return protocol::TaskKind::sweep;
        case What::import:
        case What::read:
        case What::other:
            break;
    }
    return protocol::TaskKind::route;
}

std::string task_id(std::uint32_t run) {
    return fmt::format("route-{}", run);
}

/// One of these, and which.
const char* only_one(const Parameters& parameters, std::initializer_list<const char*> keys) {
    const char* given = nullptr;
    std::string names;
    for (const char* key : keys) {
        base::append_to_list(names, key);
        if (!parameters.has(key)) {
            continue;
        }
        if (given != nullptr) {
            throw CommandError(say("'{}' and '{}' cannot go together; give one of them", given, key));
        }
        given = key;
    }
    if (given == nullptr) {
        throw CommandError(say("there is nothing to read; give one of {}", names));
    }
    return given;
}

void take_common(const Parameters& parameters, RouteRequest& order) {
    order.group = parameters.text("group", "");
    order.title = base::shown_name(parameters.text("title", ""));
}

/// The text, corpus or answer that is read.
void take_source(const Parameters& parameters, bool corpus, RouteRequest& order) {
    const std::string_view given =
        corpus ? only_one(parameters, {"text", "data", "run", "tokens_of"}) : only_one(parameters, {"text", "run"});
    // What belongs to another source than the one that is given is looked at, and does nothing.
    order.chat = parameters.flag("chat", false);
    NamedAnswer answer{0, parameters.text("item", ""), order.model, parameters.text("language", ""),
                       static_cast<int>(parameters.integer("draw", 0, 0, 1000))};
    const std::int64_t tokens = parameters.integer("tokens", kUsualReadTokens, 1, kMostReadTokens),
                       first = parameters.integer("first", 0, 0, std::numeric_limits<std::int64_t>::max());
    if (given == "text") {
        order.text = parameters.text("text");
        if (order.text.empty()) {
            throw CommandError(say("the text is empty; there is nothing to read"));
        }
        if (order.text.size() > kLongestPrompt) {
            throw CommandError(
                say("the text has {} bytes; at most {} are sent to a model", order.text.size(), kLongestPrompt));
        }
    } else if (given == "data") {
        order.data = engine::whole_path_of_data(parameters.path("data"));
        order.tokens = tokens;
        if (engine::holds_tokens(order.data)) {
            throw CommandError(say("{} holds token ids; give texts, which every model reads with its own tokenizer",
                                   fs::path(order.data)));
        }
        engine::check_exists(order.data);
    } else if (given == "tokens_of") {
        order.tokens_of = NamedTokens{
            static_cast<std::uint32_t>(parameters.integer("tokens_of", 1, std::numeric_limits<std::uint32_t>::max())),
            static_cast<std::uint64_t>(first), parameters.has("tokens") ? static_cast<std::uint64_t>(tokens) : 0};
    } else {
        answer.run = parameters.run();
        order.from = std::move(answer);
    }
    if (order.title.empty()) {
        order.title = !order.data.empty() ? fs::path(order.data).filename().string()
                      : order.tokens_of   ? fmt::format("run:{}", order.tokens_of->run)
                                          : base::shortened(base::one_line(order.text), kLongestTitle);
    }
}

void take_routing(const Parameters& parameters, RouteRequest& order) {
    order.routing = parse_changes(parameters);
    order.routing.detail = parse_detail(parameters, "detail", routing::Detail::weights);
}

/// The prompt of an answer of a comparison, and the answer as tokens when the model is the same.
void take_generation(RouteRequest& order, const history::Generation& answer) {
    order.text = base::text_of(answer.manifest, "prompt");
    order.answer = answer.text;
    const std::string sha256 = base::text_of(answer.manifest, "model_sha256");
    const auto changed = history::model_with_set(answer.model);
    const bool same_name = answer.model == order.model ||
                           model_alone(order.model, order.routing) == (changed ? changed->model : answer.model);
    const bool other_file = !sha256.empty() && !order.model_sha256.empty() && sha256 != order.model_sha256;
    if (same_name && !other_file) {
        std::string bytes;
        for (const protocol::TokenRecord& token : answer.tokens) {
            order.answer_ids.push_back(token.chosen.token);
            bytes += token.chosen.bytes;
        }
        if (bytes != answer.text) {
            order.answer_ids.clear();  // some of them are missing
        }
    }
}

void take_question(RouteRequest& order, const json& manifest) {
    const json& chat = base::member(manifest, "chat");
    order.chat = !chat.is_boolean() || chat.get<bool>();
    if (const json& system = base::member(manifest, "system"); system.is_string()) {
        order.system = system.get<std::string>();
    }
}

/// Documents in the order in which they are read: English and Chinese in turn as long as there are both, of each those
/// first that no training of ours has seen.
std::vector<const engine::TextDocument*> in_turn(const engine::Corpus& corpus) {
    std::array<std::vector<const engine::TextDocument*>, engine::kLanguages> languages;
    for (const bool held_out : {true, false}) {
        for (const engine::TextDocument& document : corpus.documents) {
            if (document.held_out == held_out) {
                languages[document.language].push_back(&document);
            }
        }
    }
    std::vector<const engine::TextDocument*> order;
    for (std::size_t i = 0; order.size() < corpus.documents.size(); ++i) {
        for (const auto& documents : languages) {
            if (i < documents.size()) {
                order.push_back(documents[i]);
            }
        }
    }
    return order;
}

/// Sums of several requests as one.
class Read {
 public:
    void add(const json& answer) {
        tokens += base::count_of(answer, "tokens");
        documents += base::count_of(answer, "documents");
        log_probability_ += base::number_of(answer, "log_probability", 0);
        known_ += base::count_of(answer, "with_log_probability");
        if (const json& agreement = base::member(answer, "agreement"); agreement.is_object()) {
            has_scores_ = true;
            decisions_ += base::count_of(agreement, "decisions");
            equal_ += base::count_of(agreement, "equal");
        }
    }
    json result() const {
        json value = {{"tokens", tokens}, {"documents", std::max<std::uint64_t>(documents, 1)}};
        if (known_ > 0) {
            value["mean_log_probability"] = log_probability_ / static_cast<double>(known_);
        }
        if (has_scores_) {
            value["agreement"] = {{"decisions", decisions_}, {"equal", equal_}};
        }
        return value;
    }

    std::uint64_t tokens = 0, documents = 0;

 private:
    double log_probability_ = 0;
    std::uint64_t known_ = 0, decisions_ = 0, equal_ = 0;
    bool has_scores_ = false;
};

/// The model obeyed: what it gives is a part.
void check_complete(const json& answer) {
    if (!answer.value("complete", true)) {
        throw CommandError(say("cancelled"));
    }
}

}  // namespace

RouteRequest parse_read(const json& value) {
    const Parameters parameters(
        value, {"model", "text", "data", "tokens", "tokens_of", "first", "run", "item", "language", "draw", "chat",
                "detail", "interventions", "set", "group", "title"});
    RouteRequest order;
    order.model = parameters.path("model");
    take_common(parameters, order);
    take_source(parameters, true, order);
    take_routing(parameters, order);
    return order;
}

RouteRequest parse_effect(const json& value) {
    const Parameters parameters(value, {"model", "text", "run", "item", "language", "draw", "chat", "detail",
                                        "interventions", "set", "controls", "seed", "group", "title"});
    RouteRequest order;
    order.what = What::effect;
    order.model = parameters.path("model");
    take_common(parameters, order);
    take_source(parameters, false, order);
    take_routing(parameters, order);
    order.controls = static_cast<int>(parameters.integer("controls", order.controls, 0, kMostControls));
    order.seed = parameters.seed(1);
    return order;
}

RouteRequest parse_sweep(const json& value) {
    const Parameters parameters(value, {"model", "layer", "texts", "group", "title"});
    RouteRequest order;
    order.what = What::sweep;
    order.model = parameters.path("model");
    take_common(parameters, order);
    order.layer = static_cast<int>(parameters.integer("layer", 0, routing::kMostLayers - 1));
    order.texts = parameters.texts("texts");
    if (order.texts.empty()) {
        throw CommandError(say("there is no text to measure with"));
    }
    if (order.title.empty()) {
        order.title = fmt::format("{}", order.layer);
    }
    return order;
}

RouteRequest parse_import(const json& value) {
    const Parameters parameters(
        value, {"path", "format", "config", "model", "layers", "experts", "experts_per_token", "group", "title"});
    RouteRequest order;
    order.what = What::import;
    take_common(parameters, order);
    RecordingOrder& recording = order.recording;
    recording.path = parameters.path("path");
    recording.format = parameters.text("format", kOwnTrace);
    check_format(recording.format);
    recording.config = parameters.path("config", "");
    for (const std::string& path : {recording.path, recording.config}) {
        if (!path.empty() && !base::is_there(path)) {
            throw CommandError(say("{} does not exist; name a file that is there", fs::path(path)));
        }
    }
    recording.model = base::shown_name(parameters.text("model", ""));
    recording.layers = static_cast<int>(parameters.integer("layers", 0, 0, routing::kMostLayers));
    recording.experts = static_cast<int>(parameters.integer("experts", 0, 0, routing::kMostExperts));
    recording.per_token = static_cast<int>(parameters.integer("experts_per_token", 0, 0, routing::kMostExperts));
    order.model = recording.model.empty() ? fs::path(recording.path).filename().string() : recording.model;
    order.title = order.title.empty() ? fs::path(recording.path).filename().string() : order.title;
    order.routing.detail = recording.format == kOwnTrace ? routing::Detail::weights : routing::Detail::ids;
    return order;
}

void check_effect(const RouteRequest& order) {
    if (!order.routing.changes()) {
        throw CommandError(say("nothing is changed in the routers, so there is no effect to measure"));
    }
}

void take_answer(RouteRequest& order, const history::Session& history) {
    const NamedAnswer& from = order.from.value();
    if (const auto answer = history.answers().find(from.run); answer != history.answers().end()) {
        take_generation(order, answer->second.value);
        take_question(order, answer->second.value.manifest);
    } else if (const auto probe = history.probes().find(from.run); probe != history.probes().end()) {
        const std::string key = fmt::format("{}/{}/{}/{}", from.item, from.model, from.language, from.draw);
        const auto place = probe->second.index.find(key);
        if (place == probe->second.index.end()) {
            throw CommandError(say("run {} has no answer {}", from.run, key));
        }
        const history::ProbeDraw& draw = *probe->second.value.draws[place->second];
        order.text = draw.prompt;
        order.answer = draw.answer;
        take_question(order, probe->second.value.manifest);
    } else {
        throw CommandError(say("run {} has no answer whose routing could be read", from.run));
    }
    if (order.text.empty()) {
        throw CommandError(say("the journal does not hold what was asked in run {}", from.run));
    }
    if (order.title.empty()) {
        order.title = base::shortened(base::one_line(order.text), kLongestTitle);
    }
}

RouteJob::RouteJob(NodeParts parts, RouteRequest order)
    : parts_(parts), order_(std::move(order)), untouched_{order_.routing.detail, json::array(), {}} {
    if (order_.what == What::effect) {
        announce(order_.base, order_.title, What::read, untouched_);
    }
    announce(order_.run, order_.title, order_.what, order_.routing);
    parts_.sink.log("info", "route", say("{} has begun", doing()));
    thread_ = std::thread([this] { main(); });
}

RouteJob::~RouteJob() {
    request_stop();
    wait();
}

void RouteJob::wait() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

Sentence RouteJob::doing() const {
    const Sentence model = history::model_sentence(order_.model);
    switch (order_.what) {
        case What::effect:
            return say("measuring what changed routers of {} do to '{}'", model, order_.title);
        case What::sweep:
            return say("knocking out every expert of layer {} of {}", order_.layer, model);
        case What::import:
            return say("taking in the recording {}", order_.title);
        case What::read:
        case What::other:
            break;
    }
    return say("reading '{}' with {}", order_.title, model);
}

json RouteJob::manifest(What what, const RoutingOrder& routing) const {
    json value = {{"what", what_name(what)},
                  {"model", routing.changes() ? order_.model : model_alone(order_.model, order_.routing)},
                  {"title", order_.title},
                  {"group", order_.group},
                  {"program_version", MOESCOPE_VERSION}};
    if (order_.what == What::import) {
        value.update({{"path", order_.recording.path}, {"format", order_.recording.format}});
        return value;
    }
    value.update({{"model_path", order_.path.string()}, {"model_sha256", order_.model_sha256}});
    if (!order_.model_title.empty()) {
        value["model_title"] = order_.model_title;
    }
    if (const std::string file = state_of_files(order_.path); !file.empty()) {
        value["model_file"] = file;
    }
    if (order_.what == What::sweep) {
        value.update({{"layer", order_.layer}, {"texts", order_.texts}});
        return value;
    }
    put_routing(value, routing);
    if (!order_.data.empty()) {
        value.update({{"data", order_.data}, {"tokens", order_.tokens}});
    } else if (order_.tokens_of) {
        value["tokens_of"] = order_.tokens_of->run;
        if (order_.tokens_of->first > 0 || order_.tokens_of->count > 0) {
            value["first"] = order_.tokens_of->first;
        }
        if (order_.tokens_of->count > 0) {
            value["tokens"] = order_.tokens_of->count;
        }
    } else {
        value["text"] = order_.text;
        put_question(value, order_.system, order_.chat);
    }
    if (order_.from) {
        value["from"] = {{"run", order_.from->run}};
        if (!order_.from->item.empty()) {
            value["from"].update({{"item", order_.from->item},
                                  {"model", order_.from->model},
                                  {"language", order_.from->language},
                                  {"draw", order_.from->draw}});
        }
    }
    if (what == What::effect) {
        value.update({{"base", order_.base}, {"controls", order_.controls}, {"seed", order_.seed}});
    }
    return value;
}

void RouteJob::announce(std::uint32_t run, const std::string& name, What what, const RoutingOrder& routing) {
    RunStatus gauge;
    gauge.run = run;
    gauge.kind = RunKind::route;
    gauge.name = name;
    gauge.state = RunState::running;
    parts_.board.set_run(gauge);
    parts_.sink.write_json(RecordType::run_started, {{"run", run},
                                                     {"kind", protocol::run_kind_name(RunKind::route)},
                                                     {"name", name},
                                                     {"manifest", manifest(what, routing)}});
}

void RouteJob::show(protocol::TaskKind kind, double fraction, double seconds_left, const Sentence& detail) {
    protocol::Task task;
    task.id = task_id(order_.run);
    task.kind = kind;
    task.title = order_.title;
    task.fraction = fraction;
    task.seconds_left = seconds_left;
    task.detail = detail;
    task.cancel_command = "route.cancel";
    task.run = order_.run;
    parts_.board.set_task(task);
}

void RouteJob::main() {
    try {
        work();
        result_.state = RunState::done;
    } catch (const std::bad_alloc&) {
        result_.message = say("there is not enough memory for this");
    } catch (const std::exception& error) {
        result_.message = base::sentence_of(error);
    }
    if (result_.state != RunState::done && cancel_) {
        result_.state = RunState::stopped;
        result_.message = {};
    }
    write_end();
    finished_ = true;
}

void RouteJob::work() {
    if (order_.what == What::import) {
        show(protocol::TaskKind::route);
        import();
        return;
    }
    engine::Corpus corpus;
    if (!order_.data.empty()) {
        show(protocol::TaskKind::corpus);
        corpus = engine::read_corpus(order_.data, parts_.paths.cache, [this] {
            if (cancel_) {
                throw CommandError(say("cancelled"));
            }
        });
    }
    show(protocol::TaskKind::wait);
    WorkerPool::Lease lease = parts_.workers.acquire(order_.model, order_.path, cancel_);
    const ThreadShare::Slot slot(parts_.threads);
    show(protocol::TaskKind::load);
    if (const Sentence why = why_processor(lease.open(slot.threads(), cancel_)); !why.empty()) {
        parts_.sink.log("info", "route", why);
    }
    show(task_kind(order_.what));
    const ReplayFile replay(order_.routing, parts_.session.journal());
    json request = {{"run", order_.run},
                    {"name", model_alone(order_.model, order_.routing)},
                    {"threads", slot.threads()},
                    {"detail", routing::detail_name(order_.routing.detail.value_or(routing::Detail::weights))}};
    put_changes(request, order_.routing, replay);
    started_ = Clock::now();
    if (order_.what == What::sweep) {
        return sweep(*lease, std::move(request));
    }
    if (!order_.data.empty()) {
        return read_corpus(*lease, std::move(request), corpus);
    }
    if (order_.tokens_of) {
        return read_recorded(*lease, std::move(request), *order_.tokens_of);
    }
    request["text"] = order_.text;
    request["chat"] = order_.chat;
    if (order_.system) {
        request["system"] = *order_.system;
    }
    if (!order_.answer_ids.empty()) {
        request["answer_ids"] = order_.answer_ids;
    } else if (!order_.answer.empty()) {
        request["answer"] = order_.answer;
    }
    return order_.what == What::effect ? effect(*lease, std::move(request)) : read(*lease, std::move(request));
}

json RouteJob::ask(WorkerProcess& model, const json& request) {
    json answer = model.ask(
        request, doing(), [this](WorkerMessageKind kind, std::span<const std::byte> body) { on_part(kind, body); },
        cancel_, kPatience);
    check_complete(answer);
    return answer;
}

void RouteJob::on_part(WorkerMessageKind kind, std::span<const std::byte> body) {
    if (kind != WorkerMessageKind::progress) {
        write_routing(
            parts_.sink, kind, body,
            [this](std::uint32_t run) {
                return run == order_.run ? &order_.routing : run == order_.base ? &untouched_ : nullptr;
            },
            cancel_);
        return;
    }
    const auto progress = protocol::decode_json(body);
    const auto done = progress ? static_cast<double>(base::count_of(*progress, "progress")) : 0,
               total = progress ? static_cast<double>(base::count_of(*progress, "total")) : 0;
    if (progress && order_.what == What::read) {
        wanted_ = base::count_of(*progress, "total", wanted_);
        result_.tokens = base::count_of(*progress, "progress", result_.tokens);
    }
    if (done > 0 && total > 0) {
        const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
        show(task_kind(order_.what), std::min(1.0, done / total), std::max(0.0, seconds * (total - done) / done),
             Sentence::verbatim(fmt::format("{:.0f} / {:.0f}", done, total)));
    }
}

void RouteJob::read(WorkerProcess& model, json request) {
    request["op"] = "read";
    Read sums;
    sums.add(ask(model, request));
    result_.tokens = sums.tokens;
    result_.found = sums.result();
}

void RouteJob::read_corpus(WorkerProcess& model, json request, const engine::Corpus& corpus) {
    request["op"] = "read";
    request["total"] = order_.tokens;
    const auto wanted = static_cast<std::uint64_t>(order_.tokens);
    request["longest"] = std::clamp(wanted / kDocuments, kShortestPart, kLongestPart);
    const std::vector<const engine::TextDocument*> order = in_turn(corpus);
    Read sums;
    for (std::size_t next = 0; next < order.size() && sums.tokens < wanted;) {
        json documents = json::array();
        for (std::size_t bytes = 0; next < order.size() && bytes < kBatchBytes; ++next) {
            const engine::TextDocument& document = *order[next];
            const std::string_view text =
                document.text.substr(0, base::character_boundary(document.text, kLongestDocument));
            documents.push_back({{"text", text},
                                 {"language", document.language == 0 ? "en" : "zh"},
                                 {"group", base::shown_name(corpus.groups[document.file])}});
            bytes += text.size();
        }
        request["documents"] = std::move(documents);
        request["first_token"] = sums.tokens;
        request["first_document"] = sums.documents;
        request["most_tokens"] = wanted - sums.tokens;
        sums.add(ask(model, request));
        request.erase("threads");  // they are set
    }
    result_.tokens = sums.tokens;
    result_.found = sums.result();
}

void RouteJob::read_recorded(WorkerProcess& model, json request, const NamedTokens& wanted) {
    const history::Session history = history::read_routing(parts_.session.journal(), wanted.run);
    const auto found = history.routing().find(wanted.run);
    const std::uint64_t there = found == history.routing().end() ? 0 : found->second.value.trace->tokens();
    if (there <= wanted.first) {
        throw base::Error(say("run {} has no tokens from number {} on that could be read", wanted.run, wanted.first));
    }
    request["op"] = "read";
    request["total"] = wanted.count > 0 ? std::min(wanted.count, there - wanted.first) : there - wanted.first;
    Read sums;
    json documents = json::array();
    std::size_t ids = 0;
    const auto send = [&] {
        if (documents.empty()) {
            return;
        }
        request["documents"] = std::exchange(documents, json::array());
        request["first_token"] = sums.tokens;
        request["first_document"] = sums.documents;
        ids = 0;
        sums.add(ask(model, request));
        request.erase("threads");  // they are set
    };
    for_each_recorded_text(*found->second.value.trace, wanted, [&](const RecordedText& text) {
        if (ids + text.ids.size() > kBatchIds) {
            send();
        }
        ids += text.ids.size();
        json document = {{"ids", text.ids},
                         {"pieces_sha256", text.pieces_sha256},
                         {"language", text.language},
                         {"group", base::shown_name(text.group)}};
        if (text.next >= 0) {
            document["next"] = text.next;
        }
        documents.push_back(std::move(document));
    });
    send();
    result_.tokens = sums.tokens;
    result_.found = sums.result();
}

void RouteJob::effect(WorkerProcess& model, json request) {
    request["op"] = "effect";
    request["base"] = order_.base;
    request["controls"] = order_.controls;
    request["seed"] = order_.seed;
    json answer = ask(model, request);
    Read untouched;
    untouched.add(base::member(answer, "untouched"));
    for (const char* key : {"op", "complete", "untouched"}) {
        answer.erase(key);
    }
    answer["base"] = order_.base;
    answer["set"] = order_.routing.set;
    result_.tokens = untouched.tokens;
    result_.found_untouched = untouched.result();
    result_.found = std::move(answer);
}

void RouteJob::sweep(WorkerProcess& model, json request) {
    request["op"] = "sweep";
    request["layer"] = order_.layer;
    request["texts"] = order_.texts;
    json answer = ask(model, request);
    answer.erase("op");
    answer.erase("complete");
    answer["model"] = order_.model;
    answer["seconds"] = std::chrono::duration<double>(Clock::now() - started_).count();
    result_.tokens = base::count_of(answer, "tokens");
    result_.found = std::move(answer);
}

void RouteJob::import() {
    const routing::Import read_one = read_recording(order_.recording);
    const routing::RouterSpec& spec = read_one.spec;
    RoutingOrder routing = order_.routing;
    if (read_one.interventions.is_array()) {
        routing.interventions = read_one.interventions;
    }
    write_routing_started(parts_.sink, order_.run, routing::router_to_json(spec), routing);
    routing::PieceMaker pieces(spec, 0, [this](std::uint64_t first, std::vector<std::byte> packed) {
        parts_.sink.write_waiting(RecordType::routing_chunk, protocol::encode_routing({order_.run, first, packed}),
                                  cancel_);
    });
    read_one.each([&](const std::shared_ptr<const routing::Chunk>& chunk) {
        for (std::size_t at = 0; at < chunk->tokens; ++at) {
            if (cancel_) {
                throw CommandError(say("cancelled"));
            }
            pieces.add(routing::decisions_at(*chunk, at, spec));
        }
        for (const routing::LoadSample& sample : chunk->loads) {
            pieces.add(sample);
        }
        result_.tokens += chunk->tokens;
        result_.counts += chunk->loads.size();
    });
    pieces.flush();
    result_.doubts = spec.doubts;
    result_.found = {{"tokens", result_.tokens}, {"counts", result_.counts}};
}

void RouteJob::end_run(std::uint32_t run, const json& found) {
    if (!found.is_null()) {
        parts_.sink.write_json(RecordType::routing_result, {{"run", run}, {"result", found}});
    }
    json record = {{"run", run}, {"state", protocol::run_state_name(result_.state)}, {"step", result_.tokens}};
    base::put_sentence(record, "message", result_.message);
    parts_.sink.write_json(RecordType::run_ended, record);
    parts_.board.remove_run(run);
}

void RouteJob::write_end() {
    parts_.board.remove_task(task_id(order_.run));
    if (order_.what == What::read && result_.state != RunState::done && wanted_ > 0) {
        result_.found = {{"wanted", wanted_}};  // of which there are so many as the trace has
    }
    if (order_.what == What::effect) {
        end_run(order_.base, result_.found_untouched);
    }
    end_run(order_.run, result_.found);
    parts_.sink.log_end("route", result_.state,
                        {say("{} is done: {} tokens", doing(), result_.tokens), say("{} was stopped", doing()),
                         say("{} failed: {}", doing(), result_.message)});
}

}  // namespace moescope::node
