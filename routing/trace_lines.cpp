#include "routing/trace_lines.hpp"

#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

#include "base/json_guard.hpp"
#include "base/utf8.hpp"
#include "routing/router_spec.hpp"

namespace moescope::routing {
namespace {

using nlohmann::json;

// nlohmann::json would widen a float to a double and print 0.1 as 0.10000000149011612: three times as long.
void put_number(std::string& out, float value) {
    if (std::isfinite(value)) {
        fmt::format_to(std::back_inserter(out), "{}", value);
    } else {
        out += "null";
    }
}
void put_number(std::string& out, std::int32_t value) {
    fmt::format_to(std::back_inserter(out), "{}", value);
}

void put_key(std::string& out, const char* key) {
    if (out.back() != '{') {
        out += ',';
    }
    fmt::format_to(std::back_inserter(out), "\"{}\":", key);
}

template <class T>
void put_array(std::string& out, const char* key, const std::vector<T>& values) {
    put_key(out, key);
    out += '[';
    for (const T value : values) {
        if (out.back() != '[') {
            out += ',';
        }
        put_number(out, value);
    }
    out += ']';
}

/// Left out when there is nothing in it.
template <class T>
void put_list(std::string& out, const char* key, const std::vector<T>& values) {
    if (!values.empty()) {
        put_array(out, key, values);
    }
}

void put_value(std::string& out, const char* key, float value) {
    if (std::isfinite(value)) {
        put_key(out, key);
        put_number(out, value);
    }
}

void put_layer(std::string& out, const LayerDecision& layer) {
    out += '{';
    put_key(out, "layer");
    put_number(out, layer.layer);
    put_array(out, "ids", layer.ids);
    put_list(out, "weights", layer.weights);
    put_value(out, "margin", layer.margin);
    put_value(out, "entropy", layer.entropy);
    put_list(out, "logits", layer.logits);
    put_list(out, "scores", layer.scores);
    put_list(out, "selection", layer.selection);
    put_list(out, "group_scores", layer.group_scores);
    put_list(out, "groups_kept", layer.groups_kept);
    out += '}';
}

void put_text(std::string& out, const char* key, const std::string& text) {
    if (!text.empty()) {
        put_key(out, key);
        out += base::dump_json(json(text));  // puts U+FFFD for what is no UTF-8
    }
}

/// Of a language or a group, as a reader takes it.
void put_name(std::string& out, const char* key, const std::string& name) {
    const std::string valid = base::to_valid_utf8(name);
    if (valid.size() > kLongestName) {
        throw Error(say("has a name of {} bytes", valid.size()));
    }
    put_text(out, key, valid);
}

/// The text of a token. A part of a character is no text: its bytes stand beside it.
void put_piece(std::string& out, const std::string& whole) {
    const std::string bytes = whole.substr(0, kLongestPiece);
    put_text(out, "piece", bytes);
    if (base::first_invalid_utf8(bytes) == bytes.size()) {
        return;
    }
    put_key(out, "bytes");
    out += '"';
    for (const char byte : bytes) {
        fmt::format_to(std::back_inserter(out), "{:02x}", static_cast<unsigned char>(byte));
    }
    out += '"';
}

}  // namespace

json router_with_changes(const RouterSpec& spec, const json& interventions) {
    json router = router_to_json(spec);
    router["doubts"] = json::array();
    for (const Sentence& doubt : spec.doubts) {
        router["doubts"].push_back(doubt.english());
    }
    if (interventions.is_array()) {
        router["interventions"] = interventions;
    }
    return router;
}

std::string router_json(const RouterSpec& spec, const Interventions& interventions) {
    return base::dump_json(router_with_changes(spec, interventions.empty() ? json() : items_to_json(interventions)));
}

std::string trace_line(const TokenDecisions& token, const RouterSpec* first, const Interventions& interventions) {
    std::string out = "{";
    if (first != nullptr) {
        try {
            check(*first);
        } catch (const Error& error) {
            throw Error(say("the router can't be written into a trace: it {}", error.sentence()));
        }
        put_key(out, "router");
        out += router_json(*first, interventions);
    }
    put_key(out, "position");
    put_number(out, token.position);
    if (token.document > 0) {
        put_key(out, "document");
        fmt::format_to(std::back_inserter(out), "{}", token.document);
    }
    put_name(out, "language", token.language);
    put_name(out, "group", token.group);
    if (token.token >= 0) {
        put_key(out, "token");
        put_number(out, token.token);
    }
    put_piece(out, token.bytes);
    if (token.next >= 0) {
        put_key(out, "next");
        put_number(out, token.next);
    }
    if (token.predicted >= 0) {
        put_key(out, "predicted");
        put_number(out, token.predicted);
    }
    if (token.log_probability) {
        put_value(out, "log_probability", *token.log_probability);
    }
    put_key(out, "layers");
    out += '[';
    for (const LayerDecision& layer : token.layers) {
        if (out.back() != '[') {
            out += ',';
        }
        put_layer(out, layer);
    }
    out += "]}";
    return out;
}

}  // namespace moescope::routing
