#include "engine/text/text_file.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <zstd.h>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_size(const fs::path& path, std::uintmax_t limit) {
    throw Error(
        say("{} has more than the {} bytes of text that can be used at once, so take a part of it", path, limit));
}

/// Stops as soon as the text is larger than `limit`, whatever size the file claims.
std::string decompress(const std::string& packed, const fs::path& path, std::uintmax_t limit) {
    const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
    if (!stream) {
        throw Error(say("there is not enough memory to decompress {}", path));
    }
    std::string text;
    std::vector<char> piece(ZSTD_DStreamOutSize());
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    std::size_t left = 1;  // 0 after a complete frame
    while (in.pos < in.size) {
        ZSTD_outBuffer out{piece.data(), piece.size(), 0};
        left = ZSTD_decompressStream(stream.get(), &out, &in);
        if (ZSTD_isError(left) != 0) {
            throw Error(say("{} is damaged or not compressed with zstd: {}", path, ZSTD_getErrorName(left)));
        }
        if (text.size() + out.pos > limit) {
            refuse_size(path, limit);
        }
        text.append(piece.data(), out.pos);
    }
    while (left != 0) {  // what the decoder still holds
        ZSTD_outBuffer out{piece.data(), piece.size(), 0};
        left = ZSTD_decompressStream(stream.get(), &out, &in);
        if (ZSTD_isError(left) != 0 || (left != 0 && out.pos == 0)) {
            throw Error(say("{} ends before its compressed data do; get it again", path));
        }
        if (text.size() + out.pos > limit) {
            refuse_size(path, limit);
        }
        text.append(piece.data(), out.pos);
    }
    return text;
}

void require_utf8(const std::string& text, const fs::path& path) {
    const std::size_t bad = base::first_invalid_utf8(text);
    if (bad != text.size()) {
        throw Error(say("{} is not UTF-8 at byte {}; convert it first, for example with iconv -t UTF-8", path, bad));
    }
}

/// `where` gives the place as a sentence.
template <class Where>
int language_of(const nlohmann::json& line, const Where& where) {
    const auto found = line.find("language");
    if (found == line.end() || found->is_null()) {
        return -1;
    }
    if (*found == "en" || *found == "zh") {
        return *found == "zh" ? 1 : 0;
    }
    throw Error(say("{}: \"language\" must be en or zh, or be left out", where()));
}

std::vector<LabelledText> read_lines(const std::string& text, const fs::path& path) {
    std::array<LabelledText, 3> by_language = {LabelledText{{}, -1}, LabelledText{{}, 0}, LabelledText{{}, 1}};
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line(text.data() + begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
            continue;
        }
        const auto where = [&] { return say("{}, line {}", path, number); };
        const auto value = nlohmann::json::parse(line, nullptr, false);
        if (!value.is_object() || !value.contains("text") || !value["text"].is_string()) {
            throw Error(say("{} is no JSON object with \"text\"; every line must be one", where()));
        }
        std::string document = value["text"].get<std::string>();
        std::replace(document.begin(), document.end(), '\f', '\n');
        std::string& target = by_language[static_cast<std::size_t>(language_of(value, where) + 1)].text;
        target += document;
        target += '\f';
    }
    std::vector<LabelledText> texts;
    for (LabelledText& labelled : by_language) {
        if (!labelled.text.empty()) {
            texts.push_back(std::move(labelled));
        }
    }
    return texts;
}

}  // namespace

std::string read_whole_file(const fs::path& path, std::uintmax_t limit) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    if (error) {
        throw Error(say("{} cannot be read: {}", path, error));
    }
    if (size > limit) {
        refuse_size(path, limit);
    }
    std::string text(static_cast<std::size_t>(size), '\0');
    std::ifstream file(path, std::ios::binary);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file || static_cast<std::uintmax_t>(file.gcount()) != size) {
        throw Error(say("{} cannot be read to its end; check the file and its permissions", path));
    }
    return text;
}

bool is_text_file(const fs::path& path) {
    const fs::path inner = path.extension() == ".zst" ? path.stem() : path;
    return inner.extension() == ".txt" || inner.extension() == ".jsonl";
}

std::vector<LabelledText> read_text_file(const fs::path& path, std::uintmax_t limit) {
    std::string text = read_whole_file(path, limit);
    const bool packed = path.extension() == ".zst";
    if (packed) {
        text = decompress(text, path, limit);
    }
    require_utf8(text, path);
    const fs::path inner = packed ? path.stem() : path;
    if (inner.extension() == ".jsonl") {
        return read_lines(text, path);
    }
    std::vector<LabelledText> texts;
    texts.push_back({std::move(text), -1});
    return texts;
}

}  // namespace moescope::engine
