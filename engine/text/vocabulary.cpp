#include "engine/text/vocabulary.hpp"

#include <algorithm>
#include <unordered_map>

#include "base/utf8.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kBlankMark = "\xe2\x96\x81";

const std::unordered_map<char32_t, char>& bytes_of_letters() {
    static const std::unordered_map<char32_t, char> map = [] {
        std::unordered_map<char32_t, char> made;
        for (std::size_t byte = 0; byte < byte_letters().size(); ++byte) {
            made[byte_letters()[byte]] = static_cast<char>(byte);
        }
        return made;
    }();
    return map;
}

std::string from_byte_letters(const std::string& piece) {
    std::string bytes;
    for (std::size_t at = 0; at < piece.size();) {
        const base::CodePoint c = base::code_point_at(piece, at);
        const auto found = bytes_of_letters().find(c.value);
        if (c.length == 0 || found == bytes_of_letters().end()) {
            return piece;  // no letters of bytes: such a piece never comes of a text
        }
        bytes += found->second;
        at += c.length;
    }
    return bytes;
}

std::string from_text_letters(const std::string& piece) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    if (piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>' && digit(piece[3]) >= 0 &&
        digit(piece[4]) >= 0) {
        return std::string(1, static_cast<char>(digit(piece[3]) * 16 + digit(piece[4])));
    }
    std::string text;
    for (std::size_t at = 0; at < piece.size();) {
        const bool blank = piece.compare(at, kBlankMark.size(), kBlankMark) == 0;
        text += blank ? ' ' : piece[at];
        at += blank ? kBlankMark.size() : 1;
    }
    return text;
}

}  // namespace

const std::array<char32_t, 256>& byte_letters() {
    static const std::array<char32_t, 256> letters = [] {
        std::array<char32_t, 256> made{};
        char32_t next = 0x100;
        for (char32_t byte = 0; byte < 256; ++byte) {
            const bool seen =
                (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
            made[byte] = seen ? byte : next++;
        }
        return made;
    }();
    return letters;
}

std::optional<std::int32_t> Vocabulary::find(std::string_view text) const {
    const auto one = std::find_if(added.begin(), added.end(), [&](const Added& token) { return token.text == text; });
    if (one != added.end()) {
        return one->id;
    }
    const auto piece = std::find(pieces.begin(), pieces.end(), text);
    return piece == pieces.end() ? std::nullopt : std::optional(static_cast<std::int32_t>(piece - pieces.begin()));
}

std::string Vocabulary::bytes_of(std::int32_t token) const {
    if (token < 0 || static_cast<std::size_t>(token) >= pieces.size()) {
        return {};
    }
    const std::string& piece = pieces[static_cast<std::size_t>(token)];
    if (std::any_of(added.begin(), added.end(), [&](const Added& one) { return one.id == token; })) {
        return piece;
    }
    return letters == Letters::bytes ? from_byte_letters(piece) : from_text_letters(piece);
}

}  // namespace moescope::engine
