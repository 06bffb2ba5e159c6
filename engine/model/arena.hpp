// One block of memory for everything that a run needs, cut up before the run starts.
//
// Planning and allocating run the same code: the first pass over a plan only counts (base null), the second hands out
// addresses. So the number shown before Start is the number that is allocated.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/error.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// a x b, or Error naming `what` when it does not fit 62 bits.
std::uint64_t checked_product(std::uint64_t a, std::uint64_t b, base::Marked what);
std::uint64_t checked_sum(std::uint64_t a, std::uint64_t b, base::Marked what);

/// Zeroed, 64-byte aligned memory of a device, or without one of this machine. It is touched when it is made, which
/// takes seconds for some GB on a machine that has other work. Throws Error when there is not enough, and what `check`
/// throws, which is called between pieces.
class Block {
 public:
    Block() = default;
    explicit Block(std::uint64_t bytes, const std::function<void()>& check = {});
    Block(kernels::Ops& ops, std::uint64_t bytes, const std::function<void()>& check = {});
    std::byte* data() const { return data_.get(); }
    std::uint64_t size() const { return size_; }

 private:
    kernels::DeviceMemory data_;
    std::uint64_t size_ = 0;
};

class Arena {
 public:
    Arena() = default;  ///< counts only: take() gives null pointers
    explicit Arena(std::byte* base) : base_(base) {}

    /// Room for `count` values, 64-byte aligned. Throws Error when the total overflows.
    template <class Value>
    Value* take(std::uint64_t count) {
        const std::uint64_t at = advance(checked_product(count, sizeof(Value), marked("a buffer")));
        return base_ == nullptr ? nullptr : reinterpret_cast<Value*>(base_ + at);
    }
    std::uint64_t used() const { return used_; }

 private:
    std::uint64_t advance(std::uint64_t bytes);
    std::byte* base_ = nullptr;
    std::uint64_t used_ = 0;
};

}  // namespace moescope::engine
