// Server-sent events, as servers stream answers: of each event only the data counts (WHATWG HTML, section 9.2.6).
// Pure. The bytes are untrusted.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::servers {

class EventStream {
 public:
    /// An event has at most so many bytes. `source` is the server, for sentences.
    EventStream(std::size_t most, base::Sentence source) : most_(most), source_(std::move(source)) {}

    /// Calls `on_event` with the data of each event that has ended; false when that said false, which ends the reading.
    /// Throws Error when an event is too long.
    bool feed(std::string_view bytes, const std::function<bool(std::string_view)>& on_event);

 private:
    void take_line();

    const std::size_t most_;
    const base::Sentence source_;
    std::string line_, data_;
    bool has_data_ = false, after_return_ = false, begun_ = false;
};

}  // namespace moescope::servers
