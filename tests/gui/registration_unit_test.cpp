// What the panels say of themselves fits together: keys, texts, menu places, keyboard, places in the layouts.
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "app/commands.hpp"
#include "app/layouts.hpp"
#include "panels/panels.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using app::Command;
using app::Commands;
using ui::PanelDescription;
using ui::Place;

const std::vector<PanelDescription>& table() {
    static const std::vector<PanelDescription> panels = panels::all_panels();
    return panels;
}

TEST(PanelTable, KeysAreUniqueAndEveryPanelCanBeMade) {
    std::set<std::string> keys;
    for (const PanelDescription& panel : table()) {
        EXPECT_TRUE(keys.insert(panel.key).second) << panel.key;
        EXPECT_NE(panel.make(), nullptr) << panel.key;
    }
}

TEST(PanelTable, EveryPanelAndCommandHasItsTexts) {
    for (const char* code : {"en", "zh"}) {
        const ui::Language text =
            ui::Language::load(std::filesystem::path(test::source_assets()) / "languages" / code, code);
        for (const PanelDescription& panel : table()) {
            EXPECT_TRUE(text.has(std::string("panel.") + panel.key)) << panel.key;
            EXPECT_TRUE(text.has(std::string("command.view.panel.") + panel.key)) << panel.key;
            for (const ui::PanelCommand& command : panel.commands) {
                EXPECT_TRUE(text.has("command." + command.key)) << command.key;
                EXPECT_TRUE(text.has(command.menu.title)) << command.key << " in " << command.menu.title;
            }
        }
    }
}

TEST(PanelTable, CommandsAndTheirKeysAreUnique) {
    std::set<std::string> keys;
    std::set<ImGuiKeyChord> chords;
    for (const PanelDescription& panel : table()) {
        for (const ui::PanelCommand& command : panel.commands) {
            EXPECT_TRUE(keys.insert(command.key).second) << command.key;
            EXPECT_TRUE(command.shortcut == 0 || chords.insert(command.shortcut).second) << command.key;
        }
    }
}

TEST(PanelTable, StandsAreInLayoutsThatExistAndNoTwoInOnePlace) {
    std::set<std::tuple<std::string, Place, int>> taken;
    for (const PanelDescription& panel : table()) {
        for (const ui::Stand& stand : panel.stands) {
            EXPECT_NE(std::find(app::kLayouts.begin(), app::kLayouts.end(), std::string(stand.layout)),
                      app::kLayouts.end())
                << panel.key << " names the layout " << stand.layout;
            const bool split = std::string(stand.layout) == "training" || std::string(stand.layout) == "routing";
            EXPECT_EQ(stand.place == Place::whole, !split) << panel.key;
            EXPECT_TRUE(taken.insert({stand.layout, stand.place, stand.order}).second)
                << panel.key << " has the place of another panel in " << stand.layout;
        }
    }
}

TEST(Layouts, AreAsPeopleKnowThem) {
    using Keys = std::vector<std::string>;
    EXPECT_EQ(app::tabs_of("training", Place::left_upper, table()), Keys({"runs"}));
    EXPECT_EQ(app::tabs_of("training", Place::left_lower, table()), Keys({"knobs"}));
    EXPECT_EQ(app::tabs_of("training", Place::upper, table()),
              Keys({"training", "compare", "probe", "manual", "overlay"}));
    EXPECT_EQ(app::tabs_of("training", Place::lower, table()),
              Keys({"expert_load", "models", "nodes", "log", "notes", "placement", "ranks", "routing", "change",
                    "expert", "structure", "routing_diff"}));
    for (const char* layout : {"compare", "probe"}) {
        EXPECT_EQ(app::tabs_of(layout, Place::whole, table()),
                  Keys({"compare", "probe", "training", "expert_load", "models", "log", "nodes", "runs", "knobs",
                        "manual", "overlay", "notes", "placement", "ranks", "routing", "change", "expert", "structure",
                        "routing_diff"}));
        EXPECT_EQ(app::default_panels(layout, table()), Keys({layout, "models", "log"}));
        EXPECT_EQ(app::main_panel(layout, table()), layout);
    }
    EXPECT_EQ(app::tabs_of("routing", Place::left_upper, table()), Keys({"routing", "structure", "routing_diff"}));
    EXPECT_EQ(app::tabs_of("routing", Place::upper, table()), Keys({"change", "expert"}));
    EXPECT_EQ(app::default_panels("routing", table()),
              Keys({"routing", "change", "expert", "structure", "routing_diff"}));
    EXPECT_EQ(app::default_panels("training", table()),
              Keys({"runs", "knobs", "training", "timeline", "expert_load", "models", "nodes", "log"}));
}

TEST(Layouts, AStripStandsInNone) {
    for (const PanelDescription& panel : table()) {
        if (!panel.strip) {
            continue;
        }
        for (const char* layout : app::kLayouts) {
            for (const Place place : {Place::left_upper, Place::left_lower, Place::upper, Place::lower, Place::whole}) {
                const std::vector<std::string> tabs = app::tabs_of(layout, place, table());
                EXPECT_EQ(std::find(tabs.begin(), tabs.end(), panel.key), tabs.end()) << panel.key << " in " << layout;
            }
        }
    }
}

TEST(Layouts, APanelWithoutAStandIsClosedBehindTheOthers) {
    std::vector<PanelDescription> panels = table();
    panels.insert(panels.begin(), {.key = "new", .make = panels.front().make});
    // Behind all that have a place there, whose last one it names, and before those that follow it in the table.
    const auto before = [&](const char* layout, Place place) {
        const std::vector<std::string> tabs = app::tabs_of(layout, place, panels);
        const auto at = std::find(tabs.begin(), tabs.end(), "new");
        return at == tabs.begin() || at == tabs.end() ? std::string() : *(at - 1);
    };
    EXPECT_EQ(before("training", Place::lower), "ranks");
    EXPECT_EQ(before("probe", Place::whole), "notes");
    for (const char* layout : app::kLayouts) {
        EXPECT_EQ(app::default_panels(layout, panels), app::default_panels(layout, table()));
    }
}

TEST(Menus, OfThePanelsAreAsPeopleKnowThem) {
    Commands commands;
    for (const PanelDescription& panel : table()) {
        for (const ui::PanelCommand& command : panel.commands) {
            commands.add({.key = command.key, .menu = command.menu});
        }
    }
    commands.arrange();
    std::map<std::string, std::vector<std::string>> menus;
    for (const app::Menu& menu : commands.menus()) {
        menus[menu.title_key] = menu.commands;
    }
    using Keys = std::vector<std::string>;
    EXPECT_EQ(menus.at("menu.run"), Keys({"run.start", "runs.new", "run.experiment", "overlay.example", "-",
                                          "run.pause", "run.step", "run.stop", "run.checkpoint", "run.continue",
                                          "run.continue_on", "run.fork", "run.reproduce", "-", "node.restart"}));
    EXPECT_EQ(menus.at("menu.file"),
              Keys({"curves.import", "curves.import_folder", "routing.import"}));  // beside those of the window itself
    EXPECT_EQ(menus.at("menu.edit"), Keys({"notes.token", "notes.step", "notes.session"}));
    EXPECT_EQ(menus.at("menu.models"), Keys({"models.add", "models.add_server", "models.export", "-", "compare.run",
                                             "compare.cancel", "compare.swap_language"}));
    EXPECT_EQ(menus.at("menu.probes"), Keys({"probes.start",
                                             "probes.pause",
                                             "probes.cancel",
                                             "-",
                                             "probes.previous_answer",
                                             "probes.next_answer",
                                             "probes.label.answered",
                                             "probes.label.refused",
                                             "probes.label.blocked",
                                             "probes.label.empty",
                                             "probes.label.cut",
                                             "probes.label.error",
                                             "probes.label.incoherent",
                                             "probes.label.0",
                                             "probes.label.1",
                                             "probes.label.2",
                                             "probes.label.3",
                                             "probes.label.4",
                                             "probes.label.undo",
                                             "-",
                                             "probes.merge",
                                             "probes.merge_folder"}));
    EXPECT_EQ(menus.at("menu.timeline"),
              Keys({"timeline.play", "timeline.slower", "timeline.faster", "-", "timeline.step_back",
                    "timeline.step_on", "timeline.event_back", "timeline.event_on", "timeline.first"}));
    EXPECT_EQ(menus.at("menu.experts"),
              Keys({"load.all", "load.english", "load.chinese", "load.difference", "-", "load.layer_previous",
                    "load.layer_next", "load.expert_previous", "load.expert_next", "-", "load.live", "-",
                    "placement.copy", "ranks.all_layers"}));
}

TEST(Menus, OfRouting) {
    Commands commands;
    for (const PanelDescription& panel : table()) {
        for (const ui::PanelCommand& command : panel.commands) {
            commands.add({.key = command.key, .menu = command.menu});
        }
    }
    commands.arrange();
    const auto menu = std::find_if(commands.menus().begin(), commands.menus().end(),
                                   [](const app::Menu& one) { return one.title_key == "menu.routing"; });
    ASSERT_NE(menu, commands.menus().end());
    using Keys = std::vector<std::string>;
    EXPECT_EQ(menu->commands,
              Keys({"routing.read", "-", "routing.token_previous", "routing.token_next", "routing.layer_previous",
                    "routing.layer_next", "-", "routing.copy_link", "routing.open_link", "-", "routing.export", "-",
                    "change.knock_out", "change.save", "-", "change.try", "change.cancel", "change.sweep"}));
}

TEST(Menus, StandInOrderAndNewOnesBeforeView) {
    Commands commands;
    commands.add({.key = "help", .menu = {"menu.help"}});
    commands.add({.key = "late", .menu = {"menu.file", 0, 1}});
    commands.add({.key = "quit", .menu = {"menu.file", 1}});
    commands.add({.key = "early", .menu = {"menu.file", 0, 0}});
    commands.add({.key = "view", .menu = {"menu.view"}});
    commands.add({.key = "new", .menu = {"menu.router"}});
    commands.arrange();
    std::vector<std::string> seen;
    for (const app::Menu& menu : commands.menus()) {
        seen.push_back(menu.title_key + ":");
        seen.insert(seen.end(), menu.commands.begin(), menu.commands.end());
    }
    EXPECT_EQ(seen, std::vector<std::string>({"menu.file:", "early", "late", "-", "quit", "menu.router:", "new",
                                              "menu.view:", "view", "menu.help:", "help"}));
}

TEST(ActionValue, IsWhatStandsBehindTheEqualsSign) {
    EXPECT_STREQ(ui::action_value("probes.max_tokens=48", "probes.max_tokens"), "48");
    EXPECT_STREQ(ui::action_value("run.continue=", "run.continue"), "");
    EXPECT_EQ(ui::action_value("run.continue", "run.continue"), nullptr);
    EXPECT_EQ(ui::action_value("run.continue2=3", "run.continue"), nullptr);
}

client::Snapshot with_results(std::initializer_list<std::pair<client::CommandId, client::CommandResult::State>> list) {
    client::Snapshot snapshot;
    for (const auto& [id, state] : list) {
        snapshot.results[id].state = state;
    }
    return snapshot;
}

TEST(Pending, UntilItsAnswerIsThere) {
    using State = client::CommandResult::State;
    EXPECT_FALSE(ui::pending(with_results({}), 0));
    EXPECT_TRUE(ui::pending(with_results({}), 1));  // the client has not taken it up yet
    EXPECT_TRUE(ui::pending(with_results({{4, State::done}}), 5));
    EXPECT_TRUE(ui::pending(with_results({{4, State::done}, {5, State::pending}}), 5));
    EXPECT_FALSE(ui::pending(with_results({{4, State::done}, {5, State::failed}}), 5));
    EXPECT_FALSE(ui::pending(with_results({{4, State::done}}), 3));  // answered so long ago that it was dropped
}

}  // namespace
