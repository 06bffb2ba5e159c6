#include "engine/runner/llama_log.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <llama.h>
#include <mutex>
#include <utility>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostErrors = 2000;  // bytes

thread_local LogCapture* capture_of_this_thread = nullptr;
/// What a back end said went wrong, the first line; it ends the process over it with fewer words.
thread_local std::array<char, 512> device_error{};

void hear_log(ggml_log_level level, const char* text, void* /*user_data*/) {
    constexpr std::string_view kDeviceError = "CUDA error";
    if (level == GGML_LOG_LEVEL_ERROR && std::string_view(text).starts_with(kDeviceError)) {
        std::snprintf(device_error.data(), device_error.size(), "%.*s", static_cast<int>(std::strcspn(text, "\n")),
                      text);
    }
    if (capture_of_this_thread != nullptr) {
        capture_of_this_thread->hear(level == GGML_LOG_LEVEL_ERROR, text);
    }
}

/// `place` is "/where/file.cpp:66: what failed". What is written last to the error stream is what the node quotes.
void tell_why_it_ends(const char* place) {
    const std::string_view text = place;
    if (const std::size_t where = text.find(": "); device_error[0] != '\0' && where != std::string_view::npos) {
        std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(where), place, device_error.data());
    } else {
        std::fprintf(stderr, "%s\n", place);
    }
}

}  // namespace

void start_libllama() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(hear_log, nullptr);
        ggml_set_abort_callback(tell_why_it_ends);
        llama_backend_init();
    });
}

LogCapture::LogCapture(Listener listener) : listener_(std::move(listener)) {
    capture_of_this_thread = this;
}

LogCapture::~LogCapture() {
    capture_of_this_thread = nullptr;
}

void LogCapture::hear(bool error, std::string_view text) {
    if (error && errors_.size() < kMostErrors) {
        errors_ += text;
    }
    if (listener_) {
        listener_(text);
    }
}

Sentence LogCapture::reason() const {
    const std::string line = base::to_valid_utf8(errors_.substr(0, errors_.find('\n')));
    return line.empty() ? say("libllama gave no reason") : Sentence::verbatim(line);
}

}  // namespace moescope::engine
