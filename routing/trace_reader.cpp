#include "routing/trace_reader.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "routing/trace_file.hpp"

namespace moescope::routing {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

float float_of(const json& value) {
    return value.is_number() ? static_cast<float>(value.get<double>()) : kUnknown;
}

std::vector<float> floats_of(const json& object, const char* key) {
    const json& given = base::member(object, key);
    std::vector<float> values;
    if (given.is_array()) {
        values.reserve(given.size());
        for (const json& value : given) {
            values.push_back(float_of(value));
        }
    }
    return values;
}

/// Whole numbers that fit; what is none is an error, as a number that is left out would shift the others.
std::vector<std::int32_t> ids_of(const json& object, const char* key) {
    const json& given = base::member(object, key);
    std::vector<std::int32_t> ids;
    if (!given.is_array()) {
        return ids;
    }
    ids.reserve(given.size());
    for (const json& value : given) {
        const auto id = base::as_integer(value);
        if (!id || !std::in_range<std::int32_t>(*id)) {
            throw Error(say("has something that is no number under \"{}\"", key));
        }
        ids.push_back(static_cast<std::int32_t>(*id));
    }
    return ids;
}

int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') {
        return letter - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/// The bytes of a token: of a part of a character only these say what it is.
std::string bytes_of(const json& value) {
    const std::string hex = base::text_of(value, "bytes");
    std::string bytes = base::text_of(value, "piece");
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

std::int32_t id_of(const json& value, const char* key) {
    const int id = base::integer_of(value, key, -1);
    return id < 0 ? -1 : id;
}

LayerDecision decision_of(const json& value) {
    LayerDecision decision;
    decision.layer = base::integer_of(value, "layer", -1);
    decision.ids = ids_of(value, "ids");
    decision.weights = floats_of(value, "weights");
    decision.logits = floats_of(value, "logits");
    decision.scores = floats_of(value, "scores");
    decision.selection = floats_of(value, "selection");
    decision.group_scores = floats_of(value, "group_scores");
    decision.groups_kept = ids_of(value, "groups_kept");
    decision.margin = float_of(base::member(value, "margin"));
    decision.entropy = float_of(base::member(value, "entropy"));
    return decision;
}

TokenDecisions token_of(const json& value) {
    TokenDecisions token;
    token.position = base::integer_of(value, "position");
    token.token = id_of(value, "token");
    token.next = id_of(value, "next");
    token.predicted = id_of(value, "predicted");
    token.bytes = bytes_of(value);
    token.document = static_cast<std::uint32_t>(std::max(0, base::integer_of(value, "document")));
    token.language = base::text_of(value, "language");
    token.group = base::text_of(value, "group");
    for (const std::string* name : {&token.language, &token.group}) {
        if (name->size() > kLongestPiece) {
            throw Error(say("has a name of {} bytes", name->size()));
        }
    }
    if (const auto number = base::as_number(base::member(value, "log_probability"))) {
        token.log_probability = static_cast<float>(*number);
    }
    const json& layers = base::member(value, "layers");
    if (!layers.is_array()) {
        throw Error(say("has no \"layers\""));
    }
    token.layers.reserve(layers.size());
    for (const json& layer : layers) {
        token.layers.push_back(decision_of(layer));
    }
    return token;
}

class LineStream final : public TraceStream {
 public:
    explicit LineStream(const fs::path& path) : lines_(path), builder_(lines_.spec()) {}
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

 private:
    TraceLines lines_;
    ChunkBuilder builder_;
};

class FileStream final : public TraceStream {
 public:
    explicit FileStream(const fs::path& path) : file_(path) {}
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

 private:
    TraceFile file_;
    std::size_t at_ = 0, damaged_ = 0;
};

}  // namespace

TraceLines::TraceLines(const fs::path& path) : path_(path), lines_(path.string(), kLongestTraceLine) {
    if (!next_value(first_)) {
        throw Error(say("{} is empty", path_));
    }
    try {
        spec_ = router_from_json(base::member(first_, "router"));
    } catch (const Error& error) {
        fail(error.sentence());
    }
    if (const json& changes = base::member(base::member(first_, "router"), "interventions"); changes.is_array()) {
        interventions_ = changes;
    }
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
    }
    try {
        token = token_of(value);
    } catch (const Error& error) {
        fail(error.sentence());
    }
    return true;
}

namespace {

bool is_trace_file(const fs::path& path) {
    std::array<std::byte, kTraceMark.size()> mark{};
    const base::InputFile file(path);
    const std::size_t count = file.read_some(0, mark);
    return std::string_view(reinterpret_cast<const char*>(mark.data()), count) == kTraceMark;
}

}  // namespace

std::unique_ptr<TraceStream> open_trace(const fs::path& path) {
    if (is_trace_file(path)) {
        return std::make_unique<FileStream>(path);
    }
    return std::make_unique<LineStream>(path);
}

json router_with_changes(const LoadedTrace& trace) {
    json router = router_to_json(trace.source->spec());
    if (trace.interventions.is_array()) {
        router["interventions"] = trace.interventions;
    }
    return router;
}

LoadedTrace load_trace(const fs::path& path, const std::function<void()>& check) {
    if (is_trace_file(path)) {
        const auto file = std::make_shared<const TraceFile>(path);
        return {file, file->interventions(), file->problems(0)};
    }
    LineStream lines(path);
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
    return {std::make_shared<const MemoryTrace>(lines.spec(), std::move(chunks)), lines.interventions(), {}};
}

}  // namespace moescope::routing
