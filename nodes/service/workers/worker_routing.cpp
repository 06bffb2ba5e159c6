#include "nodes/service/workers/worker_routing.hpp"

#include <chrono>
#include <cmath>
#include <optional>
#include <span>

#include "base/json_guard.hpp"
#include "engine/error.hpp"
#include "engine/files/npy.hpp"
#include "engine/runner/routed_model.hpp"
#include "engine/runner/sweep.hpp"
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
            writer_.write(WorkerMessageKind::tokens, lines_);
            lines_.clear();
        }
    }

 private:
    static constexpr std::size_t kEnough = std::size_t{1} << 18;
    WorkerWriter& writer_;
    std::vector<std::byte> lines_;
    Clock::time_point last_{};
};

routing::Detail detail_in(const json& request) {
    const std::string detail = request.value("detail", "weights");
    if (detail == "ids") {
        return routing::Detail::ids;
    }
    if (detail == "weights") {
        return routing::Detail::weights;
    }
    if (detail == "scores") {
        return routing::Detail::scores;
    }
    throw engine::Error(base::say("there is no detail '{}'; there are ids, weights and scores", detail));
}

std::vector<std::int32_t> tokens_in(engine::LanguageModel& model, const json& request,
                                    const std::atomic<bool>& cancel) {
    if (request.contains("tokens")) {
        return engine::read_npy_tokens(request.at("tokens").get<std::string>());
    }
    engine::GenerateRequest text;
    text.prompt = request.at("text").get<std::string>();
    text.chat = request.value("chat", false);
    return model.show(text, cancel).tokens;
}

json interval_json(const base::Interval& interval) {
    json value = {{"mean", interval.estimate}};
    if (std::isfinite(interval.low)) {
        value["low"] = interval.low;
        value["high"] = interval.high;
    }
    return value;
}

}  // namespace

json route_text(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                const std::atomic<bool>& cancel) {
    engine::RouteRequest wanted;
    wanted.detail = detail_in(request);
    wanted.interventions = routing::interventions_from_json(request.value("interventions", json::array()));
    if (request.contains("replay")) {
        wanted.interventions.replay = routing::read_replay(request.at("replay").get<std::string>());
    }
    const std::vector<std::int32_t> tokens = tokens_in(model, request, cancel);
    routing::RouterSpec spec = model.router_spec();
    const routing::InterventionPlan plan(wanted.interventions, spec);
    spec.model = request.value("name", spec.model);
    LineStream lines(writer);
    routing::Agreement agreement;
    std::uint64_t count = 0, known = 0;
    double log_probabilities = 0;
    std::uint64_t replayed = 0;
    const bool complete = model.route(
        tokens, wanted,
        [&](const routing::TokenDecisions& token) {
            lines.add(routing::trace_line(token, count == 0 ? &spec : nullptr, wanted.interventions));
            routing::count_agreement(agreement, token, spec, plan);
            replayed += routing::replayed_layers(plan, token);
            ++count;
            if (token.log_probability) {
                ++known;
                log_probabilities += *token.log_probability;
            }
        },
        cancel);
    lines.flush();
    json answer = {{"op", "ended"}, {"tokens", count}, {"complete", complete}, {"doubts", json::array()}};
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
        answer["replay"] = {{"decisions", plan.interventions().replay.ids.size()}, {"taken", replayed}};
    }
    return answer;
}

json sweep_texts(engine::LanguageModel& model, const json& request, WorkerWriter& writer,
                 const std::atomic<bool>& cancel) {
    engine::SweepRequest wanted;
    wanted.layer = request.at("layer").get<int>();
    for (const json& text : request.at("texts")) {
        wanted.texts.push_back(tokens_in(model, {{"text", text}, {"chat", request.value("chat", false)}}, cancel));
    }
    LineStream lines(writer);
    const engine::SweepResult result = engine::sweep_layer(
        model, wanted,
        [&](std::uint64_t done, std::uint64_t total) {
            lines.add(base::dump_json({{"progress", done}, {"total", total}}));
        },
        cancel);
    lines.flush();
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
    return {{"op", "ended"},
            {"complete", result.complete},
            {"layer", wanted.layer},
            {"texts", result.texts},
            {"tokens", result.tokens},
            {"loss", interval_json(result.loss)},
            {"experts", std::move(experts)}};
}

}  // namespace moescope::node
