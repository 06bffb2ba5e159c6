// The reproduce.* commands: a recorded training once more, and what is other here than where it was recorded.
#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/data_paths.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/jobs/recorded_run.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/library/parameters.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The session that has the run: the node's own, or another folder that is only read.
struct Source {
    Source(sessions::Session& own, const Parameters& parameters) : session(&own), place(own.folder().string()) {
        if (parameters.has("session")) {
            place = fs::absolute(parameters.path("session")).lexically_normal().string();
            other = sessions::Session::open(place, sessions::Journal::Mode::read_only);
            session = other.get();
        }
        if (parameters.has("data")) {
            data = whole_path_of_data(parameters.path("data"));
        }
    }
    std::shared_ptr<RecordedRun> read(std::uint32_t run) const {
        auto recorded = RecordedRun::read(*session, run, place);
        if (!protocol::ended(history::present_state(*session, recorded->run().state))) {
            throw CommandError(say("run {} is still going on", title_of(recorded->run())));
        }
        if (other) {
            recorded->session = place;
        }
        if (!data.empty()) {
            recorded->move_data(data);
        }
        return recorded;
    }

    std::unique_ptr<sessions::Session> other;
    sessions::Session* session;
    std::string place, data;  ///< data: where they lie here; empty: where they were
};

/// Where the run is computed here; nothing: as it was.
struct Wish {
    explicit Wish(const Parameters& parameters) {
        if (parameters.has("threads")) {
            threads = static_cast<int>(parameters.integer("threads", 1, 1, kMostThreads));
        }
        if (parameters.has("device")) {
            device = parameters.text("device");
        }
    }
    std::optional<int> threads;
    std::optional<std::string> device;
};

}  // namespace

void Service::reproduce_check(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "session", "data", "threads", "device"});
    const Wish wish(parameters);
    refuse_at_the_end();
    if (journal_) {
        journal_->flush();
    }
    const Source source(*session_, parameters);
    const auto recorded = source.read(parameters.run());
    const history::TrainingRun& run = recorded->run();
    std::vector<Difference> differences;
    {
        const BoardTask task(board_, fmt::format("reproduce-{}", ++outputs_), protocol::TaskKind::corpus, run.name);
        differences =
            all_differences(run, config_to_reproduce(run, wish.threads, wish.device), devices_, paths_.cache, [&] {
                if (is_to_end(task)) {
                    throw CommandError(say("the comparison was cancelled"));
                }
            });
    }
    reply({{{"run", run.id},
            {"steps", run.step.size()},
            {"same", differences.empty()},
            {"differences", to_json(differences)}},
           {}});
}

void Service::reproduce_start(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "session", "data", "threads", "device", "name"});
    const Wish wish(parameters);
    std::string title = parameters.text("name", "");
    refuse_at_the_end();
    journal_->flush();
    const Source source(*session_, parameters);
    const auto recorded = source.read(parameters.run());
    TrainingRequest order = order_to_reproduce(*source.session, recorded, wish.threads, wish.device);
    recorded->add(differences_here(recorded->run().manifest, order.config, devices_));
    for (const Difference& one : recorded->differences()) {
        if (one.stops) {
            throw CommandError(one.text);
        }
    }
    if (title.empty()) {
        const auto names = names_of(board_.run_list(), protocol::RunKind::train);
        const std::string plain = recorded->run().name + "-again";
        title = plain;
        for (int repeat = 2; std::find(names.begin(), names.end(), title) != names.end(); ++repeat) {
            title = fmt::format("{}-{}", plain, repeat);
        }
    }
    start_run(std::move(order), title, reply);
}

}  // namespace moescope::node
