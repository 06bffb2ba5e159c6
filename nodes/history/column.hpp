// An append-only column of numbers that one thread grows and every other thread reads: copying it costs a few shared
// pointers, so a snapshot of millions of values is taken in microseconds. A min/max pyramid beside the values lets a
// plot ask for the extremes of any range while touching O(log n) entries.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

namespace moescope::history {

struct MinMax {
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    /// NaN (a gap) is ignored; empty() stays true when a range holds nothing else.
    void add(double v) {
        if (std::isnan(v)) {
            return;
        }
        min = std::min(min, v);
        max = std::max(max, v);
    }
    void add(const MinMax& other) {
        min = std::min(min, other.min);
        max = std::max(max, other.max);
    }
    bool empty() const { return min > max; }
};

/// Values of one plot line. push_back and truncate belong to one owner; every copy is immutable. Copies share their
/// chunks with the owner: it only writes slots at or beyond a copy's size, and a copy reads a pyramid entry only when
/// all its values lie below that size, so the two never touch the same memory.
class Column {
 public:
    static constexpr std::size_t kChunk = 1024;
    static constexpr std::size_t kBlock = 16;  ///< values under one pyramid entry

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    double operator[](std::size_t i) const { return chunks_[i / kChunk]->values[i % kChunk]; }
    double back() const { return (*this)[size_ - 1]; }

    void push_back(double value) {
        if (size_ % kChunk == 0) {
            chunks_.push_back(std::make_shared<Chunk>());
        }
        Chunk& chunk = *chunks_.back();
        const std::size_t i = size_ % kChunk;
        chunk.values[i] = value;
        chunk.blocks[i / kBlock].add(value);
        chunk.all.add(value);
        ++size_;
    }

    /// Only the first `count` values stay. Copies keep what they have: the owner goes on in a chunk of its own.
    void truncate(std::size_t count) {
        if (count >= size_) {
            return;
        }
        const std::size_t whole = count / kChunk;
        const std::shared_ptr<Chunk> part = chunks_[whole];
        chunks_.resize(whole);
        for (size_ = whole * kChunk; size_ < count;) {
            push_back(part->values[size_ % kChunk]);
        }
    }

    /// Extremes of [first, last). Out-of-range ends are clamped.
    MinMax range(std::size_t first, std::size_t last) const {
        MinMax result;
        last = std::min(last, size_);
        while (first < last) {
            const Chunk& chunk = *chunks_[first / kChunk];
            const std::size_t in_chunk = first % kChunk;
            if (in_chunk == 0 && last - first >= kChunk) {
                result.add(chunk.all);
                first += kChunk;
            } else if (in_chunk % kBlock == 0 && last - first >= kBlock) {
                result.add(chunk.blocks[in_chunk / kBlock]);
                first += kBlock;
            } else {
                result.add(chunk.values[in_chunk]);
                ++first;
            }
        }
        return result;
    }

 private:
    struct Chunk {
        double values[kChunk];
        MinMax blocks[kChunk / kBlock];
        MinMax all;
    };
    std::vector<std::shared_ptr<Chunk>> chunks_;
    std::size_t size_ = 0;
};

}  // namespace moescope::history
