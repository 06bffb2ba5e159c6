// What a server of models streams: events, answers in them, and the routing that these carry.
#include "base/json_guard.hpp"
#include "nodes/servers/answer_reader.hpp"
#include "nodes/servers/event_stream.hpp"
#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr int kMostTokens = 20;
    const base::Sentence source = base::Sentence::verbatim("the server");
    const std::string_view text = fuzz::text_of(data, size);
    servers::AnswerReader reader({source, "secret", 2, kMostTokens, true}, [](const protocol::TokenRecord& token) {
        fuzz::expect(token.alternatives.size() <= 2, "no more alternatives than were asked for");
    });
    try {
        servers::EventStream stream(16 << 10, source);
        const std::size_t half = size / 2;
        const auto take = [&](std::string_view event) {
            if (auto part = base::read_json(event, 16 << 10).value) {
                reader.take(std::move(*part));
            }
            return true;
        };
        (void)(stream.feed(text.substr(0, half), take) && stream.feed(text.substr(half), take));
        reader.finish();
        (void)reader.stop();
        fuzz::accepted();
        if (const auto recorded = reader.recorded()) {
            routing::ModelShape shape;
            shape.layers = 2;
            shape.per_token = 2;
            const auto made = routing::import_vllm_answer(*recorded, shape, "the server", reader.written());
            made.each([](const std::shared_ptr<const routing::Chunk>& chunk) { fuzz::expect_whole(*chunk); });
        }
    } catch (const base::Error& error) {
        fuzz::expect(std::string_view(error.what()).find("secret") == std::string_view::npos,
                     "no sentence has the key");
    }
    return 0;
}
