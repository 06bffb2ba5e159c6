// The lists and columns of a snapshot: whatever their owner does, they hold what a plain vector would, and copies never
// change.
#include "nodes/history/shared_list.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <thread>

#include "nodes/history/column.hpp"

namespace moescope::client {
namespace {

template <class List, class T>
void expect_same(const List& list, const std::vector<T>& plain) {
    ASSERT_EQ(list.size(), plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        ASSERT_EQ(list[i], plain[i]) << i;
    }
}

TEST(SharedList, IsLikeAVectorAndItsCopiesStay) {
    using List = history::SharedList<std::string, 8>;
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937 random(seed);
        List list;
        std::vector<std::string> plain;
        std::vector<std::pair<List, std::vector<std::string>>> copies;
        for (int i = 0; i < 400; ++i) {
            const unsigned what = random() % 100;
            const std::size_t some = plain.empty() ? 0 : random() % (plain.size() + 2);
            if (what < 80) {
                list.push_back(std::to_string(i));
                plain.push_back(std::to_string(i));
            } else if (what < 87) {
                list.truncate(some);
                plain.resize(std::min(some, plain.size()));
            } else if (what < 94) {
                list.drop_front(some / 4);
                plain.erase(plain.begin(), plain.begin() + static_cast<long>(std::min(some / 4, plain.size())));
            } else {
                copies.emplace_back(list, plain);
            }
            expect_same(list, plain);
        }
        for (const auto& [copy, then] : copies) {
            expect_same(copy, then);
        }
        EXPECT_TRUE(std::equal(list.begin(), list.end(), plain.begin(), plain.end()));
        EXPECT_TRUE(std::equal(list.rbegin(), list.rend(), plain.rbegin(), plain.rend()));
        if (!plain.empty()) {
            EXPECT_EQ(list.front(), plain.front());
            EXPECT_EQ(list.back(), plain.back());
        }
        EXPECT_THROW((void)list.at(plain.size()), std::out_of_range);
    }
}

TEST(SharedList, IteratorsServeTheAlgorithms) {
    history::SharedList<int, 4> list;
    for (int i = 0; i < 30; ++i) {
        list.push_back(i * i);
    }
    list.drop_front(3);
    EXPECT_EQ(std::upper_bound(list.begin(), list.end(), 100) - list.begin(), 8);
    EXPECT_EQ(*(list.end() - 1), 29 * 29);
    EXPECT_EQ(list.begin()[2], 25);
    EXPECT_EQ(std::count_if(list.begin(), list.end(), [](int n) { return n % 2 == 0; }), 13);
    auto it = list.begin();
    EXPECT_EQ(*it++, 9);
    EXPECT_EQ(*it--, 16);
    EXPECT_EQ(*it, 9);
    EXPECT_TRUE(it < list.end());
}

TEST(Column, TruncatedGoesOnWithoutItsCopies) {
    for (unsigned seed = 0; seed < 10; ++seed) {
        std::mt19937 random(seed);
        history::Column column;
        std::vector<double> plain;
        std::vector<std::pair<history::Column, std::vector<double>>> copies;
        for (int i = 0; i < 12'000; ++i) {
            if (random() % 1500 == 0) {
                const std::size_t count = random() % (plain.size() + 2);
                column.truncate(count);
                plain.resize(std::min(count, plain.size()));
                copies.emplace_back(column, plain);
            } else {
                plain.push_back(static_cast<double>(random() % 1000));
                column.push_back(plain.back());
            }
        }
        copies.emplace_back(column, plain);
        for (const auto& [copy, then] : copies) {
            expect_same(copy, then);
            for (int i = 0; i < 50 && !then.empty(); ++i) {
                std::size_t first = random() % then.size(), last = random() % (then.size() + 1);
                if (first > last) {
                    std::swap(first, last);
                }
                const history::MinMax range = copy.range(first, last);
                if (first == last) {
                    EXPECT_TRUE(range.empty());
                    continue;
                }
                const auto begin = then.begin() + static_cast<long>(first),
                           end = then.begin() + static_cast<long>(last);
                EXPECT_EQ(range.min, *std::min_element(begin, end));
                EXPECT_EQ(range.max, *std::max_element(begin, end));
            }
        }
    }
}

/// For the thread sanitizer: readers of copies, while the owner writes, truncates and drops.
TEST(SharedList, ReadersAndTheOwnerNeverTouchTheSameSlot) {
    history::SharedList<std::string, 16> list;
    history::Column column;
    std::vector<std::thread> readers;
    for (int round = 0; round < 40; ++round) {
        for (int i = 0; i < 100; ++i) {
            list.push_back(std::string(30, 'x'));
            column.push_back(i);
        }
        readers.emplace_back([copy = list, values = column] {
            std::size_t total = 0;
            for (const std::string& text : copy) {
                total += text.size();
            }
            EXPECT_EQ(total, 30 * copy.size());
            EXPECT_EQ(values.range(0, values.size()).max, 99);
        });
        list.drop_front(7);
        list.truncate(list.size() - list.size() / 3);
        column.truncate(column.size() - column.size() / 3);
    }
    for (std::thread& reader : readers) {
        reader.join();
    }
}

}  // namespace
}  // namespace moescope::client
