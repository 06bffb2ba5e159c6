#include "engine/runner/template_program.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <string_view>
#include <vector>

#include "engine/runner/template_marks.hpp"

namespace moescope::engine {
namespace {

using jinja::token;

void check_number(const token& one) {
    std::int64_t whole = 0;
    double real = 0;
    const bool is_real = one.value.find('.') != std::string::npos;
    const char* end = one.value.data() + one.value.size();
    const char* begin = one.value.data() + (one.value.starts_with('+') ? 1 : 0);
    if ((is_real ? std::from_chars(begin, end, real).ec : std::from_chars(begin, end, whole).ec) != std::errc()) {
        throw NumberTooLarge{one.value};
    }
}

/// How deep the parser goes at a token, at most: it calls itself for each bracket, block, sign and choice.
class Depth {
 public:
    void add(const token& one, const token* before) {
        switch (one.t) {
            case token::open_statement:
            case token::open_expression:
                parts_ = brackets_ = signs_ = 0;
                break;
            case token::open_paren:
            case token::open_square_bracket:
            case token::open_curly_bracket:
                ++brackets_;
                break;
            case token::close_paren:
            case token::close_square_bracket:
            case token::close_curly_bracket:
                brackets_ -= brackets_ > 0 ? 1 : 0;
                break;
            case token::identifier:
                word(one.value, before != nullptr && before->t == token::open_statement);
                break;
            case token::unary_operator:
            case token::additive_binary_operator:
                ++signs_;  // each may stand before a value
                break;
            default:
                break;
        }
        if (++parts_ > kTemplateParts || brackets_ + signs_ / 4 + blocks() > kTemplateDepth || signs_ > kMostSigns) {
            throw TemplateTooDeep();
        }
    }

 private:
    static constexpr std::size_t kMostSigns = 4 * kTemplateDepth;

    std::size_t blocks() const { return open_.size() + choices_; }

    void word(std::string_view name, bool first) {
        if (name == "not" || (name == "if" && !first) || name == "else") {
            ++signs_;
        }
        if (!first) {
            return;
        }
        constexpr std::array<std::string_view, 7> kBlocks = {"if",     "for", "macro",     "call",
                                                             "filter", "set", "generation"};
        if (name.starts_with("end")) {
            if (!open_.empty()) {
                choices_ -= open_.back();
                open_.pop_back();
            }
        } else if (name == "elif" && !open_.empty()) {
            ++open_.back();  // one is the other's alternative
            ++choices_;
        } else if (std::find(kBlocks.begin(), kBlocks.end(), name) != kBlocks.end()) {
            if (name != "set") {  // most have no end
                open_.push_back(0);
            }
        }
    }

    std::size_t parts_ = 0, brackets_ = 0, signs_ = 0;  ///< of the statement or expression
    std::vector<std::size_t> open_;                     ///< blocks, with the alternatives of each so far
    std::size_t choices_ = 0;                           ///< all of these
};

void check(const jinja::lexer_result& read) {
    Depth depth;
    const token* before = nullptr;
    for (const token& one : read.tokens) {
        if (one.t == token::numeric_literal) {
            check_number(one);
        }
        depth.add(one, before);
        before = &one;
    }
}

}  // namespace

jinja::program read_template(const std::string& source) {
    const jinja::lexer_result tokens = jinja::lexer().tokenize(source);
    check(tokens);
    jinja::program program = jinja::parse_from_tokens(tokens);
    mark_literals(program);
    return program;
}

}  // namespace moescope::engine
