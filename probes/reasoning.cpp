// The wrappers are facts from the published chat templates (llama.cpp's models/templates and common/parsers hold most
// of them) and from model cards. There are two tables: names that may stand in any of the brackets, and wrappers that
// follow no pattern. Marks are found first, then paired.
#include "probes/reasoning.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>

#include "base/text.hpp"
#include "probes/text.hpp"

namespace moescope::probes {
namespace {

using View = std::string_view;
using Kind = AnswerPart::Kind;
using base::lower;
using base::trimmed;

/// Names that mean reasoning, in lower case. A name counts also with something before or behind it that is set off by
/// ':' or '_' ("seed:think", "longcat_think", "think:opensource"). The strong ones open a block that may lack its end;
/// the others are words that headings use as well and need both marks.
constexpr std::array<View, 13> kStrongNames{"think",      "thinking", "thought",     "thoughts",  "reasoning",
                                            "scratchpad", "cot",      "antthinking", "monologue", "思考",
                                            "思考过程",   "推理过程", "思維過程"};
constexpr std::array<View, 10> kWeakNames{"reason",     "reflection", "reflect", "analysis", "deliberation",
                                          "deliberate", "rationale",  "推理",    "分析",     "planning"};
/// What some models wrap around the answer itself.
constexpr std::array<View, 11> kAnswerNames{"answer",       "response",       "output",   "final",
                                            "final_answer", "final_response", "solution", "conclusion",
                                            "text",         "回答",           "最终答案"};

/// Strong brackets are not used in prose; names in the others need both marks.
struct Bracket {
    View open, close;
    bool strong;
};
constexpr std::array<Bracket, 14> kBrackets{{{"<|", "|>", true},
                                             {"<｜", "｜>", true},
                                             {"<", ">", true},
                                             {"◁", "▷", true},
                                             {"＜", "＞", true},
                                             {"⟨", "⟩", true},
                                             {"[[", "]]", false},
                                             {"[", "]", false},
                                             {"{{", "}}", false},
                                             {"{", "}", false},
                                             {"【", "】", false},
                                             {"«", "»", false},
                                             {"〈", "〉", false},
                                             {"(", ")", false}}};

/// Wrappers that follow no pattern.
struct Wrapper {
    View open, close;
    bool at_start;  ///< only where the text begins: plain words
};
constexpr std::array<Wrapper, 9> kWrappers{{
    {"[THINK]", "[/THINK]", false},                                    // Mistral
    {"<|channel>thought", "<channel|>", false},                        // Gemma 4
    {"<|open|>think<|sep|>", "<|close|>think<|sep|>", false},          // Kimi K3
    {"[unused16]", "[unused17]", false},                               // openPangu
    {"to=self<|message|>", "<|eom|>", true},                           // muse
    {"<details type=\"reasoning\"", "</details>", false},              // as Open WebUI stores it
    {"Here is my thought process:", "Here is my response:", true},     // Granite 3.2
    {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", true},  // Apriel 1.6
    {"```thinking", "```", true},
}};
/// Where the answer begins for certain: what stands before is reasoning, also without an opening mark.
constexpr std::array<View, 6> kAnswerBegins{"<|START_RESPONSE|>",      "<|START_TEXT|>",
                                            "<|begin_of_solution|>",   "[BEGIN FINAL RESPONSE]",
                                            "<|open|>response<|sep|>", "<|content|>"};
/// What ends a part of a message.
constexpr std::array<View, 12> kEnds{"<|end|>",
                                     "<|eom|>",
                                     "<|return|>",
                                     "<|call|>",
                                     "<|END_RESPONSE|>",
                                     "<|END_TEXT|>",
                                     "<|end_of_solution|>",
                                     "[END FINAL RESPONSE]",
                                     "<|close|>response<|sep|>",
                                     "<|close|>message<|sep|>",
                                     "<|end_of_msg|>",
                                     "[unused10]"};
/// Around an answer these count as template tokens too, besides those of text.hpp.
constexpr std::array<View, 4> kTokensAround{"<channel|>", "<unk>", "[INST]", "[/INST]"};

constexpr std::size_t kLongestName = 48, kLongestHeader = 120;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
/// Not trimmed(text).empty(), which would look at the end as well, for each of many marks before it.
bool all_blank(View text) {
    return text.find_first_not_of(" \t\r\n") == View::npos;
}
bool starts_with(View text, std::size_t at, View what) {
    return text.substr(at, what.size()) == what;
}
template <std::size_t n>
bool holds(const std::array<View, n>& list, View name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

struct Mark {
    enum class Kind {
        open,
        close,
        answer_begins,  ///< for certain
        answer_open,
        answer_close,
        header_open,    ///< of a message that is reasoning
        header_answer,  ///< of a message to the reader
        end,            ///< of a message
    };
    std::size_t begin = 0, end = 0;
    Kind kind = Kind::open;
    bool strong = true;
    std::string core;  ///< the name without what is set off from it
    View closed_by;    ///< a wrapper of the second table: the one text that ends it
};

Mark mark_of(std::size_t begin, std::size_t end, Mark::Kind kind) {
    Mark mark;
    mark.begin = begin;
    mark.end = end;
    mark.kind = kind;
    return mark;
}

/// Takes off what stands before or behind a name when it is set off by ':' or '_', until `list` knows the rest.
template <std::size_t n>
std::string core_of(View name, const std::array<View, n>& list) {
    if (holds(list, name)) {
        return std::string(name);
    }
    const std::size_t first = name.find_first_of(":_ "), last = name.find_last_of(":_ ");
    if (first == View::npos) {
        return "";
    }
    // Before the name anything may stand ("seed:think", "chain_of_thought"), behind it only after a colon.
    if (holds(list, name.substr(last + 1)) && name.substr(0, first) != "no" && name.substr(0, first) != "final") {
        return std::string(name.substr(last + 1));
    }
    const std::size_t colon = name.find(':');
    return colon != View::npos && holds(list, name.substr(0, colon)) ? std::string(name.substr(0, colon)) : "";
}

/// What a name in brackets means.
std::optional<Mark> named_mark(View inside, bool strong_bracket) {
    std::string name;
    for (const char c : trimmed(inside)) {
        name += lower(c);
    }
    bool closing = false;
    const auto drop_front = [&](View prefix) {
        const bool found = starts_with(name, 0, prefix);
        if (found) {
            name.erase(0, prefix.size());
        }
        return found;
    };
    const auto drop_back = [&](View suffix) {
        const bool found = name.size() > suffix.size() && View(name).substr(name.size() - suffix.size()) == suffix;
        if (found) {
            name.erase(name.size() - suffix.size());
        }
        return found;
    };
    closing = drop_front("/") || drop_front("end_of_") || drop_front("end_") || drop_front("end ") || drop_back("_end");
    if (!closing) {
        (void)(drop_front("begin_of_") || drop_front("begin_") || drop_front("start_of_") || drop_front("start_") ||
               drop_front("begin ") || drop_front("start ") || drop_back("_start") || drop_back("_begin"));
    }
    name = std::string(trimmed(name));
    // <thinking mode="long"> has attributes.
    if (const std::size_t blank = name.find(' '); blank != std::string::npos && name.find('=') != std::string::npos) {
        name.erase(blank);
    }
    Mark mark;
    mark.core = core_of(name, kStrongNames);
    mark.strong = strong_bracket && !mark.core.empty();
    if (mark.core.empty()) {
        mark.core = core_of(name, kWeakNames);
    }
    if (!mark.core.empty()) {
        mark.kind = closing ? Mark::Kind::close : Mark::Kind::open;
        return mark;
    }
    if (strong_bracket && holds(kAnswerNames, name)) {
        mark.core = name;
        mark.kind = closing ? Mark::Kind::answer_close : Mark::Kind::answer_open;
        return mark;
    }
    return std::nullopt;
}

/// A header of a message: "<|start|>assistant<|channel|>analysis<|message|>" or a part of it.
std::optional<Mark> header_at(View text, std::size_t at) {
    const bool start = starts_with(text, at, "<|start|>"), channel = starts_with(text, at, "<|channel|>"),
               begin = starts_with(text, at, "<|begin|>");
    if (!start && !channel && !begin) {
        return std::nullopt;
    }
    const View stop = begin ? "<|content|>" : "<|message|>";
    const View window = text.substr(at, kLongestHeader);
    const std::size_t line = std::min(window.find('\n'), window.size());
    std::size_t end = window.find(stop);
    if (end != View::npos && end < line) {
        end += stop.size();
    } else if (begin && window.find("<|think|>") < line) {
        end = window.find("<|think|>");  // the mark behind the header opens the reasoning
    } else if (channel) {
        end = View("<|channel|>").size();
        while (end < window.size() && window[end] >= 'a' && window[end] <= 'z') {
            ++end;
        }
    } else {
        return std::nullopt;
    }
    const View header = window.substr(0, end);
    const bool reasons = header.find("analysis") != View::npos || header.find("to=self") != View::npos;
    return mark_of(at, at + end, reasons ? Mark::Kind::header_open : Mark::Kind::header_answer);
}

/// The wrappers of the second table, and what begins answers and ends messages.
std::optional<Mark> listed_mark(View text, std::size_t at, bool at_start) {
    for (const Wrapper& wrapper : kWrappers) {
        if ((!wrapper.at_start || at_start) && starts_with(text, at, wrapper.open)) {
            Mark mark = mark_of(at, at + wrapper.open.size(), Mark::Kind::open);
            if (wrapper.open.back() == '"') {  // a tag with more attributes
                mark.end = std::min(text.find('>', mark.end), text.size() - 1) + 1;
            }
            mark.closed_by = wrapper.close;
            return mark;
        }
    }
    for (const View one : kAnswerBegins) {
        if (starts_with(text, at, one)) {
            return mark_of(at, at + one.size(), Mark::Kind::answer_begins);
        }
    }
    for (const View one : kEnds) {
        if (starts_with(text, at, one)) {
            return mark_of(at, at + one.size(), Mark::Kind::end);
        }
    }
    // Alone, so its opening mark stood in the prompt. Words and ends that others use as well say nothing alone.
    for (const Wrapper& wrapper : kWrappers) {
        if (wrapper.at_start || wrapper.close == "</details>" || !starts_with(text, at, wrapper.close)) {
            continue;
        }
        // Gemma 4 sometimes writes one more behind its answer.
        if (wrapper.close != "<channel|>" || !all_blank(text.substr(at + wrapper.close.size()))) {
            return mark_of(at, at + wrapper.close.size(), Mark::Kind::close);
        }
    }
    return std::nullopt;
}

std::optional<Mark> bracket_at(View text, std::size_t at) {
    for (const Bracket& bracket : kBrackets) {
        if (!starts_with(text, at, bracket.open)) {
            continue;
        }
        const View rest = text.substr(at + bracket.open.size(), kLongestName + bracket.close.size());
        const std::size_t end = rest.find(bracket.close);
        if (end == View::npos || end > kLongestName || rest.substr(0, end).find('\n') != View::npos) {
            continue;
        }
        if (auto mark = named_mark(rest.substr(0, end), bracket.strong)) {
            mark->begin = at;
            mark->end = at + bracket.open.size() + end + bracket.close.size();
            mark->core += bracket.strong ? "" : std::string(bracket.open);
            return mark;
        }
    }
    return std::nullopt;
}

/// The marks of a harmony message whose special tokens were not written out: "analysisWe should ...assistantfinalThe".
bool is_bare_harmony(View text) {
    constexpr View kAnalysis = "analysis";
    if (!starts_with(text, 0, kAnalysis)) {
        return false;
    }
    const char next = text.size() > kAnalysis.size() ? text[kAnalysis.size()] : ' ';
    return (next >= 'A' && next <= 'Z') || static_cast<unsigned char>(next) >= 0x80 ||
           text.find("assistantfinal") != View::npos;
}

/// A mark in quotation marks is a word about marks.
bool quoted(View text, const Mark& mark) {
    constexpr std::array<std::pair<View, View>, 7> kQuotes{
        {{"`", "`"}, {"\"", "\""}, {"'", "'"}, {"“", "”"}, {"‘", "’"}, {"「", "」"}, {"『", "』"}}};
    return std::any_of(kQuotes.begin(), kQuotes.end(), [&](const auto& quote) {
        const auto& [open, close] = quote;
        return mark.begin >= open.size() && starts_with(text, mark.begin - open.size(), open) &&
               starts_with(text, mark.end, close);
    });
}

/// End of a short piece of code in single backticks that begins at `at`; `at` when none does.
std::size_t inline_code_end(View text, std::size_t at) {
    constexpr std::size_t kLongest = 80;
    const View window = text.substr(at + 1, kLongest);
    const std::size_t end = window.find_first_of("`\n");
    return end == View::npos || window[end] == '\n' || end == 0 ? at : at + end + 2;
}

std::vector<Mark> find_marks(View text) {
    std::vector<Mark> marks;
    std::size_t start = 0;
    while (start < text.size() && is_blank(text[start])) {
        ++start;
    }
    const bool harmony = is_bare_harmony(text.substr(start));
    std::map<View, bool> never_closed;  // so that no end is looked for twice in vain
    if (harmony) {
        marks.push_back(mark_of(start, start + View("analysis").size(), Mark::Kind::header_open));
    }
    for (std::size_t at = marks.empty() ? 0 : marks[0].end; at < text.size();) {
        const auto c = static_cast<unsigned char>(text[at]);
        const bool at_start = at == start;
        std::optional<Mark> mark;
        if (harmony && c == 'a') {
            for (const auto& [word, kind] : {std::pair<View, Mark::Kind>{"assistantfinal", Mark::Kind::header_answer},
                                             {"assistantanalysis", Mark::Kind::header_open},
                                             {"assistantcommentary", Mark::Kind::header_answer}}) {
                if (starts_with(text, at, word)) {
                    mark = mark_of(at, at + word.size(), kind);
                }
            }
        }
        if (!mark && c == '<') {
            mark = header_at(text, at);
        }
        if (!mark && (at_start || c == '<' || c == '[')) {
            mark = listed_mark(text, at, at_start);
        }
        if (!mark &&
            (c == '<' || c == '[' || c == '{' || c == '(' || c == 0xC2 || c == 0xE2 || c == 0xE3 || c == 0xEF)) {
            mark = bracket_at(text, at);
        }
        if (!mark && c == '`' && !starts_with(text, at, "``")) {
            at = std::max(inline_code_end(text, at), at + 1);
            continue;
        }
        if (!mark) {
            ++at;
            continue;
        }
        at = mark->end;
        if (quoted(text, *mark)) {
            continue;
        }
        marks.push_back(std::move(*mark));
        if (const View close = marks.back().closed_by; !close.empty() && !never_closed[close]) {
            const std::size_t end = text.find(close, at);
            if (end == View::npos) {
                never_closed[close] = true;
                continue;
            }
            at = end + close.size();
            Mark ending = mark_of(end, at, Mark::Kind::close);
            ending.core = close;
            marks.push_back(std::move(ending));
        }
    }
    return marks;
}

/// Pairs the marks and collects the parts.
class Pairing {
 public:
    Pairing(View text, std::vector<Mark> marks) : text_(text), marks_(std::move(marks)) {
        for (std::size_t i = 0; i < marks_.size(); ++i) {
            const Mark& mark = marks_[i];
            last_[mark.kind] = i + 1;
            if (mark.kind == Mark::Kind::close && mark.strong) {
                last_strong_close_ = i + 1;
            }
            if (mark.kind == Mark::Kind::close || mark.kind == Mark::Kind::answer_close) {
                last_close_[mark.core] = i + 1;
            }
        }
    }

    Separated run(bool begins_inside) {
        std::size_t i = 0;
        if (begins_inside &&
            (marks_.empty() || marks_[0].kind != Mark::Kind::open || !all_blank(text_.substr(0, marks_[0].begin)))) {
            i = read_block(Mark(), 0);
        }
        while (i < marks_.size()) {
            i = take(i);
        }
        add(Kind::answer, at_, text_.size());
        finish();
        return std::move(out_);
    }

 private:
    void add(Kind kind, std::size_t begin, std::size_t end) {
        if (kind == Kind::reasoning) {
            seen_block_ = true;
        } else if (kind == Kind::answer) {
            said_something_ = said_something_ || !all_blank(text_.substr(begin, end - begin));
        }
        if (begin < end) {
            out_.parts.push_back({kind, begin, end});
        }
    }

    /// Reasoning from at_ on, begun by `open`; gives the number of the next mark.
    std::size_t read_block(const Mark& open, std::size_t next) {
        const std::size_t from = at_;
        const std::size_t close = end_of(open, next);
        if (close == marks_.size()) {
            out_.open = true;
            add(Kind::reasoning, from, text_.size());
            at_ = text_.size();
            return close;
        }
        const Mark& mark = marks_[close];
        add(Kind::reasoning, from, mark.begin);
        // A header or an answer's mark is looked at by itself.
        const bool consumed = mark.kind == Mark::Kind::close || mark.kind == Mark::Kind::end;
        at_ = consumed ? mark.end : mark.begin;
        if (consumed) {
            add(Kind::mark, mark.begin, mark.end);
        }
        return consumed ? close + 1 : close;
    }

    /// Number of the mark that ends what `opening` began; marks_.size() when none does. What is looked for is found or
    /// known to be nowhere, so the time stays linear.
    std::size_t end_of(const Mark& opening, std::size_t from) const {
        const auto first = [&](auto fits) {
            std::size_t i = from;
            while (i < marks_.size() && !fits(marks_[i])) {
                ++i;
            }
            return i;
        };
        const auto first_of = [&](std::initializer_list<Mark::Kind> kinds) {
            const auto wanted = [&](Mark::Kind kind) {
                return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
            };
            const bool later = std::any_of(last_.begin(), last_.end(), [&](const auto& entry) {
                return wanted(entry.first) && entry.second > from;
            });
            return later ? first([&](const Mark& mark) { return wanted(mark.kind); }) : marks_.size();
        };
        using MarkKind = Mark::Kind;
        if (opening.kind == MarkKind::header_open) {
            return first_of({MarkKind::end, MarkKind::header_answer, MarkKind::header_open, MarkKind::answer_begins});
        }
        if (!opening.closed_by.empty()) {
            if (from < marks_.size() && marks_[from].core == opening.closed_by) {
                return from;
            }
        } else if (opening.strong ? last_strong_close_ > from : is_closed_later(opening.core, from)) {
            return first([&](const Mark& mark) {
                return mark.kind == MarkKind::close && (opening.strong ? mark.strong : mark.core == opening.core);
            });
        }
        const std::size_t found = first_of({MarkKind::answer_begins, MarkKind::end, MarkKind::header_answer});
        return found < marks_.size() ? found : first_of({MarkKind::answer_open});
    }

    bool is_closed_later(const std::string& core, std::size_t from) const {
        const auto last = last_close_.find(core);
        return last != last_close_.end() && last->second > from;
    }

    std::size_t take(std::size_t i) {
        const Mark& mark = marks_[i];
        switch (mark.kind) {
            case Mark::Kind::open:
            case Mark::Kind::header_open:
                if (!mark.strong && !is_closed_later(mark.core, i + 1)) {
                    return i + 1;
                }
                add(Kind::answer, at_, mark.begin);
                add(Kind::mark, mark.begin, mark.end);
                at_ = mark.end;
                return read_block(mark, i + 1);
            case Mark::Kind::close:
            case Mark::Kind::answer_begins:
                if (!mark.strong) {
                    return i + 1;
                }
                // Its opening mark stood in the prompt.
                if (mark.kind == Mark::Kind::close || !blank_before(mark)) {
                    add(Kind::reasoning, at_, mark.begin);
                } else {
                    add(Kind::answer, at_, mark.begin);
                }
                break;
            case Mark::Kind::answer_open:
                // Only around a whole answer: at its beginning, with an end.
                if (said_something_ || !blank_before(mark) || (!is_closed_later(mark.core, i + 1) && !seen_block_)) {
                    return i + 1;
                }
                wrapped_ = mark.core;
                add(Kind::answer, at_, mark.begin);
                break;
            case Mark::Kind::answer_close:
                if (wrapped_ != mark.core) {
                    return i + 1;
                }
                wrapped_.clear();
                add(Kind::answer, at_, mark.begin);
                break;
            case Mark::Kind::header_answer:
                add(Kind::answer, at_, mark.begin);
                seen_header_ = true;
                break;
            case Mark::Kind::end:
                if (!seen_block_ && !seen_header_) {
                    return i + 1;
                }
                add(Kind::answer, at_, mark.begin);
                break;
        }
        add(Kind::mark, mark.begin, mark.end);
        at_ = mark.end;
        return i + 1;
    }

    /// Nothing but blanks between at_ and the mark? Many marks may ask before at_ moves on.
    bool blank_before(const Mark& mark) {
        if (word_after_ != at_) {
            word_after_ = at_;
            word_ = text_.find_first_not_of(" \t\r\n", at_);
        }
        return word_ >= mark.begin;  // npos is behind everything
    }

    void finish() {
        for (const AnswerPart& part : out_.parts) {
            const View piece = text_.substr(part.begin, part.end - part.begin);
            if (part.kind == Kind::answer) {
                out_.answer += piece;
            } else if (part.kind == Kind::reasoning && !trimmed(piece).empty()) {
                out_.reasoning += (out_.reasoning.empty() ? "" : "\n\n") + std::string(trimmed(piece));
            }
        }
        out_.trace = !seen_block_ ? Trace::absent : out_.reasoning.empty() ? Trace::empty : Trace::present;
    }

    View text_;
    std::vector<Mark> marks_;
    // One more than the number of the last mark of each kind, and of those that close a name.
    std::map<Mark::Kind, std::size_t> last_;
    std::map<std::string, std::size_t> last_close_;
    std::size_t last_strong_close_ = 0;
    Separated out_;
    std::size_t at_ = 0;                              ///< what stands before is in a part
    std::size_t word_after_ = View::npos, word_ = 0;  ///< the first character after there that is not blank
    bool seen_block_ = false, seen_header_ = false, said_something_ = false;
    std::string wrapped_;  ///< name of the wrapper around the answer that is open
};

/// Length of a template token that `text` ends with, 0 when it does not.
std::size_t token_at_end(View text) {
    for (const auto tokens : {std::span<const View>(text::kTemplateTokens), std::span<const View>(kTokensAround)}) {
        for (const View token : tokens) {
            if (text.ends_with(token)) {
                return token.size();
            }
        }
    }
    for (const auto& [open, close] : text::kTemplateForms) {
        if (text.size() < close.size() || text.substr(text.size() - close.size()) != close) {
            continue;
        }
        const std::size_t begin = text.rfind(open);
        if (begin != View::npos && text.size() - begin <= kLongestName + open.size() + close.size() &&
            text.substr(begin).find_first_of(" \n") == View::npos) {
            return text.size() - begin;
        }
    }
    return 0;
}
std::size_t token_at_start(View text) {
    for (const View token : kTokensAround) {
        if (starts_with(text, 0, token)) {
            return token.size();
        }
    }
    return text::template_token_at_start(text);
}

std::string without_tokens_around(View text) {
    text = trimmed(text);
    while (const std::size_t length = token_at_start(text)) {
        text = trimmed(text.substr(length));
    }
    while (const std::size_t length = token_at_end(text)) {
        text = trimmed(text.substr(0, text.size() - length));
    }
    return std::string(text);
}

/// Bytes at the end that may be the beginning of a mark, or of a header whose end has not come.
std::size_t unfinished_mark(View text) {
    constexpr std::array<std::pair<View, View>, 6> kHeaders{{{"<|start|>", "<|message|>"},
                                                             {"<|channel|>", "<|message|>"},
                                                             {"<|begin|>", "<|content|>"},
                                                             {"<|open|>", "<|sep|>"},
                                                             {"<|close|>", "<|sep|>"},
                                                             {"<|channel>", "thought"}}};
    const View tail = text.substr(text.size() - std::min(text.size(), kLongestHeader));
    std::size_t hidden = 0;
    for (const auto& [open, close] : kHeaders) {
        const std::size_t at = tail.rfind(open);
        if (at != View::npos && tail.find(close, at) == View::npos && tail.find('\n', at) == View::npos) {
            hidden = std::max(hidden, tail.size() - at);
        }
    }
    // "<|start|>assistant<|channel|>final" is one header.
    if (const std::size_t at = tail.rfind("<|start|>");
        hidden > 0 && at != View::npos && tail.find("<|message|>", at) == View::npos) {
        hidden = std::max(hidden, tail.size() - at);
    }
    std::size_t begin = View::npos;
    for (const View open : {"<", "[", "◁"}) {
        if (const std::size_t at = tail.rfind(open); at != View::npos && (begin == View::npos || at > begin)) {
            begin = at;
        }
    }
    const bool whole = begin == View::npos || tail.size() - begin > kLongestName ||
                       tail.find_first_of(">]\n", begin) != View::npos || tail.find("▷", begin) != View::npos;
    return whole ? hidden : std::max(hidden, tail.size() - begin);
}

}  // namespace

const char* trace_name(Trace trace) {
    return trace == Trace::absent ? "absent" : trace == Trace::empty ? "empty" : "present";
}

Separated separate_reasoning(std::string_view text, bool begins_inside, bool unfinished) {
    const std::size_t hidden = unfinished ? unfinished_mark(text) : 0;
    const View shown = text.substr(0, text.size() - hidden);
    Separated out = Pairing(shown, find_marks(shown)).run(begins_inside);
    if (hidden > 0) {
        out.parts.push_back({Kind::mark, shown.size(), text.size()});
    }
    out.answer = without_tokens_around(out.answer);
    return out;
}

bool ends_inside_reasoning(std::string_view prompt) {
    // Only what stands behind the last turn matters; whatever the user wrote must not open a block.
    const View end = trimmed(prompt);
    const View tail = end.substr(end.size() - std::min<std::size_t>(end.size(), kLongestName));
    const std::vector<Mark> marks = find_marks(tail);
    return !marks.empty() && marks.back().end == tail.size() &&
           (marks.back().kind == Mark::Kind::open || marks.back().kind == Mark::Kind::header_open) &&
           marks.back().strong;
}

}  // namespace moescope::probes
