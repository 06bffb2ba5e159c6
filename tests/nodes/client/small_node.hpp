// A node without an engine: a journal, a server and a handful of commands. Used in-process and as a program of its own.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "nodes/protocol/records.hpp"
#include "nodes/protocol/session.hpp"
#include "nodes/transport/node_server.hpp"
#include "sessions/session.hpp"

namespace moescope::test {

class SmallNode final : public transport::RequestHandler {
 public:
    /// `forgetful`: knows no command again.
    SmallNode(const std::filesystem::path& socket, const std::filesystem::path& folder, bool forgetful = false)
        : session_(sessions::Session::open(folder, sessions::Journal::Mode::read_write)), forgetful_(forgetful) {
        transport::NodeServerOptions options;
        options.socket = socket;
        server_ = std::make_unique<transport::NodeServer>(options, session_->journal(), *this);
        server_->publish_state(
            {{"node", {{"name", "small"}, {"cores", 2}}}, {"models", nlohmann::json::array({{{"name", "tiny"}}})}});
    }
    ~SmallNode() override { server_.reset(); }

    transport::NodeServer& server() { return *server_; }
    sessions::Session& session() { return *session_; }

    void json(protocol::RecordType type, const nlohmann::json& body) { put(type, protocol::encode_json(body)); }
    void start_run(std::uint32_t run) {
        json(protocol::RecordType::run_started,
             {{"run", run}, {"kind", "train"}, {"name", "run"}, {"manifest", {{"steps", 1000}}}});
    }
    void step(std::uint32_t run, std::uint64_t number) {
        protocol::StepRecord step;
        step.run = run;
        step.step = number;
        step.loss = loss_of(number);
        step.layers = 2;
        step.experts = 4;
        step.counts.assign(16, static_cast<std::uint32_t>(number));
        step.router_entropy = {0.25f, 0.75f};
        put(protocol::RecordType::step, protocol::encode_step(step));
    }
    static double loss_of(std::uint64_t step) { return 10.0 / static_cast<double>(step + 1); }

    void on_request(const transport::Asker&, std::string id, std::string command, nlohmann::json parameters,
                    std::function<void(nlohmann::json)> reply) override {
        if (const auto answer = session_->finished_command(id); answer && !forgetful_) {
            return reply(nlohmann::json::parse(*answer));
        }
        nlohmann::json response = {{"state", "done"}, {"value", nlohmann::json::object()}};
        if (command == "catalogue") {
            response["value"] = {{"presets", {{{"name", "tiny"}}}}};
        } else if (command == "count") {
            json(protocol::RecordType::log, {{"level", "info"}, {"source", "test"}, {"text", "counted"}});
            response["value"] = parameters;
        } else if (command == "start") {
            const auto run = session_->new_run("train", "run");
            start_run(run);
            for (std::uint64_t number = 1; number <= parameters.value("steps", std::uint64_t{0}); ++number) {
                step(run, number);
            }
            response["value"] = {{"run", run}};
        } else if (command == "die") {
            ::_exit(parameters.value("status", 1));
        } else if (command == "never") {
            return;
        } else if (command == "throw") {
            throw std::runtime_error("this command always throws");
        } else {
            response = protocol::failed_answer(base::say("there is no command {}", command));
        }
        session_->put_finished_command(id, response.dump());
        reply(response);
    }

 private:
    void put(protocol::RecordType type, const std::vector<std::byte>& body) {
        session_->journal().append(static_cast<std::uint16_t>(type),
                                   static_cast<std::uint8_t>(protocol::channel_of(type)), 1, body);
    }

    std::unique_ptr<sessions::Session> session_;
    const bool forgetful_;
    std::unique_ptr<transport::NodeServer> server_;
};

}  // namespace moescope::test
