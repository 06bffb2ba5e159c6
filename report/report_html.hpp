// Pieces that the report's files share. Private to this folder.
#pragma once

#include <string>
#include <string_view>

#include "base/html.hpp"
#include "base/numbers.hpp"
#include "probes/reasoning.hpp"
#include "report/report.hpp"

namespace moescope::report::html {

/// Short names for what every line of the page needs.
inline std::string escape(std::string_view text) {
    return base::escape_html(text);
}
inline std::string number(double value, int decimals) {
    return base::fixed_text(value, decimals);
}
/// Significant digits for axis ticks and manifests.
inline std::string compact(double value) {
    return base::general_text(value);
}
/// A JSON number as number() prints it times `scale`, "–" for null and anything else.
std::string number(const nlohmann::json& value, int decimals, double scale = 1);
/// p-values: four decimals, "<0.0001" below.
std::string p_value(const nlohmann::json& value);

/// The report's own words, already escaped: "report.<key>" of assets/languages/*/report.json. Unknown keys give
/// themselves, escaped.
class Words {
 public:
    explicit Words(std::string_view language) : chinese_(language == "zh") {}
    std::string operator()(std::string_view key) const;
    static bool has(std::string_view key);
    const char* code() const { return chinese_ ? "zh-Hans" : "en"; }
    // Marks as the language writes them.
    const char* colon() const { return chinese_ ? "：" : ": "; }
    const char* comma() const { return chinese_ ? "，" : ", "; }
    const char* semicolon() const { return chinese_ ? "；" : "; "; }
    std::string in_brackets(const std::string& escaped) const;
    /// "step 58", with the word before or around the number.
    std::string step(const std::string& number) const;
    /// A unit of base/step_values.hpp ("nats/token"), escaped; one that has no word here as it is.
    std::string unit(std::string_view name) const;
    /// Of a map with "en" and "zh", the one in this language, escaped.
    std::string of(const std::map<std::string, std::string>& texts) const;

 private:
    bool chinese_;
};

std::string chart_svg(const Chart& chart, const Words& words);
/// False for a size that no map is drawn of.
bool load_fits(const Load& load);
/// Colours reach to `scale` times the even share; a share above has the last one.
std::string load_svg(const Load& load, double scale, const Words& words);
/// An interval on an axis from `low_end` to `high_end` with a thin line at `reference`.
std::string interval_svg(const nlohmann::json& interval, double low_end, double high_end, double reference);
/// Five shares as one bar, engagement 0 to 4.
std::string engagement_svg(const nlohmann::json& counts, const Words& words);

/// F1 and F2 of an answer as two small marks.
std::string label_chips(const probes::Labels& labels, const Words& words);
/// A model's text: its reasoning in a block that folds, its answer below. `shown`: what the model read before it.
std::string answer_text(std::string_view text, std::string_view shown, const Words& words);
/// What a model read, in a block that folds; nothing when it is not known.
std::string shown_text(std::string_view shown, const Words& words);
/// "Records SHA-256: ..." for captions.
std::string source_line(const Run& run, const Words& words);
std::string probe_section(const Probe& probe, const Words& words, std::size_t index);

}  // namespace moescope::report::html
