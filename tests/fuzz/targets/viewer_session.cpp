// A viewer's side of a connection: whatever a node sends, records come in order and within the credit.
#include "nodes/protocol/viewer_session.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;
using namespace moescope::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    ViewerSession viewer{Hello{}};
    (void)viewer.start(0);
    Hello node;
    node.role = Role::node;
    (void)viewer.on_frame(make_frame(FrameType::hello, encode_hello(node)), 0);
    (void)viewer.on_frame(make_frame(FrameType::auth_ok), 0);
    fuzz::expect(viewer.ready(), "the greeting is done");
    for (std::uint8_t channel = 1; channel < kChannels; ++channel) {
        (void)viewer.subscribe(channel, {});
    }
    FrameReader reader(viewer.body_limit());
    reader.feed(fuzz::bytes_of(data, size));
    std::array<StreamPosition, kChannels> last{};
    double now = 0;
    bool any = false;
    while (auto frame = reader.next()) {
        const bool was_closed = viewer.closed();
        const Actions actions = viewer.on_frame(std::move(*frame), now += 0.1);
        fuzz::expect(!was_closed || actions.empty(), "a machine that ended is silent");
        for (const Action& action : actions) {
            if (const auto* record = std::get_if<RecordReceived>(&action)) {
                const StreamPosition at{record->frame.epoch, record->frame.sequence};
                fuzz::expect(is_data_channel(record->frame.channel), "records come on their channels");
                fuzz::expect(last[record->frame.channel] < at, "records come in order");
                last[record->frame.channel] = at;
                any = true;
            }
            any = any || std::holds_alternative<StateReceived>(action) || std::holds_alternative<GapReceived>(action);
        }
    }
    (void)viewer.on_time(now + 1);
    if (any) {
        fuzz::accepted();
    }
    return 0;
}
