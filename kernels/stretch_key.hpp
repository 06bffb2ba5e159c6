// What tells one stretch of operations from another (Ops::repeat).
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace moescope::kernels {

/// Everything that a stretch hands to operations by value or address and that may change, in an order of the caller's.
class StretchKey {
 public:
    /// A key of nothing but its name; keeps the memory that it has.
    void start(std::string_view name) {
        bytes_.clear();
        add_bytes(std::as_bytes(std::span(name)));
    }
    /// A plain value; what pads it does not count.
    template <class Value>
    void add(Value value) {
        static_assert(std::is_trivially_copyable_v<Value>);
        __builtin_clear_padding(&value);
        add_bytes(std::as_bytes(std::span(&value, 1)));
    }
    void add_bytes(std::span<const std::byte> bytes) {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + bytes.size());
        std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    bool operator==(const StretchKey& other) const = default;

 private:
    std::vector<std::byte> bytes_;
};

}  // namespace moescope::kernels
