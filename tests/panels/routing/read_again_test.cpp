// What is asked of the node when a routing is read again with scores: the recorded tokens, by the same model with the
// same changes.
#include "panels/routing/read_again.hpp"

#include <gtest/gtest.h>

#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;

struct Read {
    client::Snapshot snapshot;
    std::shared_ptr<history::RunRouting> routing = std::make_shared<history::RunRouting>();
};

Read read_by(const std::string& model, routing::Source source = routing::Source::executed) {
    Read read;
    routing::RouterSpec spec = routing::make_spec(2, 8, 2);
    spec.model.clear();
    spec.source = source;
    read.routing->run = 8;
    read.routing->interventions = json::array();
    read.routing->trace = std::make_shared<routing::PackedTrace>(spec);
    read.snapshot.routing[8] = read.routing;
    auto route = std::make_shared<history::RouteRun>();
    route->id = 8;
    route->model = model;
    route->manifest = {{"what", "read"}, {"data", "manpages"}, {"tokens", 500}, {"title", "manpages"}};
    read.snapshot.routes[8] = route;
    return read;
}

TEST(ReadAgain, NamesTheRecordedTokens) {
    const Read read = read_by("m");
    EXPECT_EQ(again_parameters(read.snapshot, *read.routing),
              json({{"model", "m"}, {"tokens_of", 8}, {"detail", "scores"}, {"title", "manpages"}}));
    EXPECT_EQ(again_parameters(read.snapshot, *read.routing, TracePart{128, 181, "NAME strings"}),
              json({{"model", "m"},
                    {"tokens_of", 8},
                    {"first", 128},
                    {"tokens", 53},
                    {"detail", "scores"},
                    {"title", "NAME strings"}}));
}

TEST(ReadAgain, KeepsTheChanges) {
    const Read read = read_by("m");
    read.routing->interventions = json::array({{{"kind", "knock_out"}, {"layer", 0}, {"expert", 1}}});
    read.routing->set = "quiet";
    const json parameters = again_parameters(read.snapshot, *read.routing);
    EXPECT_EQ(parameters.at("interventions"), read.routing->interventions);
    EXPECT_EQ(parameters.at("set"), "quiet");
}

TEST(ReadAgain, IsNotThereForWhatNobodyHereCanRead) {
    const Read nameless = read_by(""), imported = read_by("theirs", routing::Source::imported);
    EXPECT_TRUE(again_parameters(nameless.snapshot, *nameless.routing).is_null());
    EXPECT_TRUE(again_parameters(imported.snapshot, *imported.routing).is_null());
}

}  // namespace
}  // namespace moescope::panels
