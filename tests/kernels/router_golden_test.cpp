// The router against NumPy (tests/oracle/routers): published routers give the same ids, weights and losses.
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "router_harness.hpp"
#include "tests/paths.hpp"

namespace moescope::kernels::test {
namespace {

nlohmann::json golden() {
    std::ifstream file(moescope::test::test_data() + "/oracle/routers/golden.json");
    return nlohmann::json::parse(file);
}

template <class Enum>
Enum named(const nlohmann::json& value, const char* key, const char* fallback,
           const std::map<std::string, Enum>& names) {
    return names.at(value.value(key, fallback));
}

Routed batch_of(const nlohmann::json& c) {
    RouterShape shape{c.at("T"), c.at("E"), c.at("K"), c.at("normalise")};
    std::map<std::string, Scoring> scorings;
    for (const Scoring scoring : kScorings) {
        scorings.emplace(kScoringNames[static_cast<std::size_t>(scoring)], scoring);
    }
    shape.scoring = named<Scoring>(c, "scoring", "", scorings);
    shape.choice = named<Choice>(c, "choice", "token",
                                 {{"token", Choice::token},
                                  {"expert", Choice::expert},
                                  {"sinkhorn", Choice::sinkhorn},
                                  {"quantile", Choice::quantile}});
    shape.group_score =
        named<GroupScore>(c, "group_score", "top2", {{"max", GroupScore::max}, {"top2", GroupScore::top2}});
    shape.drop =
        named<Drop>(c, "drop", "probability", {{"probability", Drop::probability}, {"position", Drop::position}});
    shape.groups = c.value("groups", 1);
    shape.groups_kept = c.value("groups_kept", 1);
    shape.scale = c.value("scale", 1.0);
    shape.capacity_factor = c.value("capacity_factor", 0.0);
    shape.S = c.value("sequence", 0);
    Routed r(shape);
    for (std::size_t i = 0; i < r.z.size(); ++i) {
        r.z[i] = static_cast<float>(c.at("z_thousandths").at(i).get<int>() / 1000.0);
    }
    r.bias = c.value("bias", std::vector<float>());
    return r;
}

TEST(RouterGolden, PublishedRouters) {
    const auto cases = golden().at("routers");
    EXPECT_EQ(cases.size(), 12u);
    for (const auto& c : cases) {
        SCOPED_TRACE(c.at("name").get<std::string>());
        Routed r = batch_of(c);
        const RouterLosses losses = r.run();
        EXPECT_EQ(r.ids, c.at("ids").get<std::vector<std::int32_t>>());
        expect_close(r.w, c.at("w").get<std::vector<float>>(), 1e-6, 1e-6, "w");
        if (c.contains("kept")) {
            EXPECT_EQ(r.kept, c.at("kept").get<std::vector<std::uint8_t>>());
            EXPECT_GT(losses.dropped, 0u);
        }
        if (c.contains("balance_batch")) {
            EXPECT_NEAR(losses.balance, c.at("balance_batch"), 2e-6);
            EXPECT_NEAR(losses.z, c.at("z_loss"), 1e-5);
            EXPECT_NEAR(losses.entropy, c.at("entropy"), 1e-6);
            r.shape.balance = Balance::sequence;
            r.scratch.resize(static_cast<std::size_t>(router_scratch(r.shape)));
            EXPECT_NEAR(r.run().balance, c.at("balance_sequence"), 2e-6);
        }
    }
}

TEST(RouterGolden, HashLayersAndBiasUpdate) {
    const auto all = golden();
    for (const auto& c : all.at("hash")) {
        const std::int32_t token = c.at("token");
        std::vector<std::int32_t> ids(c.at("K").get<std::size_t>());
        hash_choice(ids.data(), &token, 1, c.at("E"), c.at("K"), c.at("seed").get<std::uint64_t>());
        EXPECT_EQ(ids, c.at("ids").get<std::vector<std::int32_t>>()) << c;
    }
    const auto& update = all.at("bias");
    const auto loads = update.at("loads").get<std::vector<std::uint64_t>>();
    std::vector<float> bias(loads.size(), 0.0f);
    update_selection_bias(bias.data(), loads.data(), nullptr, static_cast<std::int64_t>(loads.size()),
                          update.at("speed"));
    EXPECT_EQ(bias, update.at("bias").get<std::vector<float>>());
}

}  // namespace
}  // namespace moescope::kernels::test
