// Whether checksums of what comes from outside count. They do, in every program; only the objects of tests/fuzz take
// wrong ones, because nothing behind a checksum is reached by bytes that were damaged by chance.
#pragma once

namespace moescope::base {

#if defined(MOESCOPE_FUZZED)
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOESCOPE_FUZZED_WITH_SANITIZER
#endif
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(MOESCOPE_FUZZED_WITH_SANITIZER)
#error "checksums are left out in fuzz tests alone, which are built with AddressSanitizer"
#endif
// Each source file has its own, so that the linker never chooses one for all.
constexpr bool kChecksumsCount = false;
#else
constexpr bool kChecksumsCount = true;
#endif

}  // namespace moescope::base
