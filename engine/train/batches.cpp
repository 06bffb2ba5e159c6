#include "engine/train/batches.hpp"

#include "kernels/random.hpp"

namespace moescope::engine {

BatchOrder::BatchOrder(std::uint64_t tokens, std::uint64_t context, std::uint64_t seed, bool in_order)
    : context_(context), seed_(seed), in_order_(in_order) {
    const std::uint64_t whole = (tokens - 1) / context;
    windows_ = in_order    ? whole
               : whole > 1 ? whole - 1
                           : 1;  // one window less, so that every epoch can start at another offset
    slack_ = tokens - 1 - windows_ * context;
    while ((std::uint64_t{1} << (2 * half_bits_)) < windows_) {
        ++half_bits_;
    }
}

// A Feistel network permutes [0, 4^half_bits); walking on until the value is below `windows_` permutes [0, windows_).
std::uint64_t BatchOrder::shuffled(std::uint64_t index, std::uint64_t epoch) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    do {
        std::uint64_t left = index >> half_bits_, right = index & mask;
        for (std::uint64_t round = 0; round < 4; ++round) {
            const std::uint64_t next = left ^ (kernels::random_bits(seed_, 1000 + 4 * epoch + round, right) & mask);
            left = right;
            right = next;
        }
        index = left << half_bits_ | right;
    } while (index >= windows_);
    return index;
}

std::uint64_t BatchOrder::first_token(std::uint64_t sequence) const {
    if (in_order_) {
        return sequence % windows_ * context_;
    }
    const std::uint64_t epoch = sequence / windows_;
    return kernels::random_bits(seed_, 2, epoch) % (slack_ + 1) + shuffled(sequence % windows_, epoch) * context_;
}

}  // namespace moescope::engine
