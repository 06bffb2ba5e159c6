#include "nodes/service/workers/worker_main.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <signal.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "engine/error.hpp"
#include "engine/files/inspect.hpp"
#include "engine/files/npy.hpp"
#include "engine/runner/language_model.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/paths.hpp"
#include "nodes/service/workers/inspected_file.hpp"
#include "nodes/service/workers/worker_export.hpp"
#include "nodes/service/workers/worker_routing.hpp"
#include "nodes/service/workers/worker_sandbox.hpp"
#include "nodes/service/workers/worker_server.hpp"
#include "nodes/service/workers/worker_tokens.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

/// Requests of the node, read by their own thread, so that `cancel` is seen while a model works.
class Inbox {
 public:
    /// `first` was read already.
    Inbox(WorkerReader reader, json first)
        : requests_{std::move(first)}, reader_([this, from = std::move(reader)]() mutable { read(from); }) {
        reader_.detach();
    }

    /// The next request, or nothing at the end of input.
    std::optional<json> next() {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return !requests_.empty(); });
        json request = std::move(requests_.front());
        requests_.pop_front();
        // A cancel that came before this request belongs to an earlier one; one that came while it waited, to this one.
        cancel_ = request.value("cancelled", false);
        return request;
    }

    const std::atomic<bool>& cancel() const { return cancel_; }

 private:
    void read(WorkerReader& reader) {
        WorkerMessage message;
        while (reader.read(message, -1) == WorkerReader::Status::message) {
            auto request = protocol::decode_json(message.body);
            if (!request) {
                break;
            }
            const std::lock_guard lock(mutex_);
            if (request->value("op", "") == "cancel") {
                if (requests_.empty()) {
                    cancel_ = true;
                } else {
                    requests_.back()["cancelled"] = true;
                }
            } else {
                requests_.push_back(std::move(*request));
                wake_.notify_one();
            }
        }
        // The node is gone or wants us gone. The main thread may be deep inside a model: leave without asking it.
        _exit(0);
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<json> requests_;
    std::atomic<bool> cancel_{false};
    std::thread reader_;
};

protocol::TokenRecord record_of(const engine::GeneratedToken& token) {
    const auto convert = [](const engine::GeneratedToken::Candidate& one) {
        return protocol::TokenCandidate{one.token, one.bytes, one.log_probability};
    };
    protocol::TokenRecord record;
    record.chosen = convert(token.chosen);
    for (const auto& candidate : token.alternatives) {
        record.alternatives.push_back(convert(candidate));
    }
    return record;
}

class Worker {
 public:
    Worker(WorkerReader input, json first, base::Sandbox sandbox, int output)
        : inbox_(std::move(input), std::move(first)), writer_(output), sandbox_(std::move(sandbox)) {}

    void serve() {
        while (const auto request = inbox_.next()) {
            const std::string op = request->value("op", "");
            try {
                if (op == "open") {
                    open(*request);
                } else if (op == "served") {
                    writer_.write(served_models(*request, inbox_.cancel()));
                } else if (server_) {
                    writer_.write(ask_server(*server_, op, *request, writer_, inbox_.cancel()));
                } else if (op == "generate") {
                    generate(*request);
                } else if (op == "tokenize") {
                    tokenize(*request);
                } else if (op == "logits") {
                    logits(*request);
                } else if (op == "route") {
                    writer_.write(route_text(model(), *request, writer_, inbox_.cancel()));
                } else if (op == "read") {
                    writer_.write(read_texts(model(), *request, writer_, inbox_.cancel()));
                } else if (op == "effect") {
                    writer_.write(measure_effect(model(), *request, writer_, inbox_.cancel()));
                } else if (op == "sweep") {
                    writer_.write(sweep_texts(model(), *request, writer_, inbox_.cancel()));
                } else if (op == "inspect") {
                    writer_.write(report_to_json(engine::inspect_file(request->at("path").get<std::string>())));
                } else if (op == "export") {
                    writer_.write(export_model(*request, writer_));
                } else {
                    throw engine::Error(base::say("the model process does not know the request '{}'", op));
                }
            } catch (const std::bad_alloc&) {
                fail(base::say("not enough memory for this model"));
            } catch (const std::exception& error) {
                if (is_of_device(error)) {
                    // It does not come back within this process.
                    fail(base::say("{} failed: {}", model_->info().device, base::sentence_of(error)), true);
                    return;
                }
                fail(base::sentence_of(error));
            }
        }
    }

 private:
    /// Whoever else fails throws one of these: the program itself, and files.
    bool is_of_device(const std::exception& error) const {
        return model_ != nullptr && !model_->info().device.empty() && model_->info().device != kernels::kProcessor &&
               dynamic_cast<const std::runtime_error*>(&error) != nullptr &&
               dynamic_cast<const base::Error*>(&error) == nullptr &&
               dynamic_cast<const std::system_error*>(&error) == nullptr;
    }
    /// `leaves`: the process ends.
    void fail(const base::Sentence& message, bool leaves = false) {
        json answer = {{"op", "failed"}};
        if (leaves) {
            answer["leaves"] = true;
        }
        base::put_sentence(answer, "message", message);
        writer_.write(answer);
    }

    void open(const json& request) {
        model_.reset();
        server_.reset();
        if (request.contains("server")) {
            server_ = open_server(request, inbox_.cancel());
            writer_.write(opened_server(*server_));
            return;
        }
        if (!devices_) {
            devices_.emplace(device_places(find_paths()));
        }
        model_ = engine::open_model(request.at("path").get<std::string>(), request.value("threads", 1),
                                    {request.value("device", ""), &*devices_});
        const auto& info = model_->info();
        json opened = {{"op", "opened"},
                       {"architecture", info.architecture},
                       {"format", info.format},
                       {"precision", info.precision},
                       {"chat_template", !info.chat_template.empty()},
                       {"parameters", info.parameters},
                       {"bytes", info.bytes},
                       {"vocabulary", info.vocabulary},
                       {"layers", info.layers},
                       {"experts", info.experts},
                       {"experts_per_token", info.experts_per_token},
                       {"context", info.context}};
        if (!info.device.empty()) {
            opened["device"] = info.device;
        }
        if (!info.disabled.empty()) {
            opened["disabled_experts"] = info.disabled;
        }
        base::put_sentence(opened, "why_processor", info.why_processor);
        opened["sandbox"] = {{"files", sandbox_.files}, {"calls", sandbox_.calls}};
        writer_.write(opened);
    }

    engine::LanguageModel& model() {
        if (!model_) {
            throw engine::Error(base::say("no model is open in this process"));
        }
        return *model_;
    }

    /// What is asked, of a request to answer or to show.
    static engine::GenerateRequest question_in(const json& request) {
        engine::GenerateRequest wanted;
        wanted.prompt = request.at("prompt").get<std::string>();
        if (request.contains("system")) {
            wanted.system = request.at("system").get<std::string>();
        }
        wanted.chat = request.value("chat", true);
        return wanted;
    }

    void tokenize(const json& request) {
        constexpr std::size_t kMostTokens = 100'000;  // fit a message
        const engine::ShownPrompt shown = model().show(question_in(request), inbox_.cancel());
        if (shown.tokens.size() > kMostTokens) {
            throw engine::Error(
                base::say("the prompt has {} tokens; at most {} are listed", shown.tokens.size(), kMostTokens));
        }
        writer_.write(json{{"op", "ended"}, {"text", shown.text}, {"ids", shown.tokens}});
    }

    void generate(const json& request) {
        engine::GenerateRequest wanted = question_in(request);
        wanted.max_tokens = request.value("max_tokens", 256);
        wanted.alternatives = request.value("alternatives", 0);
        wanted.sampling.temperature = request.value("temperature", 0.0);
        wanted.sampling.top_k = request.value("top_k", 40);
        wanted.sampling.top_p = request.value("top_p", 0.95);
        wanted.sampling.min_p = request.value("min_p", 0.05);
        wanted.sampling.seed = request.value("seed", std::uint64_t{1});
        const int count = request.value("count", 1);
        if (const int threads = request.value("threads", 0); threads > 0) {
            model().set_threads(threads);
        }
        // Tokens carry the number of their run; of several answers, each has the next number.
        std::vector<TokenStream> streams;
        for (int answer = 0; answer < count; ++answer) {
            streams.emplace_back(writer_, request.value("run", 0u) + static_cast<std::uint32_t>(answer));
        }
        const engine::ShownPrompt shown = model().show(wanted, inbox_.cancel());
        const AnswersWithRouting written = answer_with_routing(
            model(), shown, wanted, count, request,
            [&](int answer, const engine::GeneratedToken& token) {
                streams[static_cast<std::size_t>(answer)].add(record_of(token));
            },
            writer_, inbox_.cancel());
        json answers = json::array();
        for (const auto& result : written.results) {
            answers.push_back({{"stop", base::stop_name(result.stop)},
                               {"prompt_tokens", result.prompt_tokens},
                               {"tokens", result.tokens},
                               {"prompt_ms", result.prompt_ms},
                               {"generate_ms", result.generate_ms}});
        }
        for (auto& stream : streams) {
            stream.flush();
        }
        json ending = {{"op", "ended"}, {"answers", std::move(answers)}, {"shown", shown.text}};
        base::put_sentence(ending, "routing_problem", written.problem);
        writer_.write(ending);
    }

    void logits(const json& request) {
        const auto tokens = engine::read_npy_tokens(request.at("tokens").get<std::string>());
        const int vocabulary = model().info().vocabulary;
        const auto values = model().logits(tokens);
        engine::write_npy(request.at("out").get<std::string>(), std::span<const float>(values),
                          {tokens.size(), static_cast<std::uint64_t>(vocabulary)});
        writer_.write(json{{"op", "ended"}, {"tokens", tokens.size()}, {"vocabulary", vocabulary}});
    }

    Inbox inbox_;
    WorkerWriter writer_;
    const base::Sandbox sandbox_;
    std::optional<kernels::Devices> devices_;  ///< made for the first model
    std::unique_ptr<engine::LanguageModel> model_;
    std::unique_ptr<servers::ServerModel> server_;  ///< in its place, when the model is one of a server
};

/// Nothing when the node is gone, or says what it never says.
std::optional<json> first_request(WorkerReader& reader) {
    WorkerMessage message;
    if (reader.read(message, -1) != WorkerReader::Status::message) {
        return std::nullopt;
    }
    return protocol::decode_json(message.body);
}

std::optional<base::SandboxRules> rules_for(const json& request) {
    try {
        return sandbox_rules(request, find_paths());
    } catch (const std::runtime_error&) {
        return sandbox_rules(request, {});  // who needs the paths says what is wrong with them
    }
}

}  // namespace

int worker_main(int input, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    // Ctrl+C in a terminal, and closing it, goes to the whole group; the node decides when its models leave.
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    // ggml would start a debugger on a failed check, which kills the process and writes its own words over the reason.
    setenv("GGML_NO_BACKTRACE", "1", 1);
    // Before there are other threads: what is given up here is given up by them, too.
    WorkerReader reader(input);
    std::optional<json> first = first_request(reader);
    if (!first) {
        return 0;
    }
    base::Sandbox sandbox;
    if (const auto rules = rules_for(*first)) {
        sandbox = base::enter_sandbox(*rules);
    }
    Worker(std::move(reader), std::move(*first), std::move(sandbox), output).serve();
    return 0;
}

}  // namespace moescope::node
