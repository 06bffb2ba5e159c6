// Memory of this machine for the numbers of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace moescope::kernels {

/// Zeroed, 64-byte aligned, large amounts in large pages where the system has them; std::free() gives it back. Every
/// page is touched when it is made, which takes seconds for some GB on a machine that has other work; `check` (may be
/// empty) is called before each 16 MiB and may throw. `bytes` is a multiple of 64. Null when the system refuses.
std::byte* allocate_host(std::uint64_t bytes, const std::function<void()>& check);

}  // namespace moescope::kernels
