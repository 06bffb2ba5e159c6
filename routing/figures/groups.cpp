#include "routing/figures/groups.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moescope::routing {

namespace {

constexpr std::size_t kMostGroups = 64;
constexpr std::size_t kMostCells = std::size_t{1} << 22;  // of all groups: 100 MB

/// Of the share y / n over the texts of a group; 0 with a single one.
double variance(double y, double yy, double yn, double n, double nn, double texts) {
    if (texts < 2 || !(n > 0)) {
        return 0;
    }
    const double p = y / n;
    const double squares = std::max(0.0, yy - 2 * p * yn + p * p * nn);
    return texts / (texts - 1) * squares / (n * n);
}

}  // namespace

GroupLoad::GroupLoad(const Shape& shape, By by)
    : shape_(shape),
      by_(by),
      most_groups_(std::clamp<std::size_t>(kMostCells / (shape.layers * shape.experts), 1, kMostGroups)),
      y_(shape.layers * shape.experts),
      n_(shape.layers) {}

void GroupLoad::close() {
    if (open_group_ == kNoGroup) {
        return;
    }
    Sums& sums = groups_[open_group_];
    for (const std::uint32_t cell : touched_) {
        const double y = y_[cell], n = static_cast<double>(n_[cell / shape_.experts]);
        sums.y[cell] += y;
        sums.yy[cell] += y * y;
        sums.yn[cell] += y * n;
        y_[cell] = 0;
    }
    for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
        const auto n = static_cast<double>(n_[layer]);
        sums.n[layer] += n;
        sums.nn[layer] += n * n;
        n_[layer] = 0;
    }
    ++sums.texts;
    touched_.clear();
    open_group_ = kNoGroup;
}

void GroupLoad::add(const Chunk& chunk) {
    const auto& places = by_ == By::language ? chunk.language : chunk.group;
    std::vector<std::size_t> numbers;
    for (const std::string& name : chunk.names) {
        const auto known = numbers_.find(name);
        numbers.push_back(known == numbers_.end() ? kNoGroup : known->second);
    }
    for (std::size_t at = 0; at < places.size() && !chunk.ids.empty(); ++at) {
        std::size_t& group = numbers[places[at]];
        if (group == kNoGroup) {
            if (groups_.size() == most_groups_) {
                ++left_out_;
                continue;
            }
            const std::size_t cells = shape_.layers * shape_.experts;
            group = groups_.size();
            const std::string& name = chunk.names[places[at]];
            numbers_.emplace(name, group);
            names_.push_back(name);
            groups_.push_back({std::vector<double>(cells), std::vector<double>(cells), std::vector<double>(cells),
                               std::vector<double>(shape_.layers), std::vector<double>(shape_.layers), 0});
        }
        if (open_group_ != group || open_document_ != chunk.document[at]) {
            close();
            open_group_ = group;
            open_document_ = chunk.document[at];
        }
        for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
            const auto ids = chunk.ids_of(layer, at);
            n_[layer] += ids.empty() ? 0 : 1;
            for (const std::uint16_t id : ids) {
                const std::size_t cell = layer * shape_.experts + id;
                if (y_[cell]++ == 0) {
                    touched_.push_back(static_cast<std::uint32_t>(cell));
                }
            }
        }
    }
}

/// One layer of a group, the text that goes on included: [E] each.
GroupLoad::Sums GroupLoad::with_open(std::size_t group, std::size_t layer) const {
    const Sums& all = groups_[group];
    const auto begin = static_cast<std::ptrdiff_t>(layer * shape_.experts),
               end = begin + static_cast<std::ptrdiff_t>(shape_.experts);
    Sums sums{{all.y.begin() + begin, all.y.begin() + end},
              {all.yy.begin() + begin, all.yy.begin() + end},
              {all.yn.begin() + begin, all.yn.begin() + end},
              {all.n[layer]},
              {all.nn[layer]},
              all.texts};
    if (open_group_ == group) {
        const auto n = static_cast<double>(n_[layer]);
        for (std::size_t expert = 0; expert < shape_.experts; ++expert) {
            const double y = y_[layer * shape_.experts + expert];
            sums.y[expert] += y;
            sums.yy[expert] += y * y;
            sums.yn[expert] += y * n;
        }
        sums.n[0] += n;
        sums.nn[0] += n * n;
        ++sums.texts;
    }
    return sums;
}

std::uint64_t GroupLoad::tokens(std::size_t group, std::size_t layer) const {
    return static_cast<std::uint64_t>(groups_[group].n[layer]) + (open_group_ == group ? n_[layer] : 0);
}

std::vector<double> GroupLoad::load(std::size_t group, std::size_t layer) const {
    return with_open(group, layer).y;
}

/// Share of the tokens of all groups, [E]; NaN without any.
std::vector<double> GroupLoad::overall(std::size_t layer) const {
    std::vector<double> shares(shape_.experts);
    double all = 0;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
        const std::vector<double> counts = load(group, layer);
        all += static_cast<double>(tokens(group, layer));
        for (std::size_t expert = 0; expert < shape_.experts; ++expert) {
            shares[expert] += counts[expert];
        }
    }
    for (double& share : shares) {
        share = all > 0 ? share / all : std::numeric_limits<double>::quiet_NaN();
    }
    return shares;
}

std::vector<GroupLoad::Share> GroupLoad::shares(std::size_t group, std::size_t layer) const {
    return shares(group, layer, overall(layer));
}

std::vector<std::vector<GroupLoad::Share>> GroupLoad::shares_of_all(std::size_t layer) const {
    const std::vector<double> all = overall(layer);
    std::vector<std::vector<Share>> result;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
        result.push_back(shares(group, layer, all));
    }
    return result;
}

std::vector<GroupLoad::Share> GroupLoad::shares(std::size_t group, std::size_t layer,
                                                const std::vector<double>& of_all) const {
    const Sums sums = with_open(group, layer);
    const double n = sums.n[0], texts = static_cast<double>(sums.texts);
    std::vector<double> variances(shape_.experts);
    double sum_of_variances = 0, sum_if_independent = 0;
    for (std::size_t expert = 0; expert < shape_.experts && n > 0; ++expert) {
        const double p = sums.y[expert] / n;
        variances[expert] = variance(sums.y[expert], sums.yy[expert], sums.yn[expert], n, sums.nn[0], texts);
        sum_of_variances += variances[expert];
        sum_if_independent += p * (1 - p) / n;
    }
    // An expert that all texts choose alike (never, mostly) shows no variance; it gets the layer's mean design effect.
    const double effect = sum_if_independent > 0 ? std::max(1.0, sum_of_variances / sum_if_independent) : 1.0;
    std::vector<Share> shares(shape_.experts);
    for (std::size_t expert = 0; expert < shape_.experts; ++expert) {
        Share& share = shares[expert];
        share.count = static_cast<std::uint64_t>(sums.y[expert]);
        share.of = static_cast<std::uint64_t>(n);
        share.by_texts = sums.texts > 1;
        share.uniform = static_cast<double>(shape_.per_token) / static_cast<double>(shape_.experts);
        share.overall = of_all[expert];
        const double p = n > 0 ? sums.y[expert] / n : std::numeric_limits<double>::quiet_NaN();
        const double independent = variances[expert] > 0 ? p * (1 - p) / variances[expert] : n / effect;
        share.effective = std::min(n, independent);
        share.share = base::wilson_of_rate(p, share.effective);
    }
    return shares;
}

}  // namespace moescope::routing
