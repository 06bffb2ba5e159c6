// A node's side of a connection: whatever a viewer sends, the machine keeps its limits, and after its end it is silent.
#include "nodes/protocol/node_session.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;
using namespace moescope::protocol;

namespace {

class Peer {
 public:
    explicit Peer(NodeSession::Admission admission)
        : node_({kMajor, kMinor, kOldestMajor, Role::node, {}, 7, "fuzz", "train"}, {7, 100}, admission) {
        take(node_.start(0));
        take(node_.on_frame(make_frame(FrameType::hello, encode_hello({})), 0));
    }
    void read(std::span<const std::byte> bytes) {
        FrameReader reader(node_.body_limit());
        reader.feed(bytes);
        double now = 0;
        while (auto frame = reader.next()) {
            const bool was_closed = node_.closed();
            const bool was_greeted = node_.greeted();
            Actions actions = node_.on_frame(std::move(*frame), now += 0.1);
            fuzz::expect(!was_closed || actions.empty(), "a machine that ended is silent");
            taken_ += was_greeted && node_.greeted() ? 1 : 0;
            take(std::move(actions));
            reader.set_body_limit(node_.body_limit());
            serve();
        }
        take(node_.on_time(now + 1));
    }
    std::size_t taken() const { return taken_; }

 private:
    void take(Actions actions) {
        for (std::size_t i = 0; i < actions.size(); ++i) {
            fuzz::expect(!std::holds_alternative<Close>(actions[i]) || i + 1 == actions.size(), "a Close is the last");
            if (const auto* request = std::get_if<RequestReceived>(&actions[i])) {
                fuzz::expect(is_command_id(request->id), "commands have their number");
                fuzz::expect(++pending_ <= kMaximumRequests, "so many requests at most");
                if (pending_ % 2 == 0) {
                    (void)node_.respond(request->id, failed_answer(base::say("the node ends")));
                    --pending_;
                }
            }
            if (std::holds_alternative<ProofReceived>(actions[i])) {
                (void)node_.admit();
            }
        }
    }
    void serve() {
        for (std::uint8_t channel = 0; channel < kChannels; ++channel) {
            fuzz::expect(node_.credit(channel) <= kMaximumCredit, "credit is bounded");
        }
        if (const auto wanted = node_.next_read()) {
            fuzz::expect(is_data_channel(wanted->channel), "only data is read from the journal");
            Frame record;
            record.type = 1;
            record.channel = wanted->channel;
            record.epoch = wanted->after.epoch;
            record.sequence = wanted->after.sequence + 1;
            record.body.resize(16);
            std::vector<Frame> records;
            if (record.sequence != 0 && record.sequence % 3 != 0) {
                records.push_back(std::move(record));
            }
            take(node_.on_records(wanted->channel, std::move(records)));
        }
    }

    NodeSession node_;
    std::size_t pending_ = 0, taken_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Peer known(NodeSession::Admission::known), invited(NodeSession::Admission::by_proof);
    known.read(fuzz::bytes_of(data, size));
    invited.read(fuzz::bytes_of(data, size));
    if (known.taken() > 0) {
        fuzz::accepted();
    }
    return 0;
}
