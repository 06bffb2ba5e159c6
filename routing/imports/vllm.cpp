#include <utility>

#include "base/base64.hpp"
#include "base/input_file.hpp"
#include "routing/imports/import.hpp"
#include "routing/imports/server_answer.hpp"

namespace moescope::routing {

namespace {

IdTable table_of(SentIds sent, const std::string& source) {
    if (!sent.packed) {
        return IdTable::of_list(sent.list, sent.tokens, sent.layers, sent.per_token);
    }
    auto bytes = base::decode_base64(*sent.packed);
    if (!bytes) {
        throw Error(say("{} has routed experts that are no whole base64 text", source));
    }
    return IdTable::of_npy(std::move(*bytes), source);
}

/// The rows of two tables, one after the other.
IdTable joined(const IdTable& first, const IdTable& second, const std::string& source) {
    if (first.layers() != second.layers() || first.per_token() != second.per_token()) {
        throw Error(say("{} has {} layers with {} experts for the prompt and {} with {} for the answer", source,
                        first.layers(), first.per_token(), second.layers(), second.per_token()));
    }
    std::vector<std::int32_t> ids;
    for (const IdTable* table : {&first, &second}) {
        for (std::size_t token = 0; token < table->tokens(); ++token) {
            for (std::size_t layer = 0; layer < table->layers(); ++layer) {
                for (std::size_t rank = 0; rank < table->per_token(); ++rank) {
                    const std::int64_t id = table->at(token, layer, rank);
                    if (!std::in_range<std::int32_t>(id)) {
                        throw Error(say("{} has expert {}, and experts from 0 to {} are possible", source,
                                        table->text_at(token, layer, rank), kMostExperts - 1));
                    }
                    ids.push_back(static_cast<std::int32_t>(id));
                }
            }
        }
    }
    return IdTable::of_list(ids, first.tokens() + second.tokens(), first.layers(), first.per_token());
}

Import import_sent(std::vector<ServerText> sent, const ModelShape& shape, const std::string& source, Extent extent,
                   const std::vector<WrittenToken>& written = {}) {
    std::vector<RecordedText> texts;
    for (ServerText& text : sent) {
        IdTable ids = table_of(std::move(text.ids), source);
        const bool apart = text.prompt.given();
        if (apart) {
            ids = joined(table_of(std::move(text.prompt), source), ids, source);
        }
        const std::size_t start = left_out(text, ids.tokens(), apart, extent, source);
        std::vector<std::int32_t> tokens = tokens_of(text, ids.tokens(), start);
        texts.push_back({std::move(ids), std::move(tokens), written, start});
    }
    return import_texts(std::move(texts), shape, false, source);
}

}  // namespace

Import import_vllm(const std::filesystem::path& path, const ModelShape& shape) {
    const std::string source = path.string();
    std::string bytes = base::read_file(path, kMostRecording);
    if (bytes.starts_with("\x93NUMPY")) {
        std::vector<RecordedText> texts;
        texts.push_back({IdTable::of_npy(std::move(bytes), source), {}});
        return import_texts(std::move(texts), shape, false, source);
    }
    std::vector<ServerText> sent = read_server_answer(bytes, source);
    bytes = {};
    return import_sent(std::move(sent), shape, source, Extent::end);
}

Import import_vllm_answer(std::string_view answer, const ModelShape& shape, const std::string& source,
                          const std::vector<WrittenToken>& written) {
    return import_sent(read_server_answer(answer, source), shape, source, Extent::all, written);
}

}  // namespace moescope::routing
