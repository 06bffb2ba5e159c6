#include "nodes/service/workers/worker_server.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "base/stop_reason.hpp"
#include "nodes/service/workers/routing_stream.hpp"
#include "nodes/service/workers/worker_tokens.hpp"

namespace moescope::node {

using base::Error;
using base::say;
using nlohmann::json;

namespace {

servers::Server server_in(const json& request) {
    return servers::server_from_json(servers::parse_address(request.at("path").get<std::string>()),
                                     request.value("server", json::object()));
}

servers::Question question_in(const json& request) {
    servers::Question question;
    question.prompt = request.at("prompt").get<std::string>();
    if (request.contains("system")) {
        question.system = request.at("system").get<std::string>();
    }
    question.chat = request.value("chat", true);
    question.max_tokens = request.value("max_tokens", question.max_tokens);
    question.alternatives = request.value("alternatives", 0);
    question.temperature = request.value("temperature", 0.0);
    question.top_k = request.value("top_k", question.top_k);
    question.top_p = request.value("top_p", question.top_p);
    question.min_p = request.value("min_p", question.min_p);
    question.seed = request.value("seed", question.seed);
    return question;
}

/// The routing of an answer on its way to the node. A server says which experts, and no more.
class SentRouting {
 public:
    SentRouting(WorkerWriter& writer, std::uint32_t run) : writer_(writer), run_(run) {}

    servers::OnRouting output() {
        return {[this](const routing::RouterSpec& spec) {
                    spec_ = spec;
                    stream_.emplace(writer_, RoutingStream::What{run_, routing::Detail::ids, 0}, spec,
                                    routing::InterventionPlan({}, spec));
                },
                [this](const std::shared_ptr<const routing::Chunk>& piece) {
                    for (std::size_t at = 0; at < piece->tokens; ++at) {
                        stream_->add(routing::decisions_at(*piece, at, spec_));
                    }
                }};
    }
    void finish() {
        if (stream_) {
            stream_->finish();
        }
    }

 private:
    WorkerWriter& writer_;
    const std::uint32_t run_;
    routing::RouterSpec spec_;
    std::optional<RoutingStream> stream_;
};

}  // namespace

std::unique_ptr<servers::ServerModel> open_server(const json& request, const std::atomic<bool>& cancel) {
    servers::Server server = server_in(request);
    if (server.address.model.empty()) {
        throw Error(say("{} names no model; write its name behind a #", server.address.text()));
    }
    auto model = std::make_unique<servers::ServerModel>(std::move(server));
    if (!model->open(cancel)) {
        throw Error(say("cancelled before its turn"));
    }
    return model;
}

json opened_server(const servers::ServerModel& model) {
    const routing::ModelShape& shape = model.server().shape;
    const servers::ServedModel& info = model.info();
    return {{"op", "opened"},
            {"architecture", ""},
            {"format", "server"},
            {"precision", ""},
            {"chat_template", true},
            {"parameters", info.parameters},
            {"bytes", 0},
            {"vocabulary", info.vocabulary},
            {"layers", shape.layers},
            {"experts", shape.experts},
            {"experts_per_token", shape.per_token},
            {"context", info.context},
            {"server", servers::dialect_name(model.dialect())}};
}

json served_models(const json& request, const std::atomic<bool>& cancel) {
    servers::ServerModel model(server_in(request));
    const auto served = model.list(cancel);
    if (!served) {
        throw Error(say("cancelled before its turn"));
    }
    json names = json::array(), notes = json::array();
    for (const servers::ServedModel& one : served->models) {
        names.push_back(one.name);
    }
    for (const base::Sentence& note : served->notes) {
        notes.push_back(base::sentence_to_json(note));
    }
    return {{"op", "ended"},
            {"models", std::move(names)},
            {"dialect", servers::dialect_name(served->dialect)},
            {"notes", std::move(notes)}};
}

json ask_server(servers::ServerModel& model, const std::string& op, const json& request, WorkerWriter& writer,
                const std::atomic<bool>& cancel) {
    const std::string& name = model.server().address.model;
    if (op != "generate") {
        throw Error(
            say("'{}' is a model on a server, which answers and no more: tokens, logits and routers can't be "
                "asked for from outside",
                name));
    }
    if (const json& changes = base::member(request, "interventions"); changes.is_array() && !changes.empty()) {
        throw Error(say("'{}' is a model on a server: its routing can be seen, but not changed from outside", name));
    }
    servers::Question question = question_in(request);
    const int count = request.value("count", 1);
    json answers = json::array(), notes = json::array();
    for (int i = 0; i < count; ++i) {
        // Tokens carry the number of their run; of several answers, each has the next number.
        const std::uint32_t run = request.value("run", 0u) + static_cast<std::uint32_t>(i);
        TokenStream stream(writer, run);
        SentRouting routing(writer, run);
        servers::Answered answered;
        try {
            answered = model.answer(
                question, [&](protocol::TokenRecord token) { stream.add(std::move(token)); },
                request.contains("routing") ? routing.output() : servers::OnRouting(), cancel);
            routing.finish();
        } catch (...) {
            stream.flush();  // what came before the server failed stays
            throw;
        }
        stream.flush();
        ++question.seed;
        answers.push_back({{"stop", base::stop_name(answered.stop)},
                           {"prompt_tokens", answered.prompt_tokens},
                           {"tokens", answered.tokens},
                           {"prompt_ms", answered.prompt_ms},
                           {"generate_ms", answered.generate_ms}});
        for (std::size_t note = 0; i == 0 && note < answered.notes.size(); ++note) {
            notes.push_back(base::sentence_to_json(answered.notes[note]));
        }
    }
    return {{"op", "ended"}, {"answers", std::move(answers)}, {"notes", std::move(notes)}};
}

}  // namespace moescope::node
