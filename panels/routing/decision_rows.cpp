#include "panels/routing/decision_rows.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <numeric>

#include "base/text.hpp"
#include "routing/number_codes.hpp"

namespace moescope::panels {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

float at_or_none(const std::vector<float>& values, std::size_t at) {
    return at < values.size() ? values[at] : kNone;
}

int group_of(std::size_t expert, std::size_t experts, int groups) {
    const std::size_t width = experts / static_cast<std::size_t>(std::max(groups, 1));
    return groups > 1 && width > 0 ? static_cast<int>(expert / width) : 0;
}

/// A number as a file has it; nothing for NaN. `digits`: significant ones of what is rounded; 0: all.
std::string field(float value, int digits = 0) {
    return !std::isfinite(value) ? std::string()
           : digits > 0          ? fmt::format("{:.{}g}", value, digits)
                                 : fmt::format("{}", value);
}

/// So many significant digits, zeros at the end included: below each other, numbers have the digits that are known.
std::string with_digits(const ui::Language& text, float value, int digits) {
    const double size = std::abs(static_cast<double>(value));
    if (!(size >= 1e-4 && size < 1e3)) {
        return text.number(static_cast<double>(value), digits);
    }
    const int before = static_cast<int>(std::floor(std::log10(size))) + 1;
    return fmt::format("{:.{}f}", value, std::max(0, digits - before));
}

float value_in(const ExpertRow& row, ExpertColumn column) {
    switch (column) {
        case ExpertColumn::expert:
            return static_cast<float>(row.expert);
        case ExpertColumn::logit:
            return row.logit;
        case ExpertColumn::score:
            return row.score;
        case ExpertColumn::bias:
            return row.bias;
        case ExpertColumn::selection:
            return row.selection;
        case ExpertColumn::group:
            return static_cast<float>(row.group);
        case ExpertColumn::weight:
            return row.weight;
    }
    return kNone;
}

}  // namespace

std::vector<LayerRow> layer_rows(const routing::RouterSpec& spec, const routing::Chunk& chunk, std::size_t at,
                                 const std::vector<routing::LayerDecision>& scores) {
    std::vector<LayerRow> rows;
    for (std::size_t place = 0; place < spec.routed_layers.size(); ++place) {
        LayerRow row;
        row.layer = spec.routed_layers[place];
        row.by_token = routing::chooses_by_token(spec, row.layer);
        row.margin = row.entropy = kNone;
        if (at < chunk.tokens && place < chunk.shape.layers && !chunk.chosen.empty()) {
            const std::size_t cell = chunk.cell(place, at);
            row.known = chunk.chosen[cell] > 0;
            row.margin = at_or_none(chunk.margin, cell);
            row.entropy = at_or_none(chunk.entropy, cell);
            row.rounded = chunk.is_rounded(at);
            if (!chunk.ids.empty()) {
                const auto ids = chunk.ids_of(place, at);
                const auto weights = chunk.weights_of(place, at);
                for (std::size_t rank = 0; rank < ids.size(); ++rank) {
                    row.chosen.push_back({ids[rank], rank < weights.size() ? weights[rank] : kNone});
                }
            }
        }
        const auto detail = std::find_if(scores.begin(), scores.end(),
                                         [&](const routing::LayerDecision& one) { return one.layer == row.layer; });
        if (detail != scores.end()) {
            row.groups_kept = spec.groups > 1 ? detail->groups_kept : std::vector<std::int32_t>();
            if (row.rounded && !row.chosen.empty() && detail->ids.size() == row.chosen.size() &&
                detail->weights.size() == row.chosen.size()) {
                // A piece may have been unpacked before its scores came.
                for (std::size_t rank = 0; rank < row.chosen.size(); ++rank) {
                    row.chosen[rank] = {detail->ids[rank], detail->weights[rank]};
                }
                row.margin = detail->margin;
                row.entropy = detail->entropy;
                row.rounded = false;
            }
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

LayerDetail layer_detail(const routing::RouterSpec& spec, const routing::LayerDecision& decision,
                         const routing::LayerChange* change) {
    LayerDetail detail;
    detail.layer = decision.layer;
    detail.margin = decision.margin;
    detail.entropy = decision.entropy;
    detail.has_logits = !decision.logits.empty();
    const auto experts = static_cast<std::size_t>(std::max(spec.experts, 0));
    const auto kept = [&](int group) {
        return spec.groups <= 1 || decision.groups_kept.empty() ||
               std::find(decision.groups_kept.begin(), decision.groups_kept.end(), group) != decision.groups_kept.end();
    };
    for (int group = 0; spec.groups > 1 && group < spec.groups; ++group) {
        detail.groups.push_back(
            {group, at_or_none(decision.group_scores, static_cast<std::size_t>(group)), kept(group)});
    }
    for (std::size_t expert = 0; expert < experts; ++expert) {
        ExpertRow row;
        row.expert = static_cast<int>(expert);
        row.group = group_of(expert, experts, spec.groups);
        row.logit = at_or_none(decision.logits, expert);
        row.score = at_or_none(decision.scores, expert);
        row.selection = at_or_none(decision.selection, expert);
        row.bias = row.selection - row.score;
        row.weight = kNone;
        row.masked = !kept(row.group);
        if (change != nullptr) {
            row.knocked_out = change->is_out(expert);
            row.zeroed = change->is_zero(expert);
            row.forced = std::find(change->forced.begin(), change->forced.end(), row.expert) != change->forced.end();
        }
        // What is left of rounding is no bias.
        detail.has_bias = detail.has_bias || std::abs(row.bias) > 1e-6f * std::max(1.0f, std::abs(row.score));
        detail.experts.push_back(row);
    }
    for (std::size_t rank = 0; rank < decision.ids.size(); ++rank) {
        const auto id = static_cast<std::size_t>(decision.ids[rank]);
        if (decision.ids[rank] < 0 || id >= experts) {
            continue;
        }
        detail.experts[id].rank = static_cast<int>(rank);
        detail.experts[id].weight = at_or_none(decision.weights, rank);
        detail.last_chosen = decision.ids[rank];
    }
    float best = kNone;
    for (const ExpertRow& row : detail.experts) {
        if (row.rank < 0 && !row.masked && !row.knocked_out && std::isfinite(row.selection) &&
            (std::isnan(best) || row.selection > best)) {
            best = row.selection;
            detail.first_left = row.expert;
        }
    }
    return detail;
}

std::vector<std::size_t> sorted_experts(const LayerDetail& detail, ExpertColumn by, bool descending) {
    std::vector<std::size_t> order(detail.experts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const float x = value_in(detail.experts[a], by), y = value_in(detail.experts[b], by);
        if (std::isnan(x) || std::isnan(y)) {
            return !std::isnan(x) && std::isnan(y);
        }
        return descending ? x > y : x < y;
    });
    return order;
}

std::string score_text(const ui::Language& text, float value) {
    return with_digits(text, value, 3);
}

std::string margin_text(const ui::Language& text, float value, bool rounded) {
    return with_digits(text, value, rounded ? routing::kMarginDigits : 3);
}

const char* rounded_key(float margin) {
    return std::isnan(margin) ? "decision.rounded.weights" : "decision.rounded";
}

std::string decisions_csv(const std::vector<LayerRow>& rows) {
    std::string csv = "layer,rank,expert,weight,margin,entropy (nats)\r\n";
    for (const LayerRow& row : rows) {
        const auto digits = [&](int some) { return row.rounded ? some : 0; };
        for (std::size_t rank = 0; rank < row.chosen.size(); ++rank) {
            fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{}\r\n", row.layer, rank + 1,
                           row.chosen[rank].expert, field(row.chosen[rank].weight, digits(routing::kWeightDigits)),
                           field(row.margin, digits(routing::kMarginDigits)),
                           field(row.entropy, digits(routing::kEntropyDigits)));
        }
    }
    return csv;
}

std::string detail_csv(const LayerDetail& detail) {
    std::string csv = "layer,expert,group,group kept,logit,score,bias,selection score,rank,weight\r\n";
    for (const ExpertRow& row : detail.experts) {
        fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{},{},{}\r\n", detail.layer, row.expert,
                       row.group, row.masked ? "no" : "yes", field(row.logit), field(row.score), field(row.bias),
                       field(row.selection), row.rank >= 0 ? std::to_string(row.rank + 1) : std::string(),
                       field(row.weight));
    }
    return csv;
}

}  // namespace moescope::panels
