// config.json and state.json of a checkpoint.
#include "engine/checkpoint/checkpoint.hpp"

#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder folder({engine::kConfigFile, engine::kStateFile});
    const auto& path = folder.with(data, size);
    try {
        (void)engine::read_checkpoint_config(path);
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    try {
        const engine::CheckpointState state = engine::read_checkpoint_state(path);
        fuzz::expect(state.updates <= state.step && state.experts_per_token >= 0, "its counters make sense");
        engine::RunConfig now;
        engine::take_live(now, engine::RunConfig{}, state);
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    return 0;
}
