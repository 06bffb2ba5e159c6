// A model's chat template: read and run by llama.cpp's engine, as the program has it run in a child with limits. Here
// it runs in this process, so its limits are counted instead: jinja_steps.hpp.
#include <algorithm>
#include <exception>
#include <string>

#include "engine/runner/template_marks.hpp"
#include "engine/runner/template_program.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/jinja_steps.hpp"

// Of AddressSanitizer's run-time library; GCC does not bring the header that declares it.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();

using namespace moescope;

namespace moescope::fuzz {
namespace {

constexpr std::size_t kMostSteps = 20'000, kMostDepth = 1000, kMostBytes = std::size_t{32} << 20;
constexpr std::size_t kLongest = std::size_t{32} << 10;

/// No std::exception, which the engine would wrap.
struct Spent {};
/// The template's own refusal.
struct Refused {};

/// Of one input.
struct Spending {
    std::size_t steps = 0, depth = 0, bytes = 0;
};
Spending& spending() {
    static Spending now;
    return now;
}

jinja::value refuse(const jinja::func_args& /*arguments*/) {
    throw Refused();
}

/// range() that is not the engine's: of a length that can be waited for.
jinja::value short_range(const jinja::func_args& arguments) {
    auto list = jinja::mk_val<jinja::value_array>();
    const jinja::value count = arguments.get_pos(0);
    for (std::int64_t i = 0; jinja::is_val<jinja::value_int>(count) && i < count->as_int() && i < 100; ++i) {
        list->push_back(jinja::mk_val<jinja::value_int>(i));
    }
    return list;
}

jinja::value text(const char* words) {
    return jinja::mk_val<jinja::value_string>(std::string(words));
}

void run(const std::string& source, const jinja::program& program) {
    jinja::context context(source);
    context.current_time = 0;
    auto list = jinja::mk_val<jinja::value_array>();
    for (const char* role : {"system", "user", "assistant", "user"}) {
        auto message = jinja::mk_val<jinja::value_object>();
        message->insert("role", text(role));
        message->insert("content", text("2 < 3 \xe4\xb8\x96"));
        list->push_back(message);
    }
    context.set_val("messages", list);
    context.set_val("tools", jinja::mk_val<jinja::value_none>());
    context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(true));
    context.set_val("bos_token", text("<s>"));
    context.set_val("eos_token", text("</s>"));
    context.set_val("raise_exception", jinja::mk_val<jinja::value_func>("raise_exception", refuse));
    context.set_val("range", jinja::mk_val<jinja::value_func>("range", short_range));
    const auto written = jinja::runtime::gather_string_parts(jinja::runtime(context).execute(program));
    const engine::MarkedText marked = engine::marked_text(written->val_str);
    expect(marked.bytes.size() == marked.own.size(), "every byte has a mark");
    accepted();
}

}  // namespace

JinjaStep::JinjaStep() {
    Spending& now = spending();
    if (++now.steps > kMostSteps || now.depth >= kMostDepth ||
        (now.steps % 4 == 0 && __sanitizer_get_current_allocated_bytes() > now.bytes + kMostBytes)) {
        throw Spent();
    }
    ++now.depth;
}
JinjaStep::~JinjaStep() {
    --spending().depth;
}

}  // namespace moescope::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bool followed = (engine::follow_marks(), true);
    const std::string source(fuzz::text_of(data, std::min(size, fuzz::kLongest)));
    fuzz::spending() = {0, 0, __sanitizer_get_current_allocated_bytes()};
    try {
        fuzz::run(source, engine::read_template(source));
    } catch (const std::exception&) {
    } catch (const engine::NumberTooLarge&) {
    } catch (const engine::TemplateTooDeep&) {
    } catch (const fuzz::Refused&) {
    } catch (const fuzz::Spent&) {
    }
    return followed ? 0 : 1;
}
