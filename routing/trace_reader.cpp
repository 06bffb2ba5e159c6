#include "routing/trace_reader.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "routing/interventions.hpp"
#include "routing/trace_file.hpp"
#include "routing/value_limits.hpp"

namespace moescope::routing {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kMostInt = std::numeric_limits<std::int32_t>::max();

/// A whole number of that range; nothing when the key is missing.
std::optional<std::int64_t> whole_in(const json& object, const char* key, std::int64_t most) {
    const json& given = base::member(object, key);
    if (!object.contains(key)) {
        return std::nullopt;
    }
    const auto whole = base::as_integer(given);
    if (!whole || *whole < 0 || *whole > most) {
        throw Error(say("has something else than a whole number from 0 to {} under \"{}\"", most, key));
    }
    return whole;
}

std::int32_t required(const json& object, const char* key) {
    const auto whole = whole_in(object, key, kMostInt);
    if (!whole) {
        throw Error(say("has no \"{}\"", key));
    }
    return static_cast<std::int32_t>(*whole);
}

/// -1 when it is missing, which is how a trace says that it is not known.
std::int32_t id_of(const json& object, const char* key) {
    return static_cast<std::int32_t>(whole_in(object, key, kMostInt).value_or(-1));
}

/// One that is too large for a float is no number that a router had.
float float_of(const json& value, const char* key) {
    if (!value.is_number()) {
        throw Error(say("has something that is no number under \"{}\"", key));
    }
    const auto number = static_cast<float>(value.get<double>());
    if (!std::isfinite(number)) {
        throw Error(say("has a number that is too large under \"{}\"", key));
    }
    return number;
}

float float_in(const json& object, const char* key) {
    return object.contains(key) ? float_of(object.at(key), key) : kUnknown;
}

/// Null when the key is missing.
const json& list_in(const json& object, const char* key) {
    const json& given = base::member(object, key);
    if (object.contains(key) && !given.is_array()) {
        throw Error(say("has something that is no list under \"{}\"", key));
    }
    return given;
}

/// null stands for a number that is none.
std::vector<float> floats_of(const json& object, const char* key) {
    std::vector<float> values;
    for (const json& value : list_in(object, key)) {
        values.push_back(value.is_null() ? kUnknown : float_of(value, key));
    }
    return values;
}

/// The same, of which there have to be so many, if there are any.
std::vector<float> floats_of(const json& object, const char* key, int count) {
    std::vector<float> values = floats_of(object, key);
    if (!values.empty() && values.size() != static_cast<std::size_t>(count)) {
        throw Error(say("has {} numbers under \"{}\" where its router has {}", values.size(), key, count));
    }
    return values;
}

/// Whole numbers that fit; what is none is an error, as a number that is left out would shift the others.
std::vector<std::int32_t> ids_of(const json& object, const char* key) {
    std::vector<std::int32_t> ids;
    for (const json& value : list_in(object, key)) {
        const auto id = base::as_integer(value);
        if (value.is_number() && std::abs(value.get<double>()) > static_cast<double>(kMostInt)) {
            throw Error(say("has a number that is too large under \"{}\"", key));
        }
        if (!id) {
            throw Error(say("has something that is no whole number under \"{}\"", key));
        }
        ids.push_back(static_cast<std::int32_t>(*id));
    }
    return ids;
}

std::string text_in(const json& object, const char* key) {
    if (!object.contains(key)) {
        return {};
    }
    const json& given = object.at(key);
    if (!given.is_string()) {
        throw Error(say("has something that is no text under \"{}\"", key));
    }
    return given.get<std::string>();
}

int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') {
        return letter - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/// The bytes of a token: of a part of a character only these say what it is.
std::string bytes_of(const json& value) {
    const std::string hex = text_in(value, "bytes");
    std::string bytes = text_in(value, "piece");
    if (!hex.empty()) {
        bytes.clear();
        for (std::size_t i = 0; i < hex.size(); i += 2) {
            const int high = digit_of(hex[i]), low = i + 1 < hex.size() ? digit_of(hex[i + 1]) : -1;
            if (high < 0 || low < 0) {
                throw Error(say("has something else than pairs of hexadecimal digits under \"bytes\""));
            }
            bytes += static_cast<char>(high * 16 + low);
        }
    }
    if (bytes.size() > kLongestPiece) {
        throw Error(say("has a token of {} bytes", bytes.size()));
    }
    return bytes;
}

LayerDecision decision_of(const json& value, const RouterSpec& spec, const ValueLimits& limits) {
    if (!value.is_object()) {
        throw Error(say("has something that is no decision of a layer under \"layers\""));
    }
    LayerDecision decision;
    decision.layer = required(value, "layer");
    if (!value.contains("ids")) {
        throw Error(say("has no \"{}\"", "ids"));
    }
    decision.ids = ids_of(value, "ids");
    decision.weights = floats_of(value, "weights");
    decision.logits = floats_of(value, "logits", spec.experts);
    decision.scores = floats_of(value, "scores", spec.experts);
    decision.selection = floats_of(value, "selection", spec.experts);
    decision.group_scores = floats_of(value, "group_scores", spec.groups);
    decision.groups_kept = ids_of(value, "groups_kept");
    for (const std::int32_t group : decision.groups_kept) {
        if (group < 0 || group >= spec.groups) {
            throw Error(say("keeps group {}, and its router has the groups 0 to {}", group, spec.groups - 1));
        }
    }
    decision.margin = float_in(value, "margin");
    decision.entropy = float_in(value, "entropy");
    check(decision, limits);
    return decision;
}

TokenDecisions token_of(const json& value, const RouterSpec& spec, const ValueLimits& limits) {
    if (!value.is_object() || !value.contains("layers")) {
        throw Error(say("has no \"layers\""));
    }
    TokenDecisions token;
    token.position = required(value, "position");
    token.token = id_of(value, "token");
    token.next = id_of(value, "next");
    token.predicted = id_of(value, "predicted");
    token.bytes = bytes_of(value);
    token.document =
        static_cast<std::uint32_t>(whole_in(value, "document", std::numeric_limits<std::uint32_t>::max()).value_or(0));
    token.language = text_in(value, "language");
    token.group = text_in(value, "group");
    for (const std::string* name : {&token.language, &token.group}) {
        if (name->size() > kLongestName) {
            throw Error(say("has a name of {} bytes", name->size()));
        }
    }
    if (value.contains("log_probability")) {
        token.log_probability = float_in(value, "log_probability");
        check_log_probability(*token.log_probability);
    }
    const json& layers = list_in(value, "layers");
    token.layers.reserve(layers.size());
    for (const json& layer : layers) {
        token.layers.push_back(decision_of(layer, spec, limits));
    }
    return token;
}

class LineStream final : public TraceStream {
 public:
    explicit LineStream(base::InputFile&& file) : lines_(std::move(file)), builder_(lines_.spec()) {}
    const RouterSpec& spec() const override { return lines_.spec(); }
    const json& interventions() const override { return lines_.interventions(); }
    std::shared_ptr<const Chunk> next() override {
        TokenDecisions token;
        while (!builder_.full() && lines_.next(token)) {
            try {
                builder_.add(token);
            } catch (const Error& error) {
                lines_.fail(error.sentence());
            }
        }
        return builder_.empty() ? nullptr : builder_.take();
    }
    std::vector<Sentence> problems() const override { return lines_.problems(); }
    std::size_t damaged() const override { return lines_.gaps(); }

 private:
    TraceLines lines_;
    ChunkBuilder builder_;
};

/// Text that was read whole, so that what it lacks is known.
class LoadedText final : public TraceSource {
 public:
    LoadedText(RouterSpec spec, std::vector<std::shared_ptr<const Chunk>> chunks, std::vector<Sentence> problems,
               std::size_t gaps)
        : trace_(std::move(spec), std::move(chunks)), problems_(std::move(problems)), gaps_(gaps) {}
    const RouterSpec& spec() const override { return trace_.spec(); }
    std::size_t chunks() const override { return trace_.chunks(); }
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned wanted) const override {
        return trace_.chunk(number, wanted);
    }
    std::size_t damaged_places() const override { return gaps_; }
    std::vector<Sentence> problems(std::size_t damaged_chunks) const override {
        std::vector<Sentence> problems = TraceSource::problems(damaged_chunks);
        problems.insert(problems.end(), problems_.begin(), problems_.end());
        return problems;
    }

 private:
    const MemoryTrace trace_;
    const std::vector<Sentence> problems_;
    const std::size_t gaps_;
};

class FileStream final : public TraceStream {
 public:
    explicit FileStream(base::InputFile&& file) : file_(std::move(file)) {}
    const RouterSpec& spec() const override { return file_.spec(); }
    const json& interventions() const override { return file_.interventions(); }
    std::shared_ptr<const Chunk> next() override {
        while (at_ < file_.chunks()) {
            if (auto chunk = file_.chunk(at_++, kAllColumns)) {
                return chunk;
            }
            ++damaged_;
        }
        return nullptr;
    }
    std::vector<Sentence> problems() const override { return file_.problems(damaged_); }
    std::size_t damaged() const override { return damaged_ + file_.damaged_places(); }

 private:
    TraceFile file_;
    std::size_t at_ = 0, damaged_ = 0;
};

}  // namespace

TraceLines::TraceLines(const fs::path& path) : TraceLines(base::InputFile(path)) {}

TraceLines::TraceLines(base::InputFile&& file) : path_(file.path()), lines_(std::move(file), kLongestTraceLine) {
    if (!next_value(first_)) {
        throw Error(say("{} is empty", path_));
    }
    try {
        const json& router = base::member(first_, "router");
        spec_ = router_from_json(router);
        if (router.contains("interventions")) {
            interventions_ = router.at("interventions");
            check_changes(interventions_);
        }
        limits_ = limits_of(spec_, !interventions_.is_null());
    } catch (const Error& error) {
        fail(error.sentence());
    }
}

std::vector<Sentence> TraceLines::problems() const {
    if (order_.gaps() == 0) {
        return {};
    }
    return {missing_within_texts(path_, order_.missing(), order_.gaps())};
}

void TraceLines::fail(const Sentence& problem) const {
    throw Error(say("line {} of {} {}", lines_.number(), path_, problem));
}

bool TraceLines::next_value(json& value) {
    try {
        while (lines_.next(text_)) {
            if (text_.find_first_not_of(" \t") == std::string::npos) {
                continue;
            }
            base::ParsedJson parsed = base::read_json(text_, kLongestTraceLine);
            if (!parsed.value) {
                throw Error(parsed.problem);
            }
            value = std::move(*parsed.value);
            return true;
        }
        return false;
    } catch (const Error& error) {
        fail(error.sentence());
    }
}

bool TraceLines::next(TokenDecisions& token) {
    json value;
    if (std::exchange(first_pending_, false)) {
        value = std::exchange(first_, nullptr);
        if (!value.contains("layers")) {  // a router alone: a trace without a token
            return next(token);
        }
    } else if (!next_value(value)) {
        return false;
    } else if (value.is_object() && value.contains("router")) {
        fail(say("has a second \"router\"; a file holds the trace of one"));
    }
    try {
        token = token_of(value, spec_, limits_);
        order_.add(token.document, token.position);
    } catch (const Error& error) {
        fail(error.sentence());
    }
    return true;
}

namespace {

bool is_trace_file(const base::InputFile& file) {
    std::array<std::byte, kTraceMark.size()> mark{};
    const std::size_t count = file.read_some(0, mark);
    return std::string_view(reinterpret_cast<const char*>(mark.data()), count) == kTraceMark;
}

}  // namespace

std::unique_ptr<TraceStream> open_trace(const fs::path& path) {
    base::InputFile file(path);
    if (is_trace_file(file)) {
        return std::make_unique<FileStream>(std::move(file));
    }
    return std::make_unique<LineStream>(std::move(file));
}

LoadedTrace load_trace(const fs::path& path, const std::function<void()>& check) {
    base::InputFile opened(path);
    if (is_trace_file(opened)) {
        const auto file = std::make_shared<const TraceFile>(std::move(opened));
        return {file, file->interventions()};
    }
    LineStream lines(std::move(opened));
    std::vector<std::shared_ptr<const Chunk>> chunks;
    std::size_t chosen = 0;
    while (auto chunk = lines.next()) {
        if (check) {
            check();
        }
        chosen += chunk->ids.size();
        if (chosen > kMostChosenOfText) {
            throw Error(say("{} has more than {} chosen experts, more than text can be read with at once", path,
                            kMostChosenOfText));
        }
        chunks.push_back(std::move(chunk));
    }
    return {std::make_shared<const LoadedText>(lines.spec(), std::move(chunks), lines.problems(), lines.damaged()),
            lines.interventions()};
}

}  // namespace moescope::routing
