#include "kernels/cuda/emulated_library.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/cuda/emulation.hpp"
#include "kernels/float8.hpp"

namespace moescope::kernels::cuda {
namespace {

void require(bool holds, const char* what) {
    if (!holds) {
        throw std::logic_error(std::string("a library would be handed what it must not be: ") + what);
    }
}

bool aligned(const void* at) {
    return reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
}

class EmulatedLibrary final : public Library {
 public:
    bool multiply(const LibraryProduct& /*product*/, const void* /*a*/, const void* /*b*/, float* /*d*/) override {
        return false;
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        if (groups.operands != Operands::fp8) {
            return false;
        }
        require(groups.transpose_a && !groups.transpose_b, "the form TN is the only one");
        simt::submit([groups] {
            for (std::int64_t i = 0; i < groups.count; ++i) {
                if (groups.depths[i] > 0) {  // otherwise it leaves D, which it may
                    compute(groups, i);
                }
            }
        });
        return true;
    }

 private:
    static void compute(const LibraryGroups& groups, std::int64_t i) {
        constexpr std::int64_t kTile = kFloat8Tile;
        const std::int64_t rows = groups.rows[i], columns = groups.columns[i], depth = groups.depths[i];
        const std::int64_t lda = groups.ldas[i], ldb = groups.ldbs[i], ldd = groups.ldds[i];
        const auto *a = static_cast<const std::uint8_t*>(groups.a[i]),
                   *b = static_cast<const std::uint8_t*>(groups.b[i]);
        const float *a_scales = groups.a_scales[i], *b_scales = groups.b_scales[i];
        float* d = groups.d[i];
        require(rows % 4 == 0 && columns % 4 == 0 && depth % kTile == 0, "a size");
        require(aligned(a) && aligned(b) && aligned(d) && aligned(a_scales) && aligned(b_scales), "an address");
        require(lda >= depth && ldb >= depth && ldd >= rows && lda % 16 == 0 && ldb % 16 == 0 && ldd % 4 == 0,
                "a stride");
        const std::int64_t tiles = depth / kTile, stride = (tiles + 3) / 4 * 4;
        for (std::int64_t column = 0; column < columns; ++column) {
            for (std::int64_t row = 0; row < rows; ++row) {
                float sum = 0;
                for (std::int64_t tile = 0; tile < tiles; ++tile) {
                    float part = 0;
                    for (std::int64_t k = tile * kTile; k < (tile + 1) * kTile; ++k) {
                        part += float8_value(a[row * lda + k]) * float8_value(b[column * ldb + k]);
                    }
                    const float a_scale =
                        groups.blocks_a ? a_scales[row / kTile * stride + tile] : a_scales[tile * rows + row];
                    sum += part * (a_scale * b_scales[tile * columns + column]);
                }
                float& out = d[column * ldd + row];
                out = groups.beta == 0.0f ? sum : sum + groups.beta * out;
            }
        }
    }
};

}  // namespace

std::unique_ptr<Library> emulated_library() {
    return std::make_unique<EmulatedLibrary>();
}

}  // namespace moescope::kernels::cuda
