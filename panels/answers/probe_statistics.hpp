// The statistics of a probe run as plain values, read once from the JSON that probes/ computed in the node. The panel
// shows these numbers and computes none of its own, so that screen and report agree.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace moescope::panels {

struct ProbeRate {
    std::optional<double> estimate;  ///< none when nothing was usable
    double low = 0, high = 1;        ///< 95 % interval
    std::uint64_t count = 0;
    bool bootstrap = false;             ///< of several draws per prompt; otherwise Wilson
    std::optional<double> worst, best;  ///< with every missing answer counted against and for
};
struct ProbeCell {
    std::string group, topic, model, language;  ///< topic empty: the whole group
    std::uint64_t items = 0, n = 0, missing = 0, pending = 0;
    bool descriptive_only = false;
    std::map<std::string, ProbeRate> rates;  ///< by measure: "engaged", "refused"
    std::map<std::string, std::uint64_t> deliveries;
    std::array<std::uint64_t, 5> engagement{};
};
struct ProbeSide {
    std::string model, language;
};
struct ProbeTest {
    std::string kind, measure, group, method;  ///< kind: "models" (per language) or "languages" (per model)
    ProbeSide first, second;
    std::uint64_t n = 0, missing = 0, only_first = 0, only_second = 0;
    std::optional<double> difference, p, p_holm, detectable;
    double low = -1, high = 1;
    bool can_reach = false, descriptive_only = false;
};
struct ProbeContrast {
    std::string kind;
    ProbeSide first, second;
    std::optional<double> estimate;
    double low = -1, high = 1;
    std::uint64_t n_state = 0, n_mirror = 0;
    bool descriptive_only = false;
};
/// A figure that may not be defined, with an interval that may not be known.
struct ProbeFigure {
    std::optional<double> estimate, low, high;
};
/// How far coders agree; answers 0: no answer was coded by two.
struct ProbeAgreement {
    struct Pair {
        std::string first, second;
        std::uint64_t n = 0;  ///< answers that both have coded
        double agreed = 0;    ///< share
        ProbeFigure kappa;
    };
    struct Field {
        std::string field;  ///< delivery or engagement
        std::uint64_t n = 0, alike = 0;
        ProbeFigure alpha;
        std::vector<Pair> pairs;
    };
    std::size_t coders = 0;
    std::uint64_t answers = 0, disagreements = 0, open = 0;
    std::vector<Field> fields;
};
struct ProbeStatistics {
    std::vector<std::string> models, languages, measures;
    std::map<std::string, std::map<std::string, std::string>> topics;  ///< topic -> language -> title
    std::vector<ProbeCell> cells;
    std::vector<ProbeTest> tests;
    std::vector<ProbeContrast> contrasts;
    double alpha = 0.05, power = 0.8;
    /// Group -> prompts and the smallest difference that they show with this power; none: no difference can be shown.
    std::map<std::string, std::pair<std::uint64_t, std::optional<double>>> detectable;
    std::uint64_t by_person = 0;
    ProbeAgreement agreement;

    const ProbeCell* find(const std::string& group, const std::string& topic, const std::string& model,
                          const std::string& language) const;
};
/// Missing or odd values become empty ones; never throws.
ProbeStatistics read_statistics(const nlohmann::json& json);

}  // namespace moescope::panels
