// libllama's one log for the whole process, split by the thread that it speaks on. For the files that include llama.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::engine {

/// Before anything else of libllama is called.
void start_libllama();

/// While it lives, what libllama says on this thread is heard here: errors are kept; everything, line by line or in
/// parts of lines, goes to `listener` where there is one. One at a time on each thread. What nobody hears is dropped.
class LogCapture {
 public:
    using Listener = std::function<void(std::string_view text)>;

    explicit LogCapture(Listener listener = {});
    ~LogCapture();
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    void hear(bool error, std::string_view text);
    /// The first line of the errors, which names the cause; the lines after it only pass it on.
    base::Sentence reason() const;

 private:
    Listener listener_;
    std::string errors_;
};

}  // namespace moescope::engine
