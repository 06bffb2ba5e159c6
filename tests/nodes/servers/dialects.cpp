#include "tests/nodes/servers/dialects.hpp"

#include <openssl/evp.h>
#include <set>

#include "base/utf8.hpp"

namespace moescope::test {

using nlohmann::json;
using namespace nlohmann::literals;

namespace {

constexpr const char* kEnd = "<|im_end|>";  ///< a token that counts and is no part of the text
constexpr std::int32_t kEndId = 2;

json list_of_models(const std::string& owner, const json& more = json::object()) {
    json model = {{"id", "tiny-moe"}, {"object", "model"}, {"created", 1}, {"owned_by", owner}};
    model.update(more);
    return {{"object", "list"}, {"data", json::array({model})}};
}

json bytes_list(const std::string& text) {
    json list = json::array();
    for (const char c : text) {
        list.push_back(static_cast<unsigned char>(c));
    }
    return list;
}

/// The text of a token as most servers show it: what is a part of a character is U+FFFD.
std::string shown(const std::string& text) {
    return base::first_invalid_utf8(text) == text.size() ? text : "\xef\xbf\xbd";
}

json entry_of(const SpokenToken& token, int alternatives, bool with_ids) {
    const auto one = [&](const std::string& text, float value, std::int32_t id) {
        json entry = {{"token", shown(text)}, {"logprob", value}, {"bytes", bytes_list(shown(text))}};
        if (with_ids) {
            entry["id"] = id;
        }
        return entry;
    };
    json entry = one(token.text, token.log_probability, token.id);
    entry["top_logprobs"] = json::array();
    for (int i = 0; i < alternatives; ++i) {
        entry["top_logprobs"].push_back(
            i == 0 ? one(token.text, token.log_probability, token.id)
                   : one("other " + std::to_string(i), -4.0f - static_cast<float>(i), 500 + i));
    }
    return entry;
}

SpokenToken end_token() {
    return {kEnd, -0.01f, kEndId};
}

/// What of the text has become whole with the token `index`: nothing for the first part of a character.
std::string delta_of(std::size_t index) {
    const auto& tokens = spoken_tokens();
    const std::string& text = tokens[index].text;
    if (base::first_invalid_utf8(text) == text.size()) {
        return text;
    }
    const bool second = index > 0 && base::first_invalid_utf8(tokens[index - 1].text) != tokens[index - 1].text.size();
    return second ? tokens[index - 1].text + text : std::string();
}

json usage() {
    const auto written = static_cast<int>(spoken_tokens().size()) + 1;
    return {
        {"prompt_tokens", kSpokenPrompt}, {"completion_tokens", written}, {"total_tokens", kSpokenPrompt + written}};
}

bool is_chat(const ServerExchange& exchange) {
    return exchange.request.target.ends_with("/chat/completions");
}

/// Log-probabilities as chats have them, or as completions do; llama-server, which has ids, knows only the first.
json logprobs_of(const std::vector<SpokenToken>& tokens, bool chat, int alternatives, bool with_ids) {
    if (chat || with_ids) {
        json content = json::array();
        for (const SpokenToken& token : tokens) {
            content.push_back(entry_of(token, alternatives, with_ids));
        }
        return {{"content", content}};
    }
    json lists = {{"tokens", json::array()}, {"token_logprobs", json::array()}, {"top_logprobs", json::array()}};
    for (const SpokenToken& token : tokens) {
        lists["tokens"].push_back(shown(token.text));
        lists["token_logprobs"].push_back(token.log_probability);
        json others = json::object();
        for (int i = 0; i < alternatives; ++i) {
            others[i == 0 ? shown(token.text) : "other " + std::to_string(i)] =
                i == 0 ? token.log_probability : -4.0f - static_cast<float>(i);
        }
        lists["top_logprobs"].push_back(others);
    }
    return lists;
}

json choice_of(bool chat, bool whole, const std::string& text) {
    json choice = {{"index", 0}, {"finish_reason", nullptr}};
    if (!chat) {
        choice["text"] = text;
    } else {
        choice[whole ? "message" : "delta"] = {{"content", text}};
    }
    return choice;
}

int alternatives_in(const json& asked, bool chat) {
    return chat ? asked.value("top_logprobs", 0) : asked.value("logprobs", 0);
}

void stream(const ServerExchange& exchange, bool with_ids, bool with_token_ids, const json& extra) {
    const json asked = exchange.request.json();
    const bool chat = is_chat(exchange);
    const int alternatives = alternatives_in(asked, chat);
    exchange.begin_events();
    if (chat) {
        const json begins = {{"index", 0}, {"delta", {{"role", "assistant"}, {"content", ""}}}};
        exchange.event(json{{"choices", json::array({begins})}});
    }
    std::vector<SpokenToken> tokens = spoken_tokens();
    tokens.push_back(end_token());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const bool last = i + 1 == tokens.size();
        json choice = choice_of(chat, false, last ? "" : delta_of(i));
        choice["logprobs"] = logprobs_of({tokens[i]}, chat, alternatives, with_ids);
        if (with_token_ids) {
            choice["token_ids"] = json::array({tokens[i].id});
            if (i == 0) {
                choice["prompt_token_ids"] = json::array({101, 102, 103});
            }
        }
        if (last) {
            choice["finish_reason"] = "stop";
        }
        exchange.event(json{{"object", "chunk"}, {"choices", json::array({choice})}});
    }
    if (!extra.is_null()) {
        exchange.event(extra);
    }
    if (asked.value("/stream_options/include_usage"_json_pointer, false)) {
        exchange.event(json{{"choices", json::array()}, {"usage", usage()}});
    }
    exchange.event(std::string("[DONE]"));
    exchange.end_events();
}

bool lists_models(const ServerExchange& exchange, const json& list) {
    if (exchange.request.target != "/v1/models" || exchange.request.method != "GET") {
        return false;
    }
    exchange.reply(list);
    return true;
}

}  // namespace

const std::vector<SpokenToken>& spoken_tokens() {
    static const std::vector<SpokenToken> tokens = {{"The", -0.5f, 11},       {" router", -0.25f, 12},
                                                    {" \xe8\xb7", -1.5f, 13}, {"\xaf", -0.125f, 14},
                                                    {"由", -0.75f, 15},       {".", -2.0f, 16}};
    return tokens;
}

std::string spoken_text() {
    std::string text;
    for (const SpokenToken& token : spoken_tokens()) {
        text += token.text;
    }
    return text;
}

std::vector<std::int32_t> spoken_experts() {
    std::vector<std::int32_t> ids;
    // The end token was written too, and like every last token never read.
    const int rows = kSpokenPrompt + static_cast<int>(spoken_tokens().size());
    for (int token = 0; token < rows; ++token) {
        for (int layer = 0; layer < kSpokenLayers; ++layer) {
            const int first = (token + layer) % kSpokenExperts;
            ids.push_back(first);
            ids.push_back((first + 1 + token % 3) % kSpokenExperts);
        }
    }
    return ids;
}

std::string to_base64(const std::string& bytes) {
    std::string text(bytes.size() / 3 * 4 + 5, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                         reinterpret_cast<const unsigned char*>(bytes.data()),
                                                         static_cast<int>(bytes.size()))));
    return text;
}

std::string to_npy(const std::string& type, const std::string& shape, const std::string& data) {
    std::string head = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
    head.resize((10 + head.size() + 1 + 63) / 64 * 64 - 11, ' ');
    head += '\n';
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(head.size() % 256) +
           static_cast<char>(head.size() / 256) + head + data;
}

TestServer::Handler speaks_vllm(Twist twist) {
    return [twist](const ServerExchange& exchange) {
        if (lists_models(exchange, list_of_models("vllm", {{"max_model_len", 4096}}))) {
            return;
        }
        const json asked = exchange.request.json();
        if (asked.value("stream", false)) {
            return stream(exchange, false, asked.value("return_token_ids", false), json());
        }
        const bool chat = is_chat(exchange);
        std::vector<SpokenToken> tokens = spoken_tokens();
        tokens.push_back(end_token());
        json choice = choice_of(chat, true, spoken_text());
        choice["logprobs"] = logprobs_of(tokens, chat, alternatives_in(asked, chat), false);
        choice["finish_reason"] = "stop";
        choice["token_ids"] = json::array();
        for (const SpokenToken& token : tokens) {
            choice["token_ids"].push_back(token.id);
        }
        const auto rows = spoken_experts().size() / (kSpokenLayers * kSpokenPerToken);
        if (!twist.no_routing) {
            choice["routed_experts"] =
                twist.packed.empty()
                    ? to_base64(to_npy("<i4", std::to_string(rows) + ", 3, 2", bytes_of(spoken_experts())))
                    : twist.packed;
        }
        const json whole = {{"object", "answer"},
                            {"choices", json::array({choice})},
                            {"usage", usage()},
                            {"prompt_token_ids", json::array({101, 102, 103})}};
        exchange.reply(whole);
    };
}

TestServer::Handler speaks_sglang(Twist twist) {
    return [twist](const ServerExchange& exchange) {
        if (lists_models(exchange, list_of_models("sglang", {{"max_model_len", 2048}}))) {
            return;
        }
        const json asked = exchange.request.json();
        json extra;
        if (asked.value("return_routed_experts", false) && !twist.no_routing) {
            extra = {
                {"choices", json::array()},
                {"sglext",
                 {{"routed_experts", twist.packed.empty() ? to_base64(bytes_of(spoken_experts())) : twist.packed}}}};
        }
        stream(exchange, false, asked.value("return_token_ids", false), extra);
    };
}

TestServer::Handler speaks_llama() {
    return [](const ServerExchange& exchange) {
        const json meta = {{"n_vocab", 32000}, {"n_ctx_train", 8192}, {"n_params", 1000000}};
        if (!lists_models(exchange, list_of_models("llamacpp", {{"meta", meta}}))) {
            stream(exchange, true, false, json());
        }
    };
}

TestServer::Handler speaks_openai() {
    return [](const ServerExchange& exchange) {
        if (lists_models(exchange, list_of_models("acme"))) {
            return;
        }
        static const std::set<std::string> known = {"model",       "messages",       "prompt",   "max_tokens",
                                                    "temperature", "seed",           "logprobs", "top_logprobs",
                                                    "stream",      "stream_options", "top_p"};
        const json asked = exchange.request.json();
        for (const auto& [key, value] : asked.items()) {
            if (!known.contains(key)) {
                exchange.reply(400, "application/json",
                               json{{"error", {{"message", "Unknown parameter: " + key}}}}.dump());
                return;
            }
        }
        stream(exchange, false, false, json());
    };
}

}  // namespace moescope::test
