// Router: the reference, plain loops in double. Shares nothing with the fast path but expert_capacity; the
// references of the scores stand beside their formulas.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/router.hpp"

namespace moescope::kernels::reference {
namespace {

using Row = std::vector<double>;
using Matrix = std::vector<Row>;
using Ids = std::vector<std::int64_t>;
constexpr double kLeast = -std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t index) {
    return static_cast<std::size_t>(index);
}

/// Everything of a batch in double, by token.
struct Batch {
    Batch(const RouterInput& input, const RouterShape& sizes) : in(input), shape(sizes) {
        for (std::int64_t e = 0; e < shape.E; ++e) {
            if (in.disabled_E == nullptr || in.disabled_E[e] == 0) {
                experts.push_back(e);
            }
        }
        for (std::int64_t t = 0; t < shape.T; ++t) {
            z.emplace_back(in.z_TE + t * shape.E, in.z_TE + (t + 1) * shape.E);
        }
    }
    const RouterInput& in;
    const RouterShape& shape;
    Ids experts;  ///< enabled ones
    Matrix z, s, q, w;
    Row lse;
    std::vector<Ids> ids;  ///< by token; -1 for a given id that cannot be
    std::vector<std::vector<bool>> kept;
};

/// The largest `count` of the candidates by value, largest first, ties to the earlier candidate.
Ids best_of(Ids candidates, const Row& value, std::int64_t count) {
    const auto number = [&](std::int64_t i) { return std::isnan(value[at(i)]) ? kLeast : value[at(i)]; };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](std::int64_t a, std::int64_t b) { return number(a) > number(b); });
    candidates.resize(std::min(candidates.size(), at(count)));
    return candidates;
}

void score_tokens(Batch& b) {
    for (const Row& z : b.z) {
        double sum = 0, s_sum = 0;
        for (const double value : z) {
            sum += std::exp(value);
        }
        b.lse.push_back(std::log(sum));
        Row s, q;
        for (const double value : z) {
            s.push_back(formulas_of(b.shape.scoring).reference(value, b.lse.back()));
            s_sum += s.back();
        }
        for (const double value : s) {
            q.push_back(value / s_sum);
        }
        b.s.push_back(s);
        b.q.push_back(q);
    }
}

/// Enabled experts of the best groups.
Ids kept_groups(const Batch& b, const Row& c) {
    const RouterShape& shape = b.shape;
    const std::int64_t width = shape.E / shape.groups;
    Row value;
    std::vector<Ids> members(at(shape.groups));
    for (const std::int64_t e : b.experts) {
        members[at(e / width)].push_back(e);
    }
    Ids groups;
    for (std::int64_t g = 0; g < shape.groups; ++g) {
        value.push_back(0);
        for (const std::int64_t e : best_of(members[at(g)], c, shape.group_score == GroupScore::max ? 1 : 2)) {
            value.back() += c[at(e)];
        }
        if (!members[at(g)].empty()) {
            groups.push_back(g);
        }
    }
    Ids left;
    std::int64_t taken = 0;
    for (const std::int64_t g : best_of(groups, value, shape.groups)) {
        if (taken++ < shape.groups_kept || left.size() < at(shape.K)) {
            left.insert(left.end(), members[at(g)].begin(), members[at(g)].end());
        }
    }
    std::sort(left.begin(), left.end());
    return left;
}

void choose_by(Batch& b, const Matrix& c_TE) {
    for (const Row& c : c_TE) {
        b.ids.push_back(best_of(b.shape.groups > 1 ? kept_groups(b, c) : b.experts, c, b.shape.K));
        b.ids.back().resize(at(b.shape.K), -1);
    }
}

Matrix token_scores(const Batch& b) {
    Matrix c = formulas_of(b.shape.scoring).of_logits ? b.z : b.s;
    for (Row& row : c) {
        for (std::size_t e = 0; b.in.selection_bias_E != nullptr && e < row.size(); ++e) {
            row[e] += static_cast<double>(b.in.selection_bias_E[e]);
        }
    }
    return c;
}

Matrix sinkhorn_scores(const Batch& b) {
    Matrix m(b.z.size(), Row(at(b.shape.E), 0.0));
    for (std::size_t t = 0; t < m.size(); ++t) {
        for (const std::int64_t e : b.experts) {
            m[t][at(e)] = std::exp(b.z[t][at(e)]);
        }
    }
    const double T = static_cast<double>(b.shape.T), N = static_cast<double>(b.experts.size());
    Row d1(at(b.shape.E), 1.0);
    double change = b.shape.T > 1 ? 1.0 : 0.0;
    for (int round = 0; round < 100 && change >= 1e-4; ++round) {
        Row columns(at(b.shape.E), 0.0);
        for (const Row& row : m) {
            const double d0 = 1.0 / (T * std::inner_product(row.begin(), row.end(), d1.begin(), 0.0));
            for (const std::int64_t e : b.experts) {
                columns[at(e)] += d0 * row[at(e)];
            }
        }
        change = 0;
        for (const std::int64_t e : b.experts) {
            const double before = d1[at(e)];
            d1[at(e)] = 1.0 / (N * columns[at(e)]);
            change += std::abs(d1[at(e)] - before) / N;
        }
    }
    for (Row& row : m) {
        std::transform(row.begin(), row.end(), d1.begin(), row.begin(), std::multiplies<>());
    }
    return m;
}

/// Between the c-th and the (c + 1)-th largest.
double between(Row values, std::size_t c) {
    std::sort(values.begin(), values.end(), std::greater<>());
    return 0.5 * (values[c - 1] + values[c]);
}

Matrix quantile_scores(const Batch& b) {
    const double T = static_cast<double>(b.shape.T), N = static_cast<double>(b.experts.size());
    const double share = std::max(1.0, std::floor(T * static_cast<double>(b.shape.K) / N + 0.5));
    Row bias(at(b.shape.E), 0.0);
    const bool possible = share < T && b.shape.K < static_cast<std::int64_t>(b.experts.size());
    for (int round = 0; possible && round < 8; ++round) {
        Row alpha;
        for (const Row& s : b.s) {
            Row values;
            for (const std::int64_t e : b.experts) {
                values.push_back(s[at(e)] - bias[at(e)]);
            }
            alpha.push_back(between(values, at(b.shape.K)));
        }
        for (const std::int64_t e : b.experts) {
            Row values;
            for (std::size_t t = 0; t < alpha.size(); ++t) {
                values.push_back(b.s[t][at(e)] - alpha[t]);
            }
            bias[at(e)] = between(values, static_cast<std::size_t>(share));
        }
    }
    Matrix c = b.s;
    for (Row& row : c) {
        std::transform(row.begin(), row.end(), bias.begin(), row.begin(), std::minus<>());
    }
    return c;
}

void choose_by_experts(Batch& b) {
    std::vector<Ids> takers(b.s.size());
    Ids tokens(b.s.size());
    std::iota(tokens.begin(), tokens.end(), 0);
    for (const std::int64_t e : b.experts) {
        Row column;
        for (const Row& s : b.s) {
            column.push_back(s[at(e)]);
        }
        for (const std::int64_t t : best_of(tokens, column, expert_capacity(b.shape))) {
            takers[at(t)].push_back(e);
        }
    }
    for (std::size_t t = 0; t < takers.size(); ++t) {
        b.ids.push_back(best_of(takers[t], b.s[t], b.shape.E));
        b.ids.back().resize(at(b.shape.E), -1);
    }
}

void choose(Batch& b) {
    switch (b.shape.choice) {
        case Choice::token:
            return choose_by(b, token_scores(b));
        case Choice::sinkhorn:
            return choose_by(b, sinkhorn_scores(b));
        case Choice::quantile:
            return choose_by(b, quantile_scores(b));
        case Choice::expert:
            return choose_by_experts(b);
        case Choice::hash:
            break;
    }
    for (std::int64_t t = 0; t < b.shape.T; ++t) {
        b.ids.emplace_back(b.in.given_TK + t * b.shape.K, b.in.given_TK + (t + 1) * b.shape.K);
        for (std::int64_t& id : b.ids.back()) {
            id = std::find(b.experts.begin(), b.experts.end(), id) == b.experts.end() ? -1 : id;
        }
    }
}

void weigh(Batch& b) {
    const bool expert = b.shape.choice == Choice::expert;
    const bool after = formulas_of(b.shape.scoring).of_logits && !expert;
    for (std::size_t t = 0; t < b.ids.size(); ++t) {
        Row w;
        double sum = 0;
        for (const std::int64_t id : b.ids[t]) {
            w.push_back(id < 0 ? 0.0 : after ? std::exp(b.z[t][at(id)]) : b.s[t][at(id)]);
            sum += w.back();
        }
        for (double& value : w) {
            value *= b.shape.scale / (after || (b.shape.normalise && !expert) ? sum + 1e-20 : 1.0);
        }
        b.w.push_back(w);
        b.kept.emplace_back();
        for (const std::int64_t id : b.ids[t]) {
            b.kept.back().push_back(id >= 0);
        }
    }
}

std::uint64_t drop(Batch& b) {
    if (b.shape.capacity_factor <= 0 || b.shape.choice == Choice::expert) {
        return 0;
    }
    std::uint64_t dropped = 0;
    for (const std::int64_t e : b.experts) {
        // Minus priority, token, rank. Weights as they are applied, in float: with K = 1 normalised ones are all 1.
        std::vector<std::pair<float, std::pair<std::size_t, std::size_t>>> wanting;
        for (std::size_t t = 0; t < b.ids.size(); ++t) {
            for (std::size_t j = 0; j < b.ids[t].size(); ++j) {
                if (b.ids[t][j] == e) {
                    wanting.push_back({b.shape.drop == Drop::position ? 0.0f : -static_cast<float>(b.w[t][j]), {t, j}});
                }
            }
        }
        std::sort(wanting.begin(), wanting.end());
        for (std::size_t i = at(expert_capacity(b.shape)); i < wanting.size(); ++i, ++dropped) {
            const auto [t, j] = wanting[i].second;
            b.kept[t][j] = false;
            b.w[t][j] = 0;
        }
    }
    return dropped;
}

/// E sum_i f_i P_i over the tokens [begin, end), with choices and tokens that came earlier.
double balance(const Batch& b, std::size_t begin, std::size_t end, Row choices, double earlier_tokens) {
    Row mean(choices.size(), 0.0);
    const double tokens = static_cast<double>(end - begin);
    for (std::size_t t = begin; t < end; ++t) {
        for (const std::int64_t id : b.ids[t]) {
            if (id >= 0) {
                choices[at(id)] += 1;
            }
        }
        for (std::size_t e = 0; e < mean.size(); ++e) {
            mean[e] += b.q[t][e] / tokens;
        }
    }
    const double all = (tokens + earlier_tokens) * static_cast<double>(b.shape.K);
    return static_cast<double>(b.shape.E) * std::inner_product(choices.begin(), choices.end(), mean.begin(), 0.0) / all;
}

double balance_loss(const Batch& b) {
    Row none(at(b.shape.E), 0.0);
    const std::size_t T = at(b.shape.T), S = b.shape.S > 0 ? std::min(at(b.shape.S), T) : T;
    if (b.shape.balance == Balance::none) {
        return 0;
    }
    if (b.shape.balance == Balance::sequence) {
        Row losses;
        for (std::size_t begin = 0; begin < T; begin += S) {
            losses.push_back(balance(b, begin, std::min(begin + S, T), none, 0));
        }
        return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
    }
    if (b.shape.balance == Balance::global && b.in.earlier_choices_E != nullptr) {
        const Row earlier(b.in.earlier_choices_E, b.in.earlier_choices_E + b.shape.E);
        return balance(b, 0, T, earlier, static_cast<double>(b.in.earlier_tokens));
    }
    return balance(b, 0, T, none, 0);
}

void write(const RouterOutput& out, const Batch& b) {
    const std::size_t E = at(b.shape.E), J = at(b.shape.slots());
    std::fill(out.counts_E, out.counts_E + E, 0u);
    std::fill(out.choices_E, out.choices_E + E, 0u);
    for (std::size_t t = 0; t < b.s.size(); ++t) {
        out.lse_T[t] = static_cast<float>(b.lse[t]);
        for (std::size_t e = 0; e < E; ++e) {
            out.s_TE[t * E + e] = static_cast<float>(b.s[t][e]);
        }
        for (std::size_t j = 0; j < J; ++j) {
            const std::int64_t id = b.ids[t][j];
            out.ids_TJ[t * J + j] = static_cast<std::int32_t>(id);
            out.kept_TJ[t * J + j] = b.kept[t][j] ? 1 : 0;
            out.w_TJ[t * J + j] = static_cast<float>(b.w[t][j]);
            if (id >= 0) {
                ++out.choices_E[id];
                out.counts_E[id] += b.kept[t][j] ? 1u : 0u;
            }
        }
    }
}

}  // namespace

RouterLosses router_forward(const RouterOutput& out, const RouterInput& in, const RouterShape& shape) {
    Batch b(in, shape);
    score_tokens(b);
    choose(b);
    weigh(b);
    RouterLosses losses;
    losses.dropped = drop(b);
    losses.balance = balance_loss(b);
    for (std::size_t t = 0; t < b.s.size(); ++t) {
        losses.z += b.lse[t] * b.lse[t] / static_cast<double>(shape.T);
        for (const double q : b.q[t]) {
            losses.entropy -= q * std::log(q) / static_cast<double>(shape.T);
        }
    }
    write(out, b);
    return losses;
}

}  // namespace moescope::kernels::reference
