// Every command with every right, and every path that a viewer of another machine could name. What a role may do and
// which commands there are is read from docs/protocol.md.
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <regex>
#include <set>

#include "nodes/service/commands/remote_paths.hpp"
#include "nodes/service/commands/service.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::node {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using protocol::Right;
using test::TemporaryFolder;
using test::write_text;

std::string page() {
    return test::read_text(test::test_data() + "/../docs/protocol.md");
}

/// The names between backquotes, `.name` with the first part of the one before.
std::vector<std::string> names_in(const std::string& text) {
    static const std::regex pattern("`([a-z_.]+)`");
    std::vector<std::string> names;
    std::string front;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
        std::string name = (*it)[1];
        name = name.starts_with('.') ? front + name : name;
        front = name.substr(0, name.find('.'));
        names.push_back(name);
    }
    return names;
}

/// Of the table of commands: their names.
std::set<std::string> commands_of_the_page() {
    const std::string text = page();
    std::istringstream lines(text.substr(text.find("| command | parameters | answer |")));
    std::set<std::string> names;
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line) && line.starts_with("|");) {
        for (const std::string& name : names_in(line.substr(0, line.find('|', 1)))) {
            names.insert(name);
        }
    }
    return names;
}

/// "`a`, `b` and `c` need `viewer`; `d` needs ...": what is not named there needs the operator's.
std::map<std::string, Right> rights_of_the_page() {
    const std::string text = page();
    const std::size_t from = text.find("its pairing: ");
    const std::string sentence = text.substr(from, text.find("all others", from) - from);
    std::map<std::string, Right> rights;
    std::istringstream parts(sentence);
    for (std::string part; std::getline(parts, part, ';');) {
        const std::vector<std::string> names = names_in(part);
        for (std::size_t i = 0; i + 1 < names.size(); ++i) {
            rights[names[i]] = protocol::right_named(names.back()).value_or(Right::operator_);
        }
    }
    return rights;
}

/// A node in this process, asked as its server would ask it.
class Rights : public testing::Test {
 protected:
    Rights() {
        ServeOptions options;
        options.socket = folder_ / "socket";
        options.session = session();
        service_ = std::make_unique<Service>(find_paths(), options);
    }
    fs::path session() const { return folder_ / "session"; }
    json ask(Right right, bool remote, const std::string& command, json parameters) {
        const auto answer = std::make_shared<std::promise<json>>();
        auto given = answer->get_future();
        std::string id = std::to_string(++asked_);
        id.insert(0, 32 - id.size(), '0');
        service_->on_request({7, right, remote}, id, command, std::move(parameters),
                             [answer](json value) { answer->set_value(std::move(value)); });
        if (given.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
            ADD_FAILURE() << command << " has no answer";
            return json::object();
        }
        return given.get();
    }
    std::string error(Right right, bool remote, const std::string& command, json parameters) {
        return ask(right, remote, command, std::move(parameters)).value("error", "");
    }
    const TemporaryFolder folder_;
    std::unique_ptr<Service> service_;
    unsigned asked_ = 0;
};

TEST(Protocol, ThePageHasEveryCommand) {
    const std::vector<std::string> names = Service::command_names();
    EXPECT_EQ(std::set(names.begin(), names.end()), commands_of_the_page());
}

TEST_F(Rights, EveryCommandWithEveryRole) {
    const auto rights = rights_of_the_page();
    ASSERT_EQ(rights.size(), 10u);
    for (const std::string& command : commands_of_the_page()) {
        const auto named = rights.find(command);
        const Right needed = named == rights.end() ? Right::operator_ : named->second;
        for (const bool remote : {false, true}) {
            for (const Right right : {Right::viewer, Right::operator_, Right::admin}) {
                // No command knows this one, so that whatever may be asked is refused all the same and does nothing.
                const std::string said = error(right, remote, command, {{"no such parameter", 1}});
                const bool refused = said.find("needs the right of the role") != std::string::npos;
                EXPECT_EQ(refused, !covers(right, needed))
                    << command << " as " << protocol::name_of(right) << ": " << said;
                EXPECT_NE(said, "") << command << " as " << protocol::name_of(right);
            }
        }
    }
}

TEST_F(Rights, RangesOfFilesNeedTheOperator) {
    for (const Right right : {Right::viewer, Right::operator_, Right::admin}) {
        for (const bool pushed : {false, true}) {
            transport::RangeRequest request;
            request.pushed = pushed;
            std::promise<std::string> said;
            service_->on_range({7, right, true}, request, [&](const transport::RangeAnswer& answer) {
                said.set_value(answer.end.error.english());
            });
            const std::string error = said.get_future().get();
            EXPECT_EQ(error.find("needs the right of the role") != std::string::npos, right == Right::viewer) << error;
            EXPECT_NE(error, "") << "there is no such object";
        }
    }
}

TEST_F(Rights, NoPathOfAnotherMachineLeavesTheFolder) {
    const fs::path files = shared_files(session());
    EXPECT_NE(error(Right::admin, true, "models.inspect", {{"path", "../x"}}), "");
    ASSERT_TRUE(fs::is_directory(files));
    write_text(folder_ / "secret.json", "{}");
    fs::create_symlink(folder_.path(), files / "out");
    fs::create_symlink(folder_ / "secret.json", files / "link");
    const std::string above = "../../secret.json", whole = (folder_ / "secret.json").string();
    for (const std::string& path : {above, whole, std::string("out/secret.json"), std::string("link"),
                                    std::string("./../x"), std::string(), std::string("a\nb"), std::string("..")}) {
        for (const auto& [command, key] :
             std::initializer_list<std::pair<const char*, const char*>>{{"models.inspect", "path"},
                                                                        {"models.add", "path"},
                                                                        {"models.export", "path"},
                                                                        {"report.write", "path"},
                                                                        {"files.open", "path"},
                                                                        {"curves.import", "path"},
                                                                        {"curves.export", "path"},
                                                                        {"route.import", "path"},
                                                                        {"route.import", "config"},
                                                                        {"models.ask", "config"},
                                                                        {"route.export", "path"},
                                                                        {"train.start", "data"},
                                                                        {"experiment.start", "data"},
                                                                        {"route.start", "data"},
                                                                        {"probe.start", "set"}}) {
            const std::string said = error(Right::admin, true, command, {{key, path}});
            EXPECT_TRUE(said.find("from another machine") != std::string::npos ||
                        said.find("leads out of the files") != std::string::npos)
                << command << " " << key << " " << path << ": " << said;
        }
        for (const auto& [command, key] :
             std::initializer_list<std::pair<const char*, const char*>>{{"generate.start", "interventions"},
                                                                        {"route.start", "interventions"},
                                                                        {"route.effect", "interventions"},
                                                                        {"interventions.save", "items"}}) {
            const json replay = {{"kind", "replay"}, {"source", path}};
            const std::string said = error(Right::admin, true, command, {{"name", "x"}, {key, json::array({replay})}});
            EXPECT_TRUE(said.find("from another machine") != std::string::npos ||
                        said.find("leads out of the files") != std::string::npos)
                << command << " " << path << ": " << said;
        }
        const std::string said = error(Right::admin, true, "files.receive",
                                       {{"name", path},
                                        {"object",
                                         {{"name", "a"},
                                          {"version", std::string(32, '0')},
                                          {"folder", false},
                                          {"files", {{{"path", "a"}, {"bytes", 1}}}}}}});
        EXPECT_NE(said, "") << path;
        EXPECT_FALSE(fs::exists(folder_ / "x"));
    }
    // "run:" with anything but a number behind it is a path, too.
    EXPECT_NE(error(Right::admin, true, "interventions.save",
                    {{"name", "x"}, {"items", {{{"kind", "replay"}, {"source", "run:1/../../../../secret.json"}}}}}),
              "");
    for (const std::string& model : {whole, above, std::string("http://127.0.0.1:9/v1#m")}) {
        for (const char* command :
             {"generate.start", "route.start", "route.effect", "route.sweep", "models.export", "files.open"}) {
            EXPECT_NE(error(Right::admin, true, command, {{"model", model}}).find("library"), std::string::npos)
                << command;
        }
        EXPECT_NE(error(Right::admin, true, "probe.start", {{"models", {model, model}}}).find("library"),
                  std::string::npos);
    }
}

/// The control of the test before: the node's own user names what they like, and others what lies in the folder.
TEST_F(Rights, WhatLiesInTheFolderAndWhatComesWithTheProgramIsNamedFromAnywhere) {
    error(Right::admin, true, "models.inspect", {{"path", "x"}});
    write_text(shared_files(session()) / "a.csv", "step,loss\n1,2\n2,1\n");
    write_text(folder_ / "b.csv", "step,loss\n1,2\n2,1\n");
    EXPECT_EQ(error(Right::operator_, true, "curves.import", {{"path", "a.csv"}}), "");
    EXPECT_EQ(error(Right::admin, false, "curves.import", {{"path", (folder_ / "b.csv").string()}}), "");
    const json run_7 = {{"kind", "replay"}, {"source", "run:7"}}, own = {{"kind", "replay"}, {"source", "t.trace"}};
    EXPECT_EQ(error(Right::operator_, true, "interventions.save", {{"name", "x"}, {"items", {run_7}}}), "");
    EXPECT_EQ(error(Right::operator_, true, "interventions.save", {{"name", "y"}, {"items", {own}}}), "");
    // The built-in text and sets keep their names: what is missing is said, not that they can't be named.
    for (const auto& [command, key, name] : std::initializer_list<std::tuple<const char*, const char*, const char*>>{
             {"train.start", "data", "manpages"}, {"probe.start", "set", "starter"}}) {
        const std::string said = error(Right::operator_, true, command, {{key, name}});
        EXPECT_EQ(said.find("machine"), std::string::npos) << said;
        EXPECT_NE(said, "");
    }
    const json parameters =
        confine("probe.start", {{"set", "mine.json"}}, session(),
                {[](const std::string&) { return true; }, [](const std::string&) { return false; }});
    EXPECT_EQ(parameters.at("set"), (fs::weakly_canonical(shared_files(session())) / "mine.json").string());
}

}  // namespace
}  // namespace moescope::node
