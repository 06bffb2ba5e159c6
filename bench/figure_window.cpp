// What the figures of a long routing cost the window: a session with a trace of ten million decisions (60 layers of 256
// experts, 8 chosen) is opened without a display, every tab of the structure view and of the expert view is shown, and
// the time that each frame takes to build is printed while its figure is made and afterwards.
//   figure_window MOESCOPE_NODE ASSETS [DECISIONS] [SECONDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "base/scratch_folder.hpp"
#include "nodes/protocol/records.hpp"
#include "routing/packed_trace.hpp"
#include "routing/router_spec.hpp"
#include "sessions/session.hpp"

namespace {

namespace fs = std::filesystem;
using namespace moescope;
using Clock = std::chrono::steady_clock;

constexpr int kLayers = 60, kExperts = 256, kChosen = 8;
constexpr std::uint32_t kRun = 1;

routing::RouterSpec router() {
    routing::RouterSpec spec;
    spec.model = "bench";
    spec.architecture = "deepseek2";
    spec.layers = kLayers;
    spec.experts = kExperts;
    spec.experts_per_token = kChosen;
    spec.scoring = "sigmoid";
    for (int layer = 0; layer < kLayers; ++layer) {
        spec.routed_layers.push_back(layer);
    }
    return spec;
}

/// Tokens of a vocabulary of which each has a few habits in every layer, as real ones do.
class Trace {
 public:
    routing::TokenDecisions token(std::uint64_t number) {
        routing::TokenDecisions token;
        token.position = static_cast<int>(number % 500);
        token.document = static_cast<std::uint32_t>(number / 500);
        token.language = token.document % 2 == 0 ? "en" : "zh";
        token.group = token.document % 3 == 0 ? "news" : "manual";
        // Common tokens are far more frequent than rare ones.
        const double u = std::uniform_real_distribution<double>(0, 1)(random_);
        token.token = static_cast<std::int32_t>(30000 * u * u * u);
        token.next = static_cast<std::int32_t>(random_() % 30000);
        token.predicted = static_cast<std::int32_t>(random_() % 30000);
        token.bytes = " t" + std::to_string(token.token);
        token.log_probability = -2.0f;
        for (int layer = 0; layer < kLayers; ++layer) {
            token.layers.push_back(decision(layer, token.token));
        }
        return token;
    }

 private:
    routing::LayerDecision decision(int layer, std::int32_t token) {
        routing::LayerDecision decision;
        decision.layer = layer;
        // Eight different experts: a start and a step without a common divisor, both by the token and some chance.
        const auto habit = static_cast<std::uint32_t>(token) * 2654435761u + static_cast<std::uint32_t>(layer) * 40503u;
        const std::uint32_t start = (habit >> 8) + (random_() % 4 == 0 ? random_() : 0), step = 2 * (habit >> 20) + 1;
        for (int rank = 0; rank < kChosen; ++rank) {
            decision.ids.push_back(
                static_cast<std::int32_t>((start + static_cast<std::uint32_t>(rank) * step) % kExperts));
            decision.weights.push_back(0.3f / static_cast<float>(rank + 1));
        }
        decision.margin = 0.001f * static_cast<float>(1 + random_() % 1000);
        decision.entropy = 3 + 0.002f * static_cast<float>(random_() % 1000);
        return decision;
    }

    std::mt19937 random_{1};
};

void put(sessions::Session& session, protocol::RecordType type, const std::vector<std::byte>& body) {
    session.journal().append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)),
                             1'764'000'000'000'000'000, body);
}

void put(sessions::Session& session, protocol::RecordType type, const nlohmann::json& body) {
    put(session, type, protocol::encode_json(body));
}

/// The tokens that were written.
std::uint64_t write_session(const fs::path& folder, std::uint64_t decisions) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
    const std::uint32_t run = session->new_run("route", "bench");
    if (run != kRun) {
        throw std::runtime_error("a new session begins with run 1");
    }
    const routing::RouterSpec spec = router();
    put(*session, protocol::RecordType::run_started,
        nlohmann::json{{"run", run},
                       {"kind", "route"},
                       {"name", "bench"},
                       {"manifest", {{"what", "read"}, {"model", "bench"}, {"data", "bench"}, {"tokens", 1}}}});
    put(*session, protocol::RecordType::routing_started,
        nlohmann::json{{"run", run},
                       {"router", routing::router_to_json(spec)},
                       {"interventions", nlohmann::json::array()},
                       {"set", ""},
                       {"detail", "weights"}});
    constexpr std::uint64_t kTokensOfPiece = 500;
    Trace trace;
    routing::ChunkBuilder builder(spec);
    const std::uint64_t tokens = (decisions + kLayers - 1) / kLayers;
    for (std::uint64_t number = 0; number < tokens; ++number) {
        builder.add(trace.token(number));
        if (number + 1 == tokens || (number + 1) % kTokensOfPiece == 0) {
            const auto chunk = builder.take();
            const std::vector<std::byte> packed = routing::pack(*chunk);
            put(*session, protocol::RecordType::routing_chunk, protocol::encode_routing({run, chunk->first, packed}));
        }
    }
    put(*session, protocol::RecordType::run_ended, nlohmann::json{{"run", run}, {"state", "done"}, {"step", tokens}});
    session->journal().sync();
    return tokens;
}

class Window {
 public:
    Window(const fs::path& folder, const std::string& node, const std::string& assets) {
        app::PlatformOptions window;
        window.headless = true;
        window.width = 1600;
        window.height = 900;
        platform_ = std::make_unique<app::Platform>(window);
        app::WorkbenchOptions options;
        options.session = folder;
        options.node_program = node;
        options.assets = assets;
        options.language = "en";
        options.native_dialogs = false;
        workbench_ = std::make_unique<app::Workbench>(*platform_, std::move(options));
        if (workbench_->welcome_visible()) {
            workbench_->command("help.welcome");
        }
    }

    app::Workbench& workbench() { return *workbench_; }
    void frames(double seconds) {
        const auto begin = Clock::now();
        while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
            platform_->wait(0.008);
            workbench_->frame();
        }
    }
    std::uint64_t tokens() const {
        const auto found = workbench_->snapshot().routing.find(kRun);
        return found == workbench_->snapshot().routing.end() ? 0 : found->second->tokens;
    }

    /// What a place costs from the moment it is opened on.
    void measure(const std::string& what, const std::function<void()>& open, double seconds) {
        open();
        frames(0.1);  // the panel's own first frame, with letters that were never drawn
        workbench_->frame_times().reset();
        frames(seconds);
        const app::FrameTimes::Summary times = workbench_->frame_times().summary();
        std::printf("%-34s %6zu frames   mean %6.2f   95 %% %6.2f   worst %6.2f ms\n", what.c_str(), times.frames,
                    times.mean, times.p95, times.max);
        std::fflush(stdout);
        worst_ = std::max(worst_, times.p95);
    }
    double worst() const { return worst_; }

 private:
    std::unique_ptr<app::Platform> platform_;
    std::unique_ptr<app::Workbench> workbench_;
    double worst_ = 0;
};

int run(const std::string& node, const std::string& assets, std::uint64_t decisions, double seconds) {
    const base::ScratchFolder scratch;
    const fs::path& work = scratch.path();
    const std::uint64_t tokens = write_session(work / "session", decisions);
    std::printf("%llu tokens, %llu decisions of %d layers x %d experts, %d chosen\n",
                static_cast<unsigned long long>(tokens), static_cast<unsigned long long>(tokens * kLayers), kLayers,
                kExperts, kChosen);
    {
        const auto begin = Clock::now();
        Window window(work / "session", node, assets);
        const auto since = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
        while (window.tokens() == 0 && since() < 120) {
            window.frames(0.01);
        }
        std::printf("first piece in the window after %.2f s\n", since());
        while (window.tokens() < tokens && since() < 300) {
            window.frames(0.1);
        }
        std::printf("all of it after %.2f s\n", since());
        app::Workbench& workbench = window.workbench();
        for (const char* tab : {"load", "together", "transitions", "differences", "spread"}) {
            window.measure(
                std::string("structure, ") + tab,
                [&] {
                    workbench.show_panel("structure");
                    workbench.command(std::string("structure.tab=") + tab);
                },
                seconds);
        }
        window.measure(
            "structure, another layer",
            [&] {
                workbench.command("structure.tab=together");
                workbench.selection().layer = 30;
            },
            seconds);
        for (const char* tab : {"load", "tokens", "texts", "neighbours"}) {
            window.measure(
                std::string("expert, ") + tab,
                [&] {
                    workbench.selection().layer = 20;
                    workbench.selection().expert = 7;
                    workbench.show_panel("expert");
                    workbench.command(std::string("expert.tab=") + tab);
                },
                seconds);
        }
        std::printf("worst 95 %% of all: %.2f ms of 16\n", window.worst());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: figure_window MOESCOPE_NODE ASSETS [DECISIONS] [SECONDS]\n");
        return 2;
    }
    try {
        return run(argv[1], argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 10'000'000,
                   argc > 4 ? std::atof(argv[4]) : 6);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
