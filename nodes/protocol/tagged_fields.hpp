// The body of a binary record as fields that say what they are, so that a reader skips those that it does not know and
// a new value never makes an old session unreadable. Used by records.cpp.
//
// Layout, little-endian: layout u8, reserved u8 (0), number of fields u16, then each field: tag u16, form u8, and
// either one number, or (form | 0x80) a count u32 and that many numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/little_endian.hpp"

namespace moescope::protocol {

/// The number that a field is made of. Part of the file format.
enum class FieldForm : std::uint8_t { u8 = 1, u16 = 2, u32 = 3, u64 = 4, i32 = 5, i64 = 6, f32 = 7, f64 = 8 };

template <class T>
constexpr FieldForm form_of();
template <>
constexpr FieldForm form_of<std::uint8_t>() {
    return FieldForm::u8;
}
template <>
constexpr FieldForm form_of<std::uint16_t>() {
    return FieldForm::u16;
}
template <>
constexpr FieldForm form_of<std::uint32_t>() {
    return FieldForm::u32;
}
template <>
constexpr FieldForm form_of<std::uint64_t>() {
    return FieldForm::u64;
}
template <>
constexpr FieldForm form_of<std::int32_t>() {
    return FieldForm::i32;
}
template <>
constexpr FieldForm form_of<float>() {
    return FieldForm::f32;
}
template <>
constexpr FieldForm form_of<double>() {
    return FieldForm::f64;
}

class FieldWriter {
 public:
    FieldWriter(std::vector<std::byte>& body, std::uint8_t layout) : body_(body), writer_(body) {
        writer_.put(layout);
        writer_.put(std::uint8_t{0});
        writer_.put(std::uint16_t{0});  // the number of fields, known at the end
    }
    template <class T>
    void put(std::uint16_t tag, T value) {
        head(tag, static_cast<std::uint8_t>(form_of<T>()));
        writer_.put(value);
    }
    template <class T>
    void put_array(std::uint16_t tag, const std::vector<T>& values) {
        head(tag, static_cast<std::uint8_t>(form_of<T>()) | kArray);
        writer_.put(static_cast<std::uint32_t>(values.size()));
        writer_.put_array(std::span<const T>(values));
    }
    static constexpr std::uint8_t kArray = 0x80;

 private:
    void head(std::uint16_t tag, std::uint8_t form) {
        writer_.put(tag);
        writer_.put(form);
        ++fields_;
        body_[2] = static_cast<std::byte>(fields_ & 0xFF);
        body_[3] = static_cast<std::byte>(fields_ >> 8);
    }

    std::vector<std::byte>& body_;
    base::Writer writer_;
    std::uint16_t fields_ = 0;
};

/// One field as it lies in the body.
struct Field {
    std::uint16_t tag = 0;
    FieldForm form = FieldForm::u8;
    bool is_array = false;
    std::uint32_t count = 1;
    std::span<const std::byte> data;  ///< `count` numbers; they are all there

    /// False when the field is an array or of another form.
    template <class T>
    bool get(T& value) const {
        if (is_array || form != form_of<T>()) {
            return false;
        }
        value = base::Reader(data).get<T>();
        return true;
    }
    template <class T>
    bool get(std::vector<T>& values) const {
        return is_array && form == form_of<T>() && base::Reader(data).get_array(values, count);
    }
};

/// Fields in their order. Allocates nothing.
class FieldReader {
 public:
    explicit FieldReader(std::span<const std::byte> body);
    std::uint8_t layout() const { return layout_; }
    /// The next field; nothing at the end, and when the body does not fit.
    std::optional<Field> next();
    bool good() const { return good_; }                ///< so far every field was whole
    std::size_t left() const { return body_.size(); }  ///< bytes that no field was read from yet
    /// After the last field: every field was whole and nothing follows.
    bool complete() const { return good_ && fields_ == 0 && body_.empty(); }

 private:
    std::span<const std::byte> take(std::uint64_t size);
    std::span<const std::byte> body_;
    std::uint8_t layout_ = 0;
    std::uint16_t fields_ = 0;
    bool good_ = true;
};

}  // namespace moescope::protocol
