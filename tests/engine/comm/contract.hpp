// What every Comm keeps to, whatever memory it has.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm::test {

inline std::byte content(int from, int to, std::uint64_t i) {
    return static_cast<std::byte>(static_cast<std::uint64_t>(from) * 31 + static_cast<std::uint64_t>(to) * 17 + i * 7);
}

inline void check_broadcast(Comm& world) {
    for (int root = 0; root < world.size(); ++root) {
        for (const std::uint64_t bytes : {0u, 1u, 17u, 300001u}) {
            std::vector<std::byte> data(bytes);
            for (std::uint64_t i = 0; i < bytes && world.rank() == root; ++i) {
                data[i] = content(root, 0, i);
            }
            world.broadcast(data.data(), bytes, root);
            for (std::uint64_t i = 0; i < bytes; ++i) {
                ASSERT_EQ(data[i], content(root, 0, i)) << "root " << root << " of " << world.size();
            }
        }
    }
}

/// Numbers whose sum depends on the order: what comes out is the sum in the order of the ranks, on every rank.
template <class T>
inline void check_all_reduce(Comm& world, std::uint64_t count) {
    const auto number = [](int rank, std::uint64_t i) {
        return static_cast<T>(static_cast<double>((i * 7919 + static_cast<std::uint64_t>(rank) * 104729) % 1000) *
                              (rank % 2 == 0 ? 1.37 : -0.71));
    };
    std::vector<T> values(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        values[i] = number(world.rank(), i);
    }
    std::vector<T> again = values;
    world.all_reduce(std::span(values));
    world.all_reduce(std::span(again));
    for (std::uint64_t i = 0; i < count; ++i) {
        T sum = number(0, i);
        for (int rank = 1; rank < world.size(); ++rank) {
            sum += number(rank, i);
        }
        ASSERT_EQ(values[i], sum) << i << " of " << count;
        ASSERT_EQ(again[i], sum) << i << " of " << count;
    }
}

inline void check_reduce_scatter(Comm& world) {
    const auto n = static_cast<std::size_t>(world.size()), own = static_cast<std::size_t>(world.rank());
    std::vector<std::uint64_t> counts(n);
    for (std::size_t r = 0; r < n; ++r) {
        counts[r] = r * 5 % 7;  // rank 0 gets nothing
    }
    const std::uint64_t all = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    std::vector<float> from(all), into(counts[own] + 1, -1.0f);
    for (std::uint64_t i = 0; i < all; ++i) {
        from[i] = static_cast<float>(i + 100 * own);
    }
    world.reduce_scatter(into.data(), from.data(), counts, Number::f32);
    const std::uint64_t first = std::accumulate(counts.begin(), counts.begin() + world.rank(), std::uint64_t{0});
    for (std::uint64_t i = 0; i < counts[own]; ++i) {
        EXPECT_EQ(into[i], static_cast<float>(n * (first + i) + 100 * (n * (n - 1) / 2)));
    }
    EXPECT_EQ(into.back(), -1.0f) << "written behind its part";
}

inline void check_all_gather(Comm& world) {
    for (const std::uint64_t bytes : {0u, 1u, 13u, 70001u}) {
        std::vector<std::byte> mine(bytes), all(bytes * static_cast<std::uint64_t>(world.size()));
        for (std::uint64_t i = 0; i < bytes; ++i) {
            mine[i] = content(world.rank(), 0, i);
        }
        world.all_gather(all.data(), mine.data(), bytes);
        for (int rank = 0; rank < world.size(); ++rank) {
            for (std::uint64_t i = 0; i < bytes; ++i) {
                ASSERT_EQ(all[static_cast<std::uint64_t>(rank) * bytes + i], content(rank, 0, i));
            }
        }
    }
}

/// Some ranks have nothing for some others.
inline void check_all_to_all(Comm& world, std::uint64_t unit) {
    const auto bytes = [&](int from, int to) { return static_cast<std::uint64_t>((from * 7 + to * 3) % 5) * unit; };
    std::vector<std::uint64_t> send, receive;
    std::vector<std::byte> from;
    std::uint64_t expected = 0;
    for (int rank = 0; rank < world.size(); ++rank) {
        send.push_back(bytes(world.rank(), rank));
        receive.push_back(bytes(rank, world.rank()));
        expected += receive.back();
        for (std::uint64_t i = 0; i < send.back(); ++i) {
            from.push_back(content(world.rank(), rank, i));
        }
    }
    std::vector<std::byte> into(expected);
    world.barrier();  // now there are counters
    const CommCounters before = world.counters();
    world.all_to_all_v(into.data(), receive, from.data(), send);
    for (int rank = 0; rank < world.size(); ++rank) {
        const auto r = static_cast<std::size_t>(rank);
        EXPECT_EQ(world.counters().sent[r] - before.sent[r], rank == world.rank() ? 0 : send[r]);
        EXPECT_EQ(world.counters().received[r] - before.received[r], rank == world.rank() ? 0 : receive[r]);
    }
    EXPECT_GE(world.counters().waiting, before.waiting);
    std::uint64_t place = 0;
    for (int rank = 0; rank < world.size(); ++rank) {
        for (std::uint64_t i = 0; i < bytes(rank, world.rank()); ++i) {
            ASSERT_EQ(into[place++], content(rank, world.rank(), i));
        }
    }
}

/// Several parts between the same two ranks, of which some are empty, keep their order.
inline void check_parts(Comm& world) {
    constexpr int kParts = 5;
    const int next = (world.rank() + 1) % world.size(), before = (world.rank() + world.size() - 1) % world.size();
    std::vector<std::vector<std::byte>> out(kParts), in(kParts);
    std::vector<Outgoing> outgoing;
    std::vector<Incoming> incoming;
    for (int part = 0; part < kParts; ++part) {
        const auto i = static_cast<std::size_t>(part);
        out[i].assign(i % 3 * 40001, content(world.rank(), part, 0));
        in[i].resize(out[i].size());
        outgoing.push_back({next, out[i].data(), out[i].size()});
        incoming.push_back({before, in[i].data(), in[i].size()});
    }
    world.exchange(outgoing, incoming);
    for (int part = 0; part < kParts; ++part) {
        for (const std::byte value : in[static_cast<std::size_t>(part)]) {
            ASSERT_EQ(value, content(before, part, 0)) << part;
        }
    }
}

inline void check_split(Comm& world) {
    const auto part = world.split(world.rank() % 2);
    EXPECT_EQ(part->rank(), world.rank() / 2);
    EXPECT_EQ(part->size(), (world.size() + 1 - world.rank() % 2) / 2);
    std::vector<std::int32_t> sum = {world.rank(), 1};
    part->all_reduce(std::span(sum));
    int ranks = 0;
    for (int rank = world.rank() % 2; rank < world.size(); rank += 2) {
        ranks += rank;
    }
    EXPECT_EQ(sum[0], ranks);
    EXPECT_EQ(sum[1], part->size());
    std::int64_t told = world.rank();
    part->broadcast(&told, sizeof told, part->size() - 1);
    EXPECT_EQ(told, world.rank() % 2 + 2 * (part->size() - 1));
    EXPECT_LE(part->counters().sent_to_all(), world.counters().sent_to_all()) << "a part's bytes are the whole's, too";
}

inline void check_same(Comm& world) {
    const Agreed same{base::marked("configuration"), "a"};
    EXPECT_NO_THROW(require_same(world, {&same, 1}));
    if (world.size() == 1) {
        return;
    }
    const Agreed other{base::marked("configuration"), world.rank() == 1 ? "b" : "a"};
    try {
        require_same(world, {&other, 1});
        ADD_FAILURE() << "ranks with different configurations go together";
    } catch (const Error& refusal) {
        EXPECT_THAT(refusal.what(), testing::HasSubstr("rank 1 has not the same configuration as rank 0"));
    }
}

inline void check_contract(Comm& world) {
    check_broadcast(world);
    // Small ones, one that is cut unevenly, one that takes several rounds.
    for (const std::uint64_t count : {0u, 1u, 3u, 5003u, 2500001u}) {
        check_all_reduce<float>(world, count);
    }
    for (const std::uint64_t count : {1u, 5003u}) {
        check_all_reduce<double>(world, count);
        check_all_reduce<std::int32_t>(world, count);
        check_all_reduce<std::int64_t>(world, count);
    }
    check_reduce_scatter(world);
    check_all_gather(world);
    check_all_to_all(world, 11);
    check_all_to_all(world, 250007);
    check_parts(world);
    check_split(world);
    check_same(world);
    world.barrier();
}

}  // namespace moescope::engine::comm::test
