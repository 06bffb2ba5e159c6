// cuDNN as the library of attention_library.hpp, and the entry of libmoescope-cudnn.so. The one source that includes
// cuDNN's C++ interface, which takes a compiler half a minute.
//
// Deterministic: the backward asks for a deterministic algorithm in every case, and cuDNN's heuristic names one plan
// for a shape, by shape, device and version alone. The gradient of sinks is left to an own kernel: that algorithm is
// said of the other three, and NVIDIA's published engines add this one up by atomics. Scores and sums are single
// precision. Plans are built once for a shape and kept; running one takes no memory and may be captured.
#include <algorithm>
#include <compare>
#include <cstdio>
#include <cudnn_frontend.h>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/cudnn_plugin.hpp"

namespace moescope::kernels::cuda {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;
using Sizes = std::vector<std::int64_t>;

enum Uid : std::int64_t { kQ = 1, kK, kV, kO, kStats, kSinks, kDO, kDQ, kDK, kDV };

struct CloseHandle {
    void operator()(cudnnHandle_t handle) const { static_cast<void>(cudnnDestroy(handle)); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, CloseHandle>;

/// A library's words in one line, without its enumeration of engines.
std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

void check(cudnnStatus_t status, const char* doing) {
    if (status != CUDNN_STATUS_SUCCESS) {
        throw std::runtime_error(std::string(doing) + " failed: " + cudnnGetErrorString(status));
    }
}

struct Target {
    cudnnHandle_t handle = nullptr;                    ///< of a device,
    std::shared_ptr<const fe::DeviceProperties> like;  ///< or of one that isn't there
    std::int32_t capability = 0;
};

/// Where tensors stand: heads of queries and keys one after the other, values and outputs token by token.
class Shape {
 public:
    explicit Shape(const AttentionShape& shape) : n_(shape) {}
    Tensor queries(fe::graph::Graph& graph, Uid uid) const { return heads(graph, uid, n_.H, n_.C); }
    Tensor keys(fe::graph::Graph& graph, Uid uid) const { return heads(graph, uid, n_.G, n_.C); }
    Tensor values(fe::graph::Graph& graph, Uid uid) const { return tokens(graph, uid, n_.G); }
    Tensor outputs(fe::graph::Graph& graph, Uid uid) const { return tokens(graph, uid, n_.H); }
    Tensor sinks(fe::graph::Graph& graph, Uid uid) const {
        return named(graph, uid, {1, n_.H, 1, 1}, {n_.H, 1, 1, 1}, fe::DataType_t::FLOAT);
    }
    Tensor stats(fe::graph::Graph& graph) const {
        return named(graph, kStats, {n_.B, n_.H, n_.S, 1}, {n_.H * n_.S, n_.S, 1, 1}, fe::DataType_t::FLOAT);
    }
    /// Of results, which the graph makes.
    void place_heads(const Tensor& tensor, Uid uid, std::int64_t heads) const {
        place(tensor, uid, {n_.B, heads, n_.S, n_.C}, {heads * n_.S * n_.C, n_.S * n_.C, n_.C, 1});
    }
    void place_tokens(const Tensor& tensor, Uid uid, std::int64_t heads) const {
        place(tensor, uid, {n_.B, heads, n_.S, n_.Cv}, {n_.S * heads * n_.Cv, n_.Cv, heads * n_.Cv, 1});
    }

 private:
    static Tensor named(fe::graph::Graph& graph, Uid uid, const Sizes& sizes, const Sizes& strides,
                        fe::DataType_t type) {
        return graph.tensor(
            fe::graph::Tensor_attributes().set_uid(uid).set_dim(sizes).set_stride(strides).set_data_type(type));
    }
    static void place(const Tensor& tensor, Uid uid, const Sizes& sizes, const Sizes& strides) {
        tensor->set_output(true).set_uid(uid).set_dim(sizes).set_stride(strides).set_data_type(
            fe::DataType_t::BFLOAT16);
    }
    Tensor heads(fe::graph::Graph& graph, Uid uid, std::int64_t heads, std::int64_t width) const {
        return named(graph, uid, {n_.B, heads, n_.S, width}, {heads * n_.S * width, n_.S * width, width, 1},
                     fe::DataType_t::BFLOAT16);
    }
    Tensor tokens(fe::graph::Graph& graph, Uid uid, std::int64_t heads) const {
        return named(graph, uid, {n_.B, heads, n_.S, n_.Cv}, {n_.S * heads * n_.Cv, n_.Cv, heads * n_.Cv, 1},
                     fe::DataType_t::BFLOAT16);
    }
    const AttentionShape n_;
};

template <class Attributes>
Attributes attributes_of(const AttentionShape& n) {
    Attributes attributes;
    attributes.set_attn_scale(static_cast<float>(n.scale)).set_causal_mask(true);
    if (n.window > 0 && n.window < n.S) {
        attributes.set_diagonal_band_left_bound(static_cast<int>(n.window));  // the own position counts
    }
    return attributes;
}

void begin(fe::graph::Graph& graph, const Target& target) {
    graph.set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT)
        .set_sm_version(target.capability);
    if (target.handle == nullptr) {
        graph.set_device_properties(target.like);
    }
}

std::unique_ptr<fe::graph::Graph> forward_graph(const AttentionShape& n, const Target& target) {
    auto graph = std::make_unique<fe::graph::Graph>();
    begin(*graph, target);
    const Shape shape(n);
    auto attributes = attributes_of<fe::graph::SDPA_attributes>(n);
    attributes.set_name("attention").set_generate_stats(true);
    if (n.sinks) {
        attributes.set_sink_token(shape.sinks(*graph, kSinks));
    }
    auto [o, stats] =
        graph->sdpa(shape.queries(*graph, kQ), shape.keys(*graph, kK), shape.values(*graph, kV), std::move(attributes));
    shape.place_tokens(o, kO, n.H);
    stats->set_output(true).set_uid(kStats).set_data_type(fe::DataType_t::FLOAT);
    stats->set_dim({n.B, n.H, n.S, 1}).set_stride({n.H * n.S, n.S, 1, 1});
    return graph;
}

std::unique_ptr<fe::graph::Graph> backward_graph(const AttentionShape& n, const Target& target) {
    auto graph = std::make_unique<fe::graph::Graph>();
    begin(*graph, target);
    const Shape shape(n);
    auto attributes = attributes_of<fe::graph::SDPA_backward_attributes>(n);
    attributes.set_name("attention's gradients").set_deterministic_algorithm(true);
    auto [dq, dk, dv] = graph->sdpa_backward(shape.queries(*graph, kQ), shape.keys(*graph, kK),
                                             shape.values(*graph, kV), shape.outputs(*graph, kO),
                                             shape.outputs(*graph, kDO), shape.stats(*graph), std::move(attributes));
    shape.place_heads(dq, kDQ, n.H);
    shape.place_heads(dk, kDK, n.G);
    shape.place_tokens(dv, kDV, n.G);
    return graph;
}

/// Why there is no plan; empty: there is one.
std::string build(fe::graph::Graph& graph, const Target& target) {
    auto good = graph.validate();
    if (good.is_good()) {
        good = target.handle == nullptr ? graph.build_operation_graph() : graph.build_operation_graph(target.handle);
    }
    if (good.is_good()) {
        good = graph.create_execution_plans({fe::HeurMode_t::A});
    }
    if (good.is_good()) {
        good = graph.check_support();
    }
    if (good.is_good()) {
        good = graph.build_plans();
    }
    if (good.is_good()) {
        return {};
    }
    const std::string words = first_line(good.get_message());
    return words.empty() ? "it has no plan" : words;
}

std::uint64_t workspace_of(const fe::graph::Graph& graph) {
    std::int64_t bytes = 0;
    auto good = graph.get_workspace_size(bytes);
    if (good.is_bad()) {
        throw std::runtime_error("cuDNN does not say how much workspace it needs: " + first_line(good.get_message()));
    }
    return static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0));
}

struct Plans {
    std::string why_not;
    std::unique_ptr<fe::graph::Graph> forward, backward;
    std::uint64_t workspace = 0;
};

class CudnnAttention final : public AttentionLibrary {
 public:
    CudnnAttention(Handle handle, std::shared_ptr<const fe::DeviceProperties> like, std::int32_t capability)
        : handle_(std::move(handle)), target_{handle_.get(), std::move(like), capability} {}

    std::string name() const override {
        const std::size_t version = cudnnGetVersion();  // 92700
        return "cuDNN " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
               std::to_string(version % 100);
    }
    std::string why_not(const AttentionShape& shape) override { return plans(shape).why_not; }
    std::uint64_t workspace(const AttentionShape& shape) override { return plans(shape).workspace; }

    void forward(std::uint16_t* o_THC, float* lse_BHS, const AttentionInputs& in, const float* sinks_H, void* workspace,
                 const AttentionShape& shape) override {
        Arrays arrays = inputs(in);
        if (sinks_H != nullptr) {
            arrays[kSinks] = const_cast<float*>(sinks_H);
        }
        arrays[kO] = o_THC;
        arrays[kStats] = lse_BHS;
        run(plans(shape).forward.get(), arrays, workspace, "attention");
    }
    void backward(const AttentionGradients& out, const std::uint16_t* do_THC, const std::uint16_t* o_THC,
                  const AttentionInputs& in, const float* lse_BHS, void* workspace,
                  const AttentionShape& shape) override {
        Arrays arrays = inputs(in);
        arrays[kO] = const_cast<std::uint16_t*>(o_THC);
        arrays[kDO] = const_cast<std::uint16_t*>(do_THC);
        arrays[kStats] = const_cast<float*>(lse_BHS);
        arrays[kDQ] = out.dq_BHSC;
        arrays[kDK] = out.dk_BGSC;
        arrays[kDV] = out.dv_TGC;
        run(plans(shape).backward.get(), arrays, workspace, "attention's gradients");
    }

 private:
    using Arrays = std::unordered_map<std::int64_t, void*>;
    using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                           std::int64_t, double, bool>;

    static Arrays inputs(const AttentionInputs& in) {
        return {{kQ, const_cast<std::uint16_t*>(in.q_BHSC)},
                {kK, const_cast<std::uint16_t*>(in.k_BGSC)},
                {kV, const_cast<std::uint16_t*>(in.v_TGC)}};
    }

    const Plans& plans(const AttentionShape& n) {
        const Key key{n.B, n.S, n.H, n.G, n.C, n.Cv, n.window, n.scale, n.sinks};
        auto found = plans_.find(key);
        if (found == plans_.end()) {
            found = plans_.emplace(key, make(n)).first;
        }
        return found->second;
    }
    Plans make(const AttentionShape& n) const {
        Plans made;
        made.forward = forward_graph(n, target_);
        made.why_not = build(*made.forward, target_);
        if (made.why_not.empty()) {
            made.backward = backward_graph(n, target_);
            made.why_not = build(*made.backward, target_);
        }
        if (made.why_not.empty()) {
            made.workspace = std::max(workspace_of(*made.forward), workspace_of(*made.backward));
        } else {
            made.forward = nullptr;
            made.backward = nullptr;
        }
        return made;
    }
    void run(const fe::graph::Graph* graph, Arrays& arrays, void* workspace, const char* what) const {
        if (graph == nullptr || target_.handle == nullptr) {
            throw std::runtime_error(std::string("cuDNN was not to compute ") + what);
        }
        auto good = graph->execute(target_.handle, arrays, workspace);
        if (good.is_bad()) {
            throw std::runtime_error("cuDNN: " + std::string(what) + " failed: " + first_line(good.get_message()));
        }
    }

    const Handle handle_;
    const Target target_;
    std::map<Key, Plans> plans_;
};

void write(char* to, std::int32_t size, const char* text) {
    if (size > 0) {
        std::snprintf(to, static_cast<std::size_t>(size), "%s", text);
    }
}

AttentionLibrary* open(void* stream, std::int32_t capability, char* error, std::int32_t error_size) {
    try {
        cudnnHandle_t handle = nullptr;
        check(cudnnCreate(&handle), "starting cuDNN");
        Handle owned(handle);
        check(cudnnSetStream(handle, static_cast<cudaStream_t>(stream)), "giving cuDNN its stream");
        return std::make_unique<CudnnAttention>(std::move(owned), nullptr, capability).release();
    } catch (const std::exception& wrong) {
        write(error, error_size, wrong.what());
        return nullptr;
    }
}

AttentionLibrary* describe(const char* properties, std::int32_t capability, char* error, std::int32_t error_size) {
    try {
        const std::string text = properties;
        auto device = std::make_shared<fe::DeviceProperties>();
        auto good = device->deserialize(std::vector<std::uint8_t>(text.begin(), text.end()));
        if (good.is_bad()) {
            throw std::runtime_error("cuDNN does not take these properties of a device: " +
                                     first_line(good.get_message()));
        }
        return std::make_unique<CudnnAttention>(nullptr, std::move(device), capability).release();
    } catch (const std::exception& wrong) {
        write(error, error_size, wrong.what());
        return nullptr;
    }
}

constexpr CudnnPlugin kPlugin{MOESCOPE_KERNELS_INTERFACE, open, describe};

}  // namespace
}  // namespace moescope::kernels::cuda

extern "C" __attribute__((visibility("default"))) const moescope::kernels::cuda::CudnnPlugin* moescope_cudnn_plugin();
const moescope::kernels::cuda::CudnnPlugin* moescope_cudnn_plugin() {
    return &moescope::kernels::cuda::kPlugin;
}
