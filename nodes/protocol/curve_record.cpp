#include "nodes/protocol/curve_record.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/foreign_text.hpp"
#include "nodes/protocol/tagged_fields.hpp"

namespace moescope::protocol {

namespace {

constexpr std::uint8_t kLayout = 2;

// Tags are part of the file format and never change their meaning; 1 as in a step.
enum CurveTag : std::uint16_t {
    kRun = 1,
    kCurve = 160,
    kName = 161,       // u8, UTF-8
    kKey = 162,        // u8
    kUnit = 163,       // u8
    kSteps = 164,      // u64 [N]
    kValues = 165,     // f64 [N]
    kWallTimes = 166,  // f64 [N] or empty
};

std::vector<std::uint8_t> bytes_of_text(const std::string& text) {
    return {text.begin(), text.end()};
}

bool take_text(const Field& field, std::string& text) {
    std::vector<std::uint8_t> bytes;
    if (!field.get(bytes)) {
        return false;
    }
    text = base::shown_name(std::string(bytes.begin(), bytes.end()));
    return true;
}

bool take_field(const Field& field, CurveRecord& record) {
    switch (field.tag) {
        case kRun:
            return field.get(record.run);
        case kCurve:
            return field.get(record.curve);
        case kName:
            return take_text(field, record.name);
        case kKey:
            return take_text(field, record.key);
        case kUnit:
            return take_text(field, record.unit);
        case kSteps:
            return field.get(record.steps);
        case kValues:
            return field.get(record.values);
        case kWallTimes:
            return field.get(record.wall_times);
        default:
            return true;
    }
}

bool whole(const CurveRecord& record) {
    const std::size_t count = record.steps.size();
    return record.curve < kMostCurves && record.values.size() == count &&
           (record.wall_times.empty() || record.wall_times.size() == count) &&
           std::adjacent_find(record.steps.begin(), record.steps.end(), std::greater_equal<>()) == record.steps.end() &&
           (count == 0 || record.steps.back() <= kLastCurveStep);
}

}  // namespace

std::vector<std::byte> encode_curve(const CurveRecord& record) {
    std::vector<std::byte> body;
    body.reserve(256 + record.name.size() + 24 * record.steps.size());
    FieldWriter fields(body, kLayout);
    fields.put(kRun, record.run);
    fields.put(kCurve, record.curve);
    fields.put_array(kName, bytes_of_text(record.name));
    fields.put_array(kKey, bytes_of_text(record.key));
    fields.put_array(kUnit, bytes_of_text(record.unit));
    fields.put_array(kSteps, record.steps);
    fields.put_array(kValues, record.values);
    fields.put_array(kWallTimes, record.wall_times);
    return body;
}

std::optional<CurveRecord> decode_curve(std::span<const std::byte> body) {
    FieldReader reader(body);
    if (reader.layout() != kLayout) {
        return std::nullopt;
    }
    CurveRecord record;
    while (const auto field = reader.next()) {
        if (!take_field(*field, record)) {
            return std::nullopt;
        }
    }
    return reader.complete() && whole(record) ? std::optional(std::move(record)) : std::nullopt;
}

}  // namespace moescope::protocol
