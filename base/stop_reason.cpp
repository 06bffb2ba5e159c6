#include "base/stop_reason.hpp"

#include <algorithm>
#include <string>

namespace moescope::base {
namespace {

struct Name {
    StopReason reason;
    std::string_view name;
};

// The first name of each is ours; the others are what OpenAI, Anthropic, Google, Mistral, Zhipu, vLLM, llama.cpp and
// Ollama call it.
constexpr auto kNames = std::to_array<Name>({
    {StopReason::end, "end"},
    {StopReason::end, "stop"},
    {StopReason::end, "eos"},
    {StopReason::end, "eos_token"},
    {StopReason::end, "end_turn"},
    {StopReason::end, "stop_sequence"},
    {StopReason::end, "tool_calls"},
    {StopReason::end, "tool_use"},
    {StopReason::end, "function_call"},
    {StopReason::end, "complete"},
    {StopReason::end, "done"},
    {StopReason::length, "length"},
    {StopReason::length, "limit"},
    {StopReason::length, "max_tokens"},
    {StopReason::length, "max_output_tokens"},
    {StopReason::context, "context"},
    {StopReason::context, "model_length"},
    {StopReason::context, "context_length"},
    {StopReason::context, "model_context_window_exceeded"},
    {StopReason::time, "time"},
    {StopReason::time, "timeout"},
    {StopReason::cancelled, "cancelled"},
    {StopReason::cancelled, "canceled"},
    {StopReason::cancelled, "abort"},
    {StopReason::cancelled, "user_cancel"},
    {StopReason::error, "error"},
    {StopReason::error, "network_error"},
    {StopReason::filtered, "filtered"},
    {StopReason::filtered, "content_filter"},
    {StopReason::filtered, "sensitive"},
    {StopReason::filtered, "safety"},
    {StopReason::filtered, "refusal"},
    {StopReason::filtered, "blocklist"},
    {StopReason::filtered, "prohibited_content"},
    {StopReason::filtered, "recitation"},
    {StopReason::filtered, "guardrail_intervened"},
});

}  // namespace

std::string_view stop_name(StopReason reason) {
    const auto found =
        std::find_if(kNames.begin(), kNames.end(), [&](const Name& name) { return name.reason == reason; });
    return found == kNames.end() ? "error" : found->name;
}

std::optional<StopReason> stop_from_name(std::string_view name) {
    std::string lower(name);
    for (char& c : lower) {
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    const auto found = std::find_if(kNames.begin(), kNames.end(), [&](const Name& n) { return n.name == lower; });
    return found == kNames.end() ? std::nullopt : std::optional(found->reason);
}

bool stopped_early(StopReason reason) {
    return reason == StopReason::length || reason == StopReason::context || reason == StopReason::time ||
           reason == StopReason::cancelled;
}

}  // namespace moescope::base
