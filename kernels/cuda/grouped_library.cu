#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>

#include "kernels/cpu/router.hpp"
#include "kernels/cuda/grouped_library.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct Described {
    std::int64_t *lda, *ldb, *ldd;
    GroupSize* sizes;
};
/// A column-major D is a row-major D^T = op(B)^T op(A)^T: the operands change places. What has nothing to add up is
/// left out.
__global__ void describe_row_major(Described out, const std::int32_t* rows, const std::int32_t* columns,
                                   const std::int32_t* depths, const std::int32_t* ldas, const std::int32_t* ldbs,
                                   const std::int32_t* ldds, std::int64_t count) {
    for (std::int64_t i = stride_begin(); i < count; i += stride_step()) {
        const bool nothing = rows[i] == 0 || columns[i] == 0 || depths[i] == 0;
        out.sizes[i] = nothing ? GroupSize{0, 0, 0} : GroupSize{columns[i], rows[i], depths[i]};
        out.lda[i] = ldbs[i];
        out.ldb[i] = ldas[i];
        out.ldd[i] = ldds[i];
    }
}

class GroupedLibrary final : public Library {
 public:
    GroupedLibrary(Device& device, std::unique_ptr<GroupedKernels> kernels)
        : device_(device), kernels_(std::move(kernels)) {
        constexpr std::size_t kBytes = kMaxExperts * (3 * sizeof(std::int64_t) + sizeof(GroupSize));
        auto* at = static_cast<std::int64_t*>(device_.allocate(kBytes));
        if (at == nullptr) {
            throw std::bad_alloc();
        }
        described_ = {at, at + kMaxExperts, at + 2 * kMaxExperts, reinterpret_cast<GroupSize*>(at + 3 * kMaxExperts)};
    }
    ~GroupedLibrary() override { device_.free(described_.lda); }
    GroupedLibrary(const GroupedLibrary&) = delete;
    GroupedLibrary& operator=(const GroupedLibrary&) = delete;

    bool multiply(const LibraryProduct& /*product*/, const void* /*a*/, const void* /*b*/, float* /*d*/) override {
        return false;
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        const bool rounded = groups.operands == Operands::bf16;
        if (groups.operands == Operands::fp8 || groups.count > kMaxExperts ||
            (groups.transpose_a && groups.transpose_b)) {
            return false;
        }
        const GroupedForm form = groups.transpose_b   ? GroupedForm::gradients
                                 : groups.transpose_a ? GroupedForm::rows_times_turned
                                                      : GroupedForm::rows_times;
        if (rounded && form != GroupedForm::gradients && !groups.even_depths) {
            return false;
        }
        SIMT_LAUNCH(describe_row_major, dim3(stride_blocks(groups.count, kThreads)), dim3(kThreads), 0,
                    device_.stream(), described_, groups.rows, groups.columns, groups.depths, groups.ldas, groups.ldbs,
                    groups.ldds, groups.count);
        GroupedArguments arguments;
        arguments.rounded = rounded;
        arguments.count = groups.count;
        arguments.sizes = described_.sizes;
        arguments.lda = described_.lda;
        arguments.ldb = described_.ldb;
        arguments.ldd = described_.ldd;
        arguments.a = groups.b;
        arguments.b = groups.a;
        arguments.d = groups.d;
        arguments.beta = groups.beta;
        return kernels_->start(form, arguments);
    }

 private:
    Device& device_;
    std::unique_ptr<GroupedKernels> kernels_;
    Described described_{};
};

/// Single products only.
class Ungrouped final : public Library {
 public:
    explicit Ungrouped(std::unique_ptr<Library> library) : library_(std::move(library)) {}
    bool multiply(const LibraryProduct& product, const void* a, const void* b, float* d) override {
        return library_->multiply(product, a, b, d);
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        return groups.operands == Operands::fp8 && library_->multiply_groups(groups);
    }

 private:
    std::unique_ptr<Library> library_;
};

}  // namespace

std::unique_ptr<Library> grouped_library(Device& device, std::unique_ptr<GroupedKernels> kernels) {
    return std::make_unique<GroupedLibrary>(device, std::move(kernels));
}

GroupedBy grouped_by(const char* name) {
    const std::string text = name == nullptr ? "" : name;
    if (text.empty()) {
        return GroupedBy::either;
    }
    if (text == "cublaslt") {
        return GroupedBy::cublaslt;
    }
    if (text == "cutlass") {
        return GroupedBy::cutlass;
    }
    if (text == "tiled") {
        return GroupedBy::tiled;
    }
    throw std::runtime_error("MOESCOPE_GROUPED_PRODUCTS is '" + text + "'; choose cublaslt, cutlass or tiled");
}

std::unique_ptr<Library> chosen_library(GroupedBy by, std::unique_ptr<Library> single,
                                        std::unique_ptr<Library> grouped) {
    if (by == GroupedBy::cutlass || by == GroupedBy::tiled) {
        single = std::make_unique<Ungrouped>(std::move(single));
    }
    std::vector<std::unique_ptr<Library>> libraries;
    libraries.push_back(std::move(single));
    if (by == GroupedBy::cutlass || by == GroupedBy::either) {
        libraries.push_back(std::move(grouped));
    }
    return first_of(std::move(libraries));
}

}  // namespace moescope::kernels::cuda
