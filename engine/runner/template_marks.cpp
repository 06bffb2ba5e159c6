#include "engine/runner/template_marks.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

namespace moescope::engine {
namespace {

using jinja::func_args;
using jinja::statement_ptr;
using jinja::value;

struct OwnText final : jinja::string_literal {
    using jinja::string_literal::string_literal;
    value execute_impl(jinja::context& /*context*/) const override {
        auto text = jinja::mk_val<jinja::value_string>(val);
        text->mark_input();
        return text;
    }
};

void visit(statement_ptr& node);

void visit_all(jinja::statements& nodes) {
    for (statement_ptr& node : nodes) {
        visit(node);
    }
}

/// A kind of node that is not here keeps its texts without marks: the safe side.
void visit(statement_ptr& node) {
    using namespace jinja;
    if (!node) {
        return;
    }
    if (const auto* literal = cast_stmt<string_literal>(node)) {
        auto own = std::make_unique<OwnText>(literal->val);
        own->pos = literal->pos;
        node = std::move(own);
    } else if (auto* choice = cast_stmt<if_statement>(node)) {
        visit(choice->test);
        visit_all(choice->body);
        visit_all(choice->alternate);
    } else if (auto* loop = cast_stmt<for_statement>(node)) {
        visit(loop->iterable);
        visit_all(loop->body);
        visit_all(loop->default_block);
    } else if (auto* set = cast_stmt<set_statement>(node)) {
        visit(set->assignee);
        visit(set->val);
        visit_all(set->body);
    } else if (auto* macro = cast_stmt<macro_statement>(node)) {
        visit_all(macro->args);
        visit_all(macro->body);
    } else if (auto* member = cast_stmt<member_expression>(node)) {
        visit(member->object);
        visit(member->property);
    } else if (auto* call = cast_stmt<call_expression>(node)) {
        visit(call->callee);
        visit_all(call->args);
    } else if (auto* array = cast_stmt<array_literal>(node)) {
        visit_all(array->val);
    } else if (auto* tuple = cast_stmt<tuple_literal>(node)) {
        visit_all(tuple->val);
    } else if (auto* object = cast_stmt<object_literal>(node)) {
        for (auto& [key, held] : object->val) {
            visit(key);
            visit(held);
        }
    } else if (auto* binary = cast_stmt<binary_expression>(node)) {
        visit(binary->left);
        visit(binary->right);
    } else if (auto* filtered = cast_stmt<filter_expression>(node)) {
        visit(filtered->operand);
        visit(filtered->filter);
    } else if (auto* block = cast_stmt<filter_statement>(node)) {
        visit(block->filter);
        visit_all(block->body);
    } else if (auto* selected = cast_stmt<select_expression>(node)) {
        visit(selected->lhs);
        visit(selected->test);
    } else if (auto* tested = cast_stmt<test_expression>(node)) {
        visit(tested->operand);
        visit(tested->test);
    } else if (auto* unary = cast_stmt<unary_expression>(node)) {
        visit(unary->argument);
    } else if (auto* slice = cast_stmt<slice_expression>(node)) {
        visit(slice->start_expr);
        visit(slice->stop_expr);
        visit(slice->step_expr);
    } else if (auto* named = cast_stmt<keyword_argument_expression>(node)) {
        visit(named->val);
    } else if (auto* spread = cast_stmt<spread_expression>(node)) {
        visit(spread->argument);
    } else if (auto* with_body = cast_stmt<call_statement>(node)) {
        visit(with_body->call);
        visit_all(with_body->caller_args);
        visit_all(with_body->body);
    } else if (auto* ternary = cast_stmt<ternary_expression>(node)) {
        visit(ternary->condition);
        visit(ternary->true_expr);
        visit(ternary->false_expr);
    }
}

value value_of(const MarkedText& text) {
    return jinja::mk_val<jinja::value_string>(jinja_string(text));
}

/// The text at `index` of the arguments. Throws as the engine does when there is none.
MarkedText text_at(const func_args& args, std::size_t index) {
    return marked_text(args.get_pos(index)->as_string());
}

void append(MarkedText& to, const MarkedText& text) {
    to.bytes += text.bytes;
    to.own += text.own;
}

MarkedText part_of(const MarkedText& text, std::size_t begin, std::size_t count = std::string::npos) {
    return {text.bytes.substr(begin, count), text.own.substr(begin, count)};
}

MarkedText first_text(const func_args& args, const char* function) {
    if (!jinja::is_val<jinja::value_string>(args.get_pos(0))) {
        throw jinja::raised_exception(std::string(function) + "() first argument must be a string");
    }
    return text_at(args, 0);
}

/// An element or a member of `item`, as the engine looks for it: "0" is the first element too.
value attribute_of(const value& item, value attribute) {
    value undefined = jinja::mk_val<jinja::value_undefined>();
    if (jinja::is_val<jinja::value_object>(item)) {
        return item->at(attribute, undefined);
    }
    if (!jinja::is_val<jinja::value_array>(item)) {
        return undefined;
    }
    if (jinja::is_val<jinja::value_string>(attribute)) {
        const std::string text = attribute->as_string().str();
        std::int64_t index = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
        if (error != std::errc() || end != text.data() + text.size() || index < 0) {
            return undefined;
        }
        attribute = jinja::mk_val<jinja::value_int>(index);
    }
    return item->at(attribute, undefined);
}

value join(const func_args& args) {
    args.ensure_count(1, 3);
    if (!jinja::is_val<jinja::value_array>(args.get_pos(0))) {
        throw jinja::raised_exception("join() first argument must be an array");
    }
    const value between = args.get_kwarg_or_pos("d", 1), attribute = args.get_kwarg_or_pos("attribute", 2);
    const MarkedText delimiter = between->is_undefined() ? MarkedText() : marked_text(between->as_string());
    MarkedText joined;
    bool first = true;
    for (value item : args.get_pos(0)->as_array()) {
        if (!attribute->is_undefined()) {
            item = attribute_of(item, attribute);
        }
        if (!jinja::is_val<jinja::value_string>(item) && !jinja::is_val<jinja::value_int>(item) &&
            !jinja::is_val<jinja::value_float>(item)) {
            throw jinja::raised_exception("join() can only join arrays of strings or numerics");
        }
        if (!first) {
            append(joined, delimiter);
        }
        first = false;
        append(joined, marked_text(item->as_string()));
    }
    return value_of(joined);
}

/// What split and rsplit are told: where to cut, and how often at most (negative: everywhere).
struct Cuts {
    std::string at;
    std::int64_t most = -1;
};
Cuts cuts_of(const func_args& args) {
    args.ensure_count(1, 3);
    Cuts cuts;
    cuts.at = args.count() > 1 ? args.get_pos(1)->as_string().str() : " ";
    if (cuts.at.empty()) {
        throw jinja::raised_exception("empty separator");
    }
    cuts.most = args.count() > 2 ? args.get_pos(2)->as_int() : -1;
    return cuts;
}

value split(const func_args& args) {
    const MarkedText text = first_text(args, "split");
    Cuts cuts = cuts_of(args);
    auto parts = jinja::mk_val<jinja::value_array>();
    std::size_t begin = 0, end = 0;
    for (; cuts.most != 0 && (end = text.bytes.find(cuts.at, begin)) != std::string::npos; --cuts.most) {
        parts->push_back(value_of(part_of(text, begin, end - begin)));
        begin = end + cuts.at.size();
    }
    parts->push_back(value_of(part_of(text, begin)));
    return parts;
}

value rsplit(const func_args& args) {
    MarkedText text = first_text(args, "rsplit");
    Cuts cuts = cuts_of(args);
    auto parts = jinja::mk_val<jinja::value_array>();
    std::size_t at = 0;
    for (; cuts.most != 0 && (at = text.bytes.rfind(cuts.at)) != std::string::npos; --cuts.most) {
        parts->push_back(value_of(part_of(text, at + cuts.at.size())));
        text.bytes.resize(at);
        text.own.resize(at);
    }
    parts->push_back(value_of(text));
    parts->reverse();
    return parts;
}

value replace(const func_args& args) {
    args.ensure_vals<jinja::value_string, jinja::value_string, jinja::value_string, jinja::value_int>(true, true, true,
                                                                                                      false);
    const MarkedText text = text_at(args, 0), with = text_at(args, 2);
    const std::string what = text_at(args, 1).bytes;
    if (args.count() > 3 && args.get_pos(3)->as_int() > 0) {
        throw jinja::not_implemented_exception("String replace with count argument not implemented");
    }
    MarkedText out;
    if (what.empty()) {
        append(out, with);
        for (std::size_t i = 0; i < text.bytes.size(); ++i) {
            append(out, part_of(text, i, 1));
            append(out, with);
        }
        return value_of(out);
    }
    std::size_t begin = 0;
    for (std::size_t at = 0; (at = text.bytes.find(what, begin)) != std::string::npos;) {
        append(out, part_of(text, begin, at - begin));
        append(out, with);
        begin = at + what.size();
    }
    append(out, part_of(text, begin));
    return value_of(out);
}

value indent(const func_args& args) {
    args.ensure_count(1, 4);
    const MarkedText text = first_text(args, "indent");
    const value width = args.get_kwarg_or_pos("width", 1);
    const bool first = args.get_kwarg_or_pos("first", 2)->as_bool(),
               blank = args.get_kwarg_or_pos("blank", 3)->as_bool();
    MarkedText before{"    ", std::string(4, '\1')};
    if (jinja::is_val<jinja::value_int>(width)) {
        const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, width->as_int()));
        before = {std::string(count, ' '), std::string(count, '\1')};
    } else if (jinja::is_val<jinja::value_string>(width)) {
        before = marked_text(width->as_string());
    }
    MarkedText out;
    for (std::size_t begin = 0; begin < text.bytes.size();) {
        const std::size_t end = std::min(text.bytes.find('\n', begin), text.bytes.size());
        if (!out.bytes.empty()) {
            append(out, part_of(text, begin - 1, 1));
        }
        if (out.bytes.empty() ? first : (end > begin || blank)) {
            append(out, before);
        }
        append(out, part_of(text, begin, end - begin));
        begin = end + 1;
    }
    if (!text.bytes.empty() && text.bytes.back() == '\n') {
        append(out, part_of(text, text.bytes.size() - 1));
        if (blank) {
            append(out, before);
        }
    }
    return value_of(out);
}

/// `args` with another text in the first place.
func_args with_text(const func_args& args, std::string text) {
    func_args changed(args.ctx);
    changed.func_name = args.func_name;
    changed.push_back(jinja::mk_val<jinja::value_string>(text));
    for (std::size_t i = 1; i < args.count(); ++i) {
        changed.push_back(args.get_args()[i]);
    }
    return changed;
}

/// The engine's own function of strings that takes bytes out by their places alone, for the marks as well.
jinja::func_handler by_places(jinja::func_handler of_engine) {
    return [of_engine = std::move(of_engine)](const func_args& args) {
        const MarkedText text = first_text(args, "slice");
        return value_of({of_engine(with_text(args, text.bytes))->as_string().str(),
                         of_engine(with_text(args, text.own))->as_string().str()});
    };
}

/// The engine's own function that changes single bytes where they stand. It would take every part for a text of its
/// own.
jinja::func_handler byte_by_byte(jinja::func_handler of_engine) {
    return [of_engine = std::move(of_engine)](const func_args& args) {
        const MarkedText text = first_text(args, "title");
        return value_of({of_engine(with_text(args, text.bytes))->as_string().str(), text.own});
    };
}

/// The functions stand in a table of the engine that gives read access alone. Its entries are ordinary objects on the
/// heap, only the way to them is const.
jinja::func_handler& entry(const jinja::func_builtins& table, const char* name) {
    const auto found = table.find(name);
    if (found == table.end()) {
        throw std::logic_error(std::string("the Jinja engine has no function ") + name);
    }
    return const_cast<jinja::func_handler&>(found->second);
}

}  // namespace

MarkedText marked_text(const jinja::string& text) {
    MarkedText marked;
    for (const jinja::string_part& part : text.parts) {
        marked.bytes += part.val;
        marked.own.append(part.val.size(), part.is_input ? '\1' : '\0');
    }
    return marked;
}

jinja::string jinja_string(const MarkedText& text) {
    jinja::string out;
    for (std::size_t begin = 0; begin < text.bytes.size();) {
        const char own = text.own[begin];
        const std::size_t end = std::min(text.own.find(own == '\1' ? '\0' : '\1', begin), text.bytes.size());
        out.parts.push_back({own == '\1', text.bytes.substr(begin, end - begin)});
        begin = end;
    }
    return out;
}

void mark_literals(jinja::program& program) {
    visit_all(program.body);
}

void follow_marks() {
    const jinja::value_string_t any;
    const jinja::func_builtins& strings = any.get_builtins();  // of all of them
    entry(strings, "split") = split;
    entry(strings, "rsplit") = rsplit;
    entry(strings, "replace") = replace;
    entry(strings, "indent") = indent;
    for (const char* name : {"capitalize", "title"}) {
        entry(strings, name) = byte_by_byte(entry(strings, name));
    }
    entry(strings, "slice") = by_places(entry(strings, "slice"));
    entry(jinja::value_array_t().get_builtins(), "join") = join;
}

}  // namespace moescope::engine
