// config.json of a Hugging Face folder, for the model and for a recording of it.
#include "base/json_guard.hpp"
#include "engine/exchange/hugging_face_config.hpp"
#include "routing/imports/model_shape.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const routing::ModelShape shape = routing::read_model_shape(fuzz::in_file(data, size));
        fuzz::expect(shape.layers >= 0 && shape.experts >= 0 && shape.per_token >= 0, "sizes are not below zero");
    } catch (const base::Error&) {
    }
    const auto value = base::parse_json(fuzz::bytes_of(data, size), 64 << 10);
    if (!value) {
        return 0;
    }
    try {
        const engine::HuggingFaceConfig config = engine::parse_hugging_face_config(*value, "f");
        engine::RunConfig run;
        run.model = config.model;
        engine::validate(run, base::Sentence::verbatim("f"));
        fuzz::accepted();
        (void)engine::write_hugging_face_config(config.type, config.model);
    } catch (const engine::Error&) {
    }
    return 0;
}
