#include "routing/figures/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "base/foreign_text.hpp"
#include "routing/load_metrics.hpp"
#include "routing/token_order.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

void require_same(const RouterSpec& first, const RouterSpec& second) {
    if (first.routed_layers != second.routed_layers) {
        throw Error(
            say("the first trace has {} layers with a router and the second has {}, or others; only traces of "
                "models of one shape can be compared",
                first.routed_layers.size(), second.routed_layers.size()));
    }
    if (first.experts != second.experts) {
        throw Error(
            say("the first trace has {} experts in a layer and the second has {}; only traces of models of one "
                "shape can be compared",
                first.experts, second.experts));
    }
    if (first.experts_per_token != second.experts_per_token) {
        throw Error(
            say("the router of the first trace chooses {} experts per token and that of the second {}; only "
                "traces of models of one shape can be compared",
                first.experts_per_token, second.experts_per_token));
    }
}

std::string shown(std::string_view piece) {
    return base::one_line(piece, 40);
}

std::size_t octave_of(float margin) {
    if (!(margin > 0)) {
        return 0;
    }
    const int octave = static_cast<int>(std::floor(std::log2(margin))) - Comparison::kLeastOctave;
    return static_cast<std::size_t>(std::clamp(octave, 0, Comparison::kOctaves - 1));
}

/// A token of a stream, and the way to the next one.
class Cursor {
 public:
    /// `what`: says which trace it is of a sentence without a subject.
    Cursor(TraceStream& stream, const std::function<void()>& check, Sentence (*what)(const Sentence&))
        : stream_(stream), check_(check), what_(what) {
        load();
    }
    bool ended() const { return chunk_ == nullptr; }
    /// Its text and its position in that: two traces are of one token where they have this alike. Numbers of tokens are
    /// not enough, as either may lack some.
    std::pair<std::uint32_t, std::int32_t> place() const { return {chunk_->document[at_], chunk_->position[at_]}; }
    const Chunk& chunk() const { return *chunk_; }
    std::size_t at() const { return at_; }
    void step() {
        if (++at_ < chunk_->tokens) {
            look();
        } else {
            load();
        }
    }

 private:
    void load() {
        at_ = 0;
        do {
            if (check_) {
                check_();
            }
            chunk_ = stream_.next();
        } while (chunk_ && chunk_->tokens == 0);
        if (chunk_) {
            look();
        }
    }
    void look() {
        try {
            order_.add(chunk_->document[at_], chunk_->position[at_]);
        } catch (const Error& error) {
            throw Error(what_(error.sentence()));
        }
    }

    TraceStream& stream_;
    const std::function<void()>& check_;
    Sentence (*const what_)(const Sentence&);
    TokenOrder order_;
    std::shared_ptr<const Chunk> chunk_;
    std::size_t at_ = 0;
};

void take(const Flips& from, Flips& into) {
    into.slots += from.slots;
    into.flipped += from.flipped;
    into.moved += from.moved;
}

json number(double value) {
    return std::isfinite(value) ? json(value) : json(nullptr);
}

json flips_to_json(const Flips& flips) {
    return {{"slots", flips.slots}, {"flipped", flips.flipped}, {"moved", flips.moved}, {"rate", number(flips.rate())}};
}

}  // namespace

double Flips::rate() const {
    return slots == 0 ? kNone : static_cast<double>(flipped) / static_cast<double>(slots);
}

Comparison::Comparison(const RouterSpec& first, const RouterSpec& second) : spec_(first) {
    require_same(first, second);
    shape_ = shape_of(first);
    by_layer_.resize(shape_.layers);
    ranks_.resize(shape_.per_token);
    decisions_.resize(shape_.layers);
    same_best_.resize(shape_.layers);
    overlap_.resize(shape_.layers);
    for (auto& load : loads_) {
        load.resize(shape_.layers * shape_.experts);
    }
    seen_.resize(shape_.experts);
    for (int i = 0; i < kOctaves; ++i) {
        margins_[static_cast<std::size_t>(i)].from = i == 0 ? 0 : std::exp2(i + kLeastOctave);
        margins_[static_cast<std::size_t>(i)].to =
            i + 1 == kOctaves ? std::numeric_limits<double>::infinity() : std::exp2(i + 1 + kLeastOctave);
    }
}

Flips Comparison::compare(const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second,
                          std::size_t layer, TokenClass kind) {
    const auto was = first.ids_of(layer, at_first), is = second.ids_of(layer, at_second);
    if (was.empty() || is.empty()) {
        undecided_ += was.empty() != is.empty() ? 1 : 0;
        return {};
    }
    if (++decision_ == 0) {  // the counter has gone round
        std::fill(seen_.begin(), seen_.end(), 0);
        decision_ = 1;
    }
    for (const std::uint16_t id : is) {
        seen_[id] = decision_;
        ++loads_[1][layer * shape_.experts + id];
    }
    Flips here;
    for (std::size_t rank = 0; rank < was.size(); ++rank) {
        ++loads_[0][layer * shape_.experts + was[rank]];
        const bool flipped = seen_[was[rank]] != decision_;
        const bool moved = !flipped && (rank >= is.size() || is[rank] != was[rank]);
        here.flipped += flipped ? 1 : 0;
        here.moved += moved ? 1 : 0;
        ranks_[rank].slots += 1;
        ranks_[rank].flipped += flipped ? 1 : 0;
        ranks_[rank].moved += moved ? 1 : 0;
    }
    here.slots = was.size();
    take(here, by_layer_[layer]);
    take(here, classes_[static_cast<std::size_t>(kind)]);
    ++decisions_[layer];
    same_best_[layer] += was.front() == is.front() ? 1 : 0;
    overlap_[layer] += 1 - static_cast<double>(here.flipped) / static_cast<double>(here.slots);
    if (!first.margin.empty() && !std::isnan(first.margin[first.cell(layer, at_first)])) {
        MarginBin& bin = margins_[octave_of(first.margin[first.cell(layer, at_first)])];
        ++bin.decisions;
        bin.changed += here.flipped > 0 ? 1 : 0;
        take(here, bin.flips);
    }
    return here;
}

Flips Comparison::add(const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second) {
    const std::int32_t token = first.token[at_first], other = second.token[at_second];
    const std::string_view piece = first.piece_of(at_first), other_piece = second.piece_of(at_second);
    // Recordings of other programs do not always say which tokens they are of; what both say has to be the same.
    if ((token >= 0 && other >= 0 && token != other) ||
        (!piece.empty() && !other_piece.empty() && piece != other_piece)) {
        throw Error(
            say("the traces are of different tokens: at position {} the first has token {} ('{}') and the "
                "second token {} ('{}')",
                first.position[at_first], token, shown(piece), other, shown(other_piece)));
    }
    const std::uint32_t document = first.document[at_first];
    const std::int32_t position = first.position[at_first];
    if (tokens_ == 0 || document != document_ || missing_between(position_, position) > 0) {
        before_.clear();
    }
    document_ = document;
    position_ = position;
    const std::string_view bytes = piece.empty() ? other_piece : piece;
    const TokenClass kind = token_class(bytes, before_);
    before_ = bytes;
    ++tokens_;
    Flips here;
    for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
        take(compare(first, at_first, second, at_second, layer, kind), here);
    }
    const double was = first.log_probability[at_first], is = second.log_probability[at_second];
    if (std::isfinite(was) && std::isfinite(is)) {
        ++with_log_;
        sum_first_ += was;
        sum_second_ += is;
        sum_squares_ += (is - was) * (is - was);
    }
    return here;
}

std::vector<double> Comparison::load(std::size_t side, std::size_t layer) const {
    const auto begin = loads_[side].begin() + static_cast<std::ptrdiff_t>(layer * shape_.experts);
    return {begin, begin + static_cast<std::ptrdiff_t>(shape_.experts)};
}

std::vector<Comparison::Layer> Comparison::layers() const {
    std::vector<Layer> layers;
    for (std::size_t place = 0; place < shape_.layers; ++place) {
        Layer layer;
        layer.layer = spec_.routed_layers[place];
        layer.flips = by_layer_[place];
        const auto decisions = static_cast<double>(decisions_[place]);
        layer.saturation = decisions > 0 ? overlap_[place] / decisions : kNone;
        layer.saturation_of_best = decisions > 0 ? static_cast<double>(same_best_[place]) / decisions : kNone;
        const std::array<std::vector<double>, 2> loads = {load(0, place), load(1, place)};
        std::array<double, 2> total{};
        for (std::size_t side = 0; side < 2; ++side) {
            total[side] = std::accumulate(loads[side].begin(), loads[side].end(), 0.0);
        }
        layer.violation_first = max_violation(loads[0]);
        layer.violation_second = max_violation(loads[1]);
        layer.load_distance = decisions > 0 ? 0 : kNone;
        for (std::size_t expert = 0; expert < shape_.experts && decisions > 0; ++expert) {
            const double change = share_difference(loads[1][expert], total[1], loads[0][expert], total[0]).difference;
            layer.load_distance += std::abs(change) / 2;
            if (std::abs(change) > std::abs(layer.changed_by)) {
                layer.changed_expert = static_cast<int>(expert);
                layer.changed_by = change;
            }
        }
        layers.push_back(layer);
    }
    return layers;
}

Flips Comparison::all() const {
    Flips sum;
    for (const Flips& flips : by_layer_) {
        sum.slots += flips.slots;
        sum.flipped += flips.flipped;
        sum.moved += flips.moved;
    }
    return sum;
}

std::vector<Comparison::MarginBin> Comparison::margins() const {
    const bool any = std::any_of(margins_.begin(), margins_.end(), [](const auto& bin) { return bin.decisions > 0; });
    return any ? std::vector<MarginBin>(margins_.begin(), margins_.end()) : std::vector<MarginBin>();
}

Comparison::Perplexity Comparison::perplexity() const {
    const auto n = static_cast<double>(with_log_);
    if (with_log_ == 0) {
        return {0, kNone, kNone, {kNone, kNone, kNone}};
    }
    constexpr double kZ = 1.959963984540054;
    const double mean = (sum_second_ - sum_first_) / n;
    const double variance = std::max(0.0, sum_squares_ - n * mean * mean) / (n - 1);
    const double half = with_log_ > 1 ? kZ * std::sqrt(variance / n) : kNone;
    return {with_log_, std::exp(-sum_first_ / n), std::exp(-sum_second_ / n), {mean, mean - half, mean + half}};
}

Comparison::Missing for_each_pair(TraceStream& first, TraceStream& second, const std::function<void()>& check,
                                  const TokenPair& each) {
    Cursor a(first, check, [](const Sentence& problem) { return say("the first trace {}", problem); });
    Cursor b(second, check, [](const Sentence& problem) { return say("the second trace {}", problem); });
    std::uint64_t tokens = 0;
    Comparison::Missing missing{};
    while (!a.ended() && !b.ended()) {
        if (a.place() < b.place()) {
            ++missing[1];
            a.step();
        } else if (b.place() < a.place()) {
            ++missing[0];
            b.step();
        } else {
            each(a.chunk(), a.at(), b.chunk(), b.at());
            ++tokens;
            a.step();
            b.step();
        }
    }
    // What is damaged is known only of a trace that was read to its end.
    const bool first_goes_on = !a.ended(), second_goes_on = !b.ended();
    for (; !a.ended(); a.step()) {
        ++missing[1];
    }
    for (; !b.ended(); b.step()) {
        ++missing[0];
    }
    const bool whole = first.problems().empty() && second.problems().empty();
    if (whole && first_goes_on != second_goes_on) {
        throw Error(second_goes_on ? say("the second trace goes on where the first ends, after {} tokens; only traces "
                                         "of the same text can be compared",
                                         tokens)
                                   : say("the first trace goes on where the second ends, after {} tokens; only traces "
                                         "of the same text can be compared",
                                         tokens));
    }
    if (tokens == 0) {
        throw Error(say("the traces have no token to compare"));
    }
    return missing;
}

Comparison compare_traces(TraceStream& first, TraceStream& second, const std::function<void()>& check) {
    Comparison comparison(first.spec(), second.spec());
    comparison.set_missing(
        for_each_pair(first, second, check, [&](const Chunk& a, std::size_t at_a, const Chunk& b, std::size_t at_b) {
            comparison.add(a, at_a, b, at_b);
        }));
    return comparison;
}

json to_json(const Comparison& comparison) {
    json value = {{"tokens", comparison.tokens()},
                  {"undecided", comparison.undecided()},
                  {"missing", comparison.missing()},
                  {"flips", flips_to_json(comparison.all())},
                  {"layers", json::array()},
                  {"ranks", json::array()},
                  {"classes", json::object()},
                  {"margins", json::array()}};
    for (const Comparison::Layer& layer : comparison.layers()) {
        json row = flips_to_json(layer.flips);
        row.update({{"layer", layer.layer},
                    {"saturation", number(layer.saturation)},
                    {"saturation_of_best", number(layer.saturation_of_best)},
                    {"load_distance", number(layer.load_distance)},
                    {"changed_expert", layer.changed_expert < 0 ? json(nullptr) : json(layer.changed_expert)},
                    {"changed_by", number(layer.changed_by)},
                    {"max_violation", {number(layer.violation_first), number(layer.violation_second)}}});
        value["layers"].push_back(std::move(row));
    }
    for (const Flips& rank : comparison.ranks()) {
        value["ranks"].push_back(flips_to_json(rank));
    }
    for (const TokenClass kind : kTokenClasses) {
        if (const Flips& flips = comparison.classes()[static_cast<std::size_t>(kind)]; flips.slots > 0) {
            value["classes"][token_class_name(kind)] = flips_to_json(flips);
        }
    }
    for (const Comparison::MarginBin& bin : comparison.margins()) {
        if (bin.decisions > 0) {
            json row = flips_to_json(bin.flips);
            row.update({{"from", number(bin.from)},
                        {"to", number(bin.to)},
                        {"decisions", bin.decisions},
                        {"changed", bin.changed}});
            value["margins"].push_back(std::move(row));
        }
    }
    const Comparison::Perplexity perplexity = comparison.perplexity();
    value["perplexity"] = {{"tokens", perplexity.tokens},
                           {"first", number(perplexity.first)},
                           {"second", number(perplexity.second)},
                           {"difference", number(perplexity.difference.estimate)},
                           {"low", number(perplexity.difference.low)},
                           {"high", number(perplexity.difference.high)}};
    return value;
}

}  // namespace moescope::routing
