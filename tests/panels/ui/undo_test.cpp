// The history of what a person has done: order, what the node refuses, what can't be taken back any more.
#include "panels/ui/undo.hpp"

#include <gtest/gtest.h>

#include "nodes/client/client.hpp"
#include "panels/ui/context.hpp"

namespace {

using namespace moescope;
using client::CommandId;
using client::CommandResult;
using ui::Edit;
using ui::UndoHistory;
using State = CommandResult::State;

/// Writes down what is done with it.
class Told final : public Edit {
 public:
    Told(std::string name, std::vector<std::string>& log, const void* owner = nullptr)
        : name_(std::move(name)), log_(log), owner_(owner) {}
    std::string name(const ui::Language&) const override { return name_; }
    Outcome undo(ui::Context&) override { return {}; }
    Outcome redo(ui::Context&) override { return {}; }
    void answered(Way way, const nlohmann::json& value) override {
        log_.push_back(name_ +
                       (way == Way::done     ? " done "
                        : way == Way::undone ? " undone "
                                             : " redone ") +
                       value.dump());
    }
    const void* owner() const override { return owner_; }

 private:
    std::string name_;
    std::vector<std::string>& log_;
    const void* owner_;
};

struct History : testing::Test {
    UndoHistory history;
    std::vector<std::string> log;
    client::Snapshot snapshot;
    ui::Language text;

    void add(const std::string& name, std::vector<CommandId> sent = {}, const void* owner = nullptr) {
        history.add(std::make_unique<Told>(name, log, owner), std::move(sent));
    }
    void answer(CommandId id, State state, nlohmann::json value = {}) {
        snapshot.results[id] = {.state = state, .name = "x", .value = std::move(value), .error = {}};
        history.follow(snapshot);
    }
    std::string next_undo() const { return history.next_undo() == nullptr ? "" : history.next_undo()->name(text); }
    std::string next_redo() const { return history.next_redo() == nullptr ? "" : history.next_redo()->name(text); }
    std::string undo(std::vector<CommandId> sent = {}, const std::string& refused = {}) {
        return history.undo([&](Edit&) { return Edit::Outcome{sent, refused}; });
    }
    std::string redo(std::vector<CommandId> sent = {}) {
        return history.redo([&](Edit&) { return Edit::Outcome{sent, {}}; });
    }
};

TEST_F(History, GoesBackAndForthInOrder) {
    EXPECT_EQ(next_undo(), "");
    EXPECT_EQ(undo(), "");
    add("a");
    add("b");
    EXPECT_EQ(next_undo(), "b");
    undo();
    EXPECT_EQ(next_undo(), "a");
    EXPECT_EQ(next_redo(), "b");
    undo();
    EXPECT_EQ(next_undo(), "");
    EXPECT_EQ(next_redo(), "a");
    redo();
    redo();
    EXPECT_EQ(next_undo(), "b");
    undo();
    add("c");  // another way was taken
    EXPECT_EQ(next_redo(), "");
    EXPECT_EQ(next_undo(), "c");
}

TEST_F(History, WaitsForTheNode) {
    add("a");
    add("b", {7, 8});
    EXPECT_EQ(history.next_undo(), nullptr) << "nobody knows yet whether there is something to take back";
    EXPECT_TRUE(history.waits());
    answer(7, State::done, 1);
    EXPECT_TRUE(history.waits()) << "all of its commands count";
    answer(8, State::pending);
    EXPECT_TRUE(history.waits());
    answer(8, State::done, 2);
    EXPECT_FALSE(history.waits());
    EXPECT_EQ(log, (std::vector<std::string>{"b done 1", "b done 2"}));
    log.clear();
    undo({9});
    EXPECT_EQ(next_undo(), "a");
    EXPECT_EQ(next_redo(), "");
    EXPECT_TRUE(history.waits());
    bool asked = false;
    history.undo([&](Edit&) {
        asked = true;
        return Edit::Outcome{};
    });
    EXPECT_FALSE(asked) << "two under way could overtake each other";
    answer(9, State::done, 3);
    EXPECT_EQ(next_redo(), "b");
    redo({10});
    answer(10, State::done, 4);
    EXPECT_EQ(next_undo(), "b");
    EXPECT_EQ(log, (std::vector<std::string>{"b undone 3", "b redone 4"}));
}

TEST_F(History, WhatTheNodeRefusesIsNone) {
    add("a");
    add("b", {1});
    answer(1, State::failed);
    EXPECT_EQ(next_undo(), "a");
    add("c", {2});
    answer(2, State::done);
    undo({3});
    answer(3, State::failed);  // somebody else has changed it since: neither done again nor taken back any more
    EXPECT_EQ(next_undo(), "a");
    EXPECT_EQ(next_redo(), "");
    add("d", {4});
    answer(4, State::unknown);
    EXPECT_EQ(next_undo(), "a");
}

TEST_F(History, AnAnswerThatIsForgottenCountsAsNone) {
    add("a", {1});
    snapshot.results[300].state = State::done;  // the latest 256 are kept
    history.follow(snapshot);
    EXPECT_EQ(next_undo(), "");
    EXPECT_FALSE(history.waits());
}

TEST_F(History, WhatIsRefusedGivesWayToWhatWasBefore) {
    add("a");
    add("b");
    EXPECT_EQ(undo({}, "another viewer"), "another viewer");
    EXPECT_EQ(next_undo(), "a");
    EXPECT_EQ(next_redo(), "");
}

TEST_F(History, IsBoundedAndForgetsAForm) {
    const int form = 0, other = 0;
    add("a", {}, &form);
    add("b", {}, &other);
    add("c", {}, &form);
    undo();
    history.forget(&form);
    EXPECT_EQ(next_undo(), "b");
    EXPECT_EQ(next_redo(), "");
    for (std::size_t i = 0; i < 2 * UndoHistory::kMost; ++i) {
        add(std::to_string(i));
    }
    std::size_t steps = 0;
    for (; history.next_undo() != nullptr; ++steps) {
        undo();
    }
    EXPECT_EQ(steps, UndoHistory::kMost);
}

TEST(ChangedFields, AreNamedByTheFirst) {
    const ui::Language text;
    const auto name = [](const ui::Language&, const std::string& place) {
        return place == "/base" ? std::string() : place.substr(1);
    };
    const nlohmann::json before = {{"steps", 200}, {"base", 1}, {"list", {1, 2}}};
    nlohmann::json after = before;
    after["base"] = 2;
    EXPECT_EQ(ui::changed_fields(text, before, after, name), "") << "it follows from others";
    after["steps"] = 400;
    EXPECT_NE(ui::changed_fields(text, before, after, name), "");
    after["list"] = {1};
    EXPECT_NE(ui::changed_fields(text, before, after, name), "");
}

TEST(FieldSteps, ChangeTheirOwnFieldsAndNoOthers) {
    const nlohmann::json before = {{"a", 1}, {"list", {1, 2}}, {"in", {{"b", 1}, {"c", 1}}}, {"gone", true}};
    const nlohmann::json after = {{"a", 1}, {"list", {1}}, {"in", {{"b", 2}, {"c", 1}}}, {"new", "x"}};
    // The program has written a and c since.
    const nlohmann::json now = {{"a", 9}, {"list", {1}}, {"in", {{"b", 2}, {"c", 9}}}, {"new", "x"}};
    EXPECT_EQ(ui::with_change(now, after, before),
              (nlohmann::json{{"a", 9}, {"list", {1, 2}}, {"in", {{"b", 1}, {"c", 9}}}, {"gone", true}}));
    EXPECT_EQ(ui::with_change(ui::with_change(now, after, before), before, after), now);
    EXPECT_EQ(ui::with_change(nullptr, before, after), after);
}

/// A node's answer and the record of what it did come on two channels.
TEST(SentEdits, DoNotTakeAnOldSnapshotForSomebodyElse) {
    client::Snapshot snapshot;
    snapshot.link.state = client::Link::State::connected;
    client::NodeClient node({.node_program = {}, .session = {}, .node_arguments = {}, .socket = "/no/such/socket"},
                            [] {});
    const ui::Language text;
    const ui::Theme theme{};
    ui::Selection selection;
    ui::Floating floating{};
    ui::Shared shared;
    ui::Sessions sessions;
    std::string coder;
    ui::Context ctx{snapshot, node,    text, theme, selection, floating, coder, shared, sessions, {}, {}, {}, 16, 0,
                    nullptr,  nullptr, {},   {},    {},        {},       {},    {},     {},       {}, {}, {}, {}};
    ctx.now = client::now_seconds();
    bool arrived = false;
    Edit::Way asked = Edit::Way::redone;
    const std::unique_ptr<Edit> edit =
        ui::make_edit({.name = [](const ui::Language&) { return std::string(); },
                       .undo = {{"x", {}}},
                       .redo = {{"x", {}}},
                       .why_not = [](const ui::Context&, Edit::Way) { return std::string("somebody"); },
                       .arrived =
                           [&](const ui::Context&, Edit::Way way, const nlohmann::json& answer) {
                               asked = way;
                               return arrived && answer.at("step") == 7;
                           }});
    EXPECT_EQ(edit->undo(ctx).refused, "somebody") << "the node has answered nothing";
    edit->answered(Edit::Way::done, {{"step", 7}});
    const Edit::Outcome outcome = edit->undo(ctx);
    EXPECT_EQ(outcome.refused, "");
    EXPECT_EQ(outcome.sent.size(), 1u);
    EXPECT_EQ(asked, Edit::Way::done);
    arrived = true;
    EXPECT_EQ(edit->undo(ctx).refused, "somebody");
    arrived = false;
    ctx.now += ui::CommandEdit::kLate + 1;  // a run that went back has that record no more
    EXPECT_EQ(edit->undo(ctx).refused, "somebody");
}

}  // namespace
