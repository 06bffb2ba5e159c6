#include "source_sentences.hpp"

#include <array>
#include <fstream>
#include <sstream>
#include <vector>

namespace moescope::tests {
namespace {

struct Token {
    enum class Kind { text, word, mark } kind = Kind::mark;
    std::string value;  ///< of a text: as the program sees it
    int line = 1;
};

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Splits a source into words, marks and literals; comments and preprocessor lines are gone, neighbouring literals are
/// one, and std::string("...") is its literal.
class Lexer {
 public:
    explicit Lexer(std::string_view source) : source_(source) {}

    std::vector<Token> tokens() {
        while (at_ < source_.size())
            step();
        return std::move(tokens_);
    }

 private:
    char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

    void skip_to(std::string_view end) {
        const std::size_t found = std::min(source_.find(end, at_), source_.size());
        for (; at_ < found; ++at_)
            line_ += source_[at_] == '\n';
        at_ = std::min(found + end.size(), source_.size());
    }

    void step() {
        const char c = peek();
        if (c == '\n') {
            ++line_;
            ++at_;
            line_start_ = true;
        } else if (c == ' ' || c == '\t') {
            ++at_;
        } else if ((c == '/' && peek(1) == '/') || (c == '#' && line_start_)) {
            at_ = std::min(source_.find('\n', at_), source_.size());
        } else if (c == '/' && peek(1) == '*') {
            skip_to("*/");
        } else {
            line_start_ = false;
            read();
        }
    }

    void read() {
        const char c = peek();
        if (c == '"') {
            text();
        } else if (c == '\'') {
            character();
        } else if (c == 'R' && peek(1) == '"') {
            ++at_;
            raw();
        } else if (is_word(c)) {
            std::string word;
            while (is_word(peek()) || (peek() == '\'' && is_word(peek(1)) && c >= '0' && c <= '9'))
                word += source_[at_++];
            tokens_.push_back({Token::Kind::word, word, line_});
        } else {
            constexpr std::array<std::string_view, 8> kLong{"+=", "::", "->", "==", "!=", "&&", "||", "<<"};
            for (const std::string_view mark : kLong)
                if (source_.substr(at_).starts_with(mark)) {
                    tokens_.push_back({Token::Kind::mark, std::string(mark), line_});
                    at_ += mark.size();
                    return;
                }
            tokens_.push_back({Token::Kind::mark, std::string(1, c), line_});
            ++at_;
        }
    }

    /// Adds a literal; U"..." and the like are no text of a message and count as a value.
    void add(std::string value) {
        const bool prefixed = !tokens_.empty() && tokens_.back().kind == Token::Kind::word &&
                              (tokens_.back().value == "U" || tokens_.back().value == "u8");
        if (prefixed)
            return;
        if (!tokens_.empty() && tokens_.back().kind == Token::Kind::text)
            tokens_.back().value += value;
        else
            tokens_.push_back({Token::Kind::text, std::move(value), line_});
    }

    void text() {
        std::string value;
        for (++at_; at_ < source_.size() && peek() != '"'; ++at_) {
            if (peek() != '\\') {
                value += peek();
                continue;
            }
            ++at_;
            const char c = peek();
            if (c == 'n')
                value += '\n';
            else if (c == 't')
                value += '\t';
            else if (c == 'u')
                at_ += 4, value += "?";
            else
                value += c;
        }
        ++at_;
        add(std::move(value));
    }

    void character() {
        for (++at_; at_ < source_.size() && peek() != '\''; ++at_)
            at_ += peek() == '\\';
        ++at_;
        tokens_.push_back({Token::Kind::word, "0", line_});
    }

    void raw() {
        const std::size_t open = source_.find('(', at_);
        const std::string end = ")" + std::string(source_.substr(at_ + 1, open - at_ - 1)) + "\"";
        const std::size_t close = std::min(source_.find(end, open), source_.size());
        add(std::string(source_.substr(open + 1, close - open - 1)));
        skip_to(end);
    }

    std::string_view source_;
    std::size_t at_ = 0;
    int line_ = 1;
    bool line_start_ = true;
    std::vector<Token> tokens_;
};

bool is(const std::vector<Token>& tokens, std::size_t i, std::string_view value) {
    return i < tokens.size() && tokens[i].kind != Token::Kind::text && tokens[i].value == value;
}

/// std::string("...") and std::string_view("...") become the literal.
std::vector<Token> without_wrappers(const std::vector<Token>& tokens) {
    std::vector<Token> out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const bool wrapped = is(tokens, i, "std") && is(tokens, i + 1, "::") &&
                             (is(tokens, i + 2, "string") || is(tokens, i + 2, "string_view")) &&
                             is(tokens, i + 3, "(") && i + 4 < tokens.size() &&
                             tokens[i + 4].kind == Token::Kind::text && is(tokens, i + 5, ")");
        if (wrapped) {
            out.push_back(tokens[i + 4]);
            i += 5;
        } else {
            out.push_back(tokens[i]);
        }
    }
    return out;
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text)
        out += c == '{' ? "{{" : c == '}' ? "}}" : std::string(1, c);
    return out;
}

/// A format string with every replacement field as {}.
std::string without_specs(const std::string& format) {
    std::string out;
    for (std::size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '{' || format.compare(i, 2, "{{") == 0) {
            out += format[i];
            if (format.compare(i, 2, "{{") == 0 || format.compare(i, 2, "}}") == 0)
                out += format[++i];
            continue;
        }
        out += "{}";
        i = std::min(format.find('}', i), format.size() - 1);
    }
    return out;
}

bool opens(const Token& t) {
    return t.kind == Token::Kind::mark && (t.value == "(" || t.value == "[" || t.value == "{");
}
bool closes(const Token& t) {
    return t.kind == Token::Kind::mark && (t.value == ")" || t.value == "]" || t.value == "}");
}
/// Does this token end an operand of a chain of '+'?
bool bounds(const Token& t) {
    if (t.kind == Token::Kind::word)
        return t.value == "return" || t.value == "throw" || t.value == "co_return";
    constexpr std::array<std::string_view, 13> kMarks{
        "+", ",", ";", "=", "?", ":", "+=", "==", "!=", "&&", "||", "<<", "!"};
    for (const std::string_view mark : kMarks)
        if (t.kind == Token::Kind::mark && t.value == mark)
            return true;
    return false;
}

/// The first token of the operand that ends at `end`, or the last token of the operand that begins there.
std::size_t operand(const std::vector<Token>& tokens, std::size_t end, int direction) {
    int depth = 0;
    std::size_t last = end;
    for (std::size_t i = end; i < tokens.size(); i += static_cast<std::size_t>(direction)) {
        const bool inward = direction > 0 ? opens(tokens[i]) : closes(tokens[i]);
        const bool outward = direction > 0 ? closes(tokens[i]) : opens(tokens[i]);
        if (depth == 0 && (outward || bounds(tokens[i])))
            break;
        depth += inward ? 1 : outward ? -1 : 0;
        last = i;
        if (i == 0 && direction < 0)
            break;
    }
    return last;
}

std::string shown(const std::vector<Token>& tokens, std::size_t first, std::size_t last) {
    return first == last && tokens[first].kind == Token::Kind::text ? escaped(tokens[first].value) : "{}";
}

/// Is the literal the reason of a static_assert?
bool compile_time(const std::vector<Token>& tokens, std::size_t i) {
    for (int depth = 0; i-- > 0 && !is(tokens, i, ";") && !is(tokens, i, "{");) {
        depth += closes(tokens[i]) ? 1 : opens(tokens[i]) ? -1 : 0;
        if (depth < 0)
            return i > 0 && is(tokens, i - 1, "static_assert");
    }
    return false;
}

/// The whole chain of '+' around the literal at `i`.
std::string chain(const std::vector<Token>& tokens, std::size_t i) {
    std::size_t first = operand(tokens, i, -1), last = operand(tokens, i, 1);
    std::string pattern = shown(tokens, first, last);
    if (pattern == "{}")
        return {};  // the literal is a part of something else, as a brace after a type
    while (first >= 2 && is(tokens, first - 1, "+")) {
        const std::size_t end = first - 2, begin = operand(tokens, end, -1);
        pattern.insert(0, shown(tokens, begin, end));
        first = begin;
    }
    if (first >= 1 && is(tokens, first - 1, "+="))
        pattern = "{}" + pattern;
    while (last + 2 < tokens.size() && is(tokens, last + 1, "+")) {
        const std::size_t begin = last + 2, end = operand(tokens, begin, 1);
        pattern += shown(tokens, begin, end);
        last = end;
    }
    return pattern;
}

/// Two words in a row, or a word beside a value: text for a person.
bool is_sentence(const std::string& pattern) {
    const auto letter = [&](std::size_t i) {
        return i < pattern.size() &&
               ((pattern[i] >= 'a' && pattern[i] <= 'z') || (pattern[i] >= 'A' && pattern[i] <= 'Z'));
    };
    for (std::size_t i = 1; i + 1 < pattern.size(); ++i) {
        if (pattern[i] != ' ')
            continue;
        const bool left =
            letter(i - 1) || (i >= 2 && std::string_view(",;:.)}'\"").find(pattern[i - 1]) != std::string_view::npos);
        const bool right = letter(i + 1) || std::string_view("({'\"").find(pattern[i + 1]) != std::string_view::npos;
        if (left && right && (letter(i - 1) || letter(i + 1)))
            return true;
    }
    return false;
}

}  // namespace

std::map<std::string, std::string> sentences_in(std::string_view source, const std::string& name) {
    const std::vector<Token> tokens = without_wrappers(Lexer(source).tokens());
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i].kind != Token::Kind::text)
            continue;
        if (compile_time(tokens, i))
            continue;
        const bool format = i >= 2 && is(tokens, i - 1, "(") && is(tokens, i - 2, "format");
        const std::string pattern = format ? without_specs(tokens[i].value) : chain(tokens, i);
        if (is_sentence(pattern))
            found.emplace(pattern, name + ":" + std::to_string(tokens[i].line));
    }
    return found;
}

void add_sentences_of(const std::filesystem::path& file, std::map<std::string, std::string>& into) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    into.merge(sentences_in(text.str(), file.filename().string()));
}

}  // namespace moescope::tests
