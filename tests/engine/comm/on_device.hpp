// Ranks whose data lie in the memory of devices, for tests.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "engine/comm/comm.hpp"
#include "engine/comm/own_parts.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine::comm::test {

/// From emulated device to emulated device without the host: reads and writes their memory from outside, at once and
/// not in the order of what was begun there. `world` carries the bytes.
class EmulatedWire final : public ExchangeComm {
 public:
    EmulatedWire(Comm& world, std::shared_ptr<Memory> memory, std::shared_ptr<kernels::cuda::EmulatedMemory> apart)
        : ExchangeComm(std::move(memory)), world_(world), apart_(std::move(apart)) {}
    int rank() const override { return world_.rank(); }
    int size() const override { return world_.size(); }
    int neighbours() const override { return world_.neighbours(); }
    void abort() noexcept override { world_.abort(); }
    std::uint64_t exchanges = 0;

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        ++exchanges;
        copy_own_parts(memory(), rank(), out, in);
        const auto others = [this](const auto& parts) {
            auto list = std::vector(parts.begin(), parts.end());
            std::erase_if(list, [this](const auto& part) { return part.rank == rank(); });
            return list;
        };
        const kernels::cuda::EmulatedMemory::Door door(*apart_);
        world_.exchange(others(out), others(in), patience);
    }

    Comm& world_;
    const std::shared_ptr<kernels::cuda::EmulatedMemory> apart_;
};

/// A device's memory, once without the order of what was begun there: that must be found out.
class Unsettled final : public Memory {
 public:
    explicit Unsettled(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
    bool ordered = true;
    std::byte* scratch(std::uint64_t bytes) override { return memory_->scratch(bytes); }
    std::uint64_t piece() const override { return memory_->piece(); }
    void copy(void* to, const void* from, std::uint64_t bytes) override { memory_->copy(to, from, bytes); }
    void add(void* sum, const void* values, std::uint64_t count, Number number) override {
        memory_->add(sum, values, count, number);
    }
    void upload(void* to, const void* host, std::uint64_t bytes) override { memory_->upload(to, host, bytes); }
    void download(void* host, const void* from, std::uint64_t bytes) override { memory_->download(host, from, bytes); }
    void settle() override {
        if (ordered) {
            memory_->settle();
        }
    }

 private:
    const std::shared_ptr<Memory> memory_;
};

/// Takes the host's data to a Comm with the memory of a device and back, so that one contract is for both.
class OnDevice final : public Comm {
 public:
    OnDevice(Comm& device, kernels::Ops& ops) : device_(device), ops_(ops) {}
    OnDevice(std::unique_ptr<Comm> device, kernels::Ops& ops) : own_(std::move(device)), device_(*own_), ops_(ops) {}

    int rank() const override { return device_.rank(); }
    int size() const override { return device_.size(); }
    int neighbours() const override { return device_.neighbours(); }
    const CommCounters& counters() const override { return device_.counters(); }
    void abort() noexcept override { device_.abort(); }
    void barrier() override { device_.barrier(); }
    std::unique_ptr<Comm> split(int colour) override { return std::make_unique<OnDevice>(device_.split(colour), ops_); }
    void exchange(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        std::vector<Placed> placed;
        placed.reserve(out.size() + in.size());
        std::vector<Outgoing> outgoing;
        std::vector<Incoming> incoming;
        for (const Outgoing& part : out) {
            placed.emplace_back(ops_, part.data, part.bytes);
            outgoing.push_back({part.rank, placed.back().at(), part.bytes});
        }
        for (const Incoming& part : in) {
            placed.emplace_back(ops_, part.data, part.bytes);
            incoming.push_back({part.rank, placed.back().at(), part.bytes});
        }
        device_.exchange(outgoing, incoming, patience);
        for (std::size_t i = 0; i < in.size(); ++i) {
            placed[out.size() + i].read(in[i].data);
        }
    }
    void broadcast(void* data, std::uint64_t bytes, int root, Patience patience) override {
        const Placed there(ops_, data, bytes);
        device_.broadcast(there.at(), bytes, root, patience);
        there.read(data);
    }
    void all_gather(void* into, const void* from, std::uint64_t bytes) override {
        const Placed mine(ops_, from, bytes), all(ops_, into, bytes * static_cast<std::uint64_t>(size()));
        device_.all_gather(all.at(), mine.at(), bytes);
        all.read(into);
    }
    void all_to_all_v(void* into, std::span<const std::uint64_t> receive_bytes, const void* from,
                      std::span<const std::uint64_t> send_bytes) override {
        const auto sum = [](std::span<const std::uint64_t> parts) {
            std::uint64_t all = 0;
            for (const std::uint64_t part : parts) {
                all += part;
            }
            return all;
        };
        const Placed sent(ops_, from, sum(send_bytes)), received(ops_, into, sum(receive_bytes));
        device_.all_to_all_v(received.at(), receive_bytes, sent.at(), send_bytes);
        received.read(into);
    }
    using Comm::all_reduce;
    void all_reduce(void* values, std::uint64_t count, Number number) override {
        const Placed there(ops_, values, count * size_of(number));
        device_.all_reduce(there.at(), count, number);
        there.read(values);
    }
    void reduce_scatter(void* into, const void* from, std::span<const std::uint64_t> counts, Number number) override {
        std::uint64_t all = 0;
        for (const std::uint64_t count : counts) {
            all += count;
        }
        const Placed sent(ops_, from, all * size_of(number)),
            sums(ops_, into, counts[static_cast<std::size_t>(rank())] * size_of(number));
        device_.reduce_scatter(sums.at(), sent.at(), counts, number);
        sums.read(into);
    }

 private:
    /// A copy of the host's bytes on the device.
    class Placed {
     public:
        Placed(kernels::Ops& ops, const void* host, std::uint64_t bytes)
            : ops_(&ops), bytes_(bytes), memory_(ops.allocate(bytes + 1, {})) {
            if (bytes > 0) {
                ops.upload(at(), host, bytes);
            }
        }
        std::byte* at() const { return memory_.get(); }
        void read(void* host) const {
            if (bytes_ > 0) {
                ops_->download(host, at(), bytes_);
            }
        }

     private:
        kernels::Ops* ops_;
        std::uint64_t bytes_;
        kernels::DeviceMemory memory_;
    };

    const std::unique_ptr<Comm> own_;
    Comm& device_;
    kernels::Ops& ops_;
};

}  // namespace moescope::engine::comm::test
