#include "engine/comm/staged_comm.hpp"

#include <algorithm>

#include "engine/comm/own_parts.hpp"

namespace moescope::engine::comm {
namespace {

/// Stretches of a device's memory and a copy of each that the host has.
class Copies {
 public:
    /// Of all parts that are not of `rank`: what they have in common, or what follows each other, is one stretch.
    template <class Part>
    void place(int rank, std::span<const Part> parts) {
        stretches_.clear();
        for (const Part& part : parts) {
            if (part.rank != rank && part.bytes > 0) {
                const auto* begin = static_cast<const std::byte*>(static_cast<const void*>(part.data));
                stretches_.push_back({begin, begin + part.bytes, 0});
            }
        }
        std::sort(stretches_.begin(), stretches_.end(),
                  [](const Stretch& a, const Stretch& b) { return std::less<>()(a.begin, b.begin); });
        std::size_t kept = 0;
        for (std::size_t i = 1; i < stretches_.size(); ++i) {
            if (std::less<>()(stretches_[kept].end, stretches_[i].begin)) {
                stretches_[++kept] = stretches_[i];
            } else {
                stretches_[kept].end = std::max(stretches_[kept].end, stretches_[i].end, std::less<>());
            }
        }
        stretches_.resize(std::min(stretches_.size(), kept + 1));
        std::uint64_t bytes = 0;
        for (Stretch& stretch : stretches_) {
            stretch.place = bytes;
            bytes += stretch.bytes();
        }
        host_.resize(std::max<std::size_t>(host_.size(), bytes));
    }
    /// Where the host has what stands there; null: nowhere.
    std::byte* of(const void* device) {
        const auto* at = static_cast<const std::byte*>(device);
        const auto next = std::upper_bound(
            stretches_.begin(), stretches_.end(), at,
            [](const std::byte* place, const Stretch& stretch) { return std::less<>()(place, stretch.begin); });
        return next == stretches_.begin() ? nullptr
                                          : host_.data() + std::prev(next)->place + (at - std::prev(next)->begin);
    }
    void download(Memory& memory) {
        for (const Stretch& stretch : stretches_) {
            memory.download(host_.data() + stretch.place, stretch.begin, stretch.bytes());
        }
    }
    void upload(Memory& memory) {
        for (const Stretch& stretch : stretches_) {
            memory.upload(const_cast<std::byte*>(stretch.begin), host_.data() + stretch.place, stretch.bytes());
        }
    }

 private:
    struct Stretch {
        const std::byte *begin, *end;
        std::uint64_t place;  ///< in the host's copy
        std::uint64_t bytes() const { return static_cast<std::uint64_t>(end - begin); }
    };
    std::vector<Stretch> stretches_;
    std::vector<std::byte> host_;
};

class StagedComm final : public ExchangeComm {
 public:
    StagedComm(Comm& world, std::shared_ptr<Memory> memory) : ExchangeComm(std::move(memory)), world_(world) {}
    StagedComm(std::unique_ptr<Comm> part, std::shared_ptr<Memory> memory)
        : ExchangeComm(std::move(memory)), part_(std::move(part)), world_(*part_) {}
    int rank() const override { return world_.rank(); }
    int size() const override { return world_.size(); }
    int neighbours() const override { return world_.neighbours(); }
    void abort() noexcept override { world_.abort(); }
    void barrier() override { world_.barrier(); }
    const CommCounters& counters() const override { return world_.counters(); }
    std::unique_ptr<Comm> split(int colour) override {
        return std::make_unique<StagedComm>(world_.split(colour), shared_memory());
    }
    /// All of it comes down once, where sums are taken.
    void all_reduce(void* values, std::uint64_t count, Number number) override {
        const std::uint64_t bytes = count * size_of(number);
        host_.resize(std::max<std::size_t>(host_.size(), bytes));
        memory().download(host_.data(), values, bytes);
        memory().settle();
        world_.all_reduce(host_.data(), count, number);
        memory().upload(values, host_.data(), bytes);
    }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        copy_own_parts(memory(), rank(), out, in);
        sent_.place(rank(), out);
        received_.place(rank(), in);
        sent_.download(memory());
        memory().settle();
        out_.clear();
        in_.clear();
        for (const Outgoing& part : out) {
            if (part.rank != rank()) {
                out_.push_back({part.rank, part.bytes > 0 ? sent_.of(part.data) : nullptr, part.bytes});
            }
        }
        for (const Incoming& part : in) {
            if (part.rank != rank()) {
                in_.push_back({part.rank, part.bytes > 0 ? received_.of(part.data) : nullptr, part.bytes});
            }
        }
        world_.exchange(out_, in_, patience);
        received_.upload(memory());
    }

    const std::unique_ptr<Comm> part_;
    Comm& world_;
    Copies sent_, received_;
    std::vector<std::byte> host_;
    std::vector<Outgoing> out_;
    std::vector<Incoming> in_;
};

}  // namespace

std::unique_ptr<Comm> staged(Comm& world, std::shared_ptr<Memory> memory) {
    return std::make_unique<StagedComm>(world, std::move(memory));
}

}  // namespace moescope::engine::comm
