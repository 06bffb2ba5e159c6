// The program that libFuzzer runs (tests/fuzz/libfuzzer): one for all targets, of which MOESCOPE_FUZZ_TARGET in the
// environment names one.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/input.hpp"

#define X(name, megabytes) extern "C" int moescope_fuzz_##name(const std::uint8_t* data, std::size_t size);
MOESCOPE_FUZZ_TARGETS
#undef X

namespace {

moescope::fuzz::Target chosen() {
    const char* wanted = std::getenv("MOESCOPE_FUZZ_TARGET");
#define X(name, megabytes)                                        \
    if (wanted != nullptr && std::string_view(wanted) == #name) { \
        return &moescope_fuzz_##name;                             \
    }
    MOESCOPE_FUZZ_TARGETS
#undef X
    std::fprintf(stderr, "fuzz: MOESCOPE_FUZZ_TARGET names no target\n");
    std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const moescope::fuzz::Target target = chosen();
    return target(data, size);
}
