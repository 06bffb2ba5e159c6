// The header of NumPy's .npy: arrays of numbers, read as numpy.save writes them on any machine.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moescope::base {

struct NpyHeader {
    std::string dtype;  ///< "<i4", ">i8", "<f4", ...; never an object or a record
    std::vector<std::uint64_t> shape;
    bool columns_first = false;  ///< Fortran's order, which differs from C's for arrays of two dimensions and more
    std::uint64_t data_begin = 0, count = 0, item_bytes = 0;
};

/// `prefix` is the file's beginning, header included. Sizes are checked against `file_bytes`. Throws Error naming
/// `source`.
NpyHeader parse_npy(std::span<const std::byte> prefix, std::uint64_t file_bytes, const std::string& source);

inline constexpr std::uint64_t kMostNpyHeader = 65536;  ///< bytes of a header that is read

}  // namespace moescope::base
