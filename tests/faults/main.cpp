// main() of the fault tests: GoogleTest with a seed that is printed and can be given.
#include <charconv>
#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string_view>

#include "tests/faults/options.hpp"

namespace moescope::faults {

namespace {

struct Options {
    std::uint64_t seed = std::random_device()(), count = 0;
};

Options& options() {
    static Options options;
    return options;
}

bool take(int argc, char** argv, int& at, const char* name, std::uint64_t& into) {
    if (std::strcmp(argv[at], name) != 0 || at + 1 >= argc) {
        return false;
    }
    const std::string_view text = argv[++at];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::uint64_t seed() {
    return options().seed;
}

std::uint64_t count_or(std::uint64_t quick) {
    return options().count > 0 ? options().count : quick;
}

}  // namespace moescope::faults

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    auto& options = moescope::faults::options();
    for (int i = 1; i < argc; ++i) {
        if (!moescope::faults::take(argc, argv, i, "--seed", options.seed) &&
            !moescope::faults::take(argc, argv, i, "--count", options.count)) {
            std::fprintf(stderr, "usage: %s [--seed N] [--count N] [--gtest_filter=...]\n", argv[0]);
            return 2;
        }
    }
    std::printf("seed %llu; the same again: %s --seed %llu\n", static_cast<unsigned long long>(options.seed), argv[0],
                static_cast<unsigned long long>(options.seed));
    return RUN_ALL_TESTS();
}
