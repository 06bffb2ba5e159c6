// A list that one thread grows and every other thread reads, like Column but for whole values: a copy costs one shared
// pointer per chunk however long the values are, so that a snapshot of ten thousand lines of text is taken, and let go
// of, in microseconds.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace moescope::history {

/// push_back, truncate and drop_front belong to one owner; every copy is immutable. Copies share their chunks with the
/// owner, which only writes slots at or beyond every copy's end: after truncate() it goes on in a chunk of its own.
template <class T, std::size_t kChunk = 128>
class SharedList {
 public:
    using value_type = T;

    class const_iterator {
     public:
        using iterator_category = std::random_access_iterator_tag;
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using pointer = const T*;
        using reference = const T&;

        const_iterator() = default;
        const_iterator(const SharedList* list, std::size_t at) : list_(list), at_(at) {}
        reference operator*() const { return (*list_)[at_]; }
        pointer operator->() const { return &(*list_)[at_]; }
        reference operator[](difference_type n) const { return *(*this + n); }
        const_iterator& operator+=(difference_type n) {
            at_ = static_cast<std::size_t>(static_cast<difference_type>(at_) + n);
            return *this;
        }
        const_iterator& operator-=(difference_type n) { return *this += -n; }
        const_iterator& operator++() { return *this += 1; }
        const_iterator& operator--() { return *this += -1; }
        const_iterator operator++(int) { return std::exchange(*this, *this + 1); }
        const_iterator operator--(int) { return std::exchange(*this, *this - 1); }
        friend const_iterator operator+(const_iterator it, difference_type n) { return it += n; }
        friend const_iterator operator+(difference_type n, const_iterator it) { return it += n; }
        friend const_iterator operator-(const_iterator it, difference_type n) { return it -= n; }
        friend difference_type operator-(const const_iterator& a, const const_iterator& b) {
            return static_cast<difference_type>(a.at_) - static_cast<difference_type>(b.at_);
        }
        bool operator==(const const_iterator& other) const { return at_ == other.at_; }
        auto operator<=>(const const_iterator& other) const { return at_ <=> other.at_; }

     private:
        const SharedList* list_ = nullptr;
        std::size_t at_ = 0;
    };
    using iterator = const_iterator;
    using const_reverse_iterator = std::reverse_iterator<const_iterator>;

    std::size_t size() const { return end_ - begin_; }
    bool empty() const { return end_ == begin_; }
    const T& operator[](std::size_t i) const { return (*chunks_[(begin_ + i) / kChunk])[(begin_ + i) % kChunk]; }
    const T& at(std::size_t i) const {
        if (i >= size()) {
            throw std::out_of_range("a SharedList has no element at this index");
        }
        return (*this)[i];
    }
    const T& front() const { return (*this)[0]; }
    const T& back() const { return (*this)[size() - 1]; }
    const_iterator begin() const { return {this, 0}; }
    const_iterator end() const { return {this, size()}; }
    const_reverse_iterator rbegin() const { return const_reverse_iterator(end()); }
    const_reverse_iterator rend() const { return const_reverse_iterator(begin()); }

    void push_back(T value) {
        if (end_ % kChunk == 0) {
            chunks_.push_back(std::make_shared<Chunk>());
        }
        (*chunks_.back())[end_ % kChunk] = std::move(value);
        ++end_;
    }
    /// Only the first `count` values stay.
    void truncate(std::size_t count) {
        if (count >= size()) {
            return;
        }
        const std::size_t last = begin_ + count, whole = last / kChunk * kChunk;
        const std::shared_ptr<Chunk> part = chunks_[last / kChunk];
        chunks_.resize(last / kChunk);
        for (end_ = whole; end_ < last;) {
            push_back((*part)[end_ % kChunk]);
        }
    }
    /// The oldest `count` values go.
    void drop_front(std::size_t count) {
        begin_ += std::min(count, size());
        const std::size_t chunks = begin_ / kChunk;
        chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(chunks));
        begin_ -= chunks * kChunk;
        end_ -= chunks * kChunk;
    }

 private:
    using Chunk = std::array<T, kChunk>;
    std::vector<std::shared_ptr<Chunk>> chunks_;
    std::size_t begin_ = 0, end_ = 0;  ///< counted from the beginning of the first chunk
};

}  // namespace moescope::history
