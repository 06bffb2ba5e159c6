#include "kernels/cuda/emulated_ops.hpp"

#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "kernels/cpu/host_memory.hpp"
#include "kernels/cuda/cuda_ops.hpp"
#include "kernels/cuda/emulated_attention.hpp"
#include "kernels/cuda/emulated_library.hpp"
#include "kernels/cuda/float8_products.hpp"
#include "kernels/cuda/tiled_products.hpp"

namespace moescope::kernels::cuda {
namespace {

struct EmulatedGraph final : Graph {
    simt::Captured work;
};

/// Memory of this machine, not to be read by the host all the same.
class EmulatedDevice final : public Device {
 public:
    explicit EmulatedDevice(EmulatedGpu gpu) : gpu_(std::move(gpu)) {
        if (gpu_.apart != nullptr) {
            simt::capture(&begun_);
        }
    }
    ~EmulatedDevice() override {
        if (gpu_.apart != nullptr) {
            simt::capture(nullptr);
        }
    }
    EmulatedDevice(const EmulatedDevice&) = delete;
    EmulatedDevice& operator=(const EmulatedDevice&) = delete;
    std::string name() const override { return gpu_.name; }
    simt::Stream stream() const override { return {}; }
    bool has_float8() const override { return gpu_.float8; }
    std::uint64_t available_memory() const override { return gpu_.memory - used_; }
    void* allocate(std::uint64_t bytes) override {
        not_in_capture();
        void* memory = bytes > available_memory() ? nullptr
                       : gpu_.apart != nullptr    ? gpu_.apart->take(bytes)
                                                  : std::malloc(bytes > 0 ? bytes : 1);
        if (memory != nullptr) {
            touch([&] { std::memset(memory, 0xff, bytes); });  // as a device's: not zero
            used_ += bytes;
            taken_[memory] = bytes;
            count(&EmulatedUse::allocations);
        }
        return memory;
    }
    void free(void* memory) override {
        if (const auto found = taken_.find(memory); found != taken_.end()) {
            used_ -= found->second;
            taken_.erase(found);
        }
        if (gpu_.apart == nullptr) {
            std::free(memory);
        } else if (memory != nullptr) {
            try {
                do_what_was_begun();
            } catch (const std::exception&) {
                begun_.clear();  // of a destructor, as runtime_device.cpp
            }
            gpu_.apart->give_back(memory);
        }
    }
    void upload(void* device, const void* host, std::uint64_t bytes) override {
        not_in_capture();
        if (gpu_.apart == nullptr) {
            copy_bytes(device, host, bytes);
            return;
        }
        const auto* from = static_cast<const std::byte*>(host);
        begun_.emplace_back([device, copy = std::vector<std::byte>(from, from + bytes)] {
            copy_bytes(device, copy.data(), copy.size());
        });
    }
    void download(void* host, const void* device, std::uint64_t bytes) override {
        ++downloads_;
        wait();
        touch([&] { copy_bytes(host, device, bytes); });
    }
    void download_later(void* host, const void* device, std::uint64_t bytes) override {
        not_in_capture();
        ++downloads_;
        auto copy = std::make_shared<std::vector<std::byte>>(bytes);
        later_.push_back({host, copy});
        const auto work = [copy, device] { copy_bytes(copy->data(), device, copy->size()); };
        if (gpu_.apart == nullptr) {
            work();
        } else {
            begun_.emplace_back(work);
        }
    }
    void copy(void* to, const void* from, std::uint64_t bytes) override {
        simt::submit([=] { copy_bytes(to, from, bytes); });
    }
    void zero(void* at, std::uint64_t bytes) override {
        simt::submit([=] { zero_bytes(at, bytes); });
    }
    void wait() override {
        not_in_capture();
        count(&EmulatedUse::waits);
        if (downloads_ > gpu_.lost_after) {
            throw std::runtime_error("cudaErrorDeviceUnavailable");
        }
        do_what_was_begun();
        for (const Later& one : later_) {
            copy_bytes(one.host, one.bytes->data(), one.bytes->size());
        }
        later_.clear();
    }
    void begin_capture() override {
        if (!gpu_.captures) {
            throw std::runtime_error("cudaErrorStreamCaptureUnsupported");
        }
        capturing_ = std::make_unique<EmulatedGraph>();
        simt::capture(&capturing_->work);
    }
    std::unique_ptr<Graph> end_capture() override {
        simt::capture(begun());
        count(&EmulatedUse::captures);
        return std::move(capturing_);
    }
    void abandon_capture() noexcept override {
        simt::capture(begun());
        capturing_ = nullptr;
    }
    void start(Graph& graph) override {
        count(&EmulatedUse::starts);
        for (const std::function<void()>& work : static_cast<EmulatedGraph&>(graph).work) {
            if (gpu_.apart != nullptr) {
                begun_.push_back(work);
            } else {
                work();
            }
        }
    }

 private:
    void not_in_capture() const {
        if (capturing_ != nullptr) {
            throw std::runtime_error("cudaErrorStreamCaptureUnsupported");
        }
    }
    /// What the host gets at the next wait, as it is on the way.
    struct Later {
        void* host;
        std::shared_ptr<std::vector<std::byte>> bytes;
    };
    /// Where operations are kept until the host waits; null: they are done at once.
    simt::Captured* begun() { return gpu_.apart != nullptr ? &begun_ : nullptr; }
    void do_what_was_begun() {
        if (gpu_.apart == nullptr) {
            return;
        }
        struct Running {
            explicit Running(simt::Captured& kept) : begun(kept) { simt::capture(nullptr); }
            ~Running() { simt::capture(&begun); }
            Running(const Running&) = delete;
            Running& operator=(const Running&) = delete;
            simt::Captured& begun;
        };
        const simt::Captured now = std::exchange(begun_, {});
        const Running running(begun_);
        touch([&] {
            for (const std::function<void()>& work : now) {
                work();
            }
        });
    }
    template <class Work>
    void touch(const Work& work) {
        if (gpu_.apart == nullptr) {
            work();
            return;
        }
        const EmulatedMemory::Door door(*gpu_.apart);
        work();
    }
    void count(std::uint64_t EmulatedUse::*what) {
        if (gpu_.use != nullptr) {
            ++(gpu_.use->*what);
        }
    }

    const EmulatedGpu gpu_;
    simt::Captured begun_;
    std::vector<Later> later_;
    std::uint64_t used_ = 0, downloads_ = 0;
    std::map<void*, std::uint64_t> taken_;
    std::unique_ptr<EmulatedGraph> capturing_;
};

/// The CPU's products in the place of a library's; they are started as kernels are.
class CpuProducts final : public Products {
 public:
    void set_operands(Operands operands) override { operands_ = operands; }
    void multiply(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                  std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) override {
        simt::submit([=, operands = operands_] {
            const OperandsScope scope(operands);
            gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
        });
    }
    void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                    const float* b, float* c) override {
        simt::submit([=, operands = operands_] {
            const OperandsScope scope(operands);
            for (std::int64_t e = 0; e < experts(rows); ++e) {
                const auto [first, count] = rows_of(rows, e);
                gemm(Transpose::no, op_b, count, n, k, a + first * k, k, b + e * n * k, op_b == Transpose::yes ? k : n,
                     0.0f, c + first * n, n);
            }
        });
    }
    void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                   float* c) override {
        simt::submit([=, operands = operands_] {
            const OperandsScope scope(operands);
            for (std::int64_t e = 0; e < experts(rows); ++e) {
                const auto [first, count] = rows_of(rows, e);
                gemm(Transpose::yes, Transpose::no, m, n, count, a + first * m, m, b + first * n, n, 0.0f,
                     c + e * m * n, n);
            }
        });
    }

 private:
    struct Range {
        std::int64_t first, count;
    };
    static std::int64_t experts(const GroupedRows& rows) { return rows.offsets_E1 == nullptr ? 1 : rows.E; }
    static Range rows_of(const GroupedRows& rows, std::int64_t e) {
        if (rows.offsets_E1 == nullptr) {
            return {0, rows.most};
        }
        return {rows.offsets_E1[e], rows.offsets_E1[e + 1] - rows.offsets_E1[e]};
    }
    Operands operands_ = Operands::f32;
};

/// Either of the two; grouped products of eight bits from what the kernels make of the operands, by the library's
/// stand-in or by the own kernel.
class EmulatedProducts final : public Products {
 public:
    EmulatedProducts(Device& device, bool library_products)
        : library_(library_products ? emulated_library() : nullptr), float8_(device, library_.get()) {
        if (library_products) {
            others_ = std::make_unique<CpuProducts>();
        } else {
            others_ = tiled_products({});
        }
    }
    void set_operands(Operands operands) override {
        operands_ = operands;
        others_->set_operands(operands == Operands::fp8 ? Operands::bf16 : operands);
    }
    std::int64_t operand_scratch() const override { return kRoom; }
    void place_operands(std::uint16_t* scratch) override {
        float8_.place(scratch, kRoom * static_cast<std::int64_t>(sizeof *scratch));
    }
    void multiply(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                  std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) override {
        others_->multiply(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    }
    void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                    const float* b, float* c) override {
        if (operands_ == Operands::fp8 && rows.offsets_E1 != nullptr) {
            float8_.rows_times(rows, op_b, n, k, a, b, c);
        } else {
            others_->rows_times(rows, op_b, n, k, a, b, c);
        }
    }
    void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                   float* c) override {
        if (operands_ == Operands::fp8 && rows.offsets_E1 != nullptr) {
            float8_.gradients(rows, m, n, a, b, c);
        } else {
            others_->gradients(rows, m, n, a, b, c);
        }
    }

 private:
    static constexpr std::int64_t kRoom = std::int64_t{1} << 20;
    std::unique_ptr<Library> library_;
    std::unique_ptr<Products> others_;
    Float8Products float8_;
    Operands operands_ = Operands::f32;
};

}  // namespace

EmulatedMemory::~EmulatedMemory() {
    while (!blocks_.empty()) {
        give_back(blocks_.begin()->first);
    }
}

void* EmulatedMemory::take(std::uint64_t bytes) {
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    if (bytes > std::numeric_limits<std::uint64_t>::max() - page) {
        return nullptr;
    }
    const std::uint64_t whole = (bytes / page + 1) * page;
    void* memory = std::aligned_alloc(page, whole);
    if (memory != nullptr) {
        blocks_[memory] = whole;
        if (doors_ == 0) {
            static_cast<void>(mprotect(memory, whole, PROT_NONE));
        }
    }
    return memory;
}

void EmulatedMemory::give_back(void* memory) {
    if (const auto found = blocks_.find(memory); found != blocks_.end()) {
        static_cast<void>(mprotect(memory, found->second, PROT_READ | PROT_WRITE));
        blocks_.erase(found);
        std::free(memory);
    }
}

void EmulatedMemory::turn(int doors) {
    const bool open = doors_ > 0;
    doors_ += doors;
    for (const auto& [memory, bytes] : blocks_) {
        if (open != (doors_ > 0)) {
            static_cast<void>(mprotect(memory, bytes, doors_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE));
        }
    }
}

std::unique_ptr<Ops> emulated_ops(bool library_products) {
    return emulated_ops(EmulatedGpu(), library_products);
}

std::unique_ptr<Ops> emulated_ops(const EmulatedGpu& gpu, bool library_products) {
    auto device = std::make_unique<EmulatedDevice>(gpu);
    auto products = std::make_unique<EmulatedProducts>(*device, library_products);
    return cuda_ops(std::move(device), std::move(products), [library_products] {
        return library_products ? LoadedAttention{emulated_attention(), {}}
                                : LoadedAttention{nullptr, "the emulated device has no library"};
    });
}

}  // namespace moescope::kernels::cuda
