#include "engine/runner/quantise.hpp"

#include "engine/error.hpp"
#include "engine/files/gguf_limits.hpp"
#include "engine/files/inspect.hpp"
#ifdef MOESCOPE_HAVE_LLAMA
#include "engine/runner/llama_quantise.hpp"
#endif

namespace moescope::engine {
#ifdef MOESCOPE_HAVE_LLAMA
namespace {

bool is_router(const GgufTensor& tensor) {
    return tensor.name.ends_with(".ffn_gate_inp.weight");
}

}  // namespace
#endif

Quantised quantise_gguf(const QuantiseOrder& order, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    const FileReport report = inspect_file(order.from);
    if (!report.safe) {
        throw Error(report.problem);
    }
    const GgufModel source = read_gguf_model(order.from);
    const std::filesystem::path& first = source.parts.front();
    try {
        check_limits_of_libllama(first, source.header);
    } catch (const Error& problem) {
        throw Error(say("{} {}", first, problem));
    }
#ifdef MOESCOPE_HAVE_LLAMA
    std::map<std::string, std::uint32_t> routers;
    bool changed = false;
    for (const GgufTensor& tensor : source.header.tensors) {
        if (is_router(tensor)) {
            const std::uint32_t type = order.router_too ? type_for_rows(order.precision, tensor.shape.front()) : 0;
            routers[tensor.name] = type;
            changed = changed || tensor.type != gguf_type_name(type);
        }
    }
    Quantised result;
    result.fell_back =
        quantise_file(first, changed ? order.scratch : order.to, order.precision, order.threads, progress);
    if (changed) {
        change_types(order.scratch, order.to, routers);
    }
    const GgufHeader written = read_gguf(order.to);
    std::map<std::string, std::string> types;
    for (const GgufTensor& tensor : written.tensors) {
        ++result.types[tensor.type];
        types[tensor.name] = tensor.type;
        result.router = is_router(tensor) ? tensor.type : result.router;
    }
    for (Quantised::Fallback& one : result.fell_back) {
        one.type = types[one.tensor];
    }
    const std::string before = report.details.value("quantisation", "");
    result.source = before == "F32" || before == "F16" || before == "BF16" ? "" : before;
    result.architecture = report.details.value("architecture", "");
    return result;
#else
    (void)progress;
    throw Error(say("{} needs libllama, which this build was made without; start ./run, which builds it", first));
#endif
}

}  // namespace moescope::engine
