#include "engine/runner/llama_log.hpp"

#include <llama.h>
#include <mutex>
#include <utility>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostErrors = 2000;  // bytes

thread_local LogCapture* capture_of_this_thread = nullptr;

void hear_log(ggml_log_level level, const char* text, void* /*user_data*/) {
    if (capture_of_this_thread != nullptr) {
        capture_of_this_thread->hear(level == GGML_LOG_LEVEL_ERROR, text);
    }
}

}  // namespace

void start_libllama() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(hear_log, nullptr);
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
