// Runs that are stopped, killed and continued, and traces of routing beside them: whatever the order in which the
// channels arrive, the client ends with what the journal says, each step once.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <utility>

#include "nodes/client/node_view.hpp"
#include "nodes/history/run_table.hpp"
#include "tests/nodes/client/record_frame.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::client {
namespace {

using nlohmann::json;
using protocol::Frame;
using protocol::RecordType;
using protocol::StreamPosition;

constexpr std::uint32_t kRun = 3, kRead = 4;

/// Pieces of three tokens each.
const std::vector<std::shared_ptr<const routing::Chunk>>& pieces() {
    static const auto all = [] {
        const routing::RouterSpec spec = routing::make_spec(2, 8, 2);
        return routing::chunks_of(spec, routing::RandomTrace(spec, 1).tokens(300), 3);
    }();
    return all;
}

/// A node that trains and loses records now and then, as its journal and as what in the end counts. The truth is kept
/// in the order of time, where a rewind simply throws away.
class Node {
 public:
    explicit Node(unsigned seed) : random_(seed) {
        const int attempts = 1 + pick(6);
        start(0);
        emit_json(RecordType::run_started,
                  {{"run", kRead}, {"kind", "route"}, {"name", "r"}, {"manifest", {{"what", "read"}}}});
        emit_json(RecordType::routing_started,
                  {{"run", kRead}, {"router", routing::router_to_json(routing::make_spec(2, 8, 2))}});
        for (int attempt = 0; attempt < attempts; ++attempt) {
            if (attempt > 0) {
                go_on();
            }
            for (int actions = pick(60); actions > 0; --actions) {
                act();
                read_on();
            }
            end();
        }
        emit_json(RecordType::routing_result, {{"run", kRead}, {"result", {{"tokens", read}}}});
        emit_json(RecordType::run_ended, {{"run", kRead}, {"state", "done"}});
    }

    struct Event {
        std::uint64_t step = 0;
        std::string kind;
        double value = 0;
        int order = 0;  ///< in time
        bool operator==(const Event& other) const {
            return step == other.step && kind == other.kind && value == other.value;
        }
    };
    std::vector<Frame> journal;
    std::uint32_t epoch = 1;

    // What counts.
    std::map<std::uint64_t, double> losses, evaluations;
    std::vector<std::pair<std::uint64_t, std::string>> samples;
    std::vector<Event> events;
    std::uint64_t last_checkpoint = 0;
    std::size_t read = 0, lost = 0;  ///< pieces of the trace; holes before one that came

 private:
    void read_on() {
        if (next_piece_ == pieces().size() || pick(3) != 0) {
            return;
        }
        const routing::Chunk& chunk = *pieces()[next_piece_++];
        if (pick(8) == 0) {
            hole_ = true;
            return;
        }
        emit(RecordType::routing_chunk, protocol::encode_routing({kRead, chunk.first, routing::pack(chunk)}));
        ++read;
        lost += std::exchange(hole_, false) ? 1 : 0;
    }
    int pick(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
    double fresh() { return ++value_; }

    void emit(RecordType type, std::vector<std::byte> body) {
        journal.push_back(test::record_frame(type, epoch, ++sequence_, std::move(body)));
    }
    void emit_json(RecordType type, const json& body) { emit(type, protocol::encode_json(body)); }
    void emit_event(const char* kind, std::uint64_t step) {
        const double value = fresh();
        emit_json(RecordType::event, {{"run", kRun}, {"step", step}, {"kind", kind}, {"new", value}});
        events.push_back({step, kind, value, ++order_});
    }

    void start(int times) {
        for (int i = 0; i <= times; ++i) {
            emit_json(RecordType::run_started,
                      {{"run", kRun}, {"kind", "train"}, {"name", "n"}, {"manifest", {{"steps", 1000}}}});
        }
    }
    /// Killed: the next start of the node says so. Stopped: the same start goes on.
    void end() {
        const bool killed = pick(2) == 0;
        if (killed) {
            ++epoch;
            sequence_ = 0;
        }
        emit_json(RecordType::run_ended, {{"run", kRun}, {"state", killed ? "interrupted" : "stopped"}});
    }
    void go_on() {
        // The newest checkpoints may be damaged: it goes on from an older one, or from the beginning.
        while (!checkpoints_.empty() && pick(4) == 0) {
            checkpoints_.pop_back();
        }
        const std::uint64_t step = checkpoints_.empty() ? 0 : checkpoints_.back().first;
        const int saved = checkpoints_.empty() ? 0 : checkpoints_.back().second;
        start(1);
        losses.erase(losses.upper_bound(step), losses.end());
        evaluations.erase(evaluations.upper_bound(step), evaluations.end());
        std::erase_if(samples, [&](const auto& sample) { return sample.first > step; });
        std::erase_if(events, [&](const Event& event) { return event.order > saved && event.step > step; });
        done_ = last_checkpoint = step;
        emit_event("rewind", step);
    }
    void act() {
        const int what = pick(20);
        if (what == 0) {
            emit_event("knob", done_ + 1);
        } else if (what == 1) {
            emit_event("pause", done_);
        } else if (what == 2) {
            emit_event("resume", done_);
        } else if (what == 3) {
            checkpoint();
        } else {
            step();
        }
    }
    void checkpoint() {
        if (done_ == last_checkpoint) {
            return;
        }
        last_checkpoint = done_;
        emit_event("checkpoint", done_);
        checkpoints_.emplace_back(done_, order_);
    }
    void step() {
        ++done_;
        if (pick(8) != 0) {  // else the ring was full
            protocol::StepRecord step;
            step.run = kRun;
            step.step = done_;
            step.loss = losses[done_] = fresh();
            step.part_ms[2] = -step.loss;
            step.tokens_total = done_ * 100;
            step.layers = 1;
            step.experts = 2;
            step.counts = {1, 1, 1, static_cast<std::uint32_t>(step.loss)};
            step.router_entropy = {static_cast<float>(step.loss)};
            emit(RecordType::step, protocol::encode_step(step));
        }
        if (done_ % 4 == 0 && pick(8) != 0) {
            const double loss = evaluations[done_] = fresh();
            emit_json(RecordType::evaluation, {{"run", kRun}, {"step", done_}, {"loss", {{"en", loss}, {"zh", loss}}}});
        }
        if (done_ % 5 == 0 && pick(8) != 0) {
            for (const char* language : {"en", "zh"}) {
                const std::string text = std::to_string(fresh());
                emit_json(RecordType::sample, {{"run", kRun}, {"step", done_}, {"language", language}, {"text", text}});
                samples.emplace_back(done_, text);
            }
        }
        if (done_ % 6 == 0) {
            checkpoint();
        }
    }

    std::mt19937 random_;
    std::uint64_t sequence_ = 0, done_ = 0;
    int order_ = 0;
    double value_ = 0;
    std::vector<std::pair<std::uint64_t, int>> checkpoints_;  ///< step, and what was before it
    std::size_t next_piece_ = 0;
    bool hole_ = false;
};

/// The steps with the holes between them, as they are drawn.
std::vector<std::pair<double, double>> drawn(const std::map<std::uint64_t, double>& losses) {
    std::vector<std::pair<double, double>> rows;
    for (const auto& [step, loss] : losses) {
        const auto at = static_cast<double>(step);
        if (!rows.empty() && at > rows.back().first + 1) {
            rows.emplace_back(rows.back().first + 1, std::nan(""));
        }
        rows.emplace_back(at, loss);
    }
    return rows;
}

bool same(double a, double b) {
    return a == b || (std::isnan(a) && std::isnan(b));
}

void expect_truth(const history::TrainingRun& run, const Node& node) {
    const auto rows = drawn(node.losses);
    ASSERT_EQ(run.step.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        ASSERT_EQ(run.step[i], rows[i].first);
        ASSERT_TRUE(same(run[&base::StepValues::loss][i], rows[i].second))
            << "step " << rows[i].first << ": " << run[&base::StepValues::loss][i];
        ASSERT_TRUE(same(run[base::StepPart::attention][i], -rows[i].second));
    }
    ASSERT_EQ(run.counts.size(), node.losses.size());
    auto loss = node.losses.begin();
    for (const auto& counts : run.counts) {
        ASSERT_EQ(counts->step, loss->first);
        ASSERT_EQ(counts->counts.back(), static_cast<std::uint32_t>((loss++)->second));
    }
    EXPECT_EQ(run.tokens_total, node.losses.empty() ? 0 : node.losses.rbegin()->first * 100);
    if (!run.router_entropy.empty()) {
        EXPECT_EQ(run.router_entropy[0], static_cast<float>(node.losses.rbegin()->second));
    }
    ASSERT_EQ(run.evaluation_step.size(), node.evaluations.size());
    std::size_t row = 0;
    for (const auto& [step, value] : node.evaluations) {
        ASSERT_EQ(run.evaluation_step[row], static_cast<double>(step));
        ASSERT_EQ(run.evaluation_chinese[row++], value);
    }
    std::vector<std::pair<std::uint64_t, std::string>> samples;
    for (const history::TextSample& sample : run.samples) {
        samples.emplace_back(sample.step, sample.text);
    }
    EXPECT_EQ(samples, node.samples);
    std::vector<Node::Event> events;
    for (const history::RunEvent& event : run.events) {
        events.push_back({event.step, event.kind, event.new_value.get<double>(), 0});
    }
    EXPECT_EQ(events, node.events);
    EXPECT_EQ(run.last_checkpoint, node.last_checkpoint);
}

void expect_trace(const Snapshot& snapshot, const Node& node) {
    ASSERT_TRUE(snapshot.routes.contains(kRead));
    EXPECT_EQ(snapshot.routes.at(kRead)->state, history::RunState::done);
    EXPECT_EQ(snapshot.routes.at(kRead)->result["tokens"], node.read);
    ASSERT_TRUE(snapshot.routing.contains(kRead));
    const history::RunRouting& routing = *snapshot.routing.at(kRead);
    EXPECT_EQ(routing.lost, node.lost);
    ASSERT_EQ(routing.trace->chunks(), node.read);
    EXPECT_EQ(routing.tokens, routing.trace->tokens());
    for (std::size_t i = 0; i < node.read; ++i) {
        const auto chunk = routing.trace->chunk(i, routing::kIds);
        ASSERT_EQ(chunk->ids, pieces()[static_cast<std::size_t>(chunk->first / 3)]->ids);
    }
}

/// Hands the journal to `state` channel by channel in some order; each channel keeps its own.
template <class Choose>
void deliver(const Node& node, NodeView& state, Choose choose) {
    std::array<std::vector<const Frame*>, protocol::kChannels> queues;
    for (const Frame& frame : node.journal) {
        queues[frame.channel].push_back(&frame);
    }
    std::array<std::size_t, protocol::kChannels> next{};
    for (;;) {
        std::vector<std::size_t> open;
        for (std::size_t channel = 0; channel < queues.size(); ++channel) {
            if (next[channel] < queues[channel].size()) {
                open.push_back(channel);
            }
        }
        if (open.empty()) {
            return;
        }
        const std::size_t channel = choose(open);
        state.apply(*queues[channel][next[channel]++]);
    }
}

TEST(Rewinds, EveryInterleavingEndsWithWhatTheJournalSays) {
    int rewound = 0;
    for (unsigned seed = 0; seed < 400; ++seed) {
        const Node node(seed);
        rewound += static_cast<int>(std::count_if(node.events.begin(), node.events.end(),
                                                  [](const Node::Event& event) { return event.kind == "rewind"; }));
        std::mt19937 random(seed);
        for (int order = 0; order < 12; ++order) {
            SCOPED_TRACE("seed " + std::to_string(seed) + ", order " + std::to_string(order));
            NodeView state;
            state.node_came(node.epoch);
            // Six times one channel before the other, then ever finer mixtures.
            std::array<std::size_t, protocol::kChannels> rank{0, 1, 2, 3, 4};
            for (int i = 0; i < 5 * (order % 6); ++i) {
                std::next_permutation(rank.begin() + 1, rank.end());
            }
            std::size_t favourite = 1;
            const unsigned stays = 1u << (order % 6);
            std::shared_ptr<Snapshot> early;
            std::vector<double> early_losses;
            deliver(node, state, [&](const std::vector<std::size_t>& open) {
                if (!early && random() % 100 == 0) {
                    early = state.snapshot();
                    if (early->training.contains(kRun)) {
                        for (std::size_t i = 0; i < early->training.at(kRun)->step.size(); ++i) {
                            early_losses.push_back((*early->training.at(kRun))[&base::StepValues::loss][i]);
                        }
                    }
                }
                if (order < 6) {
                    return *std::min_element(open.begin(), open.end(),
                                             [&](std::size_t a, std::size_t b) { return rank[a] < rank[b]; });
                }
                if (random() % stays == 0 || std::find(open.begin(), open.end(), favourite) == open.end()) {
                    favourite = open[random() % open.size()];
                }
                return favourite;
            });
            const auto snapshot = state.snapshot();
            ASSERT_TRUE(snapshot->training.contains(kRun));
            ASSERT_NO_FATAL_FAILURE(expect_truth(*snapshot->training.at(kRun), node));
            ASSERT_NO_FATAL_FAILURE(expect_trace(*snapshot, node));
            for (std::size_t i = 0; i < early_losses.size(); ++i) {
                ASSERT_TRUE(same((*early->training.at(kRun))[&base::StepValues::loss][i], early_losses[i]))
                    << "a snapshot never changes";
            }
            // The log tells of the events; nothing was missing, and nothing could not be read.
            for (std::size_t i = 0; i < snapshot->log.size(); ++i) {
                const std::string& source = snapshot->log[i].source;
                EXPECT_TRUE(source == "train" || source == "node") << source << ": " << snapshot->log[i].text;
            }
        }
    }
    EXPECT_GT(rewound, 400);
}

TEST(Rewinds, AreAskedByPosition) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        history::Rewinds rewinds;
        std::vector<history::Rewind> all;
        for (std::uint64_t i = 1; i <= 8; ++i) {
            all.push_back({{static_cast<std::uint32_t>(1 + i / 3), 10 * i}, random() % 12});
            rewinds.add(all.back());
            for (std::uint32_t epoch = 0; epoch < 5; ++epoch) {
                for (std::uint64_t sequence = 5; sequence < 100; sequence += 10) {
                    for (std::uint64_t step = 0; step < 14; ++step) {
                        const StreamPosition at{epoch, sequence};
                        const bool undone = std::any_of(all.begin(), all.end(), [&](const history::Rewind& rewind) {
                            return at < rewind.at && step > rewind.step;
                        });
                        ASSERT_EQ(rewinds.undone(at, step), undone);
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace moescope::client
