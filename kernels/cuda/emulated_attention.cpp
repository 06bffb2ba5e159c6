#include "kernels/cuda/emulated_attention.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "base/half_floats.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cuda/emulation.hpp"

namespace moescope::kernels::cuda {
namespace {

void require(bool holds, const char* what) {
    if (!holds) {
        throw std::logic_error(std::string("a library of attention would be handed what it must not be: ") + what);
    }
}
bool aligned(std::initializer_list<const void*> all) {
    return std::all_of(all.begin(), all.end(),
                       [](const void* at) { return at != nullptr && reinterpret_cast<std::uintptr_t>(at) % 256 == 0; });
}

std::vector<float> floats(const std::uint16_t* bits, std::int64_t count) {
    std::vector<float> wide(static_cast<std::size_t>(count));
    std::transform(bits, bits + count, wide.begin(), base::bf16_to_float);
    return wide;
}
void put(std::uint16_t* bits, const std::vector<float>& wide) {
    std::transform(wide.begin(), wide.end(), bits, base::float_to_bf16);
}

/// Of one call, and what it is computed with.
struct Work {
    explicit Work(const AttentionShape& given)
        : shape(given),
          T(given.B * given.S),
          scratch(static_cast<std::size_t>(attention_scratch(given.S) * std::max(1, workers()))) {
        shape.R = shape.G * shape.Cv;
        shape.stride = shape.Cv;
    }
    void read(const AttentionInputs& in) {
        q = floats(in.q_BHSC, T * shape.H * shape.C);
        k = floats(in.k_BGSC, T * shape.G * shape.C);
        v = floats(in.v_TGC, T * shape.G * shape.Cv);
    }
    AttentionShape shape;
    std::int64_t T;
    std::vector<float> scratch, q, k, v;
};

class EmulatedAttention final : public AttentionLibrary {
 public:
    std::string name() const override { return "the emulated library"; }
    std::string why_not(const AttentionShape& shape) override {
        return shape.C > kWidest || shape.Cv > kWidest ? "heads are at most 64 wide here" : "";
    }
    std::uint64_t workspace(const AttentionShape& shape) override {
        return 1000 + static_cast<std::uint64_t>(shape.S + (shape.window > 0 ? 300 : 0));
    }
    void forward(std::uint16_t* o_THC, float* lse_BHS, const AttentionInputs& in, const float* sinks_H, void* workspace,
                 const AttentionShape& shape) override {
        look_at(in, workspace, shape);
        require((sinks_H != nullptr) == shape.sinks, "sinks");
        require(aligned({o_THC}), "an address");
        simt::submit([=, this] {
            spoil(workspace, shape);
            const OperandsScope exact(Operands::f32);
            Work work(shape);
            work.read(in);
            std::vector<float> o(static_cast<std::size_t>(work.T * shape.H * shape.Cv));
            attention_forward(o.data(), lse_BHS, work.q.data(), work.k.data(), work.v.data(), sinks_H,
                              work.scratch.data(), work.shape);
            put(o_THC, o);
        });
    }
    void backward(const AttentionGradients& out, const std::uint16_t* do_THC, const std::uint16_t* o_THC,
                  const AttentionInputs& in, const float* lse_BHS, void* workspace,
                  const AttentionShape& shape) override {
        look_at(in, workspace, shape);
        require(aligned({out.dq_BHSC, out.dk_BGSC, out.dv_TGC, do_THC, o_THC}), "an address");
        simt::submit([=, this] {
            spoil(workspace, shape);
            const OperandsScope exact(Operands::f32);
            Work work(shape);
            work.read(in);
            if (!shape.sinks) {
                require_output(work, o_THC, lse_BHS);
            }
            const std::vector<float> dout = floats(do_THC, work.T * shape.H * shape.Cv);
            std::vector<float> dq(work.q.size()), dk(work.k.size()), dv(work.v.size());
            attention_backward(dq.data(), dk.data(), dv.data(), nullptr, nullptr, dout.data(), work.q.data(),
                               work.k.data(), work.v.data(), nullptr, lse_BHS, work.scratch.data(), work.shape);
            put(out.dq_BHSC, dq);
            put(out.dk_BGSC, dk);
            put(out.dv_TGC, dv);
        });
    }

 private:
    static constexpr std::int64_t kWidest = 64;

    static void look_at(const AttentionInputs& in, const void* workspace, const AttentionShape& shape) {
        require(shape.S > 1 && shape.C % 8 == 0 && shape.Cv % 8 == 0 && shape.C <= kWidest && shape.Cv <= kWidest,
                "a size");
        require(aligned({in.q_BHSC, in.k_BGSC, in.v_TGC, workspace}), "an address");
    }
    /// Who counts on what stood there, or has too little of it, is found.
    void spoil(void* at, const AttentionShape& shape) {
        std::memset(at, 0xff, static_cast<std::size_t>(workspace(shape)));
    }
    /// cuDNN's backward reads the output, which the processor's does without: it has to be that of the forward. Looked
    /// at where no sink is needed to compute it again.
    static void require_output(Work& work, const std::uint16_t* o_THC, const float* lse_BHS) {
        std::vector<float> o(static_cast<std::size_t>(work.T * work.shape.H * work.shape.Cv)),
            lse(static_cast<std::size_t>(work.T * work.shape.H));
        attention_forward(o.data(), lse.data(), work.q.data(), work.k.data(), work.v.data(), nullptr,
                          work.scratch.data(), work.shape);
        std::vector<std::uint16_t> expected(o.size());
        put(expected.data(), o);
        require(std::equal(expected.begin(), expected.end(), o_THC), "an output that is not the forward's");
        require(std::equal(lse.begin(), lse.end(), lse_BHS), "an lse that is not the forward's");
    }
};

}  // namespace

std::unique_ptr<AttentionLibrary> emulated_attention() {
    return std::make_unique<EmulatedAttention>();
}

}  // namespace moescope::kernels::cuda
