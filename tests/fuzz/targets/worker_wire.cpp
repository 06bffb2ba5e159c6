// What the process of a model tells its node: it read somebody's file, so the node does not trust it either.
#include "nodes/service/workers/worker_wire.hpp"

#include <unistd.h>

#include "base/file_io.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/workers/worker_process.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const base::Descriptor file = base::open_for_reading(fuzz::in_file(data, size));
    node::WorkerReader reader(file.get());
    node::WorkerMessage message;
    std::size_t bytes = 0;
    while (reader.read(message, 0) == node::WorkerReader::Status::message) {
        bytes += message.body.size() + 5;
        fuzz::expect(bytes <= size, "no more comes out than went in");
        if (message.kind == node::WorkerMessageKind::json) {
            if (const auto answer = protocol::decode_json(message.body)) {
                (void)node::sentences_in(*answer, "notes");
                fuzz::accepted();
            }
        }
    }
    constexpr std::size_t kTail = 16384;  // what is looked at
    (void)node::last_words(std::string(fuzz::text_of(data, size).substr(size - std::min(size, kTail))));
    return 0;
}
