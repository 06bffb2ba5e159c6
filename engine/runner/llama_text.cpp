#include "engine/runner/llama_text.hpp"

#include <exception>
#include <functional>
#include <pthread.h>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

// Many of libllama's pre-tokenizers are regular expressions of the standard library, which calls itself for every
// character of a match: 320 bytes of stack each, so that 25,000 equal characters end a process with a stack of 8 MiB.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackPerByte = 8192;
#else
constexpr std::size_t kStackPerByte = 1024;
#endif
constexpr std::size_t kStackBesides = std::size_t{1} << 20;
constexpr std::size_t kFitsAnyStack = 2048;  // bytes of text
constexpr std::size_t kMostText = std::size_t{3} << 20;

struct Work {
    const std::function<void()>& run;
    std::exception_ptr failure;
};

void* run_work(void* pointer) {
    Work& work = *static_cast<Work*>(pointer);
    try {
        work.run();
    } catch (...) {
        work.failure = std::current_exception();
    }
    return nullptr;
}

void run_with_stack(std::size_t bytes, const std::function<void()>& run) {
    Work work{run, nullptr};
    pthread_attr_t attributes{};
    pthread_t thread{};
    bool started = pthread_attr_init(&attributes) == 0;
    if (started) {
        started = pthread_attr_setstacksize(&attributes, bytes) == 0 &&
                  pthread_create(&thread, &attributes, run_work, &work) == 0;
        pthread_attr_destroy(&attributes);
    }
    if (!started) {
        throw Error(say("there is not enough memory to cut this text into tokens; shorten it"));
    }
    pthread_join(thread, nullptr);
    if (work.failure) {
        std::rethrow_exception(work.failure);
    }
}

std::vector<std::int32_t> cut(const llama_vocab* vocabulary, std::string_view text, bool add_special,
                              bool parse_special) {
    const auto length = static_cast<std::int32_t>(text.size());
    std::vector<std::int32_t> tokens(text.size() + 2);  // never more tokens than bytes, plus begin and end
    std::int32_t count = llama_tokenize(vocabulary, text.data(), length, tokens.data(),
                                        static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
    if (count < 0) {  // more after all: the answer is the number needed
        tokens.resize(static_cast<std::size_t>(-static_cast<std::int64_t>(count)));
        count = llama_tokenize(vocabulary, text.data(), length, tokens.data(), static_cast<std::int32_t>(tokens.size()),
                               add_special, parse_special);
    }
    if (count < 0) {
        throw Error(say("the text could not be split into tokens"));
    }
    tokens.resize(static_cast<std::size_t>(count));
    return tokens;
}

}  // namespace

std::vector<std::int32_t> tokens_of_text(const llama_vocab* vocabulary, std::string_view text, bool add_special,
                                         bool parse_special) {
    if (text.size() > kMostText) {
        throw Error(say("a text of {} bytes is too long for a model; shorten it", text.size()));
    }
    if (text.size() <= kFitsAnyStack) {
        return cut(vocabulary, text, add_special, parse_special);
    }
    std::vector<std::int32_t> tokens;
    run_with_stack(text.size() * kStackPerByte + kStackBesides,
                   [&] { tokens = cut(vocabulary, text, add_special, parse_special); });
    return tokens;
}

}  // namespace moescope::engine
