// Memory of this machine for the numbers of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace moescope::kernels {

/// Memory of a device.
using DeviceMemory = std::unique_ptr<std::byte, std::function<void(std::byte*)>>;

/// Zeroed, 64-byte aligned, large amounts in large pages where the system has them. Every page is touched when it is
/// made, which takes seconds for some GB on a machine that has other work; `check` (may be empty) is called before each
/// 16 MiB and may throw. `bytes` is a multiple of 64. Null when the system refuses.
DeviceMemory host_memory(std::uint64_t bytes, const std::function<void()>& check);

/// memcpy and memset to 0, also of no bytes at null.
void copy_bytes(void* to, const void* from, std::uint64_t bytes);
void zero_bytes(void* at, std::uint64_t bytes);

}  // namespace moescope::kernels
