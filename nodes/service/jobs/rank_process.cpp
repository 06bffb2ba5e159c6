// A rank that a node has started: rank 0 does what the node asks, the others follow it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file_io.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/dataset_store.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/rank_launch.hpp"
#include "nodes/service/jobs/step_records.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

using base::say;
using nlohmann::json;

namespace {

base::Descriptor join_node(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    base::Descriptor joined(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (path.size() >= sizeof address.sun_path) {
        throw base::Error(say("the socket path {} is longer than the system allows", path));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (!joined || connect(joined.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        throw base::Error(say("the node's socket {} can't be reached: {}", path, base::system_sentence(errno)));
    }
    return joined;
}

json numbers(const std::array<double, engine::kLanguages>& values) {
    json list = json::array();
    for (const double value : values) {
        list.push_back(std::isfinite(value) ? json(value) : json());
    }
    return list;
}

class RankZero {
 public:
    RankZero(const Paths& paths, RankLaunch& launch, int socket)
        : paths_(paths), launch_(launch), writer_(socket), reader_(socket) {}

    /// Until the node closes its end.
    void serve() {
        WorkerMessage message;
        while (reader_.read(message, -1) == WorkerReader::Status::message) {
            json answer;
            try {
                answer = carry_out(protocol::decode_json(message.body).value_or(json::object()));
                answer["op"] = "ended";
                answer["steps"] = trainer_ ? trainer_->steps_done() : 0;
            } catch (const std::bad_alloc&) {
                answer = failed(say("there is not enough memory for this run; choose a smaller model or batch"));
            } catch (const std::exception& error) {
                answer = failed(base::sentence_of(error));
            }
            if (!writer_.write(answer)) {
                return;
            }
        }
    }

 private:
    static json failed(const base::Sentence& message) {
        json answer = {{"op", "failed"}};
        base::put_sentence(answer, "message", message);
        return answer;
    }

    json carry_out(const json& request) {
        const std::string op = base::text_of(request, "op");
        if (op == "train") {
            return train(base::member(request, "order"));
        }
        if (!trainer_) {
            throw base::Error(say("the processes of this run have nothing to train"));
        }
        const int layer = base::integer_of(request, "layer", -1), expert = base::integer_of(request, "expert", -1);
        json answer = json::object();
        if (op == "step") {
            return step();
        }
        if (op == "evaluate") {
            const engine::HeldOutLoss loss = trainer_->evaluate();
            return {{"loss", numbers(loss.loss)}, {"tokens", loss.tokens}};
        }
        if (op == "sample") {
            return {
                {"text", trainer_->sample(base::text_of(request, "prompt"), base::integer_of(request, "max_tokens"))}};
        }
        if (op == "sha256") {
            return {{"sha256", trainer_->parameters_sha256()}};
        }
        if (op == "set") {
            trainer_->set(base::member(request, "values").get<engine::LiveValues>());
            return {{"config", engine::to_json(trainer_->config())}};
        }
        if (op == "disable") {
            trainer_->set_expert_disabled(layer, expert, base::flag_of(request, "on"));
        } else if (op == "freeze") {
            trainer_->set_expert_frozen(layer, expert, base::flag_of(request, "on"));
        } else if (op == "reset") {
            trainer_->reset_expert(layer, expert);
        } else if (op == "save") {
            trainer_->save(base::text_of(request, "folder"));
        } else {
            throw base::Error(say("the processes of this run do not know the request '{}'", op));
        }
        return answer;
    }

    json train(const json& order) {
        const TrainingRequest request = request_of_ranks(order);
        const engine::TrainConfig& settings = request.config.train;
        launch_.share(settings, settings.threads);
        DatasetStore datasets(paths_.cache);
        const Beginning beginning = open_beginning(request);
        const auto data = datasets.load(request.data, request.config.model.vocabulary, beginning.tokenizer,
                                        [](double, const base::Sentence&) { return true; });
        launch_.begin(order, settings.threads);
        auto ops = launch_.open_device(request.config);
        trainer_ = make_trainer(request, data, beginning, {}, std::move(ops), launch_.ranks());
        // A checkpoint brings the knobs as they were turned.
        json answer = {{"memory_bytes", trainer_->memory_bytes()},
                       {"config", engine::to_json(trainer_->config())},
                       {"exchange", launch_.exchange().way}};
        base::put_sentence(answer, "exchange_text", launch_.exchange().text);
        return answer;
    }

    json step() {
        const engine::StepStats& stats = trainer_->step();
        writer_.write(WorkerMessageKind::step, protocol::encode_step(step_record(stats, trainer_->config().model)));
        protocol::RankRecord ranks = rank_record(stats.ranks, stats.step);
        if (ranks.size() > kLargestWorkerMessage / 2) {
            ranks.fold_layers();
        }
        writer_.write(WorkerMessageKind::ranks, protocol::encode_ranks(ranks));
        json answer = {{"tokens", stats.tokens},
                       {"why_not_recorded", base::one_line(trainer_->why_not_recorded())},
                       {"attention_by", base::one_line(trainer_->attention_by())}};
        base::put_sentence(answer, "fault", stats.fault);
        return answer;
    }

    const Paths& paths_;
    RankLaunch& launch_;
    WorkerWriter writer_;
    WorkerReader reader_;
    std::unique_ptr<engine::Trainer> trainer_;
};

}  // namespace

int rank_main(const Paths& paths, const std::string& socket) {
    // The launcher tells all to end when one has ended. Rank 0 first tells the node which one that was; it has a
    // second.
    signal(SIGTERM, SIG_IGN);
    RankLaunch launch(paths, engine::comm::open_mpi(mpi_settings()), {}, {});
    if (!launch.leads()) {
        follow_training(paths, launch);
        return 0;
    }
    const base::Descriptor node = join_node(socket);
    RankZero(paths, launch, node.get()).serve();
    return 0;
}

}  // namespace moescope::node
