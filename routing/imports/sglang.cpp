#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

#include "base/base64.hpp"
#include "base/input_file.hpp"
#include "base/lines.hpp"
#include "base/npy.hpp"
#include "routing/imports/import.hpp"
#include "routing/imports/server_answer.hpp"

namespace moescope::routing {

namespace {

constexpr std::string_view kCsvHead = "layer_id,expert_id,count";

/// logical_count [steps, layers, experts] or [layers, experts], whole numbers of any width.
Import counts_of_npy(std::string bytes, const ModelShape& shape, const std::string& source) {
    const base::NpyHeader header = base::parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), source);
    if (header.count > kMostCounts) {
        throw Error(
            say("{} has {} counts, more than the {} that can be read at once", source, header.count, kMostCounts));
    }
    const std::size_t dimensions = header.shape.size();
    if (dimensions != 2 && dimensions != 3) {
        throw Error(say("{} has {} dimensions, but counts of a recorder have layers and experts, with or without steps",
                        source, dimensions));
    }
    const std::uint64_t steps = dimensions == 3 ? header.shape[0] : 1, layers = header.shape[dimensions - 2],
                        experts = header.shape[dimensions - 1];
    if (header.count == 0 || layers > static_cast<std::uint64_t>(kMostLayers)) {
        throw Error(say("{} has counts of {} layers with {} experts", source, layers, experts));
    }
    const IdTable table = IdTable::of_counts(std::move(bytes), header, steps, layers, experts, source);
    std::vector<CountedStep> counted;
    for (std::size_t step = 0; step < steps; ++step) {
        CountedStep& now = counted.emplace_back();
        now.step = static_cast<std::int64_t>(step);
        for (std::size_t layer = 0; layer < layers; ++layer) {
            auto& counts = now.layers[static_cast<int>(layer)];
            for (std::size_t expert = 0; expert < experts; ++expert) {
                const std::int64_t count = table.at(step, layer, expert);
                if (count < 0) {
                    throw Error(say("{} has a count of {} in layer {}", source, count, layer));
                }
                counts.push_back(static_cast<std::uint64_t>(count));
            }
        }
    }
    return import_counts(std::move(counted), shape, true, source);
}

/// The three numbers of a line.
bool read_row(std::string_view line, std::array<std::int64_t, 3>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), row[i]);
        if (error != std::errc() || row[i] < 0) {
            return false;
        }
        line.remove_prefix(static_cast<std::size_t>(end - line.data()));
        if (i + 1 < row.size() && !line.starts_with(",")) {
            return false;
        }
        line.remove_prefix(i + 1 < row.size() ? 1 : 0);
    }
    return line.empty();
}

Import counts_of_csv(const std::filesystem::path& path, const ModelShape& shape) {
    const std::string source = path.string();
    constexpr std::size_t kLongest = 256;
    base::Lines lines(source, kLongest);
    std::map<int, std::map<std::int64_t, std::uint64_t>> found;
    std::int64_t experts = 0;
    std::string line;
    try {
        lines.next(line);
        while (lines.next(line)) {
            std::array<std::int64_t, 3> row{};
            if (line.empty()) {
                continue;
            }
            if (!read_row(line, row) || row[0] >= kMostLayers || row[1] >= kMostExperts) {
                throw Error(say("is not a layer, an expert and a count"));
            }
            if (!found[static_cast<int>(row[0])].emplace(row[1], static_cast<std::uint64_t>(row[2])).second) {
                throw Error(say("has expert {} of layer {} a second time", row[1], row[0]));
            }
            experts = std::max(experts, row[1] + 1);
        }
    } catch (const Error& error) {
        throw Error(say("line {} of {} {}", lines.number(), source, error.sentence()));
    }
    // Before the rows are filled up with zeros: a few lines name any expert of any layer.
    if (found.size() * static_cast<std::size_t>(experts) > kMostExpertsOfModel) {
        throw Error(
            say("{}: {}", source, say("has {} layers of {} experts, more than can be shown", found.size(), experts)));
    }
    CountedStep step;
    for (const auto& [layer, counts] : found) {
        auto& row = step.layers[layer];
        row.resize(static_cast<std::size_t>(experts));
        for (const auto& [expert, count] : counts) {
            row[static_cast<std::size_t>(expert)] = count;
        }
    }
    return import_counts({std::move(step)}, shape, true, source);
}

void require_shape(const ModelShape& shape, const std::string& source) {
    if (shape.layers <= 0 || shape.per_token <= 0) {
        throw Error(
            say("{}: SGLang sends ids without their shape; give the model's config.json, or the number of its "
                "layers and of experts per token",
                source));
    }
}

Import import_sent(std::vector<ServerText> sent, const ModelShape& shape, const std::string& source, Extent extent,
                   const std::vector<WrittenToken>& written = {}) {
    std::vector<RecordedText> texts;
    for (ServerText& text : sent) {
        if (!text.ids.packed) {
            throw Error(say("{} has routed experts as a list; that is how vLLM sends them", source));
        }
        auto ids = base::decode_base64(*text.ids.packed);
        if (!ids) {
            throw Error(say("{} has routed experts that are no whole base64 text", source));
        }
        IdTable table =
            IdTable::of_flat(std::move(*ids), text.type.empty() ? "int32" : text.type,
                             static_cast<std::size_t>(shape.layers), static_cast<std::size_t>(shape.per_token), source);
        const std::size_t start = left_out(text, table.tokens(), false, extent, source);
        std::vector<std::int32_t> tokens = tokens_of(text, table.tokens(), start);
        texts.push_back({std::move(table), std::move(tokens), written, start});
    }
    return import_texts(std::move(texts), shape, true, source);
}

}  // namespace

Import import_sglang(const std::filesystem::path& path, const ModelShape& shape) {
    const std::string source = path.string();
    std::string bytes = base::read_file(path, kMostRecording);
    if (bytes.starts_with("\x93NUMPY")) {
        return counts_of_npy(std::move(bytes), shape, source);
    }
    if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("\x80\x02")) {
        throw Error(
            say("{} is a PyTorch file, which can run code when it is read; load it where it was made and save "
                "its logical_count with numpy.save",
                source));
    }
    if (bytes.starts_with(kCsvHead)) {
        return counts_of_csv(path, shape);
    }
    require_shape(shape, source);
    std::vector<ServerText> sent = read_server_answer(bytes, source);
    bytes = {};
    return import_sent(std::move(sent), shape, source, Extent::end);
}

Import import_sglang_answer(std::string_view answer, const ModelShape& shape, const std::string& source,
                            const std::vector<WrittenToken>& written) {
    require_shape(shape, source);
    return import_sent(read_server_answer(answer, source), shape, source, Extent::all, written);
}

}  // namespace moescope::routing
