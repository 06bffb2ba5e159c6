#include "engine/comm/comm.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/foreign_text.hpp"
#include "base/sha256.hpp"

namespace moescope::engine::comm {
namespace {

/// Larger sums are taken in parts, so that the room for the others' numbers stays small.
constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;
/// Up to here every rank gets all numbers and adds them up itself: one exchange instead of two.
constexpr std::uint64_t kSmall = std::uint64_t{16} << 10;

std::byte* at(void* data, std::uint64_t bytes) {
    return static_cast<std::byte*>(data) + bytes;
}
const std::byte* at(const void* data, std::uint64_t bytes) {
    return static_cast<const std::byte*>(data) + bytes;
}

template <class T>
void add_to(void* sum, const void* values, std::uint64_t count) {
    T* into = static_cast<T*>(sum);
    const T* from = static_cast<const T*>(values);
    for (std::uint64_t i = 0; i < count; ++i) {
        into[i] += from[i];
    }
}

class HostMemory final : public Memory {
 public:
    std::byte* scratch(std::uint64_t bytes) override {
        scratch_.resize(std::max<std::size_t>(scratch_.size(), bytes));
        return scratch_.data();
    }
    std::uint64_t piece() const override { return kPiece; }
    void copy(void* to, const void* from, std::uint64_t bytes) override {
        if (bytes > 0 && to != from) {
            std::memmove(to, from, bytes);
        }
    }
    void add(void* sum, const void* values, std::uint64_t count, Number number) override {
        add_numbers(sum, values, count, number);
    }
    void upload(void* to, const void* host, std::uint64_t bytes) override { copy(to, host, bytes); }
    void download(void* host, const void* from, std::uint64_t bytes) override { copy(host, from, bytes); }
    void settle() override {}

 private:
    std::vector<std::byte> scratch_;
};

/// Bytes of the parts of each rank as nearly equal as whole numbers allow.
std::vector<std::uint64_t> even_parts(std::uint64_t count, int ranks) {
    std::vector<std::uint64_t> parts(static_cast<std::size_t>(ranks));
    const auto n = static_cast<std::uint64_t>(ranks);
    for (std::uint64_t r = 0; r < n; ++r) {
        parts[r] = count * (r + 1) / n - count * r / n;
    }
    return parts;
}

class Solo final : public ExchangeComm {
 public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    int neighbours() const override { return 1; }
    void abort() noexcept override { aborted_ = true; }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience) override {
        if (aborted_) {
            throw Error(say("the ranks of this run were told to stop"));
        }
        for (std::size_t i = 0; i < in.size(); ++i) {
            memory().copy(in[i].data, out[i].data, in[i].bytes);
        }
    }

    bool aborted_ = false;
};

/// Some ranks of another Comm.
class Part final : public ExchangeComm {
 public:
    Part(Comm& whole, std::shared_ptr<Memory> memory, std::vector<int> members)
        : ExchangeComm(std::move(memory)), whole_(whole), members_(std::move(members)) {
        const auto own = std::find(members_.begin(), members_.end(), whole.rank());
        rank_ = static_cast<int>(own - members_.begin());
    }
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(members_.size()); }
    int neighbours() const override { return std::min(size(), whole_.neighbours()); }
    void abort() noexcept override { whole_.abort(); }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        out_.assign(out.begin(), out.end());
        in_.assign(in.begin(), in.end());
        for (Outgoing& part : out_) {
            part.rank = members_[static_cast<std::size_t>(part.rank)];
        }
        for (Incoming& part : in_) {
            part.rank = members_[static_cast<std::size_t>(part.rank)];
        }
        whole_.exchange(out_, in_, patience);
    }

    Comm& whole_;
    const std::vector<int> members_;
    int rank_ = 0;
    std::vector<Outgoing> out_;
    std::vector<Incoming> in_;
};

}  // namespace

std::uint64_t size_of(Number number) {
    return number == Number::f32 || number == Number::i32 ? 4 : 8;
}

void add_numbers(void* sum, const void* values, std::uint64_t count, Number number) {
    switch (number) {
        case Number::f32:
            return add_to<float>(sum, values, count);
        case Number::f64:
            return add_to<double>(sum, values, count);
        case Number::i32:
            return add_to<std::uint32_t>(sum, values, count);  // wraps, as no signed number may
        case Number::i64:
            return add_to<std::uint64_t>(sum, values, count);
    }
}

ExchangeComm::ExchangeComm() : ExchangeComm(std::make_shared<HostMemory>()) {}

std::unique_ptr<Comm> solo() {
    return std::make_unique<Solo>();
}

std::uint64_t CommCounters::sent_to_all() const {
    return std::accumulate(sent.begin(), sent.end(), std::uint64_t{0});
}

void ExchangeComm::exchange(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) {
    memory_->settle();  // what this rank still computes is no waiting for others
    const auto begin = std::chrono::steady_clock::now();
    transfer(out, in, patience);
    if (patience == Patience::step) {
        counters_.waiting += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    counters_.sent.resize(static_cast<std::size_t>(size()));
    counters_.received.resize(static_cast<std::size_t>(size()));
    for (const Outgoing& part : out) {
        counters_.sent[static_cast<std::size_t>(part.rank)] += part.rank == rank() ? 0 : part.bytes;
    }
    for (const Incoming& part : in) {
        counters_.received[static_cast<std::size_t>(part.rank)] += part.rank == rank() ? 0 : part.bytes;
    }
}

void ExchangeComm::broadcast(void* data, std::uint64_t bytes, int root, Patience patience) {
    // A binomial tree over the ranks counted from the root: who has the data hands them on at half the distance.
    const int n = size(), place = (rank() - root + n) % n;
    const auto actual = [&](int counted) { return (counted + root) % n; };
    int reach = 1;
    while (reach < n) {
        reach *= 2;
    }
    for (int step = reach / 2; step > 0; step /= 2) {
        if (place % (2 * step) == 0 && place + step < n) {
            const Outgoing out{actual(place + step), data, bytes};
            exchange({&out, 1}, {}, patience);
        } else if (place % (2 * step) == step) {
            const Incoming in{actual(place - step), data, bytes};
            exchange({}, {&in, 1}, patience);
        }
    }
}

void ExchangeComm::all_gather(void* into, const void* from, std::uint64_t bytes) {
    out_.clear();
    in_.clear();
    for (int r = 0; r < size(); ++r) {
        out_.push_back({r, from, bytes});
        in_.push_back({r, at(into, static_cast<std::uint64_t>(r) * bytes), bytes});
    }
    exchange(out_, in_, Patience::step);
}

void ExchangeComm::all_to_all_v(void* into, std::span<const std::uint64_t> receive_bytes, const void* from,
                                std::span<const std::uint64_t> send_bytes) {
    out_.clear();
    in_.clear();
    std::uint64_t sent = 0, received = 0;
    for (int r = 0; r < size(); ++r) {
        const auto i = static_cast<std::size_t>(r);
        out_.push_back({r, at(from, sent), send_bytes[i]});
        in_.push_back({r, at(into, received), receive_bytes[i]});
        sent += send_bytes[i];
        received += receive_bytes[i];
    }
    exchange(out_, in_, Patience::step);
}

void ExchangeComm::reduce_scatter(void* into, const void* from, std::span<const std::uint64_t> counts, Number number) {
    const auto own = static_cast<std::size_t>(rank()), n = static_cast<std::size_t>(size());
    const std::uint64_t each = size_of(number), bytes = counts[own] * each;
    std::byte* const scratch = memory_->scratch(n * bytes);
    out_.clear();
    in_.clear();
    std::uint64_t sent = 0;
    for (std::size_t r = 0; r < n; ++r) {
        out_.push_back({static_cast<int>(r), at(from, sent), counts[r] * each});
        in_.push_back({static_cast<int>(r), scratch + r * bytes, bytes});
        sent += counts[r] * each;
    }
    exchange(out_, in_, Patience::step);
    memory_->copy(into, scratch, bytes);
    for (std::size_t r = 1; r < n; ++r) {
        memory_->add(into, scratch + r * bytes, counts[own], number);
    }
}

void ExchangeComm::all_reduce(void* values, std::uint64_t count, Number number) {
    const std::uint64_t each = size_of(number);
    const auto n = static_cast<std::size_t>(size());
    if (n == 1) {
        return exchange({}, {}, Patience::step);
    }
    if (count * each <= kSmall) {
        const std::uint64_t bytes = count * each;
        std::byte* const scratch = memory_->scratch(n * bytes);
        all_gather(scratch, values, bytes);
        memory_->copy(values, scratch, bytes);
        for (std::size_t r = 1; r < n; ++r) {
            memory_->add(values, scratch + r * bytes, count, number);
        }
        return;
    }
    for (std::uint64_t done = 0; done < count;) {
        const std::uint64_t now = std::min(memory_->piece() / each, count - done);
        void* piece = at(values, done * each);
        const auto parts = even_parts(now, size());
        const auto own = static_cast<std::size_t>(rank());
        void* mine = at(piece, std::accumulate(parts.begin(), parts.begin() + rank(), std::uint64_t{0}) * each);
        reduce_scatter(mine, piece, parts, number);
        out_.clear();
        in_.clear();
        std::uint64_t before = 0;
        for (std::size_t r = 0; r < n; ++r) {
            if (r != own) {
                out_.push_back({static_cast<int>(r), mine, parts[own] * each});
                in_.push_back({static_cast<int>(r), at(piece, before * each), parts[r] * each});
            }
            before += parts[r];
        }
        exchange(out_, in_, Patience::step);
        done += now;
    }
}

void ExchangeComm::barrier() {
    const auto n = static_cast<std::uint64_t>(size());
    std::byte* const scratch = memory_->scratch(n + 1);
    all_gather(scratch, scratch + n, 1);
}

std::unique_ptr<Comm> ExchangeComm::split(int colour) {
    std::vector<std::int32_t> colours(static_cast<std::size_t>(size()));
    const std::int32_t mine = colour;
    const std::uint64_t bytes = colours.size() * sizeof mine;
    std::byte* const scratch = memory_->scratch(bytes + sizeof mine);
    memory_->upload(scratch + bytes, &mine, sizeof mine);
    all_gather(scratch, scratch + bytes, sizeof mine);
    memory_->download(colours.data(), scratch, bytes);
    memory_->settle();
    std::vector<int> members;
    for (int r = 0; r < size(); ++r) {
        if (colours[static_cast<std::size_t>(r)] == mine) {
            members.push_back(r);
        }
    }
    return std::make_unique<Part>(*this, memory_, std::move(members));
}

void require_same(Comm& world, std::span<const Agreed> texts) {
    std::string mine;
    for (const Agreed& agreed : texts) {
        base::Sha256 hash;
        hash.add(agreed.text);
        mine += hash.finish();
    }
    std::string all(mine.size() * static_cast<std::size_t>(world.size()), '\0');
    world.all_gather(all.data(), mine.data(), mine.size());
    constexpr std::size_t kHash = 64;
    for (int r = 1; r < world.size(); ++r) {
        for (std::size_t i = 0; i < texts.size(); ++i) {
            if (all.compare(static_cast<std::size_t>(r) * mine.size() + i * kHash, kHash, all, i * kHash, kHash) != 0) {
                throw Disagreement(
                    say("rank {} has not the same {} as rank 0; start all ranks with the same command, program and "
                        "files",
                        r, texts[i].what));
            }
        }
    }
}

std::optional<Problem> first_problem(Comm& world, const std::string& problem) {
    struct Told {
        char text[512] = "";
    };
    Told mine;
    std::strncpy(mine.text, problem.c_str(), sizeof mine.text - 1);
    std::vector<Told> all(static_cast<std::size_t>(world.size()));
    world.all_gather(all.data(), &mine, sizeof mine);
    for (std::size_t r = 0; r < all.size(); ++r) {
        if (all[r].text[0] != '\0') {
            return Problem{static_cast<int>(r),
                           base::one_line({all[r].text, ::strnlen(all[r].text, sizeof all[r].text)})};
        }
    }
    return std::nullopt;
}

void require_all(Comm& world, const std::string& problem) {
    if (const auto first = first_problem(world, problem)) {
        throw Error(say("rank {} can't take part: {}", first->rank, first->text));
    }
}

}  // namespace moescope::engine::comm
