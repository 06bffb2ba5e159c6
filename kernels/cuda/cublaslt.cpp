#include "kernels/cuda/cublaslt.hpp"

#include <algorithm>
#include <bit>
#include <compare>
#include <cublasLt.h>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

namespace moescope::kernels::cuda {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20;  // what NVIDIA advises for Hopper and later
constexpr std::uint32_t kMostAlignment = 256;

void check(cublasStatus_t status, const Device& device, const char* doing) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw std::runtime_error(device.name() + ": " + doing + " failed: " + cublasLtGetStatusName(status) + ", " +
                                 cublasLtGetStatusString(status));
    }
}

struct Destroy {
    void operator()(cublasLtHandle_t handle) const { static_cast<void>(cublasLtDestroy(handle)); }
    void operator()(cublasLtMatmulDesc_t desc) const { static_cast<void>(cublasLtMatmulDescDestroy(desc)); }
    void operator()(cublasLtMatrixLayout_t layout) const { static_cast<void>(cublasLtMatrixLayoutDestroy(layout)); }
    void operator()(cublasLtMatmulPreference_t preference) const {
        static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
    }
};
template <class Pointer>
using Own = std::unique_ptr<std::remove_pointer_t<Pointer>, Destroy>;

template <class Value>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what, const Value& value, const Device& device) {
    check(cublasLtMatmulDescSetAttribute(desc, what, &value, sizeof value), device, "describing a product");
}
template <class Value>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t what, const Value& value,
         const Device& device) {
    check(cublasLtMatrixLayoutSetAttribute(layout, what, &value, sizeof value), device, "describing a matrix");
}
template <class Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t what, const Value& value,
         const Device& device) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof value), device,
          "choosing a product's algorithm");
}

/// A product as the library wants it described, and how it computes it; no algorithm: it refuses.
struct Plan {
    Own<cublasLtMatmulDesc_t> desc;
    Own<cublasLtMatrixLayout_t> a, b, d;
    std::optional<cublasLtMatmulAlgo_t> algorithm;
};

/// Of an address, a power of two.
std::uint32_t alignment_of(const void* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    return address == 0
               ? kMostAlignment
               : static_cast<std::uint32_t>(std::min<std::uintptr_t>(kMostAlignment, address & (~address + 1)));
}

class CublasLt final : public Library {
 public:
    explicit CublasLt(Device& device)
        : device_(device), tile_scales_(has_tile_scales()), memory_(nullptr, Free{&device}) {
        cublasLtHandle_t handle = nullptr;
        check(cublasLtCreate(&handle), device_, "starting cuBLASLt");
        handle_.reset(handle);
        memory_.reset(device_.allocate(kWorkspace + sizeof kFactors));
        if (memory_ == nullptr) {
            throw std::bad_alloc();
        }
        device_.upload(factors(), kFactors, sizeof kFactors);
    }

    bool multiply(const LibraryProduct& product, const void* a, const void* b, float* d) override {
        const Key key{product.rounded, product.transpose_a, product.transpose_b, product.beta != 0.0f, product.rows,
                      product.columns, product.depth,       product.lda,         product.ldb,          product.ldd,
                      alignment_of(a), alignment_of(b),     alignment_of(d)};
        auto found = plans_.find(key);
        if (found == plans_.end()) {
            found = plans_.emplace(key, plan(product, key)).first;
        }
        return run(found->second, a, b, d, product.beta);
    }

    bool multiply_groups(const LibraryGroups& groups) override {
        const bool float8 = groups.operands == Operands::fp8;
        if (groups.operands == Operands::f32 || (float8 && !tile_scales_)) {
            return false;
        }
        const GroupKey key{groups.transpose_a,     groups.transpose_b,   float8,
                           groups.blocks_a,        groups.count,         groups.average_rows,
                           groups.average_columns, groups.average_depth, groups.rows};
        auto found = group_plans_.find(key);
        if (found == group_plans_.end()) {
            found = group_plans_.emplace(key, plan(groups)).first;
        }
        return run(found->second, groups.a, groups.b, const_cast<float**>(groups.d), groups.beta);
    }

 private:
    struct Free {
        Device* device;
        void operator()(void* memory) const { device->free(memory); }
    };
    struct Key {
        bool rounded, transpose_a, transpose_b, adds;
        std::int64_t rows, columns, depth, lda, ldb, ldd;
        std::uint32_t alignment_a, alignment_b, alignment_d;
        auto operator<=>(const Key&) const = default;
    };
    struct GroupKey {
        bool transpose_a, transpose_b, float8, blocks_a;
        std::int64_t count, average_rows, average_columns, average_depth;
        const void* arrays;  ///< the first one; they stay together
        auto operator<=>(const GroupKey&) const = default;
    };
    /// What products are multiplied by, and what D is: alpha and beta. On the device, because cuBLASLt of CUDA 13.2 to
    /// 13.4 read those of groups wrongly from the host.
    static constexpr float kFactors[2] = {1.0f, 0.0f};

    float* factors() const { return reinterpret_cast<float*>(static_cast<std::byte*>(memory_.get()) + kWorkspace); }

    Own<cublasLtMatmulDesc_t> describe(cublasComputeType_t compute, bool transpose_a, bool transpose_b) const {
        cublasLtMatmulDesc_t desc = nullptr;
        check(cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F), device_, "describing a product");
        Own<cublasLtMatmulDesc_t> owned(desc);
        const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
        set(desc, CUBLASLT_MATMUL_DESC_TRANSA, op(transpose_a), device_);
        set(desc, CUBLASLT_MATMUL_DESC_TRANSB, op(transpose_b), device_);
        set(desc, CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE, device_);
        return owned;
    }
    Own<cublasLtMatrixLayout_t> matrix(bool rounded, std::int64_t rows, std::int64_t columns,
                                       std::int64_t stride) const {
        cublasLtMatrixLayout_t layout = nullptr;
        check(cublasLtMatrixLayoutCreate(&layout, rounded ? CUDA_R_16BF : CUDA_R_32F, static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), stride),
              device_, "describing a matrix");
        return Own<cublasLtMatrixLayout_t>(layout);
    }
    Own<cublasLtMatrixLayout_t> matrices(cudaDataType type, std::int64_t count, const std::int32_t* rows,
                                         const std::int32_t* columns, const std::int32_t* strides) const {
        cublasLtMatrixLayout_t layout = nullptr;
        check(cublasLtGroupedMatrixLayoutCreate(&layout, type, static_cast<int>(count), rows, columns, strides),
              device_, "describing matrices");
        Own<cublasLtMatrixLayout_t> owned(layout);
        set(layout, CUBLASLT_GROUPED_MATRIX_LAYOUT_ROWS_COLS_ARRAY_INTEGER_WIDTH, CUBLASLT_INTEGER_WIDTH_32, device_);
        set(layout, CUBLASLT_GROUPED_MATRIX_LAYOUT_LD_ARRAY_INTEGER_WIDTH, CUBLASLT_INTEGER_WIDTH_32, device_);
        return owned;
    }
    Own<cublasLtMatmulPreference_t> preference() const {
        cublasLtMatmulPreference_t made = nullptr;
        check(cublasLtMatmulPreferenceCreate(&made), device_, "choosing a product's algorithm");
        Own<cublasLtMatmulPreference_t> owned(made);
        set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace}, device_);
        set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE}, device_);
        return owned;
    }
    /// One address of scales per group, in arrays that stay where they are (see GroupKey).
    void set_scales(cublasLtMatmulDesc_t desc, const LibraryGroups& groups) const {
        const auto mode = [](bool blocks) {
            return std::int32_t{blocks ? CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F
                                       : CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F};
        };
        set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode(groups.blocks_a), device_);
        set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode(false), device_);
        set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(groups.a_scales), device_);
        set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(groups.b_scales), device_);
    }
    /// The heuristic's first choice. Its errors are refusals: for shapes that it doesn't know it has several.
    void choose(Plan& plan, cublasLtMatmulPreference_t preference) const {
        cublasLtMatmulHeuristicResult_t result{};
        int count = 0;
        const cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(handle_.get(), plan.desc.get(), plan.a.get(), plan.b.get(), plan.d.get(),
                                           plan.d.get(), preference, 1, &result, &count);
        if (status == CUBLAS_STATUS_SUCCESS && count == 1 && result.state == CUBLAS_STATUS_SUCCESS) {
            plan.algorithm = result.algo;
        }
    }

    Plan plan(const LibraryProduct& product, const Key& key) const {
        Plan plan;
        plan.desc = describe(product.rounded ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC, product.transpose_a,
                             product.transpose_b);
        const auto stored = [&](bool transpose, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
            return transpose ? matrix(product.rounded, columns, rows, stride)
                             : matrix(product.rounded, rows, columns, stride);
        };
        plan.a = stored(product.transpose_a, product.rows, product.depth, product.lda);
        plan.b = stored(product.transpose_b, product.depth, product.columns, product.ldb);
        plan.d = matrix(false, product.rows, product.columns, product.ldd);
        const Own<cublasLtMatmulPreference_t> wanted = preference();
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignment_a, device_);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignment_b, device_);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignment_d, device_);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignment_d, device_);
        choose(plan, wanted.get());
        return plan;
    }
    Plan plan(const LibraryGroups& groups) const {
        Plan plan;
        plan.desc = describe(CUBLAS_COMPUTE_32F, groups.transpose_a, groups.transpose_b);
        const cudaDataType type = groups.operands == Operands::fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
        if (groups.operands == Operands::fp8) {
            set_scales(plan.desc.get(), groups);
        }
        plan.a = matrices(type, groups.count, groups.transpose_a ? groups.depths : groups.rows,
                          groups.transpose_a ? groups.rows : groups.depths, groups.ldas);
        plan.b = matrices(type, groups.count, groups.transpose_b ? groups.columns : groups.depths,
                          groups.transpose_b ? groups.depths : groups.columns, groups.ldbs);
        plan.d = matrices(CUDA_R_32F, groups.count, groups.rows, groups.columns, groups.ldds);
        const Own<cublasLtMatmulPreference_t> wanted = preference();
        // cublasLt.h says uint32_t; the library takes eight bytes and refuses four.
        set(wanted.get(), CUBLASLT_MATMUL_PREF_GROUPED_DESC_D_AVERAGE_ROWS, groups.average_rows, device_);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_GROUPED_DESC_D_AVERAGE_COLS, groups.average_columns, device_);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_GROUPED_AVERAGE_REDUCTION_DIM, groups.average_depth, device_);
        for (const auto what :
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
            set(wanted.get(), what, std::uint32_t{16}, device_);
        }
        choose(plan, wanted.get());
        return plan;
    }

    bool run(Plan& plan, const void* a, const void* b, void* d, float beta) {
        if (!plan.algorithm) {
            return false;
        }
        const float *alpha = factors(), *scale_d = beta == 0.0f ? alpha + 1 : alpha;
        const cublasStatus_t status = cublasLtMatmul(handle_.get(), plan.desc.get(), alpha, a, plan.a.get(), b,
                                                     plan.b.get(), scale_d, d, plan.d.get(), d, plan.d.get(),
                                                     &*plan.algorithm, memory_.get(), kWorkspace, device_.stream());
        if (status == CUBLAS_STATUS_NOT_SUPPORTED) {
            plan.algorithm.reset();
            return false;
        }
        check(status, device_, "a matrix product");
        return true;
    }

    /// Scales per 128 terms and per 128 x 128 the library has on Hopper alone; later GPUs have other forms of them.
    static bool has_tile_scales() {
        int device = 0, capability = 0;
        return cudaGetDevice(&device) == cudaSuccess &&
               cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
               capability == 9;
    }

    Device& device_;
    const bool tile_scales_;
    Own<cublasLtHandle_t> handle_;
    std::unique_ptr<void, Free> memory_;  ///< the workspace, then kFactors
    std::map<Key, Plan> plans_;
    std::map<GroupKey, Plan> group_plans_;
};

}  // namespace

std::unique_ptr<Library> cublaslt(Device& device) {
    return std::make_unique<CublasLt>(device);
}

}  // namespace moescope::kernels::cuda
