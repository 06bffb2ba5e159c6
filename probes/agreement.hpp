// How far several coders agree about the same answers. Pure. The answer is what is coded; the item (the question) is
// what is resampled, as the answers to one question are no independent observations.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "probes/probes.hpp"

namespace moescope::probes {

/// One answer, and in which category each coder put it.
struct CodedUnit {
    std::string item;         ///< the question that it answers
    std::vector<int> values;  ///< [coders], 0 to categories - 1; anything else: that coder has not coded it
};

/// A square table, row by row: [categories * categories].
struct CategoryTable {
    std::size_t categories = 0;
    std::vector<double> cells;
    explicit CategoryTable(std::size_t count) : categories(count), cells(count * count, 0) {}
    double& at(std::size_t row, std::size_t column) { return cells[row * categories + column]; }
    double at(std::size_t row, std::size_t column) const { return cells[row * categories + column]; }
    double sum() const;
};

/// nominal: two categories are the same or not. ordinal: the further apart, the worse.
enum class Scale { nominal, ordinal };

/// Of two coders: at(i, j) answers that the first put into i and the second into j. Chance-corrected agreement (Cohen
/// 1960); ordinal: weighted by distance, linear weights 1 - |i - j| / (k - 1) (Cohen 1968). NaN when the table is
/// empty or both coders put everything into one category: then chance alone agrees always.
double cohen_kappa(const CategoryTable& table, Scale scale);
/// The share of answers on which two agree (ordinal: with the same weights). NaN of an empty table.
double observed_agreement(const CategoryTable& table, Scale scale);
/// Gwet's AC1 of two coders (Gwet 2008), which does not collapse as kappa does where nearly all answers are alike; over
/// all categories of the scale, used or not. NaN of an empty table.
double gwet_ac1(const CategoryTable& table);
/// The coincidences of all pairs of codings within each answer (Krippendorff 2011, step B), m coders of an answer
/// counting 1 / (m - 1) a pair; answers that fewer than two have coded count nothing.
CategoryTable coincidences(std::span<const CodedUnit> units, std::size_t categories);
/// Krippendorff's alpha of such a table: 1 - observed / expected disagreement, for any number of coders and with
/// codings missing (Krippendorff 2011, the nominal and the ordinal metric). NaN where all codings are alike.
double krippendorff_alpha(const CategoryTable& coincidences, Scale scale);

/// `kappa` or alpha with its 95 % interval, by resampling items (percentile bootstrap, seeded; resamples without any
/// variation are left out). Where the resamples are all alike (everybody agreed), resampling sees no spread: then the
/// Wilson interval of the agreement over items, put through the same correction for chance, stands in its place. low
/// and high are NaN with fewer than two items.
struct AgreementFigure {
    Interval value;
    bool wilson = false;
};
AgreementFigure kappa_with_interval(std::span<const CodedUnit> units, std::size_t first, std::size_t second,
                                    std::size_t categories, Scale scale);
AgreementFigure alpha_with_interval(std::span<const CodedUnit> units, std::size_t categories, Scale scale);

/// What coders say of the answers, for statistics(): null when no answer was coded by two. Layout in README.md.
nlohmann::json agreement(const std::vector<Draw>& draws);
/// Whether two coders have coded this answer differently, in F1 or F2.
bool coders_disagree(const std::vector<CoderLabels>& coders);

}  // namespace moescope::probes
