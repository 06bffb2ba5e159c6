#include "engine/model/device_data.hpp"

#include <vector>

#include "engine/error.hpp"
#include "engine/model/machine_memory.hpp"

namespace moescope::engine {
namespace {

class OpsMemory final : public comm::Memory {
 public:
    explicit OpsMemory(kernels::Ops& ops) : ops_(ops) {}

    std::byte* scratch(std::uint64_t bytes) override {
        if (bytes > size_) {
            ops_.wait();  // it may be in use
            scratch_ = nullptr;
            size_ = 0;
            scratch_ = ops_.allocate(bytes, {});
            if (scratch_ == nullptr) {
                throw Error(
                    say("{} has no {} of memory left for what the ranks exchange: choose a smaller batch or "
                        "context",
                        ops_.device(), memory_text(bytes)));
            }
            size_ = bytes;
        }
        return scratch_.get();
    }
    std::uint64_t piece() const override { return std::uint64_t{32} << 20; }
    void copy(void* to, const void* from, std::uint64_t bytes) override {
        if (bytes > 0 && to != from) {
            ops_.copy(to, from, bytes);
        }
    }
    void add(void* sum, const void* values, std::uint64_t count, comm::Number number) override {
        if (count == 0) {
            return;
        }
        if (number == comm::Number::f32) {
            auto* const into = static_cast<float*>(sum);
            ops_.add(into, into, static_cast<const float*>(values), static_cast<std::int64_t>(count));
            return;
        }
        const std::uint64_t bytes = count * comm::size_of(number);
        sum_.resize(bytes);
        values_.resize(bytes);
        ops_.download(sum_.data(), sum, bytes);
        ops_.download(values_.data(), values, bytes);
        comm::add_numbers(sum_.data(), values_.data(), count, number);
        ops_.upload(sum, sum_.data(), bytes);
    }
    void upload(void* to, const void* host, std::uint64_t bytes) override {
        if (bytes > 0) {
            ops_.upload(to, host, bytes);
        }
    }
    void download(void* host, const void* from, std::uint64_t bytes) override {
        if (bytes > 0) {
            ops_.download_later(host, from, bytes);
        }
    }
    void settle() override { ops_.wait(); }

 private:
    kernels::Ops& ops_;
    kernels::DeviceMemory scratch_;
    std::uint64_t size_ = 0;
    std::vector<std::byte> sum_, values_;  ///< the host's, of numbers other than f32
};

}  // namespace

std::shared_ptr<comm::Memory> memory_of(kernels::Ops& ops) {
    return std::make_shared<OpsMemory>(ops);
}

}  // namespace moescope::engine
