#include "base/text.hpp"

#include <algorithm>

#include "base/utf8.hpp"

namespace moescope::base {

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) { return lower(c); });
    return text;
}

bool contains_any_case(std::string_view text, std::string_view part) {
    return std::search(text.begin(), text.end(), part.begin(), part.end(),
                       [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

std::string_view trimmed(std::string_view text, std::string_view blanks) {
    const std::size_t first = text.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string shortened(std::string text, std::size_t bytes) {
    if (text.size() > bytes) {
        text.resize(character_boundary(text, bytes));
        text += "\u2026";
    }
    return text;
}

}  // namespace moescope::base
