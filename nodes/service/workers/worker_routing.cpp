#include "nodes/service/workers/worker_routing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include "engine/error.hpp"
#include "engine/files/npy.hpp"
#include "engine/runner/effect.hpp"
#include "engine/runner/sweep.hpp"
#include "nodes/service/workers/routing_stream.hpp"
#include "routing/choice.hpp"
#include "routing/replay.hpp"
#include "routing/trace_lines.hpp"

namespace moescope::node {
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

/// Collects lines and sends them at most every 20 ms, so that short ones do not cost one message each.
class LineStream {
 public:
    explicit LineStream(WorkerWriter& writer) : writer_(writer) {}

    void add(const std::string& line) {
        for (const std::string_view part : {std::string_view(line), std::string_view("\n")}) {
            const auto bytes = std::as_bytes(std::span(part));
            lines_.insert(lines_.end(), bytes.begin(), bytes.end());
        }
        if (lines_.size() >= kEnough || Clock::now() - last_ >= std::chrono::milliseconds(20)) {
            flush();
        }
    }
    void flush() {
        last_ = Clock::now();
        if (lines_.size() > kLargestWorkerMessage) {
            throw engine::Error(
                base::say("a token's routing takes {} bytes as text, which is too much; ask for less "
                          "than all scores",
                          lines_.size()));
        }
        if (!lines_.empty()) {
            writer_.write(WorkerMessageKind::lines, lines_);
            lines_.clear();
        }
    }

 private:
    static constexpr std::size_t kEnough = std::size_t{1} << 18;
    WorkerWriter& writer_;
    std::vector<std::byte> lines_;
    Clock::time_point last_{};
};

routing::Detail detail_in(const json& request, const char* key) {
    const std::string name = request.value(key, "weights");
    const auto detail = routing::detail_named(name);
    if (!detail) {
        throw engine::Error(base::say("there is no detail '{}'; there are ids, weights and scores", name));
    }
    return *detail;
}

routing::Interventions interventions_in(const json& request) {
    routing::Interventions interventions =
        routing::interventions_from_json(request.value("interventions", json::array()));
    if (request.contains("replay")) {
        const std::string source = interventions.replay.source;
        interventions.replay = routing::read_replay(request.at("replay").get<std::string>());
        if (!source.empty()) {
            interventions.replay.source = source;
        }
    }
    return interventions;
}

/// A text with the answer to it, if one is given.
std::vector<std::int32_t> tokens_in(engine::LanguageModel& model, const json& request,
                                    const std::atomic<bool>& cancel) {
    if (request.contains("tokens")) {
        return engine::read_npy_tokens(request.at("tokens").get<std::string>());
    }
    engine::GenerateRequest text;
    text.prompt = request.at("text").get<std::string>();
    text.chat = request.value("chat", false);
    if (request.contains("system")) {
        text.system = request.at("system").get<std::string>();
    }
    std::vector<std::int32_t> tokens = model.show(text, cancel).tokens, answer;
    if (request.contains("answer_ids")) {
        answer = request.at("answer_ids").get<std::vector<std::int32_t>>();
    } else if (request.contains("answer")) {
        answer = model.tokenize(request.at("answer").get<std::string>(), false);
    }
    tokens.insert(tokens.end(), answer.begin(), answer.end());
    return tokens;
}

/// The tokens as they were recorded. Throws Error when this model's tokenizer means something else by them.
std::vector<std::int32_t> recorded_tokens(const engine::LanguageModel& model, const json& request,
                                          const json& document) {
    auto ids = document.at("ids").get<std::vector<std::int32_t>>();
    const int vocabulary = model.info().vocabulary;
    base::Sha256 sum;
    for (const std::int32_t id : ids) {
        if (id < 0 || id >= vocabulary) {
            throw engine::Error(base::say("the token {} is not in this model's vocabulary of {}", id, vocabulary));
        }
        add_piece(sum, model.token_bytes(id));
    }
    if (sum.finish() != document.at("pieces_sha256").get<std::string>()) {
        throw engine::Error(base::say("{} has another tokenizer: by these tokens it would read another text",
                                      request.value("name", "")));
    }
    return ids;
}

/// An answer that ended because the context was full has one token more than that holds: its last one was chosen and
/// never read. It is scored as what follows the others, and not read here either. Nothing of any other text.
std::optional<std::int32_t> take_unread(const engine::LanguageModel& model, const json& request,
                                        std::vector<std::int32_t>& tokens) {
    const bool answer = request.contains("answer_ids") || request.contains("answer");
    if (!answer || tokens.size() != static_cast<std::size_t>(std::max(0, model.info().context)) + 1) {
        return {};
    }
    const std::int32_t last = tokens.back();
    tokens.pop_back();
    return last;
}

void take_threads(engine::LanguageModel& model, const json& request) {
    if (const int threads = request.value("threads", 0); threads > 0) {
        model.set_threads(threads);
    }
}

/// The router, under the name that people know the model by.
routing::RouterSpec named_router(engine::LanguageModel& model, const json& request) {
    routing::RouterSpec spec = model.router_spec();
    spec.model = request.value("name", spec.model);
    return spec;
}

/// JSON has no NaN and no infinity.
json number(double value) {
    return std::isfinite(value) ? json(value) : json();
}
json numbers(const std::vector<double>& values) {
    json list = json::array();
    for (const double value : values) {
        list.push_back(number(value));
    }
    return list;
}

json interval_json(const base::Interval& interval) {
    json value = {{"mean", number(interval.estimate)}};
    if (std::isfinite(interval.low)) {
        value["low"] = interval.low;
        value["high"] = interval.high;
    }
    return value;
}

}  // namespace

void add_piece(base::Sha256& sum, std::string_view piece) {
    sum.add(piece.substr(0, routing::kLongestPiece));
    sum.add(std::string_view("\0", 1));
}

json route_text(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                const std::atomic<bool>& cancel) {
    const engine::RouteRequest wanted{detail_in(request, "detail"), interventions_in(request)};
    const std::vector<std::int32_t> tokens = tokens_in(model, request, cancel);
    const routing::RouterSpec spec = named_router(model, request);
    const routing::InterventionPlan plan(wanted.interventions, spec);
    LineStream lines(writer);
    routing::Agreement agreement;
    std::uint64_t count = 0, known = 0;
    double log_probabilities = 0;
    routing::ReplayCount replayed;
    const bool complete = model.route(
        tokens, wanted,
        [&](const routing::TokenDecisions& token) {
            lines.add(routing::trace_line(token, count == 0 ? &spec : nullptr, wanted.interventions));
            routing::count_agreement(agreement, token, spec, plan);
            routing::count_replayed(replayed, plan, token);
            ++count;
            if (token.log_probability) {
                ++known;
                log_probabilities += *token.log_probability;
            }
        },
        cancel);
    lines.flush();
    json answer = {{"op", "ended"}, {"tokens", count}, {"complete", complete}, {"doubts", json::array()}};
    if (!spec.device.empty()) {
        answer["device"] = spec.device;
    }
    for (const base::Sentence& doubt : spec.doubts) {
        answer["doubts"].push_back(base::sentence_to_json(doubt));
    }
    if (known > 0) {
        answer["mean_log_probability"] = log_probabilities / static_cast<double>(known);
    }
    if (wanted.detail == routing::Detail::scores) {
        answer["agreement"] = {{"decisions", agreement.decisions}, {"equal", agreement.equal}};
    }
    if (plan.replays()) {
        answer["replay"] = {{"decisions", plan.interventions().replay.ids.size()},
                            {"taken", replayed.taken},
                            {"altered", replayed.altered}};
    }
    return answer;
}

json read_texts(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                const std::atomic<bool>& cancel) {
    take_threads(model, request);
    engine::RouteRequest wanted{detail_in(request, "detail"), interventions_in(request)};
    const routing::RouterSpec spec = named_router(model, request);
    const routing::InterventionPlan plan(wanted.interventions, spec);
    const auto first = request.value("first_token", std::uint64_t{0});
    RoutingStream stream(writer, {request.at("run").get<std::uint32_t>(), wanted.detail, first}, spec, plan);
    ProgressStream progress(writer);
    std::uint64_t done = first;
    std::uint32_t documents = 0;
    bool complete = true;
    if (request.contains("documents")) {
        const std::size_t longest = std::min(request.value("longest", std::numeric_limits<std::size_t>::max()),
                                             static_cast<std::size_t>(std::max(1, model.info().context)));
        const auto number = request.value("first_document", 0u);
        const auto total = request.value("total", std::uint64_t{0});
        std::size_t left = request.value("most_tokens", std::numeric_limits<std::size_t>::max());
        for (const json& document : request.at("documents")) {
            std::vector<std::int32_t> tokens;
            wanted.next.reset();
            if (document.contains("ids")) {
                tokens = recorded_tokens(model, request, document);
                if (document.contains("next")) {
                    wanted.next = document.at("next").get<std::int32_t>();
                }
            } else {
                tokens = tokens_in(model, {{"text", document.at("text")}}, cancel);
                tokens.resize(std::min({tokens.size(), longest, left}));
            }
            if (tokens.empty()) {
                continue;
            }
            left -= tokens.size();
            const auto look = [&](const routing::TokenDecisions& token) {
                routing::TokenDecisions placed = token;
                placed.document = number + documents;
                placed.language = document.value("language", "");
                placed.group = document.value("group", "");
                stream.add(placed);
                progress.show(++done, total);
            };
            complete = model.route(tokens, wanted, look, cancel);
            ++documents;
            if (!complete || left == 0) {
                break;
            }
        }
    } else {
        std::vector<std::int32_t> tokens = tokens_in(model, request, cancel);
        wanted.next = take_unread(model, request, tokens);
        const auto look = [&](const routing::TokenDecisions& token) {
            stream.add(token);
            progress.show(++done, tokens.size());
        };
        complete = model.route(tokens, wanted, look, cancel);
        documents = 1;
    }
    stream.finish();
    json answer = {{"op", "ended"}, {"complete", complete}, {"documents", documents}};
    answer.update(stream.summary());
    return answer;
}

json measure_effect(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                    const std::atomic<bool>& cancel) {
    take_threads(model, request);
    engine::EffectRequest wanted;
    wanted.changed = {detail_in(request, "detail"), interventions_in(request)};
    wanted.controls = request.value("controls", wanted.controls);
    wanted.seed = request.value("seed", wanted.seed);
    wanted.tokens = tokens_in(model, request, cancel);
    wanted.changed.next = take_unread(model, request, wanted.tokens);
    const routing::RouterSpec spec = named_router(model, request);
    RoutingStream untouched(writer, {request.at("base").get<std::uint32_t>(), wanted.changed.detail, 0}, spec, {});
    RoutingStream changed(writer, {request.at("run").get<std::uint32_t>(), wanted.changed.detail, 0}, spec,
                          routing::InterventionPlan(wanted.changed.interventions, spec));
    ProgressStream progress(writer);
    const engine::EffectResult result =
        engine::measure_effect(model, wanted,
                               {[&](const routing::TokenDecisions& token) { untouched.add(token); },
                                [&](const routing::TokenDecisions& token) { changed.add(token); },
                                [&](std::uint64_t done, std::uint64_t total) { progress.show(done, total); }},
                               cancel);
    untouched.finish();
    changed.finish();
    if (!result.complete) {
        return {{"op", "ended"}, {"complete", false}};
    }
    json shift = json::array(), controls = json::array(), log_probability = numbers(result.log_probability);
    if (log_probability.size() < wanted.tokens.size()) {
        log_probability.push_back(nullptr);  // nothing follows the last token
    }
    for (const auto& layer : result.shift) {
        shift.push_back({{"layer", layer.layer}, {"changed", layer.changed}});
    }
    constexpr std::size_t kMostItems = 4000;  // of all controls; more would not fit a record
    std::size_t items = 0;
    for (const auto& control : result.controls) {
        json one = {{"mean_kl", number(control.mean_kl)}, {"mean_loss", number(control.mean_loss)}};
        json changes = routing::items_to_json(control.changes);
        items += changes.size();
        if (items <= kMostItems) {
            one["items"] = std::move(changes);
        }
        controls.push_back(std::move(one));
    }
    json answer = {{"op", "ended"},
                   {"complete", true},
                   {"tokens", wanted.tokens.size()},
                   {"kl", numbers(result.kl)},
                   {"log_probability", std::move(log_probability)},
                   {"mean_kl", interval_json(result.mean_kl)},
                   {"mean_loss", interval_json(result.mean_loss)},
                   {"shift", std::move(shift)},
                   {"decisions", result.decisions},
                   {"altered", result.altered},
                   {"untouched", untouched.summary()}};
    if (!result.controls.empty()) {
        answer["control_kl"] = interval_json(result.control_kl);
        answer["control_loss"] = interval_json(result.control_loss);
        answer["above"] = {{"rank", result.rank}, {"ties", result.ties}, {"of", result.controls.size() + 1}};
    }
    answer["controls"] = std::move(controls);
    answer["controls_asked"] = wanted.controls;
    return answer;
}

AnswersWithRouting answer_with_routing(engine::LanguageModel& model, const engine::ShownPrompt& prompt,
                                       const engine::GenerateRequest& wanted, int count, const json& request,
                                       const engine::OnAnswerToken& on_token, WorkerWriter& writer,
                                       const std::atomic<bool>& cancel) {
    AnswersWithRouting answers;
    const bool recorded = request.contains("routing");
    const engine::RouteRequest routing{recorded ? detail_in(request, "routing") : routing::Detail::ids,
                                       interventions_in(request)};
    const bool changed = !routing.interventions.empty();
    std::optional<routing::RouterSpec> spec;
    if (changed || recorded) {
        try {
            spec = named_router(model, request);
        } catch (const engine::Error& error) {
            if (changed) {
                throw;
            }
            answers.problem = model.info().experts > 0 ? base::sentence_of(error) : base::Sentence();
        }
    }
    if (!spec) {
        answers.results = model.answer(prompt, wanted, count, on_token, cancel);
        return answers;
    }
    const routing::InterventionPlan plan(routing.interventions, *spec);
    for (int answer = 0; answer < count; ++answer) {
        engine::GenerateRequest one = wanted;
        one.sampling.seed += static_cast<std::uint64_t>(answer);
        std::optional<RoutingStream> stream;
        if (recorded) {
            const auto run = request.value("run", 0u) + static_cast<std::uint32_t>(answer);
            stream.emplace(writer, RoutingStream::What{run, routing.detail, 0}, *spec, plan);
        }
        answers.results.push_back(model.answer_routed(
            prompt, one, routing, [&](const engine::GeneratedToken& token) { on_token(answer, token); },
            [&](const routing::TokenDecisions& token) {
                if (stream) {
                    stream->add(token);
                }
            },
            cancel));
        if (stream) {
            stream->finish();
        }
    }
    return answers;
}

json sweep_texts(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                 const std::atomic<bool>& cancel) {
    take_threads(model, request);
    engine::SweepRequest wanted;
    wanted.layer = request.at("layer").get<int>();
    for (const json& text : request.at("texts")) {
        wanted.texts.push_back(tokens_in(model, {{"text", text}, {"chat", request.value("chat", false)}}, cancel));
    }
    ProgressStream progress(writer);
    const engine::SweepResult result = engine::sweep_layer(
        model, wanted, [&](std::uint64_t done, std::uint64_t total) { progress.show(done, total); }, cancel);
    json experts = json::array();
    for (const engine::ExpertEffect& one : result.experts) {
        experts.push_back({{"expert", one.expert},
                           {"tokens", one.tokens},
                           {"kl", interval_json(one.kl)},
                           {"loss", interval_json(one.loss)},
                           {"control_kl", interval_json(one.control_kl)},
                           {"control_loss", interval_json(one.control_loss)},
                           {"above_kl", interval_json(one.above_kl)},
                           {"above_loss", interval_json(one.above_loss)}});
    }
    json answer = {{"op", "ended"},
                   {"complete", result.complete},
                   {"layer", wanted.layer},
                   {"texts", result.texts},
                   {"tokens", result.tokens},
                   {"loss", interval_json(result.loss)},
                   {"experts", std::move(experts)}};
    if (const std::string& device = model.info().device; !device.empty()) {
        answer["device"] = device;
    }
    return answer;
}

}  // namespace moescope::node
