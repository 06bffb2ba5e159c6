// The stream of frames, as either side reads it: fed at once and in pieces it gives the same frames, and what was read
// is written as the same frame again.
#include "nodes/protocol/frame.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

std::vector<protocol::Frame> frames_in(std::span<const std::byte> bytes, std::size_t piece, base::Sentence& error) {
    protocol::FrameReader reader(protocol::kControlBodyLimit);
    std::vector<protocol::Frame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        reader.feed(bytes.subspan(at, std::min(piece, bytes.size() - at)));
        while (auto frame = reader.next()) {
            frames.push_back(std::move(*frame));
        }
        fuzz::expect(reader.pending() <= bytes.size(), "no more waits than was fed");
    }
    error = reader.error();
    return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    base::Sentence at_once, in_pieces, again;
    const auto frames = frames_in(bytes, std::max<std::size_t>(1, size), at_once);
    fuzz::expect(frames == frames_in(bytes, 7, in_pieces) && at_once == in_pieces, "pieces make no difference");
    std::vector<std::byte> out;
    for (const auto& frame : frames) {
        fuzz::expect(frame.body.size() <= protocol::kControlBodyLimit, "bodies are within their limit");
        protocol::append_frame(out, frame);
    }
    fuzz::expect(frames == frames_in(out, std::max<std::size_t>(1, out.size()), again) && again.empty(),
                 "what was read is read again");
    if (!frames.empty()) {
        fuzz::accepted();
    }
    return 0;
}
