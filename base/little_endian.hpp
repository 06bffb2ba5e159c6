// Reading and writing little-endian numbers in byte buffers. A Reader never reads past its end: it turns bad instead,
// and every later value is zero, so that a decoder checks once at its end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace moescope::base {

static_assert(std::endian::native == std::endian::little,
              "the wire is little-endian and numbers are copied as they are");

class Writer {
 public:
    explicit Writer(std::vector<std::byte>& out) : out_(out) {}

    template <class T>
    void put(T value) {
        static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
        put_bytes(&value, sizeof value);
    }
    void put_bytes(const void* data, std::size_t size) {
        const auto* bytes = static_cast<const std::byte*>(data);
        out_.insert(out_.end(), bytes, bytes + size);
    }
    template <class T>
    void put_array(std::span<const T> values) {
        put_bytes(values.data(), values.size_bytes());
    }

 private:
    std::vector<std::byte>& out_;
};

class Reader {
 public:
    explicit Reader(std::span<const std::byte> data) : data_(data) {}

    bool good() const { return good_; }
    std::size_t left() const { return data_.size(); }

    template <class T>
    T get() {
        static_assert(std::is_arithmetic_v<T>);
        T value{};
        if (take(sizeof value)) {
            std::memcpy(&value, taken_, sizeof value);
        }
        return value;
    }
    std::string get_string(std::size_t size) {
        if (!take(size)) {
            return {};
        }
        return {reinterpret_cast<const char*>(taken_), size};
    }
    /// Fills `out` with `count` numbers; the bytes are known to be there before anything is allocated.
    template <class T>
    bool get_array(std::vector<T>& out, std::size_t count) {
        if (!good_ || count > data_.size() / sizeof(T)) {
            return good_ = false;
        }
        take(count * sizeof(T));
        out.resize(count);
        if (count > 0) {
            std::memcpy(out.data(), taken_, count * sizeof(T));
        }
        return true;
    }
    bool skip(std::size_t size) { return take(size); }

 private:
    bool take(std::size_t size) {
        if (!good_ || size > data_.size()) {
            return good_ = false;
        }
        taken_ = data_.data();
        data_ = data_.subspan(size);
        return true;
    }

    std::span<const std::byte> data_;
    const std::byte* taken_ = nullptr;
    bool good_ = true;
};

}  // namespace moescope::base
