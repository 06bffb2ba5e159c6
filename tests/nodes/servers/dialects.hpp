// What servers of four kinds say: the same small answer to every question, each in its own words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/nodes/servers/test_server.hpp"

namespace moescope::test {

/// One token of the answer: its text, its log-probability, its id.
struct SpokenToken {
    std::string text;
    float log_probability;
    std::int32_t id;
};
/// "The router 路由." in six tokens; the character 路 comes in two parts, of which servers show the first as U+FFFD.
const std::vector<SpokenToken>& spoken_tokens();
std::string spoken_text();
inline constexpr int kSpokenPrompt = 3;  ///< tokens of every prompt, ids 101, 102, 103

/// Experts of every token that was read, of all but the end token: [kSpokenPrompt + 6][3 layers][2 of 8].
std::vector<std::int32_t> spoken_experts();
inline constexpr int kSpokenLayers = 3, kSpokenExperts = 8, kSpokenPerToken = 2;

std::string to_base64(const std::string& bytes);
/// A .npy file of this type ("<i4") and shape ("2, 3").
std::string to_npy(const std::string& type, const std::string& shape, const std::string& data);
template <class T>
std::string bytes_of(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// What the server has instead of the right thing, where a test wants that.
struct Twist {
    std::string packed;  ///< for the routed experts, as base64
    bool no_routing = false;
};

/// Answers the list of models and both kinds of question. Parameters that the real server does not know are refused by
/// the ones that refuse them.
TestServer::Handler speaks_vllm(Twist twist = {});
TestServer::Handler speaks_sglang(Twist twist = {});
TestServer::Handler speaks_llama();
/// Knows nothing but OpenAI's interface, and refuses everything else.
TestServer::Handler speaks_openai();

}  // namespace moescope::test
