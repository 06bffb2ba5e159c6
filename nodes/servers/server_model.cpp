#include "nodes/servers/server_model.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "nodes/servers/event_stream.hpp"
#include "routing/imports/import.hpp"

namespace moescope::servers {

using base::Error;
using base::member;
using base::say;
using base::Sentence;
using base::StopReason;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;
constexpr std::uint64_t kList = 4 * kMega, kRefusal = 16 * 1024;       ///< bytes that are read of these
constexpr std::uint64_t kAnswer = 2048 * kMega, kWhole = 256 * kMega;  ///< of an answer: in all, and at once
constexpr std::uint64_t kOfToken = 2048, kOfAlternative = 1024;        ///< bytes, far above what servers send
constexpr std::uint64_t kEvent = 8 * kMega;
constexpr std::uint64_t kRouting = routing::kMostRecording / 3 * 4 + kMega;  ///< as base64
constexpr std::size_t kMostModels = 1000;
constexpr std::uint64_t kMostSeed = std::numeric_limits<std::int32_t>::max();  ///< that every server takes
constexpr auto kListSilence = std::chrono::seconds(15);
constexpr std::size_t kValuesOfAnswer = 8'000'000;
constexpr unsigned kFine = 200;

double milliseconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

Dialect dialect_of(const std::string& owner) {
    return owner == "vllm"       ? Dialect::vllm
           : owner == "sglang"   ? Dialect::sglang
           : owner == "llamacpp" ? Dialect::llama
                                 : Dialect::openai;
}

/// Takes more than OpenAI's interface has: top-k, min-p, ids of tokens.
bool takes_more(Dialect dialect) {
    return dialect == Dialect::vllm || dialect == Dialect::sglang || dialect == Dialect::llama;
}

bool sends_routing(Dialect dialect) {
    return dialect == Dialect::vllm || dialect == Dialect::sglang;
}

/// vLLM gives the routing only with an answer that comes at once.
bool streams(Dialect dialect, bool routing) {
    return !(routing && dialect == Dialect::vllm);
}

ServedModel served_model(const json& entry) {
    ServedModel model;
    model.name = base::text_of(entry, "id");
    const json& meta = member(entry, "meta");
    model.context = std::max(base::integer_of(entry, "max_model_len"), base::integer_of(meta, "n_ctx_train"));
    model.parameters = base::count_of(meta, "n_params");
    model.vocabulary = base::count_of(meta, "n_vocab");
    return model;
}

/// The words of an error in any of the forms that servers have.
std::string words_in(const std::string& body) {
    const auto value = base::read_json(body, body.size()).value;
    if (!value) {
        return body;
    }
    const json& error = member(*value, "error");
    for (const json* object : {&error, &std::as_const(*value)}) {
        for (const char* key : {"message", "detail", "error"}) {
            if (const std::string words = base::text_of(*object, key); !words.empty()) {
                return words;
            }
        }
    }
    return body;
}

}  // namespace

json question_json(const Server& server, Dialect dialect, const Question& question, bool routing) {
    json body = {{"model", server.address.model},
                 {"max_tokens", question.max_tokens},
                 {"temperature", question.temperature},
                 {"seed", question.seed}};
    // One alternative at least, as llama-server gives no log-probabilities without any.
    const int alternatives = std::max(1, question.alternatives);
    if (question.chat) {
        body["messages"] = json::array();
        if (question.system) {
            body["messages"].push_back({{"role", "system"}, {"content", *question.system}});
        }
        body["messages"].push_back({{"role", "user"}, {"content", question.prompt}});
        body["logprobs"] = true;
        body["top_logprobs"] = alternatives;
    } else {
        body["prompt"] = question.prompt;
        body["logprobs"] = alternatives;
    }
    if (question.temperature > 0) {
        body["top_p"] = question.top_p;
        if (takes_more(dialect)) {
            body["top_k"] = question.top_k > 0 ? question.top_k : -1;
            body["min_p"] = question.min_p;
        }
    }
    body["stream"] = streams(dialect, routing);
    if (body["stream"]) {
        body["stream_options"] = {{"include_usage", true}};
    }
    if (sends_routing(dialect)) {
        body["return_token_ids"] = true;
    }
    if (routing && dialect == Dialect::sglang) {
        body["return_routed_experts"] = true;
    }
    return body;
}

ServerModel::ServerModel(Server server)
    : server_(std::move(server)),
      key_(key_from_environment(server_)),
      client_(server_.address, server_.remote, key_),
      dialect_(server_.dialect) {
    check(server_);
    info_.name = server_.address.model;
}

void ServerModel::refuse(unsigned status, const std::string& body) const {
    constexpr unsigned kNoKey = 401, kForbidden = 403;
    const std::string words = said_by_server(words_in(body), key_);
    if (status == kNoKey || status == kForbidden) {
        throw Error(key_.empty()
                        ? say("{} wants a key; put it into the variable {} of the environment before the program is "
                              "started (HTTP {}: {})",
                              client_.name(), server_.key_variable, status, words)
                        : say("{} does not take the key in the variable {} (HTTP {}: {})", client_.name(),
                              server_.key_variable, status, words));
    }
    throw Error(say("{} refuses (HTTP {}): {}", client_.name(), status, words));
}

std::optional<Served> ServerModel::list(const std::atomic<bool>& cancel) {
    HttpQuestion question{
        "/models", {}, kList, std::min<std::chrono::milliseconds>(kListSilence, std::chrono::seconds(server_.silence))};
    HttpHead head;
    std::string body;
    const bool complete = client_.ask(
        question, [&](const HttpHead& one) { head = one; },
        [&](std::string_view piece) {
            body += piece;
            return head.status == kFine || body.size() < kRefusal;
        },
        cancel);
    if (!complete) {
        return std::nullopt;
    }
    constexpr unsigned kMissing = 404, kNotAllowed = 405, kNotThere = 501;
    if (head.status == kMissing || head.status == kNotAllowed || head.status == kNotThere) {
        return Served{};
    }
    if (head.status != kFine) {
        refuse(head.status, body);
    }
    const auto parsed = base::read_json(body, kList);
    const json none;
    const json& data = parsed.value ? member(*parsed.value, "data") : none;
    if (!data.is_array()) {
        throw Error(parsed.value ? say("{} gives no list of models", client_.name())
                                 : say("{} gives no list of models: it {}", client_.name(), parsed.problem));
    }
    Served served;
    std::optional<Dialect> dialect;
    std::size_t unusable = 0;
    for (std::size_t i = 0; i < std::min(data.size(), kMostModels); ++i) {
        ServedModel model = served_model(data[i]);
        if (!is_model_name(model.name)) {
            ++unusable;
            continue;
        }
        const Dialect owner = dialect_of(base::text_of(data[i], "owned_by"));
        if (!dialect || model.name == server_.address.model) {
            dialect = owner;
        }
        served.models.push_back(std::move(model));
    }
    served.dialect = dialect.value_or(Dialect::openai);
    if (unusable > 0) {
        served.notes.push_back(
            say("names by which no model can be asked for (empty, longer than {} bytes, with | or control characters) "
                "are left out of the list of {}: {} of {}",
                kLongestModel, client_.name(), unusable, data.size()));
    }
    if (data.size() > kMostModels) {
        served.notes.push_back(
            say("{} lists {} models; those after the first {} are left out", client_.name(), data.size(), kMostModels));
    }
    return served;
}

bool ServerModel::open(const std::atomic<bool>& cancel) {
    const auto served = list(cancel);
    if (!served) {
        return false;
    }
    if (server_.dialect == Dialect::automatic) {
        dialect_ = served->dialect;
    }
    // A name that is not in the list may still be one: of a router, of an adapter. The server says so if it is none.
    for (const ServedModel& model : served->models) {
        if (model.name == server_.address.model) {
            info_ = model;
        }
    }
    return true;
}

std::vector<Sentence> ServerModel::notes_on(const Question& question) const {
    std::vector<Sentence> notes;
    const bool cuts = question.top_k > 0 || question.min_p > 0;
    if (question.temperature > 0 && cuts && !takes_more(dialect_)) {
        notes.push_back(say("{} was not told top-k and min-p, which its interface does not have", client_.name()));
    }
    return notes;
}

Answered ServerModel::answer(const Question& question, const OnToken& on_token, const OnRouting& on_routing,
                             const std::atomic<bool>& cancel) {
    if (question.seed > kMostSeed) {
        throw Error(say("servers take seeds up to {}, not {}", kMostSeed, question.seed));
    }
    const bool routed = on_routing && sends_routing(dialect_);
    Answered answered;
    answered.notes = notes_on(question);
    const auto start = Clock::now();
    std::optional<Clock::time_point> first;
    AnswerReader reader({client_.name(), key_, question.alternatives, question.max_tokens, routed},
                        [&](protocol::TokenRecord token) {
                            if (!first) {
                                first = Clock::now();
                            }
                            on_token(std::move(token));
                        });
    const auto take = [&](std::string_view text) {
        base::ParsedJson parsed = base::read_json(text, text.size(), {.values = kValuesOfAnswer});
        if (!parsed.value) {
            throw Error(say("{} sends an answer that {}", client_.name(), parsed.problem));
        }
        reader.take(std::move(*parsed.value));
    };
    const auto tokens = static_cast<std::uint64_t>(question.max_tokens) + 64;
    const auto alternatives = static_cast<std::uint64_t>(std::max(1, question.alternatives));
    const std::uint64_t in_all =
        std::min(kAnswer, kMega + tokens * (kOfToken + kOfAlternative * alternatives)) + (routed ? kRouting : 0);
    HttpHead head;
    bool events = false;
    std::string whole;
    EventStream stream(routed ? kRouting : kEvent, client_.name());
    const HttpQuestion asked{question.chat ? "/chat/completions" : "/completions",
                             base::dump_json(question_json(server_, dialect_, question, routed)), in_all,
                             std::chrono::seconds(server_.silence)};
    const bool complete = client_.ask(
        asked,
        [&](const HttpHead& one) {
            head = one;
            events = one.type == "text/event-stream";
            if (head.status == kFine && !events && one.type != "application/json") {
                throw Error(say("{} answers with '{}', where events or JSON belong", client_.name(),
                                said_by_server(one.type, key_)));
            }
        },
        [&](std::string_view piece) {
            if (head.status == kFine && events) {
                return stream.feed(piece, [&](std::string_view event) {
                    if (event == "[DONE]") {
                        return false;
                    }
                    take(event);
                    return true;
                });
            }
            whole += piece;
            if (whole.size() > kWhole + (routed ? kRouting : 0)) {
                throw Error(say("{} sends more than {} bytes where fewer belong; the rest was not read", client_.name(),
                                kWhole));
            }
            return head.status == kFine || whole.size() < kRefusal;
        },
        cancel);
    if (complete && head.status != kFine) {
        refuse(head.status, whole);
    }
    if (complete && !events) {
        take(whole);
    }
    const auto end = Clock::now();
    answered.prompt_ms = first ? milliseconds_between(start, *first) : 0;
    answered.generate_ms = milliseconds_between(first && events ? *first : start, end);
    if (!events) {
        answered.prompt_ms = 0;  // when the prompt was read is not known
    }
    answered.prompt_tokens = reader.prompt_tokens();
    answered.tokens = reader.tokens();
    if (reader.others() > 0) {
        answered.notes.push_back(say("{} sent log-probabilities of {} tokens that its text does not have; they are left "
                                     "out",
                                     client_.name(), reader.others()));
    }
    if (!complete) {
        return answered;
    }
    reader.finish();
    answered.stop = reader.stop();
    if (routed) {
        take_routing(reader, on_routing, answered);
    } else if (on_routing && server_.shape.experts > 1) {
        answered.notes.push_back(say("{} sends no routed experts: only vLLM and SGLang do", client_.name()));
    }
    return answered;
}

void ServerModel::take_routing(const AnswerReader& reader, const OnRouting& on_routing, Answered& answered) const {
    const auto recorded = reader.recorded();
    if (!recorded) {
        answered.notes.push_back(
            say("{} sent no routed experts; start it with --enable-return-routed-experts to see them", client_.name()));
        return;
    }
    routing::ModelShape shape = server_.shape;
    shape.model = server_.address.model;
    try {
        const std::string source = server_.address.server();
        const routing::Import import = dialect_ == Dialect::vllm
                                           ? routing::import_vllm_answer(*recorded, shape, source, reader.written())
                                           : routing::import_sglang_answer(*recorded, shape, source, reader.written());
        on_routing.router(import.spec);
        import.each(on_routing.piece);
    } catch (const Error& error) {
        answered.notes.push_back(say("the routing that {} sent is not taken: {}", client_.name(), error));
    }
}

}  // namespace moescope::servers
