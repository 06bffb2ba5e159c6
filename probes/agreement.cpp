#include "probes/agreement.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "probes/resample.hpp"

namespace moescope::probes {
namespace {

using nlohmann::json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr int kAgreementResamples = 2000;
/// Pairs of coders that are told one by one; more coders than a dozen are a survey.
constexpr std::size_t kMostPairsOfCoders = 66;

double weight(std::size_t i, std::size_t j, std::size_t categories, Scale scale) {
    if (scale == Scale::nominal || categories < 2) {
        return i == j ? 1 : 0;
    }
    const double apart = i < j ? static_cast<double>(j - i) : static_cast<double>(i - j);
    return 1 - apart / static_cast<double>(categories - 1);
}

struct Margins {
    std::vector<double> rows, columns;
};

Margins margins(const CategoryTable& table) {
    Margins sums{std::vector<double>(table.categories, 0), std::vector<double>(table.categories, 0)};
    for (std::size_t i = 0; i < table.categories; ++i) {
        for (std::size_t j = 0; j < table.categories; ++j) {
            sums.rows[i] += table.at(i, j);
            sums.columns[j] += table.at(i, j);
        }
    }
    return sums;
}

/// By chance, with the margins as they are; of a table that is not empty.
double expected_agreement(const CategoryTable& table, Scale scale) {
    const Margins sums = margins(table);
    const double n = table.sum();
    double expected = 0;
    for (std::size_t i = 0; i < table.categories; ++i) {
        for (std::size_t j = 0; j < table.categories; ++j) {
            expected += weight(i, j, table.categories, scale) * sums.rows[i] * sums.columns[j];
        }
    }
    return expected / (n * n);
}

constexpr double kRounding = 1e-12;

/// The squared distance of two categories in the ordinal metric: the codings between them, the ends by half.
double ordinal_distance(const std::vector<double>& counts, std::size_t i, std::size_t j) {
    const auto [low, high] = std::minmax(i, j);
    double between = -(counts[low] + counts[high]) / 2;
    for (std::size_t g = low; g <= high; ++g) {
        between += counts[g];
    }
    return between * between;
}

bool coded(int value, std::size_t categories) {
    return value >= 0 && static_cast<std::size_t>(value) < categories;
}

void add_to(CategoryTable& sum, const CategoryTable& part) {
    for (std::size_t i = 0; i < sum.cells.size(); ++i) {
        sum.cells[i] += part.cells[i];
    }
}

/// Each figure here depends on a table that is the sum of the items' tables.
using Figure = std::function<double(const CategoryTable&)>;

AgreementFigure with_interval(const std::vector<CategoryTable>& items, std::size_t categories, const Figure& figure,
                              double agreement, Scale scale) {
    CategoryTable all(categories);
    for (const CategoryTable& item : items) {
        add_to(all, item);
    }
    const double estimate = figure(all);
    AgreementFigure result{{estimate, kNone, kNone}, false};
    if (!std::isfinite(estimate) || items.size() < 2) {
        return result;
    }
    Random random(kResampleSeed);
    std::vector<double> samples;
    for (int i = 0; i < kAgreementResamples; ++i) {
        CategoryTable drawn(categories);
        for (std::size_t k = 0; k < items.size(); ++k) {
            add_to(drawn, items[random.below(items.size())]);
        }
        if (const double value = figure(drawn); std::isfinite(value)) {
            samples.push_back(value);
        }
    }
    if (2 * samples.size() < static_cast<std::size_t>(kAgreementResamples)) {
        return result;
    }
    std::sort(samples.begin(), samples.end());
    const auto at = [&](double q) {
        return samples[static_cast<std::size_t>(std::llround(q * static_cast<double>(samples.size() - 1)))];
    };
    result.value.low = at(0.025);
    result.value.high = at(0.975);
    if (result.value.high - result.value.low < kRounding) {
        const Interval share = base::wilson_of_rate(agreement, static_cast<double>(items.size()));
        const double chance = expected_agreement(all, scale);
        result.wilson = true;
        result.value.low = (share.low - chance) / (1 - chance);
        result.value.high = std::min(1.0, (share.high - chance) / (1 - chance));
    }
    return result;
}

/// By question, those that `table_of` has anything for.
std::vector<CategoryTable> by_item(std::span<const CodedUnit> units,
                                   const std::function<CategoryTable(std::span<const CodedUnit>)>& table_of) {
    std::map<std::string, std::vector<CodedUnit>> items;
    for (const CodedUnit& unit : units) {
        items[unit.item].push_back(unit);
    }
    std::vector<CategoryTable> tables;
    for (const auto& [item, own] : items) {
        if (CategoryTable table = table_of(own); table.sum() > 0) {
            tables.push_back(std::move(table));
        }
    }
    return tables;
}

CategoryTable pair_table(std::span<const CodedUnit> units, std::size_t first, std::size_t second,
                         std::size_t categories) {
    CategoryTable table(categories);
    for (const CodedUnit& unit : units) {
        if (first < unit.values.size() && second < unit.values.size() && coded(unit.values[first], categories) &&
            coded(unit.values[second], categories)) {
            table.at(static_cast<std::size_t>(unit.values[first]), static_cast<std::size_t>(unit.values[second])) += 1;
        }
    }
    return table;
}

json number(double value) {
    return std::isfinite(value) ? json(value) : json();
}

json figure_json(const AgreementFigure& figure) {
    return {{"estimate", number(figure.value.estimate)},
            {"low", number(figure.value.low)},
            {"high", number(figure.value.high)},
            {"method", figure.wilson ? "wilson" : "bootstrap"}};
}

constexpr int kLevels = 5;

struct Field {
    const char* name;
    Scale scale;
    std::size_t categories;
    int (*value)(const Labels& labels);
};
constexpr std::array<Field, 2> kFields{
    Field{"delivery", Scale::nominal, kDeliveries.size(),
          [](const Labels& labels) { return static_cast<int>(labels.delivery); }},
    Field{"engagement", Scale::ordinal, kLevels, [](const Labels& labels) { return labels.engagement; }}};

json field_json(const Field& field, const std::vector<CodedUnit>& units, const std::vector<std::string>& coders) {
    std::size_t answers = 0, alike = 0;
    for (const CodedUnit& unit : units) {
        std::vector<int> given;
        std::copy_if(unit.values.begin(), unit.values.end(), std::back_inserter(given),
                     [&](int value) { return coded(value, field.categories); });
        if (given.size() > 1) {
            ++answers;
            alike += std::all_of(given.begin(), given.end(), [&](int value) { return value == given.front(); }) ? 1 : 0;
        }
    }
    json pairs = json::array();
    for (std::size_t i = 0; i < coders.size(); ++i) {
        for (std::size_t j = i + 1; j < coders.size() && pairs.size() < kMostPairsOfCoders; ++j) {
            const CategoryTable table = pair_table(units, i, j, field.categories);
            if (table.sum() <= 0) {
                continue;
            }
            pairs.push_back({{"first", coders[i]},
                             {"second", coders[j]},
                             {"n", static_cast<std::uint64_t>(table.sum())},
                             {"agreed", number(observed_agreement(table, Scale::nominal))},
                             {"kappa", figure_json(kappa_with_interval(units, i, j, field.categories, field.scale))},
                             {"ac1", field.scale == Scale::nominal ? number(gwet_ac1(table)) : json()}});
        }
    }
    return {{"field", field.name},
            {"scale", field.scale == Scale::nominal ? "nominal" : "ordinal"},
            {"n", answers},
            {"alike", alike},
            {"alpha", figure_json(alpha_with_interval(units, field.categories, field.scale))},
            {"pairs", pairs}};
}

}  // namespace

double CategoryTable::sum() const {
    return std::accumulate(cells.begin(), cells.end(), 0.0);
}

double observed_agreement(const CategoryTable& table, Scale scale) {
    double agreed = 0;
    for (std::size_t i = 0; i < table.categories; ++i) {
        for (std::size_t j = 0; j < table.categories; ++j) {
            agreed += weight(i, j, table.categories, scale) * table.at(i, j);
        }
    }
    const double n = table.sum();
    return n > 0 ? agreed / n : kNone;
}

double cohen_kappa(const CategoryTable& table, Scale scale) {
    if (table.sum() <= 0) {
        return kNone;
    }
    const double expected = expected_agreement(table, scale);
    return 1 - expected < kRounding ? kNone : (observed_agreement(table, scale) - expected) / (1 - expected);
}

double gwet_ac1(const CategoryTable& table) {
    const double n = table.sum();
    if (n <= 0 || table.categories < 2) {
        return kNone;
    }
    const Margins sums = margins(table);
    double chance = 0;
    for (std::size_t i = 0; i < table.categories; ++i) {
        const double share = (sums.rows[i] + sums.columns[i]) / (2 * n);
        chance += share * (1 - share);
    }
    chance /= static_cast<double>(table.categories - 1);
    return (observed_agreement(table, Scale::nominal) - chance) / (1 - chance);
}

CategoryTable coincidences(std::span<const CodedUnit> units, std::size_t categories) {
    CategoryTable table(categories);
    for (const CodedUnit& unit : units) {
        std::vector<double> counts(categories, 0);
        double m = 0;
        for (const int value : unit.values) {
            if (coded(value, categories)) {
                counts[static_cast<std::size_t>(value)] += 1;
                m += 1;
            }
        }
        if (m < 2) {
            continue;
        }
        for (std::size_t i = 0; i < categories; ++i) {
            for (std::size_t j = 0; j < categories; ++j) {
                table.at(i, j) += counts[i] * (counts[j] - (i == j ? 1 : 0)) / (m - 1);
            }
        }
    }
    return table;
}

double krippendorff_alpha(const CategoryTable& table, Scale scale) {
    const std::vector<double> counts = margins(table).rows;
    const double n = table.sum();
    double observed = 0, expected = 0;
    for (std::size_t i = 0; i < table.categories; ++i) {
        for (std::size_t j = i + 1; j < table.categories; ++j) {
            const double distance = scale == Scale::nominal ? 1 : ordinal_distance(counts, i, j);
            observed += table.at(i, j) * distance;
            expected += counts[i] * counts[j] * distance;
        }
    }
    return expected <= 0 ? kNone : 1 - (n - 1) * observed / expected;
}

AgreementFigure kappa_with_interval(std::span<const CodedUnit> units, std::size_t first, std::size_t second,
                                    std::size_t categories, Scale scale) {
    const auto table_of = [&](std::span<const CodedUnit> some) { return pair_table(some, first, second, categories); };
    return with_interval(
        by_item(units, table_of), categories, [&](const CategoryTable& table) { return cohen_kappa(table, scale); },
        observed_agreement(table_of(units), scale), scale);
}

AgreementFigure alpha_with_interval(std::span<const CodedUnit> units, std::size_t categories, Scale scale) {
    const auto table_of = [&](std::span<const CodedUnit> some) { return coincidences(some, categories); };
    return with_interval(
        by_item(units, table_of), categories,
        [&](const CategoryTable& table) { return krippendorff_alpha(table, scale); },
        observed_agreement(table_of(units), scale), scale);
}

bool coders_disagree(const std::vector<CoderLabels>& coders) {
    std::optional<Delivery> delivery;
    int engagement = -1;
    for (const CoderLabels& one : coders) {
        const bool other_level = engagement >= 0 && one.labels.engagement >= 0 && one.labels.engagement != engagement;
        if ((delivery && *delivery != one.labels.delivery) || other_level) {
            return true;
        }
        delivery = one.labels.delivery;
        engagement = std::max(engagement, one.labels.engagement);
    }
    return false;
}

json agreement(const std::vector<Draw>& draws) {
    std::vector<std::string> coders;
    std::uint64_t both = 0, disagreements = 0, open = 0, consensus = 0;
    for (const Draw& draw : draws) {
        consensus += draw.consensus ? 1 : 0;
        if (draw.coders.size() < 2) {
            continue;
        }
        ++both;
        for (const CoderLabels& one : draw.coders) {
            if (std::find(coders.begin(), coders.end(), one.coder) == coders.end()) {
                coders.push_back(one.coder);
            }
        }
        if (coders_disagree(draw.coders)) {
            ++disagreements;
            open += draw.consensus ? 0 : 1;
        }
    }
    if (both == 0) {
        return nullptr;
    }
    std::sort(coders.begin(), coders.end());
    json fields = json::array();
    for (const Field& field : kFields) {
        std::vector<CodedUnit> units;
        for (const Draw& draw : draws) {
            if (draw.coders.size() < 2) {
                continue;
            }
            CodedUnit unit{draw.item, std::vector<int>(coders.size(), -1)};
            for (const CoderLabels& one : draw.coders) {
                const auto place = std::lower_bound(coders.begin(), coders.end(), one.coder);
                unit.values[static_cast<std::size_t>(place - coders.begin())] = field.value(one.labels);
            }
            units.push_back(std::move(unit));
        }
        fields.push_back(field_json(field, units, coders));
    }
    return {{"coders", coders}, {"answers", both},        {"disagreements", disagreements},
            {"open", open},     {"consensus", consensus}, {"resamples", kAgreementResamples},
            {"fields", fields}};
}

}  // namespace moescope::probes
