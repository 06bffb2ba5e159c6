#include "routing/chunk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

namespace moescope::routing {

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kMostNames = 65535;

/// Gives each different text a number, in the order of their coming.
class Texts {
 public:
    explicit Texts(bool with_empty) {
        if (with_empty) {
            number_of("");
        }
    }
    std::uint32_t number_of(const std::string& text) {
        const auto [found, is_new] = numbers_.try_emplace(text, static_cast<std::uint32_t>(texts_.size()));
        if (is_new) {
            texts_.push_back(text);
            bytes_ += text.size();
        }
        return found->second;
    }
    bool holds(const std::string& text) const { return numbers_.contains(text); }
    std::size_t bytes() const { return bytes_; }
    std::vector<std::string>& texts() { return texts_; }
    const std::vector<std::string>& texts() const { return texts_; }

 private:
    std::unordered_map<std::string, std::uint32_t> numbers_;
    std::vector<std::string> texts_;
    std::size_t bytes_ = 0;
};

/// [T][width] -> [width][T], each value `inner` numbers long.
template <class T>
std::vector<T> layers_first(const std::vector<T>& rows, std::size_t tokens, std::size_t layers, std::size_t inner) {
    std::vector<T> columns(rows.size());
    for (std::size_t at = 0; at < tokens; ++at) {
        for (std::size_t layer = 0; layer < layers; ++layer) {
            std::copy_n(rows.data() + (at * layers + layer) * inner, inner,
                        columns.data() + (layer * tokens + at) * inner);
        }
    }
    return columns;
}

}  // namespace

std::vector<Sentence> TraceSource::problems(std::size_t damaged_chunks) const {
    if (damaged_chunks == 0) {
        return {};
    }
    return {say("{} of {} pieces of the trace are damaged and left out", damaged_chunks, chunks())};
}

TokenDecisions decisions_at(const Chunk& chunk, std::size_t at, const RouterSpec& spec) {
    TokenDecisions token;
    token.position = chunk.position[at];
    token.document = chunk.document[at];
    token.language = chunk.names[chunk.language[at]];
    token.group = chunk.names[chunk.group[at]];
    token.token = chunk.token[at];
    token.bytes = chunk.piece_of(at);
    token.next = chunk.next[at];
    token.predicted = chunk.predicted[at];
    if (!std::isnan(chunk.log_probability[at])) {
        token.log_probability = chunk.log_probability[at];
    }
    for (std::size_t layer = 0; layer < chunk.shape.layers; ++layer) {
        const std::size_t cell = chunk.cell(layer, at);
        if (chunk.chosen[cell] == 0) {
            continue;
        }
        LayerDecision decision;
        decision.layer = spec.routed_layers[layer];
        const auto ids = chunk.ids_of(layer, at);
        const auto weights = chunk.weights_of(layer, at);
        decision.ids.assign(ids.begin(), ids.end());
        decision.weights.assign(weights.begin(), weights.end());
        decision.margin = chunk.margin.empty() ? kUnknown : chunk.margin[cell];
        decision.entropy = chunk.entropy.empty() ? kUnknown : chunk.entropy[cell];
        token.layers.push_back(std::move(decision));
    }
    return token;
}

/// Decisions token by token, as they come; columns are made of them at the end.
struct ChunkBuilder::Rows {
    Rows(const RouterSpec& given, std::uint64_t first) : spec(given), shape(shape_of(given)), seen(shape.experts, 0) {
        begin(first);
    }

    void begin(std::uint64_t first) {
        chunk = std::make_shared<Chunk>();
        chunk->first = first;
        chunk->shape = shape;
        pieces = Texts(false);
        names = Texts(true);
        weighted = false;
        load_cells = 0;
    }
    void check(const TokenDecisions& token);
    void check(const TokenDecisions& token, const LayerDecision& decision);
    void put(const LayerDecision& decision, std::size_t place);

    const RouterSpec spec;
    const Shape shape;
    std::shared_ptr<Chunk> chunk;
    Texts pieces{false}, names{true};
    bool weighted = false;
    std::size_t load_cells = 0;
    std::vector<std::uint64_t> seen;  ///< [E], the decision that chose the expert last
    std::uint64_t decision_number = 0;
};

ChunkBuilder::ChunkBuilder(const RouterSpec& spec, std::uint64_t first) {
    check(spec);
    rows_ = std::make_unique<Rows>(spec, first);
}
ChunkBuilder::~ChunkBuilder() = default;

void ChunkBuilder::Rows::check(const TokenDecisions& token, const LayerDecision& decision) {
    if (decision.ids.size() > shape.per_token) {
        throw Error(say("chooses {} experts at position {} in layer {}, but its router chooses {}", decision.ids.size(),
                        token.position, decision.layer, shape.per_token));
    }
    if (!decision.weights.empty() && decision.weights.size() != decision.ids.size()) {
        throw Error(say("has {} weights for {} experts at position {} in layer {}", decision.weights.size(),
                        decision.ids.size(), token.position, decision.layer));
    }
    ++decision_number;
    for (const std::int32_t id : decision.ids) {
        if (id < 0 || static_cast<std::size_t>(id) >= shape.experts) {
            throw Error(say("chooses expert {} at position {} in layer {}, which has {} experts", id, token.position,
                            decision.layer, shape.experts));
        }
        if (std::exchange(seen[static_cast<std::size_t>(id)], decision_number) == decision_number) {
            throw Error(say("chooses expert {} twice at position {} in layer {}", id, token.position, decision.layer));
        }
    }
}

void ChunkBuilder::Rows::check(const TokenDecisions& token) {
    int before = -1;
    for (const LayerDecision& decision : token.layers) {
        if (decision.layer <= before) {
            throw Error(say("has its layers not in ascending order at position {}", token.position));
        }
        before = decision.layer;
        if (routed_place(spec, decision.layer) < 0) {
            throw Error(
                say("has a decision of layer {} at position {}, which has no router", decision.layer, token.position));
        }
        check(token, decision);
    }
    for (const std::string* name : {&token.language, &token.group}) {
        if (name->size() > kLongestName) {
            throw Error(say("has a name of {} bytes", name->size()));
        }
        if (!names.holds(*name) && names.texts().size() + 2 > kMostNames) {
            throw Error(say("has more than {} groups of texts", kMostNames));
        }
    }
}

void ChunkBuilder::Rows::put(const LayerDecision& decision, std::size_t place) {
    const std::size_t cell = chunk->tokens * shape.layers + place;
    chunk->chosen[cell] = static_cast<std::uint16_t>(decision.ids.size());
    chunk->margin[cell] = decision.margin;
    chunk->entropy[cell] = decision.entropy;
    weighted = weighted || !decision.weights.empty();
    for (std::size_t rank = 0; rank < decision.ids.size(); ++rank) {
        chunk->ids[cell * shape.per_token + rank] = static_cast<std::uint16_t>(decision.ids[rank]);
        if (!decision.weights.empty()) {
            chunk->weights[cell * shape.per_token + rank] = decision.weights[rank];
        }
    }
}

void ChunkBuilder::add(const TokenDecisions& token) {
    rows_->check(token);
    Chunk& chunk = *rows_->chunk;
    const std::size_t decisions = (chunk.tokens + 1) * rows_->shape.layers;
    chunk.position.push_back(token.position);
    chunk.token.push_back(std::max(-1, token.token));
    chunk.next.push_back(std::max(-1, token.next));
    chunk.predicted.push_back(std::max(-1, token.predicted));
    chunk.log_probability.push_back(token.log_probability.value_or(kUnknown));
    chunk.document.push_back(token.document);
    chunk.language.push_back(static_cast<std::uint16_t>(rows_->names.number_of(token.language)));
    chunk.group.push_back(static_cast<std::uint16_t>(rows_->names.number_of(token.group)));
    chunk.piece.push_back(token.bytes.size() <= kLongestPiece
                              ? rows_->pieces.number_of(token.bytes)
                              : rows_->pieces.number_of(token.bytes.substr(0, kLongestPiece)));
    chunk.chosen.resize(decisions, 0);
    chunk.margin.resize(decisions, kUnknown);
    chunk.entropy.resize(decisions, kUnknown);
    chunk.ids.resize(decisions * rows_->shape.per_token, kNoExpert);
    chunk.weights.resize(decisions * rows_->shape.per_token, kUnknown);
    for (const LayerDecision& decision : token.layers) {
        rows_->put(decision, static_cast<std::size_t>(routed_place(rows_->spec, decision.layer)));
    }
    ++chunk.tokens;
}

void ChunkBuilder::add(LoadSample sample) {
    const std::size_t cells = rows_->shape.layers * rows_->shape.experts;
    if (sample.counts.size() != cells) {
        throw Error(say("has counts of {} experts where its router has {}", sample.counts.size(), cells));
    }
    rows_->load_cells += cells;
    rows_->chunk->loads.push_back(std::move(sample));
}

bool ChunkBuilder::full() const {
    return rows_->chunk->chosen.size() >= kDecisionsOfChunk || rows_->chunk->ids.size() >= kChosenOfChunk ||
           rows_->pieces.bytes() + rows_->names.bytes() >= kTextOfChunk || rows_->load_cells >= kChosenOfChunk;
}

bool ChunkBuilder::empty() const {
    return rows_->chunk->tokens == 0 && rows_->chunk->loads.empty();
}

std::shared_ptr<const Chunk> ChunkBuilder::take() {
    const std::shared_ptr<Chunk> chunk = rows_->chunk;
    const Shape& shape = rows_->shape;
    chunk->pieces = std::move(rows_->pieces.texts());
    chunk->names = std::move(rows_->names.texts());
    chunk->chosen = layers_first(chunk->chosen, chunk->tokens, shape.layers, 1);
    chunk->margin = layers_first(chunk->margin, chunk->tokens, shape.layers, 1);
    chunk->entropy = layers_first(chunk->entropy, chunk->tokens, shape.layers, 1);
    chunk->ids = layers_first(chunk->ids, chunk->tokens, shape.layers, shape.per_token);
    chunk->weights = rows_->weighted ? layers_first(chunk->weights, chunk->tokens, shape.layers, shape.per_token)
                                     : std::vector<float>();
    rows_->begin(chunk->first + chunk->tokens);
    return chunk;
}

}  // namespace moescope::routing
