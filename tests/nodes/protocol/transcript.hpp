// One exchange of a viewer with a node, as the bytes that each side sent. Recorded with the state machines of its own
// version: `transcripts/MAJOR.MINOR` is never written again once that version is out.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "nodes/protocol/node_session.hpp"
#include "nodes/protocol/viewer_session.hpp"

namespace moescope::protocol::test {

struct Transcript {
    std::vector<std::byte> viewer, node;  ///< what they sent
};

inline const std::string kTranscriptCommand = "0123456789abcdef0123456789abcdef",
                         kTranscriptFailure = "fedcba9876543210fedcba9876543210";

#if !defined(MOESCOPE_TRANSCRIPT_WITHOUT_FILES)
inline const RangeOrder kTranscriptRange{9, {1, 2, 3}, 0, 4096, 5};
#endif

/// What versions before did not have yet is left out by MOESCOPE_TRANSCRIPT_WITHOUT_FILES (2.1) and _WITHOUT_AUTH
/// (2.0). Greeting (with an invitation where the version has it and `invited`), two subscriptions, a command that is
/// done and one that fails, records, a hole, gauges, credit, a range of a file, goodbye from both.
inline Transcript record_transcript(bool invited) {
    Transcript made;
    Hello node_hello, viewer_hello;
    node_hello.role = Role::node;
    node_hello.epoch = 3;
    node_hello.node_id.fill(7);
    node_hello.build = viewer_hello.build = "transcript";
    node_hello.features = "train,generate";
#if defined(MOESCOPE_TRANSCRIPT_WITHOUT_AUTH)
    NodeSession node(node_hello, {3, 5});
    ViewerSession viewer(viewer_hello);
    (void)invited;
#else
    using Admission = NodeSession::Admission;
    NodeSession node(node_hello, {3, 5}, invited ? Admission::by_proof : Admission::known);
    ViewerSession viewer(viewer_hello, invited ? std::optional(Auth{{1, 2, 3}, "lab"}) : std::nullopt);
#endif
    // What is on its way, in the order in which it was sent.
    std::deque<std::pair<bool, Frame>> on_its_way;
    const auto send = [&](bool to_node, const Actions& actions) {
        for (const Action& action : actions) {
            if (const auto* one = std::get_if<SendFrame>(&action)) {
                append_frame(to_node ? made.viewer : made.node, one->frame);
                on_its_way.emplace_back(to_node, one->frame);
            }
        }
    };
    const auto deliver = [&] {
        while (!on_its_way.empty()) {
            const auto [to_node, frame] = on_its_way.front();
            on_its_way.pop_front();
            const Actions actions = to_node ? node.on_frame(frame, 1) : viewer.on_frame(frame, 1);
            send(!to_node, actions);
#if !defined(MOESCOPE_TRANSCRIPT_WITHOUT_AUTH)
            for (const Action& action : actions) {
                if (std::holds_alternative<ProofReceived>(action)) {
                    send(false, node.admit());
                }
            }
#endif
        }
    };
    const auto from_viewer = [&](const Actions& actions) {
        send(true, actions);
        deliver();
    };
    const auto from_node = [&](const Actions& actions) {
        send(false, actions);
        deliver();
    };
    const auto record = [](std::uint64_t sequence, RecordType type, std::vector<std::byte> body) {
        Frame frame;
        frame.type = static_cast<std::uint16_t>(type);
        frame.sequence = sequence;
        frame.time_ns = 1'760'000'000'000'000'000ull + sequence;
        frame.epoch = 3;
        frame.body = std::move(body);
        return frame;
    };
    send(false, node.start(0));
    send(true, viewer.start(0));
    deliver();
    from_viewer(viewer.subscribe(1, {}));
    from_viewer(viewer.subscribe(2, {3, 1}));
    from_viewer(viewer.request(kTranscriptCommand, "train.pause", {{"run", 3}}));
    from_viewer(viewer.request(kTranscriptFailure, "train.fly", {{"run", 4}}));
    from_node(node.respond(kTranscriptCommand, {{"state", "done"}, {"value", {{"step", 12}}}}));
    from_node(
        node.respond(kTranscriptFailure, failed_answer(say("this node does not know the command '{}'", "train.fly"))));
    from_node({SendFrame{make_frame(FrameType::state, bytes_of(R"({"node":{"name":"here"},"tasks":[]})"))}});
    StepRecord step;
    step.run = 3;
    step.step = 12;
    step.loss = 2.5;
    from_node(node.on_missing(2, {{{3, 1}, {3, 2}, 1}}));
    from_node(node.on_records(1, {record(3, RecordType::run_started, encode_json({{"run", 3}, {"kind", "train"}})),
                                  record(4, RecordType::event, encode_json({{"run", 3}, {"kind", "pause"}}))}));
    from_node(node.on_records(2, {record(5, RecordType::step, encode_step(step))}));
    from_viewer({SendFrame{make_frame(FrameType::credit, encode_credit({2, 1000}))}});
    from_viewer(viewer.unsubscribe(2));
#if !defined(MOESCOPE_TRANSCRIPT_WITHOUT_FILES)
    from_viewer(viewer.pull(kTranscriptRange));
    from_node(node.answer_range({kTranscriptRange.number, RangeEnd::State::whole, std::string(64, '5'), {}},
                                bytes_of("piece")));
    while (node.has_pieces()) {
        from_node({SendFrame{node.next_piece()}});
    }
#endif
    send(true, viewer.bye(say("the workbench leaves")));
    send(false, node.bye(say("the node ends")));
    return made;
}

}  // namespace moescope::protocol::test
