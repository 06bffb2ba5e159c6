// Pieces that the report's files share. Private to this folder.
#pragma once

#include <string>
#include <string_view>

#include "report/report.hpp"

namespace moescope::report::html {

/// Text for element content and quoted attributes: markup escaped, invalid UTF-8 and control characters replaced by
/// U+FFFD.
std::string escape(std::string_view text);

/// `value` with `decimals` places and a point, whatever the locale; "–" when it is not finite.
std::string number(double value, int decimals);
/// Significant digits for axis ticks and manifests.
std::string compact(double value);
/// A JSON number as number() prints it times `scale`, "–" for null and anything else.
std::string number(const nlohmann::json& value, int decimals, double scale = 1);
/// p-values: four decimals, "<0.0001" below.
std::string p_value(const nlohmann::json& value);

/// The report's own words, already escaped. Unknown keys give themselves, escaped.
class Words {
 public:
    explicit Words(std::string_view language) : chinese_(language == "zh") {}
    std::string operator()(std::string_view key) const;
    const char* code() const { return chinese_ ? "zh-Hans" : "en"; }
    /// Of a map with "en" and "zh", the one in this language, escaped.
    std::string of(const std::map<std::string, std::string>& texts) const;

 private:
    bool chinese_;
};

std::string chart_svg(const Chart& chart, const Words& words);
std::string load_svg(const Load& load, const Words& words);
/// An interval on an axis from `low_end` to `high_end` with a thin line at `reference`.
std::string interval_svg(const nlohmann::json& interval, double low_end, double high_end, double reference);
/// Five shares as one bar, engagement 0 to 4.
std::string engagement_svg(const nlohmann::json& counts, const Words& words);

/// "Records SHA-256: ..." for captions.
std::string source_line(const Run& run, const Words& words);
std::string probe_section(const Probe& probe, const Words& words, std::size_t index);

}  // namespace moescope::report::html
