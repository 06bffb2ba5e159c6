// Curves that another program recorded, as records of the journal: a run of kind "imported" has any number of them,
// each in pieces. Pure, as records.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moescope::protocol {

/// Points of a piece; a whole one stays well below the limit of a record.
inline constexpr std::size_t kCurvePiecePoints = 16'384;
inline constexpr std::size_t kMostCurves = 2000;                               ///< of a run
inline constexpr std::uint64_t kLastCurveStep = (std::uint64_t{1} << 53) - 1;  ///< columns hold steps as doubles

/// A piece of one curve. The pieces of a curve follow each other in the journal and its steps rise from point to point
/// and from piece to piece.
struct CurveRecord {
    std::uint32_t run = 0;
    std::uint16_t curve = 0;  ///< number of the curve within the run, from 0
    std::string name;         ///< as the other program calls it
    std::string key;          ///< of what we call it: of base::kStepValues or kEvaluationKeys; empty: nothing of ours
    std::string unit;         ///< empty: none, or not known
    std::vector<std::uint64_t> steps;
    std::vector<double> values;      ///< [steps]; NaN: a hole
    std::vector<double> wall_times;  ///< [steps], seconds since 1970; or empty: not known
};

/// Keys of held-out losses: of English text, of Chinese text, of text of which nothing is said. nats/token.
inline constexpr const char* kEvaluationEnglish = "evaluation.en";
inline constexpr const char* kEvaluationChinese = "evaluation.zh";
inline constexpr const char* kEvaluationAny = "evaluation";

/// Tagged fields (tagged_fields.hpp, docs/protocol.md).
std::vector<std::byte> encode_curve(const CurveRecord& record);
/// Nothing for a body that does not fit: lists of unequal length, steps that do not rise or are too large, a curve
/// beyond kMostCurves.
std::optional<CurveRecord> decode_curve(std::span<const std::byte> body);

}  // namespace moescope::protocol
