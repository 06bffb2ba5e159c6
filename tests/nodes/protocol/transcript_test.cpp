// Versions: what viewers and nodes of each minor version have sent is understood by those of today, what is newer than
// they are is ignored, and who can't be understood is refused with both versions named. With MOESCOPE_WRITE_GOLDEN=1
// the transcript of this version is written.
#include "tests/nodes/protocol/transcript.hpp"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/paths.hpp"

namespace moescope::protocol {
namespace {

namespace fs = std::filesystem;
using test::kTranscriptCommand;
using test::kTranscriptFailure;

fs::path folder_of(const std::string& version) {
    return fs::path(moescope::test::test_data()) / "nodes/protocol/transcripts" / version;
}

std::string this_version() {
    return fmt::format("{}.{}", kMajor, kMinor);
}

void write(const fs::path& file, const std::vector<std::byte>& bytes) {
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::vector<Frame> frames_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    FrameReader reader(kDataBodyLimit);
    reader.feed(bytes_of(bytes));
    std::vector<Frame> frames;
    while (auto frame = reader.next()) {
        frames.push_back(std::move(*frame));
    }
    EXPECT_TRUE(reader.error().empty()) << file << ": " << reader.error();
    EXPECT_EQ(reader.pending(), 0u) << file;
    EXPECT_GT(frames.size(), 5u) << file;
    return frames;
}

template <class T>
std::vector<T> all(const Actions& actions) {
    std::vector<T> found;
    for (const Action& action : actions) {
        if (const T* one = std::get_if<T>(&action)) {
            found.push_back(*one);
        }
    }
    return found;
}

struct Recording {
    std::string version;
    bool invited;
};

class Versions : public testing::TestWithParam<Recording> {
 protected:
    bool has_files() const { return GetParam().version != "2.0" && GetParam().version != "2.1"; }
    fs::path file(const char* side) const {
        return folder_of(GetParam().version) / (std::string(GetParam().invited ? "invited-" : "") + side + ".bin");
    }
};
INSTANTIATE_TEST_SUITE_P(Transcripts, Versions,
                         testing::Values(Recording{"2.0", false}, Recording{"2.1", false}, Recording{"2.1", true},
                                         Recording{"2.2", false}, Recording{"2.2", true}),
                         [](const auto& test) {
                             std::string name = "V" + test.param.version + (test.param.invited ? "Invited" : "");
                             name.replace(name.find('.'), 1, "_");
                             return name;
                         });

TEST(Versions, TheTranscriptOfThisVersionIsThere) {
    if (std::getenv("MOESCOPE_WRITE_GOLDEN") != nullptr) {
        for (const bool invited : {false, true}) {
            const auto made = test::record_transcript(invited);
            const std::string before = invited ? "invited-" : "";
            write(folder_of(this_version()) / (before + "viewer.bin"), made.viewer);
            write(folder_of(this_version()) / (before + "node.bin"), made.node);
        }
    }
    const auto hello = decode_hello(frames_of(folder_of(this_version()) / "node.bin").front().body);
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->minor, kMinor)
        << "a new minor version needs a transcript: MOESCOPE_WRITE_GOLDEN=1, and its row above";
}

TEST_P(Versions, ARecordedViewerIsServedByTheNodeOfToday) {
    Hello ours;
    ours.role = Role::node;
    ours.epoch = 3;
    using Admission = NodeSession::Admission;
    NodeSession node(ours, {3, 5}, GetParam().invited ? Admission::by_proof : Admission::known);
    node.start(0);
    std::vector<RequestReceived> requests;
    std::vector<RangeOrder> pulls;
    std::vector<Close> ends;
    Hello peer;
    for (Frame& frame : frames_of(file("viewer"))) {
        ASSERT_TRUE(ends.empty()) << ends.front().reason;
        Actions actions = node.on_frame(std::move(frame), 1);
        for (const auto& proof : all<ProofReceived>(actions)) {
            EXPECT_EQ(proof.auth, (Auth{{1, 2, 3}, "lab"}));
            for (const Action& more : node.admit()) {
                actions.push_back(more);
            }
        }
        for (const auto& greeted : all<Greeted>(actions)) {
            peer = greeted.peer;
        }
        for (auto& request : all<RequestReceived>(actions)) {
            requests.push_back(std::move(request));
        }
        for (const auto& pull : all<PullReceived>(actions)) {
            pulls.push_back(pull.order);
        }
        for (auto& close : all<Close>(actions)) {
            ends.push_back(std::move(close));
        }
        if (requests.size() == 2 && node.greeted() && node.credit(2) == kInitialCredit) {
            const auto read = node.next_read();
            ASSERT_TRUE(read);
            EXPECT_EQ(read->channel, 1);
        }
    }
    EXPECT_EQ(fmt::format("{}.{}", peer.major, peer.minor), GetParam().version);
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(requests[0].id, kTranscriptCommand);
    EXPECT_EQ(requests[0].command, "train.pause");
    EXPECT_EQ(requests[0].parameters, nlohmann::json({{"run", 3}}));
    EXPECT_EQ(requests[1].command, "train.fly");
    EXPECT_EQ(pulls, has_files() ? std::vector{test::kTranscriptRange} : std::vector<RangeOrder>{});
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends.front().why, Close::Why::clean) << ends.front().reason;
}

TEST_P(Versions, ARecordedNodeIsViewedByTheWorkbenchOfToday) {
    ViewerSession viewer(Hello{}, GetParam().invited ? std::optional(Auth{{1, 2, 3}, "lab"}) : std::nullopt);
    viewer.start(0);
    Actions seen;
    for (Frame& frame : frames_of(file("node"))) {
        const bool before = viewer.ready();
        for (Action& action : viewer.on_frame(std::move(frame), 1)) {
            seen.push_back(std::move(action));
        }
        if (!before && viewer.ready()) {
            viewer.subscribe(1, {});
            viewer.subscribe(2, {3, 1});
            viewer.request(kTranscriptCommand, "train.pause", {{"run", 3}});
            viewer.request(kTranscriptFailure, "train.fly", {{"run", 4}});
            viewer.pull(test::kTranscriptRange);
        }
    }
    const auto greeted = all<Greeted>(seen);
    ASSERT_EQ(greeted.size(), 1u);
    EXPECT_EQ(fmt::format("{}.{}", greeted[0].peer.major, greeted[0].peer.minor), GetParam().version);
    EXPECT_EQ(greeted[0].peer.features, "train,generate");
    const auto answers = all<ResponseReceived>(seen);
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_TRUE(answers[0].done);
    EXPECT_EQ(answers[0].value, nlohmann::json({{"step", 12}}));
    EXPECT_FALSE(answers[1].done);
    EXPECT_EQ(answers[1].error, say("this node does not know the command '{}'", "train.fly"));
    const auto records = all<RecordReceived>(seen);
    ASSERT_EQ(records.size(), 3u);
    const auto step = decode_step(records[2].frame.body);
    ASSERT_TRUE(step);
    EXPECT_EQ(step->step, 12u);
    EXPECT_EQ(step->loss, 2.5);
    const auto gaps = all<GapReceived>(seen);
    ASSERT_EQ(gaps.size(), 1u);
    EXPECT_EQ(gaps[0].channel, 2);
    EXPECT_EQ(gaps[0].gap["to"], 2);
    ASSERT_EQ(all<StateReceived>(seen).size(), 1u);
    const auto ranges = all<RangeReceived>(seen);
    ASSERT_EQ(ranges.size(), has_files() ? 1u : 0u);
    for (const auto& range : ranges) {
        EXPECT_EQ(range.order, test::kTranscriptRange);
        EXPECT_EQ(body_text(range.bytes), "piece");
    }
    const auto ends = all<Close>(seen);
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].why, Close::Why::clean) << ends[0].reason;
}

/// HELLO of a later minor version: more features, and fields behind those that are known.
Frame later_hello(Role role, std::uint16_t major, std::uint16_t minor, std::uint16_t oldest) {
    Hello hello;
    hello.role = role;
    hello.major = major;
    hello.minor = minor;
    hello.oldest_major = oldest;
    hello.features = "files,levitation,time-travel";
    auto body = encode_hello(hello);
    body.resize(body.size() + 40, std::byte{9});
    return make_frame(FrameType::hello, std::move(body));
}

Frame unknown_frame(bool skippable) {
    Frame frame;
    frame.type = 999;
    frame.flags = skippable ? kFlagSkippable : 0;
    frame.body.resize(100);
    return frame;
}

TEST(Versions, WhatALaterMinorAddsIsIgnored) {
    for (const bool skippable : {true, false}) {
        Hello ours;
        ours.role = Role::node;
        NodeSession node(ours, {});
        node.start(0);
        EXPECT_EQ(all<Greeted>(node.on_frame(later_hello(Role::viewer, kMajor, kMinor + 7, kMajor), 0)).size(), 1u);
        EXPECT_EQ(node.on_frame(unknown_frame(skippable), 0).empty(), skippable);
        EXPECT_EQ(node.closed(), !skippable);
        ViewerSession viewer{Hello{}};
        viewer.start(0);
        viewer.on_frame(later_hello(Role::node, kMajor + 1, 0, kMajor), 0);  // a later major that still speaks ours
        viewer.on_frame(make_frame(FrameType::auth_ok), 0);
        EXPECT_TRUE(viewer.ready());
        EXPECT_EQ(viewer.on_frame(unknown_frame(skippable), 0).empty(), skippable);
        EXPECT_EQ(viewer.closed(), !skippable);
    }
}

TEST(Versions, AMajorThatIsNotSpokenIsRefusedWithBothVersionsNamed) {
    const std::string ours = this_version(), theirs = fmt::format("{}.4", kMajor + 1);
    Hello hello;
    hello.role = Role::node;
    NodeSession node(hello, {});
    node.start(0);
    const auto refused = node.on_frame(later_hello(Role::viewer, kMajor + 1, 4, kMajor + 1), 0);
    const auto sent = all<SendFrame>(refused);
    ASSERT_EQ(sent.size(), 1u);
    const auto refuse = decode_refuse(sent[0].frame.body);
    ASSERT_TRUE(refuse);
    EXPECT_EQ(refuse->code, RefuseCode::version);
    EXPECT_NE(refuse->text.find(ours), std::string::npos) << refuse->text;
    EXPECT_NE(refuse->text.find(theirs), std::string::npos) << refuse->text;
    ViewerSession viewer{Hello{}};
    viewer.start(0);
    const auto ends = all<Close>(viewer.on_frame(later_hello(Role::node, kMajor + 1, 4, kMajor + 1), 0));
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].why, Close::Why::refused);
    const std::string why = ends[0].reason.english();
    EXPECT_NE(why.find(ours), std::string::npos) << why;
    EXPECT_NE(why.find(theirs), std::string::npos) << why;
}

}  // namespace
}  // namespace moescope::protocol
