#include "nodes/service/jobs/recording.hpp"

#include "base/foreign_text.hpp"
#include "engine/exchange/imatrix.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {

namespace {

using Read = routing::Import (*)(const std::filesystem::path&, const routing::ModelShape&);

/// Null for a format that is none.
Read reader_of(const std::string& format) {
    return format == kOwnTrace    ? routing::import_trace
           : format == "vllm"     ? routing::import_vllm
           : format == "sglang"   ? routing::import_sglang
           : format == "megatron" ? routing::import_megatron
           : format == "imatrix"  ? engine::import_imatrix
                                  : nullptr;
}

}  // namespace

void check_format(const std::string& format) {
    if (reader_of(format) == nullptr) {
        throw CommandError(say("there is no recording '{}'; there are {}", format, kRecordingFormats));
    }
}

routing::Import read_recording(const RecordingOrder& order) {
    check_format(order.format);
    routing::ModelShape shape;
    if (!order.config.empty()) {
        shape = routing::read_model_shape(order.config);
    }
    if (order.layers > 0 && order.layers != shape.layers) {
        shape.layers = order.layers;
        shape.routed_layers.clear();
    }
    shape.experts = order.experts > 0 ? order.experts : shape.experts;
    shape.per_token = order.per_token > 0 ? order.per_token : shape.per_token;
    if (order.model.size() > base::kNameBytes) {
        throw CommandError(
            say("a name of {} bytes is too long; use one of at most {}", order.model.size(), base::kNameBytes));
    }
    shape.model = order.model.empty() ? order.path : order.model;
    try {
        return reader_of(order.format)(order.path, shape);
    } catch (const base::Error& error) {
        if (order.format != kOwnTrace) {
            throw;
        }
        throw CommandError(
            say("{}; where another program wrote it, name its format: {}", error.sentence(), kRecordingFormats));
    }
}

}  // namespace moescope::node
