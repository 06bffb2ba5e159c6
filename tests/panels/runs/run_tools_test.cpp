// What the panels know of a run from its records: which experts are disabled or frozen, whatever became of the run.
#include "panels/runs/run_tools.hpp"

#include <filesystem>
#include <gtest/gtest.h>
#include <set>

#include "nodes/client/node_view.hpp"
#include "tests/nodes/client/record_frame.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using nlohmann::json;
using protocol::RecordType;

/// A journal that is written here and read by a window.
class Journal {
 public:
    void write(RecordType type, const json& body) { write(type, protocol::encode_json(body)); }
    void write(RecordType type, std::vector<std::byte> body) {
        records_.push_back(client::test::record_frame(type, 1, records_.size() + 1, std::move(body)));
    }
    void start(std::uint32_t run, const json& manifest = json::object()) {
        write(RecordType::run_started, {{"run", run}, {"kind", "train"}, {"manifest", manifest}});
    }
    void step(std::uint32_t run, std::uint64_t step) {
        protocol::StepRecord record;
        record.run = run;
        record.step = step;
        record.layers = 2;
        record.experts = 4;
        record.counts.resize(std::size_t{protocol::kTextLanguages} * 2 * 4);
        record.router_entropy.resize(2);
        write(RecordType::step, protocol::encode_step(record));
    }
    void event(std::uint32_t run, std::uint64_t step, const char* kind) {
        write(RecordType::event, {{"run", run}, {"step", step}, {"kind", kind}});
    }
    void change(std::uint32_t run, std::uint64_t step, const char* what, int layer, int expert) {
        write(RecordType::event,
              {{"run", run}, {"step", step}, {"kind", "expert"}, {"name", what}, {"layer", layer}, {"expert", expert}});
    }
    std::shared_ptr<const client::Snapshot> read() const {
        client::NodeView state;
        state.node_came(1);
        for (const protocol::Frame& record : records_) {
            state.apply(record);
        }
        return state.snapshot();
    }

 private:
    std::vector<protocol::Frame> records_;
};

/// The experts of a run as "layer.expert", those that are frozen with an f, those that are both with a b.
std::set<std::string> marked(const client::Snapshot& snapshot, std::uint32_t run,
                             std::optional<std::uint64_t> step = {}) {
    const auto states = panels::expert_states(snapshot, *snapshot.training.at(run), step);
    EXPECT_EQ(states.size(), 8u);
    std::set<std::string> result;
    for (std::size_t i = 0; i < states.size(); ++i) {
        if (states[i] != panels::ExpertState()) {
            result.insert(std::to_string(i / 4) + "." + std::to_string(i % 4) +
                          (!states[i].frozen    ? ""
                           : states[i].disabled ? "b"
                                                : "f"));
        }
    }
    return result;
}

using Marks = std::set<std::string>;

TEST(Fork, MayStartFromEveryCheckpointThatIsKept) {
    history::TrainingRun run;
    const auto steps = [&](std::vector<std::uint64_t> kept, std::uint64_t last) {
        run.checkpoints = std::move(kept);
        run.last_checkpoint = last;
        return panels::fork_steps(run);
    };
    using Steps = std::vector<std::uint64_t>;
    EXPECT_EQ(steps({}, 0), Steps());
    EXPECT_EQ(steps({}, 5), Steps{5}) << "a node that does not list them";
    EXPECT_EQ(steps({0, 20, 30}, 30), (Steps{30, 20, 0}));
    EXPECT_EQ(steps({20, 30}, 40), (Steps{40, 30, 20})) << "its record came before the list";
}

TEST(ExpertStates, FollowWhatWasSaid) {
    Journal journal;
    journal.start(1);
    journal.step(1, 1);
    EXPECT_EQ(marked(*journal.read(), 1), Marks());
    journal.change(1, 2, "disable", 1, 2);
    journal.change(1, 2, "freeze", 0, 3);
    EXPECT_EQ(marked(*journal.read(), 1), (Marks{"1.2", "0.3f"})) << "at once, before the next step";
    journal.step(1, 2);
    journal.change(1, 3, "freeze", 1, 2);
    journal.change(1, 3, "reset", 0, 3);
    for (const auto& [layer, expert] : {std::pair{7, 0}, {0, 4}, {-1, 0}, {1 << 20, 0}}) {
        journal.change(1, 3, "disable", layer, expert);  // of no expert of this run
    }
    journal.step(1, 3);
    EXPECT_EQ(marked(*journal.read(), 1), (Marks{"1.2b", "0.3f"})) << "a reset expert stays frozen";
    journal.change(1, 4, "enable", 1, 2);
    journal.change(1, 4, "thaw", 0, 3);
    const auto now = journal.read();
    EXPECT_EQ(marked(*now, 1), Marks{"1.2f"});
    EXPECT_EQ(marked(*now, 1, 1), Marks()) << "as it was in step 1";
    EXPECT_EQ(marked(*now, 1, 2), (Marks{"1.2", "0.3f"}));
    EXPECT_EQ(marked(*now, 1, 3), (Marks{"1.2b", "0.3f"}));
}

TEST(ExpertStates, AResumedRunHasThoseOfItsCheckpoint) {
    Journal journal;
    journal.start(1);
    journal.step(1, 1);
    journal.change(1, 2, "disable", 0, 0);
    journal.event(1, 1, "checkpoint");  // with what was disabled for step 2
    journal.change(1, 2, "disable", 0, 1);
    journal.step(1, 2);
    journal.change(1, 3, "enable", 0, 0);
    journal.write(RecordType::run_ended, json{{"run", 1}, {"state", "interrupted"}});
    EXPECT_EQ(marked(*journal.read(), 1), Marks{"0.1"});
    journal.start(1);
    journal.event(1, 1, "rewind");
    EXPECT_EQ(marked(*journal.read(), 1), Marks{"0.0"});
    journal.step(1, 2);
    EXPECT_EQ(marked(*journal.read(), 1), Marks{"0.0"});
}

TEST(ExpertStates, AForkBeginsWithThoseOfItsParent) {
    for (const bool lost : {false, true}) {
        SCOPED_TRACE(lost);
        Journal journal;
        journal.start(1);
        journal.step(1, 1);
        journal.change(1, 1, "freeze", 1, 1);
        journal.change(1, 2, "disable", 0, 0);
        if (!lost) {
            journal.event(1, 1, "checkpoint");
        }
        journal.change(1, 2, "disable", 0, 1);
        journal.step(1, 2);
        journal.event(1, 2, "checkpoint");
        journal.start(2, {{"fork", {{"run", 1}, {"step", 1}}}});
        journal.step(2, 2);
        journal.change(2, 3, "thaw", 1, 1);
        journal.step(2, 3);
        journal.event(2, 3, "checkpoint");
        journal.start(3, {{"fork", {{"run", 2}, {"step", 3}}}});
        journal.step(3, 4);
        const auto now = journal.read();
        EXPECT_EQ(marked(*now, 1), (Marks{"0.0", "0.1", "1.1f"}));
        // Without the record of the checkpoint it is not known whether it holds what acts on the step after it.
        EXPECT_EQ(marked(*now, 2, 2), lost ? Marks{"1.1f"} : (Marks{"0.0", "1.1f"}));
        EXPECT_EQ(marked(*now, 3), lost ? Marks() : Marks{"0.0"});
    }
}

/// What the form of a fork says it starts with.
TEST(Fork, SaysWhichKnobsAndExpertsItStartsWith) {
    Journal journal;
    journal.start(1, {{"config", {{"model", {{"capacity_factor", 1.5}}}, {"train", {{"learning_rate", 0.001}}}}}});
    journal.step(1, 1);
    journal.write(
        RecordType::event,
        json{{"run", 1}, {"step", 2}, {"kind", "knob"}, {"name", "learning_rate"}, {"old", 0.001}, {"new", 0.0005}});
    journal.change(1, 2, "disable", 0, 3);
    journal.change(1, 2, "disable", 0, 1);
    journal.change(1, 2, "freeze", 1, 2);
    journal.event(1, 1, "checkpoint");
    journal.change(1, 2, "enable", 0, 3);
    journal.step(1, 2);
    journal.event(1, 2, "checkpoint");
    journal.start(2);
    journal.step(2, 1);
    journal.event(2, 1, "checkpoint");
    const auto now = journal.read();
    const auto languages = std::filesystem::path(moescope::test::source_assets()) / "languages";
    const auto said = [&](const char* code, std::uint32_t run, std::uint64_t step) {
        const ui::Language text = ui::Language::load(languages / code, code);
        return panels::carried_over(text, *now, *now->training.at(run), step);
    };
    using Lines = std::vector<std::string>;
    EXPECT_EQ(said("en", 1, 1),
              (Lines{"learning rate: 0.0005, turned at step 2 (configured: 0.001)",
                     "Disabled experts stay disabled: layer 0: 1, 3", "Frozen experts stay frozen: layer 1: 2"}));
    EXPECT_EQ(said("en", 1, 2)[1], "Disabled experts stay disabled: layer 0: 1");
    EXPECT_EQ(said("zh", 1, 2)[1], "已停用的专家保持停用：第 0 层：1");
    EXPECT_EQ(said("en", 2, 1), Lines{"No knob had been turned, and no expert is disabled or frozen."});
}

TEST(RunTools, ChoicesAndConditionsAreSaidInWords) {
    const std::filesystem::path languages = std::filesystem::path(test::source_assets()) / "languages";
    const ui::Language en = ui::Language::load(languages / "en", "en"), zh = ui::Language::load(languages / "zh", "zh");
    EXPECT_EQ(panels::choice_label(zh, "schedule", "cosine"), "余弦");
    EXPECT_EQ(panels::choice_label(zh, "schedule", "of_tomorrow"), "of_tomorrow");
    EXPECT_EQ(panels::value_label(zh, "balance", "none"), "无");
    EXPECT_EQ(panels::value_label(en, "selection_bias", true), "yes");
    EXPECT_EQ(panels::value_label(zh, "learning_rate", 0.003), "0.003");
    EXPECT_EQ(panels::condition_text(zh, "attention = latent and dense_layers < layers"),
              "注意力类型 = 潜在注意力（MLA），前置稠密层数 < 层数");
    EXPECT_EQ(panels::condition_text(en, "selection_bias = true and balance != none"),
              "selection bias = yes, balance loss over \u2260 none");
    EXPECT_EQ(panels::condition_text(zh, ""), "");
}

}  // namespace
