#include "nodes/servers/event_stream.hpp"

#include <gtest/gtest.h>
#include <vector>

#include "base/error.hpp"

namespace moescope::servers {
namespace {

const base::Sentence kSource = base::say("the server");

/// The events of `text`, fed in pieces of `step` bytes.
std::vector<std::string> events_of(std::string_view text, std::size_t step, std::size_t most = 1000) {
    std::vector<std::string> events;
    EventStream stream(most, kSource);
    for (std::size_t at = 0; at < text.size(); at += step) {
        stream.feed(text.substr(at, step), [&](std::string_view data) {
            events.emplace_back(data);
            return true;
        });
    }
    return events;
}

TEST(EventStream, EveryLineEndAndEveryCut) {
    const std::string text =
        "\xef\xbb\xbf"
        "data: one\n\n: a comment\n\nevent: x\nid: 7\ndata:two\ndata:  lines\r\n\r\ndata: three\r\rdata\n\n\n\ndata: "
        "\n\n"
        "other: y\n\ndata: unfinished";
    const std::vector<std::string> wanted = {"one", "two\n lines", "three", "", ""};
    for (std::size_t step = 1; step <= text.size(); ++step) {
        EXPECT_EQ(events_of(text, step), wanted) << step;
    }
}

TEST(EventStream, EndsWhereItIsToldTo) {
    EventStream stream(100, kSource);
    int seen = 0;
    EXPECT_FALSE(stream.feed("data: a\n\ndata: [DONE]\n\ndata: b\n\n", [&](std::string_view data) {
        ++seen;
        return data != "[DONE]";
    }));
    EXPECT_EQ(seen, 2);
}

TEST(EventStream, LongEventsAreRefused) {
    EXPECT_EQ(events_of("data: " + std::string(94, 'x') + "\n\n", 7, 100).size(), 1u);
    EXPECT_THROW(events_of("data: " + std::string(95, 'x') + "\n\n", 7, 100), base::Error);
    EXPECT_THROW(events_of(std::string(101, 'x'), 1, 100), base::Error) << "a line without an end";
    std::string lines;
    for (int i = 0; i < 40; ++i) {
        lines += "data: xxx\n";
    }
    EXPECT_THROW(events_of(lines, 1000, 100), base::Error) << "many lines of one event";
    std::string comments;
    for (int i = 0; i < 1000; ++i) {
        comments += ": still here\n\n";
    }
    EXPECT_TRUE(events_of(comments, 999, 100).empty());
}

}  // namespace
}  // namespace moescope::servers
