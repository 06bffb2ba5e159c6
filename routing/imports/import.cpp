#include "routing/imports/import.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "base/text.hpp"

namespace moescope::routing {

namespace {

/// What a first look at all ids found, before anything is made of them.
struct Look {
    std::size_t texts = 0;                  ///< looked at
    std::size_t rows = 0, missing = 0;      ///< (token, layer); those that the server did not have
    std::vector<std::size_t> zeros, given;  ///< rows by place of the layer: of zeros, and with ids
    std::int64_t highest = -1;
};

bool all_are(const IdTable& ids, std::size_t token, std::size_t layer, std::int64_t value) {
    for (std::size_t rank = 0; rank < ids.per_token(); ++rank) {
        if (ids.at(token, layer, rank) != value) {
            return false;
        }
    }
    return true;
}

/// Zeros are no decision of a router that chooses two experts or more: they are what stands where nothing was written.
bool is_row_of_zeros(const IdTable& ids, std::size_t token, std::size_t layer) {
    return ids.per_token() > 1 && all_are(ids, token, layer, 0);
}

/// Where a table is from, for sentences.
struct Place {
    const std::string& source;
    std::size_t text = 0;             ///< number of the text, from 0; sentences count from 1
    const std::vector<int>& numbers;  ///< of the layers, by place
};

void check_row(const IdTable& ids, std::size_t token, std::size_t layer, std::int64_t experts, const Place& place,
               std::vector<std::int64_t>& seen) {
    seen.clear();
    for (std::size_t rank = 0; rank < ids.per_token(); ++rank) {
        const std::int64_t id = ids.at(token, layer, rank);
        if (id < 0 || id >= experts) {
            throw Error(say("{}: token {} of text {} has expert {} in layer {}; experts from 0 to {} are possible",
                            place.source, token, place.text + 1, ids.text_at(token, layer, rank), place.numbers[layer],
                            experts - 1));
        }
        seen.push_back(id);
    }
    std::sort(seen.begin(), seen.end());
    if (const auto twice = std::adjacent_find(seen.begin(), seen.end()); twice != seen.end()) {
        throw Error(
            say("{}: token {} of text {} has expert {} twice in layer {}; the ids are damaged or have another shape",
                place.source, token, place.text + 1, *twice, place.numbers[layer]));
    }
}

void look_at(const IdTable& ids, std::int64_t experts, const Place& place, Look& look) {
    std::vector<std::int64_t> seen;
    for (std::size_t token = 0; token < ids.tokens(); ++token) {
        for (std::size_t layer = 0; layer < ids.layers(); ++layer) {
            ++look.rows;
            if (all_are(ids, token, layer, -1)) {
                ++look.missing;
            } else if (is_row_of_zeros(ids, token, layer)) {
                ++look.zeros[layer];
            } else {
                check_row(ids, token, layer, experts, place, seen);
                ++look.given[layer];
                for (std::size_t rank = 0; rank < ids.per_token(); ++rank) {
                    look.highest = std::max(look.highest, ids.at(token, layer, rank));
                }
            }
        }
    }
}

/// Gives what `work` gives; its sentences, which have no subject or another one, are about `source`.
template <class Work>
auto named(const std::string& source, const Work& work) {
    try {
        return work();
    } catch (const Error& error) {
        throw Error(say("{}: {}", source, error.sentence()));
    }
}

/// "0-2, 5".
std::string list_of(const std::vector<int>& numbers) {
    std::string text;
    for (std::size_t i = 0; i < numbers.size();) {
        std::size_t last = i;
        while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) {
            ++last;
        }
        base::append_to_list(
            text, std::to_string(numbers[i]) + (last > i ? "-" + std::to_string(numbers[last]) : std::string()));
        i = last + 1;
    }
    return text;
}

/// The layers of the model that the places of a table stand for.
std::vector<int> numbers_of_places(std::size_t places, const ModelShape& shape, bool all_layers, RouterSpec& spec) {
    std::vector<int> numbers(places);
    std::iota(numbers.begin(), numbers.end(), 0);
    if (all_layers || static_cast<int>(places) == shape.layers) {
        return numbers;
    }
    if (shape.routed_layers.size() == places) {
        return shape.routed_layers;
    }
    if (shape.routed_layers.empty() && static_cast<int>(places) < shape.layers) {
        std::iota(numbers.begin(), numbers.end(), shape.layers - static_cast<int>(places));
        spec.doubts.push_back(
            say("the recording has {} of {} layers; they are taken for the last ones, as layers "
                "without a router come first in the models that are known",
                places, shape.layers));
        return numbers;
    }
    if (shape.layers > 0 && shape.routed_layers.empty()) {
        throw Error(say("the recording has {} layers, and the model is said to have {}", places, shape.layers));
    }
    if (shape.layers > 0) {
        throw Error(say("the recording has {} layers, but of the {} layers of the model {} have a router", places,
                        shape.layers, shape.routed_layers.size()));
    }
    spec.doubts.push_back(
        say("the recording has only layers with a router; they are numbered from 0, as the model's own are not known"));
    return numbers;
}

/// What spec and doubts follow from the look.
RouterSpec spec_of(const Look& look, const std::vector<int>& numbers, const ModelShape& shape, std::size_t per_token,
                   std::vector<std::size_t>& places, RouterSpec spec) {
    std::vector<int> empty;
    std::size_t zeros = 0;
    for (std::size_t place = 0; place < numbers.size(); ++place) {
        if (look.given[place] > 0) {
            spec.routed_layers.push_back(numbers[place]);
            places.push_back(place);
            zeros += look.zeros[place];
        } else {
            empty.push_back(numbers[place]);
        }
    }
    spec.model = shape.model;
    spec.source = Source::imported;
    spec.layers = std::max(shape.layers, numbers.back() + 1);
    spec.experts_per_token = static_cast<int>(per_token);
    spec.shared_experts = shape.shared_experts;
    spec.experts = shape.experts;
    if (spec.experts == 0) {
        spec.experts = static_cast<int>(look.highest) + 1;
        spec.doubts.push_back(
            say("how many experts the model has is not in the recording; {} is the highest id", look.highest));
    }
    const std::set<int> known(shape.routed_layers.begin(), shape.routed_layers.end());
    std::erase_if(empty, [&](int layer) { return !known.empty() && !known.contains(layer); });
    if (!empty.empty()) {
        spec.doubts.push_back(
            say("layers {} have nothing but zeros; either they have no router or the recorder "
                "missed them",
                list_of(empty)));
    }
    if (zeros > 0) {
        spec.doubts.push_back(say("{} of {} decisions are rows of zeros and left out", zeros, look.rows));
    }
    if (look.missing > 0) {
        spec.doubts.push_back(
            say("{} of {} decisions are not in the recording: the server had those tokens in its "
                "prefix cache",
                look.missing, look.rows));
    }
    return spec;
}

/// Where the layers that have counts are not those of the model.
void put_layer_doubts(const std::set<int>& counted, const ModelShape& shape, RouterSpec& spec) {
    if (shape.layers == 0) {
        return;
    }
    const bool known = !shape.routed_layers.empty();
    std::vector<int> expected = shape.routed_layers, missing, others;
    if (!known) {
        expected.resize(static_cast<std::size_t>(shape.layers));
        std::iota(expected.begin(), expected.end(), 0);
    }
    std::set_difference(expected.begin(), expected.end(), counted.begin(), counted.end(), std::back_inserter(missing));
    std::set_difference(counted.begin(), counted.end(), expected.begin(), expected.end(), std::back_inserter(others));
    if (!missing.empty()) {
        spec.doubts.push_back(
            known ? say("layers {} have a router, and the recording has no counts of them", list_of(missing))
                  : say("layers {} have no counts; either they have no router or the recorder missed them",
                        list_of(missing)));
    }
    if (!others.empty()) {
        spec.doubts.push_back(known ? say("layers {} have counts, and the model has no router there", list_of(others))
                                    : say("layers {} have counts, and the model is said to have {} layers",
                                          list_of(others), shape.layers));
    }
}

void give_texts(const std::vector<RecordedText>& texts, const std::vector<std::size_t>& places, const RouterSpec& spec,
                const ChunkSink& sink) {
    ChunkBuilder builder(spec);
    for (std::size_t number = 0; number < texts.size(); ++number) {
        const IdTable& ids = texts[number].ids;
        const auto& tokens = texts[number].tokens;
        const auto& written = texts[number].written;
        // The last token of the text was written and not read any more: it has no row.
        const std::size_t from = ids.tokens() + 1 - std::min(written.size(), ids.tokens() + 1);
        for (std::size_t at = 0; at < ids.tokens(); ++at) {
            TokenDecisions token;
            token.position = static_cast<int>(texts[number].start + at);
            token.document = static_cast<std::uint32_t>(number);
            token.token = at < tokens.size() ? tokens[at] : -1;
            token.next = at + 1 < tokens.size() ? tokens[at + 1] : -1;
            if (at >= from) {
                token.bytes = written[at - from].bytes;
            }
            if (at + 1 >= from && at + 1 - from < written.size() &&
                !std::isnan(written[at + 1 - from].log_probability)) {
                token.log_probability = written[at + 1 - from].log_probability;
            }
            for (std::size_t i = 0; i < places.size(); ++i) {
                if (all_are(ids, at, places[i], -1) || is_row_of_zeros(ids, at, places[i])) {
                    continue;
                }
                LayerDecision decision;
                decision.layer = spec.routed_layers[i];
                decision.margin = decision.entropy = std::numeric_limits<float>::quiet_NaN();
                for (std::size_t rank = 0; rank < ids.per_token(); ++rank) {
                    decision.ids.push_back(static_cast<std::int32_t>(ids.at(at, places[i], rank)));
                }
                token.layers.push_back(std::move(decision));
            }
            builder.add(token);
            if (builder.full()) {
                sink(builder.take());
            }
        }
    }
    if (!builder.empty()) {
        sink(builder.take());
    }
}

}  // namespace

Import import_texts(std::vector<RecordedText> texts, const ModelShape& shape, bool all_layers,
                    const std::string& source) {
    std::erase_if(texts, [](const RecordedText& text) { return text.ids.tokens() == 0; });
    if (texts.empty()) {
        throw Error(say("{} has no ids of experts", source));
    }
    const std::size_t layers = texts.front().ids.layers(), per_token = texts.front().ids.per_token();
    const std::int64_t experts = shape.experts > 0 ? shape.experts : kMostExperts;
    if (layers == 0 || layers > static_cast<std::size_t>(kMostLayers) || per_token == 0 ||
        per_token > static_cast<std::size_t>(experts)) {
        throw Error(say("{} has {} layers with {} experts per token", source, layers, per_token));
    }
    if (shape.per_token > 0 && static_cast<std::size_t>(shape.per_token) != per_token) {
        throw Error(say("{} has {} experts per token, but the model chooses {}", source, per_token, shape.per_token));
    }
    RouterSpec spec;
    const std::vector<int> numbers = named(source, [&] { return numbers_of_places(layers, shape, all_layers, spec); });
    Look look;
    look.zeros.resize(layers);
    look.given.resize(layers);
    std::size_t without_tokens = 0, without_start = 0;
    for (RecordedText& text : texts) {
        if (text.ids.layers() != layers || text.ids.per_token() != per_token) {
            throw Error(say("{} has texts of {} layers with {} experts per token and of {} with {}", source, layers,
                            per_token, text.ids.layers(), text.ids.per_token()));
        }
        look_at(text.ids, experts, {source, look.texts++, numbers}, look);
        if (text.tokens.size() != text.ids.tokens() && text.tokens.size() != text.ids.tokens() + 1) {
            without_tokens += text.tokens.empty() ? 0 : 1;
            text.tokens.clear();
        }
        without_start += text.start > 0 ? 1 : 0;
        if (text.written.size() > text.ids.tokens() + 1) {
            text.written.clear();  // it can't be told which token is which
        }
    }
    if (std::all_of(look.given.begin(), look.given.end(), [](std::size_t rows) { return rows == 0; })) {
        throw Error(
            look.missing == look.rows
                ? say("{} has no ids: the server had all tokens in its prefix cache", source)
                : say("{} has nothing but zeros: the server recorded no ids, as some of its kernels do not", source));
    }
    std::vector<std::size_t> places;
    spec = spec_of(look, numbers, shape, per_token, places, std::move(spec));
    if (without_tokens > 0) {
        spec.doubts.push_back(
            say("the tokens of {} texts are left out, as their number is not that of the ids", without_tokens));
    }
    if (without_start > 0) {
        spec.doubts.push_back(
            say("{} texts have ids of fewer tokens than were read; they are taken for the last ones, as servers can be "
                "told to leave out the beginning",
                without_start));
    }
    named(source, [&] { check(spec); });
    const auto kept = std::make_shared<const std::vector<RecordedText>>(std::move(texts));
    return {spec, [kept, places, spec](const ChunkSink& sink) { give_texts(*kept, places, spec, sink); }};
}

Import import_counts(std::vector<CountedStep> steps, const ModelShape& shape, bool empty_are_dense,
                     const std::string& source) {
    std::set<int> layers, counted;
    std::size_t experts = 0, uneven = 0;
    for (const CountedStep& step : steps) {
        for (const auto& [layer, counts] : step.layers) {
            experts = experts == 0 ? counts.size() : experts;
            if (counts.size() != experts || experts == 0) {
                throw Error(
                    say("{} has {} experts in layer {} and {} in another", source, counts.size(), layer, experts));
            }
            layers.insert(layer);
            std::uint64_t sum = 0;
            for (const std::uint64_t count : counts) {
                if (__builtin_add_overflow(sum, count, &sum)) {
                    throw Error(say("{} has counts in layer {} whose sum overflows", source, layer));
                }
            }
        }
    }
    // A layer without counts is not one with counts of 0. What is left has as many counts as the steps have.
    const std::size_t all = steps.size();
    std::erase_if(steps, [&](const CountedStep& step) { return step.layers.size() < layers.size(); });
    if (steps.empty() && all > 0) {
        throw Error(
            say("{}: none of its {} steps has counts of all {} layers that it names", source, all, layers.size()));
    }
    for (const CountedStep& step : steps) {
        std::set<std::uint64_t> sums;
        for (const auto& [layer, counts] : step.layers) {
            const std::uint64_t sum = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
            if (sum > 0) {
                counted.insert(layer);
                sums.insert(sum);
            }
        }
        uneven += sums.size() > 1 ? 1 : 0;
    }
    if (counted.empty()) {
        throw Error(say("{} has no counts of experts above 0", source));
    }
    RouterSpec spec;
    spec.model = shape.model;
    spec.source = Source::imported;
    spec.layers = std::max(shape.layers, *layers.rbegin() + 1);
    spec.experts = static_cast<int>(std::min<std::size_t>(experts, std::numeric_limits<int>::max()));
    spec.experts_per_token = shape.per_token;
    spec.shared_experts = shape.shared_experts;
    const std::set<int>& routed = empty_are_dense ? counted : layers;
    spec.routed_layers.assign(routed.begin(), routed.end());
    if (shape.per_token == 0) {
        spec.experts_per_token = 1;
        spec.doubts.push_back(say("how many experts are chosen per token is not in the counts"));
    }
    put_layer_doubts(routed, shape, spec);
    if (shape.experts > 0 && static_cast<std::size_t>(shape.experts) != experts) {
        spec.doubts.push_back(
            say("the counts are of {} of the {} experts, as one rank has them; they are numbered from 0", experts,
                shape.experts));
    }
    if (steps.size() < all) {
        spec.doubts.push_back(
            say("{} of {} steps are left out, as they lack counts of some layers", all - steps.size(), all));
    }
    if (uneven > 0) {
        spec.doubts.push_back(
            say("the counts of the layers have different sums in {} of {} steps: not all experts are "
                "in the file, or tokens were dropped",
                uneven, steps.size()));
    }
    named(source, [&] { check(spec); });
    const auto kept = std::make_shared<const std::vector<CountedStep>>(std::move(steps));
    return {spec, [kept, spec](const ChunkSink& sink) {
                ChunkBuilder builder(spec);
                for (const CountedStep& step : *kept) {
                    LoadSample sample;
                    sample.step = step.step;
                    for (const int layer : spec.routed_layers) {
                        const std::vector<std::uint64_t>& counts = step.layers.at(layer);
                        sample.counts.insert(sample.counts.end(), counts.begin(), counts.end());
                    }
                    builder.add(std::move(sample));
                    if (builder.full()) {
                        sink(builder.take());
                    }
                }
                if (!builder.empty()) {
                    sink(builder.take());
                }
            }};
}

}  // namespace moescope::routing
