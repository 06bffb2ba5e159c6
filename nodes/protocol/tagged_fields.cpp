#include "nodes/protocol/tagged_fields.hpp"

namespace moescope::protocol {

namespace {

/// Bytes of one number, 0 for a form that is not known: a field of it cannot be skipped.
std::uint64_t size_of(FieldForm form) {
    switch (form) {
        case FieldForm::u8:
            return 1;
        case FieldForm::u16:
            return 2;
        case FieldForm::u32:
        case FieldForm::i32:
        case FieldForm::f32:
            return 4;
        case FieldForm::u64:
        case FieldForm::i64:
        case FieldForm::f64:
            return 8;
    }
    return 0;
}

}  // namespace

FieldReader::FieldReader(std::span<const std::byte> body) : body_(body) {
    const auto head = take(4);
    if (good_) {
        base::Reader reader(head);
        layout_ = reader.get<std::uint8_t>();
        good_ = reader.get<std::uint8_t>() == 0;
        fields_ = reader.get<std::uint16_t>();
    }
}

std::span<const std::byte> FieldReader::take(std::uint64_t size) {
    if (!good_ || size > body_.size()) {
        good_ = false;
        return {};
    }
    const auto taken = body_.first(static_cast<std::size_t>(size));
    body_ = body_.subspan(taken.size());
    return taken;
}

std::optional<Field> FieldReader::next() {
    if (!good_ || fields_ == 0) {
        return std::nullopt;
    }
    --fields_;
    Field field;
    base::Reader head(take(3));
    field.tag = head.get<std::uint16_t>();
    const auto form = head.get<std::uint8_t>();
    field.is_array = (form & FieldWriter::kArray) != 0;
    field.form = static_cast<FieldForm>(form & ~FieldWriter::kArray);
    if (field.is_array) {
        field.count = base::Reader(take(4)).get<std::uint32_t>();
    }
    const std::uint64_t size = size_of(field.form);
    good_ = good_ && size > 0;
    field.data = take(size * field.count);
    if (!good_) {
        return std::nullopt;
    }
    return field;
}

}  // namespace moescope::protocol
