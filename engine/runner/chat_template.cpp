#include "engine/runner/chat_template.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <new>
#include <regex>
#include <stdexcept>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/runner/guarded_call.hpp"
#ifdef MOESCOPE_HAVE_LLAMA
#include <jinja/runtime.h>

#include "engine/runner/template_marks.hpp"
#include "engine/runner/template_program.hpp"
#endif

namespace moescope::engine {
namespace {

constexpr CallLimits kLimits = {std::chrono::seconds(5), std::uint64_t{512} << 20, std::uint64_t{256} << 10};

#ifdef MOESCOPE_HAVE_LLAMA

/// A template's own words for one line: no control characters, not too long.
Sentence quoted(std::string text) {
    text = base::to_valid_utf8(text);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    constexpr std::size_t kMost = 300;
    return Sentence::verbatim(base::shortened(std::move(text), kMost));
}

// What the child answers: one of these, then the pieces or a text.
constexpr char kPieces = 'P', kRefused = 'R', kFailed = 'F', kNoPrompt = 'U', kNoSystem = 'S', kNumber = 'N',
               kUnknown = 'L', kDeep = 'D';

/// Said by the template itself. No std::exception, which the engine would wrap in words of its own.
struct Refused {
    std::string words;
};

/// 2026-01-01T00:00:00Z, which is kTemplateDate.
constexpr std::time_t kTemplateTime = 1767225600;

jinja::value raise_exception(const jinja::func_args& arguments) {
    const jinja::value words = arguments.get_pos(0);
    throw Refused{jinja::is_val<jinja::value_string>(words) ? words->as_string().str() : words->as_repr()};
}

jinja::value strftime_now(const jinja::func_args& arguments) {
    std::tm day{};
    gmtime_r(&kTemplateTime, &day);
    std::array<char, 1024> text{};
    const jinja::string format = arguments.get_pos(0)->as_string();
    const std::size_t length = std::strftime(text.data(), text.size(), format.str().c_str(), &day);
    auto written = jinja::mk_val<jinja::value_string>(std::string(text.data(), length));
    written->val_str.mark_input_based_on(format);
    return written;
}

jinja::value own_text(const std::string& text) {
    auto own = jinja::mk_val<jinja::value_string>(text);
    own->mark_input();
    return own;
}

/// In pieces of one origin each, with U+FFFD for bytes that are no character.
std::vector<ChatPiece> pieces_of(const MarkedText& text) {
    std::vector<ChatPiece> pieces;
    for (std::size_t at = 0; at < text.bytes.size();) {
        const std::size_t length = base::code_point_at(text.bytes, at).length,
                          end = at + std::max<std::size_t>(1, length);
        const bool own =
            length > 0 && std::string_view(text.own).substr(at, length).find('\0') == std::string_view::npos;
        if (pieces.empty() || pieces.back().own != own) {
            pieces.push_back({"", own});
        }
        pieces.back().text += length > 0 ? text.bytes.substr(at, length) : "\xef\xbf\xbd";
        at = end;
    }
    return pieces;
}

class Template {
 public:
    Template(const std::string& source, const ChatTokens& tokens)
        : source_(source), tokens_(tokens), program_(read_template(source)) {}

    /// `in_parts`: contents as lists of parts, which templates of models that see pictures may want.
    std::vector<ChatPiece> render(const std::vector<ChatMessage>& messages, bool in_parts) const {
        jinja::context context(source_);
        context.current_time = kTemplateTime;
        auto list = jinja::mk_val<jinja::value_array>();
        for (const ChatMessage& message : messages) {
            list->push_back(value_of(message, in_parts));
        }
        // As transformers calls a template: without tools and documents, which are there and None.
        context.set_val("messages", list);
        context.set_val("tools", jinja::mk_val<jinja::value_none>());
        context.set_val("documents", jinja::mk_val<jinja::value_none>());
        context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(true));
        context.set_val("bos_token", own_text(tokens_.begin));
        context.set_val("eos_token", own_text(tokens_.end));
        context.set_val("raise_exception", jinja::mk_val<jinja::value_func>("raise_exception", raise_exception));
        context.set_val("strftime_now", jinja::mk_val<jinja::value_func>("strftime_now", strftime_now));
        const auto written = jinja::runtime::gather_string_parts(jinja::runtime(context).execute(program_));
        return pieces_of(marked_text(written->val_str));
    }

 private:
    static jinja::value value_of(const ChatMessage& message, bool in_parts) {
        auto object = jinja::mk_val<jinja::value_object>();
        object->insert("role", own_text(message.role));
        auto content = jinja::mk_val<jinja::value_string>(message.content);
        if (!in_parts) {
            object->insert("content", content);
            return object;
        }
        auto part = jinja::mk_val<jinja::value_object>();
        part->insert("type", own_text("text"));
        part->insert("text", content);
        auto parts = jinja::mk_val<jinja::value_array>();
        parts->push_back(part);
        object->insert("content", parts);
        return object;
    }

    const std::string& source_;
    const ChatTokens& tokens_;
    jinja::program program_;
};

std::string text_of(const std::vector<ChatPiece>& pieces) {
    std::string text;
    for (const ChatPiece& piece : pieces) {
        text += piece.text;
    }
    return text;
}

/// Does what is written change with the messages? One that cannot be rendered is no proof that it does not.
bool same_without(const Template& chat, const std::vector<ChatMessage>& changed, bool in_parts,
                  const std::string& text) {
    try {
        return text_of(chat.render(changed, in_parts)) == text;
    } catch (const std::exception&) {
        return false;
    } catch (const Refused&) {
        return false;
    }
}

bool leaves_prompt_out(const Template& chat, std::vector<ChatMessage> messages, bool in_parts,
                       const std::string& text) {
    messages.back().content = "?" + messages.back().content + "?";
    return same_without(chat, messages, in_parts, text);
}

/// The engine's report of several lines as one: "line 3, column 7: Unknown test 'x'".
std::string in_one_line(const std::string& report) {
    constexpr std::string_view kWhat = "\nError: ", kWhere = " at line ";
    const std::size_t what = report.find(kWhat), where = report.find(kWhere), end = report.find(" in source:", where);
    if (what == std::string::npos || where == std::string::npos || end == std::string::npos) {
        return report.substr(0, report.find('\n'));
    }
    return report.substr(where + 4, end - where - 4) + ": " + report.substr(what + kWhat.size());
}

/// What the C++ library says of itself ("stoll", "basic_string::substr: __pos (which is 9) > ..."): no words for
/// people.
bool is_of_library(std::string_view what) {
    return what.find("::") != std::string_view::npos || what.find("(which is") != std::string_view::npos ||
           what.starts_with("sto") || what.starts_with("bad_");
}

/// The engine names types as its compiler does.
std::string with_plain_types(const std::string& report) {
    static const std::regex kType("(St10shared_ptrI)?N5jinja[0-9]+value_([a-z]+)_tE(E)?");
    return std::regex_replace(report, kType, "$2");
}

/// What the child answers for an exception of the engine, which also wraps what it says of memory that ran out.
std::string failed(const std::string& report) {
    const std::string line = in_one_line(with_plain_types(report));
    if (!is_of_library(line)) {
        return kFailed + line;
    }
    const bool place = line.find("(which is") != std::string::npos;
    for (const char* memory : {"std::bad_alloc", "basic_string::", "vector::", "std::vector"}) {
        if (!place && line.find(memory) != std::string::npos) {
            throw std::bad_alloc();
        }
    }
    const std::size_t end = line.starts_with("line ") ? line.find(':') : 0;
    return kUnknown + line.substr(0, std::min(end, line.size()));
}

std::string encoded(const std::vector<ChatPiece>& pieces) {
    std::string answer(1, kPieces);
    for (const ChatPiece& piece : pieces) {
        const std::uint64_t size = piece.text.size();
        answer += piece.own ? '\1' : '\0';
        answer.append(reinterpret_cast<const char*>(&size), sizeof size);
        answer += piece.text;
    }
    return answer;
}

std::vector<ChatPiece> decoded(std::string_view answer) {
    std::vector<ChatPiece> pieces;
    std::uint64_t size = 0;
    while (answer.size() > sizeof size) {
        const bool own = answer.front() == '\1';
        std::memcpy(&size, answer.data() + 1, sizeof size);
        answer.remove_prefix(1 + sizeof size);
        size = std::min<std::uint64_t>(size, answer.size());
        pieces.push_back({std::string(answer.substr(0, size)), own});
        answer.remove_prefix(size);
    }
    return pieces;
}

/// In the child.
std::string render_all(const std::string& source, const std::vector<ChatMessage>& messages, const ChatTokens& tokens) {
    try {
        follow_marks();
        const Template chat(source, tokens);
        bool in_parts = false;
        std::vector<ChatPiece> pieces;
        std::string failure;
        try {
            pieces = chat.render(messages, false);
        } catch (const std::exception& error) {
            failure = error.what();
        }
        if (!failure.empty() || leaves_prompt_out(chat, messages, false, text_of(pieces))) {
            in_parts = true;
            try {
                pieces = chat.render(messages, true);
            } catch (const std::exception&) {
                return failure.empty() ? std::string(1, kNoPrompt) : failed(failure);
            }
            if (leaves_prompt_out(chat, messages, true, text_of(pieces))) {
                return failure.empty() ? std::string(1, kNoPrompt) : failed(failure);
            }
        }
        if (messages.front().role == "system" && messages.size() > 1 &&
            same_without(chat, {messages.begin() + 1, messages.end()}, in_parts, text_of(pieces))) {
            return std::string(1, kNoSystem);
        }
        return encoded(pieces);
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::length_error&) {
        throw;
    } catch (const std::exception& error) {
        return failed(error.what());
    } catch (const NumberTooLarge& large) {
        return kNumber + large.number;
    } catch (const TemplateTooDeep&) {
        return std::string(1, kDeep);
    } catch (const Refused& refused) {
        return kRefused + refused.words;
    }
}

std::vector<ChatPiece> read_answer(const std::string& answer, bool has_system) {
    const std::string words = answer.size() > 1 ? answer.substr(1) : "";
    switch (answer.empty() ? '\0' : answer.front()) {
        case kPieces:
            return decoded(words);
        case kRefused:
            if (has_system) {
                throw Error(
                    say("the chat template of this model refuses the conversation: {}; leave the system text out, or "
                        "send plain text (--no-chat, or \"chat template\" switched off in the window)",
                        quoted(words)));
            }
            refuse_template(say("it refuses the conversation: {}", quoted(words)));
        case kNumber:
            refuse_template(say("the number {} in it is too large", quoted(words)));
        case kUnknown:
            refuse_template(words.empty() ? say("the renderer cannot read it")
                                          : say("the renderer cannot follow it ({})", quoted(words)));
        case kDeep:
            refuse_template(
                say("it goes too deep: more than {} brackets or blocks in each other, or {} parts in one "
                    "expression",
                    kTemplateDepth, kTemplateParts));
        case kNoPrompt:
            refuse_template(say("it leaves the prompt out"));
        case kNoSystem:
            throw Error(
                say("the chat template of this model has no place for a system text; leave the system text "
                    "out"));
        default:
            refuse_template(quoted(words));
    }
}

#endif

}  // namespace

void refuse_template(const Sentence& why) {
    throw Error(
        say("the chat template of this model cannot be used: {}; send plain text instead (--no-chat, or \"chat "
            "template\" switched off in the window)",
            why));
}

std::vector<ChatPiece> render_chat(const std::string& source, const std::vector<ChatMessage>& messages,
                                   const ChatTokens& tokens, const std::atomic<bool>& cancel) {
#ifdef MOESCOPE_HAVE_LLAMA
    // Libraries read it to the zero byte and would leave out what follows.
    if (const std::size_t zero = source.find('\0'); zero != std::string::npos) {
        refuse_template(say("it has a zero byte, at byte {}", zero));
    }
    const bool has_system = !messages.empty() && messages.front().role == "system";
    using End = CallResult::End;
    const CallResult result = call_guarded([&] { return render_all(source, messages, tokens); }, kLimits, cancel);
    switch (result.end) {
        case End::done:
            return read_answer(result.answer, has_system);
        case End::cancelled:
            throw Error(say("cancelled before the chat template was rendered"));
        case End::too_slow:
            refuse_template(say("it is not done after {} seconds", kLimits.time.count() / 1000));
        case End::too_much_memory:
            refuse_template(say("it takes more than {} MB of memory", kLimits.memory >> 20));
        case End::answer_too_long:
            refuse_template(say("it writes more than {} KB", kLimits.answer >> 10));
        case End::died:
            break;
    }
    refuse_template(say("it goes too deep, or the renderer has a fault (signal {})", result.signal));
#else
    (void)source, (void)messages, (void)tokens, (void)cancel;
    refuse_template(say("this build has no renderer for it; start ./run, which builds it"));
#endif
}

}  // namespace moescope::engine
