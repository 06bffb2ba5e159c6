// What describes routers and changes to them: interventions as JSON and as people write them, routers, loads of
// experts.
#include "base/json_guard.hpp"
#include "routing/expert_loads.hpp"
#include "routing/interventions.hpp"
#include "routing/router_spec.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

template <class Read>
void try_to(const Read& read) {
    try {
        read();
        fuzz::accepted();
    } catch (const base::Error&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    try_to([&] { (void)routing::parse_places(text); });
    try_to([&] { (void)routing::parse_biases(text); });
    try_to([&] { (void)routing::parse_limits(text); });
    try_to([&] {
        const routing::ExpertLoads loads = routing::parse_expert_loads(text);
        fuzz::expect(loads.load.size() == loads.layers * loads.experts && loads.load.size() <= routing::kMostLoads,
                     "loads are a whole table");
    });
    if (const auto value = base::parse_json(fuzz::bytes_of(data, size), 64 << 10)) {
        try_to([&] {
            const routing::Interventions read = routing::interventions_from_json(*value);
            fuzz::expect(routing::interventions_from_json(routing::to_json(read)) == read, "changes survive");
        });
        try_to([&] { routing::check_changes(*value); });
        try_to([&] {
            const routing::RouterSpec spec = routing::router_from_json(*value);
            routing::check(spec);
            const auto written = routing::router_to_json(spec);
            fuzz::expect(routing::router_to_json(routing::router_from_json(written)) == written, "a router survives");
            const routing::Shape shape = routing::shape_of(spec);
            fuzz::expect(shape.layers * shape.per_token <= routing::kMostChosenOfToken &&
                             shape.layers * shape.experts <= routing::kMostExpertsOfModel,
                         "sizes of routers are bounded");
        });
    }
    return 0;
}
