// Published chat templates against what Python's jinja2 makes of them, and templates that mean harm.
#include "engine/runner/chat_template.hpp"

#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "engine/error.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

const std::atomic<bool> kNever{false};

std::string rendered(const std::string& source, const std::vector<ChatMessage>& messages,
                     const ChatTokens& tokens = {"<s>", "</s>"}) {
    std::string text;
    for (const ChatPiece& piece : render_chat(source, messages, tokens, kNever)) {
        text += piece.text;
    }
    return text;
}

std::string error_of(const std::string& source, const std::vector<ChatMessage>& messages = {{"user", "hi"}}) {
    try {
        return "no error, but " + rendered(source, messages);
    } catch (const Error& error) {
        return error.what();
    }
}

/// Where common/jinja is known to differ from jinja2.
struct Difference {
    const char *file, *why;
};
constexpr Difference kDifferences[] = {
    {"fireworks-ai-llama-3-firefunction-v2.jinja",
     "it asks for `functions` and `datetime`, which nobody passes: jinja2 stops at a filter of something undefined, "
     "common/jinja takes it for empty"},
};

TEST(ChatTemplates, AreRenderedAsJinja2DoesIt) {
    const Json golden = Json::parse(moescope::test::read_text(std::filesystem::path(moescope::test::test_data()) /
                                                              "oracle/data/chat_templates.json"));
    ASSERT_EQ(golden["date"], kTemplateDate);
    std::set<std::string> seen;
    int compared = 0, refused = 0;
    for (const auto& entry : std::filesystem::directory_iterator(MOESCOPE_TEMPLATES)) {
        const std::string name = entry.path().filename();
        seen.insert(name);
        ASSERT_TRUE(golden["templates"].contains(name)) << name << " is new: run tests/oracle/templates/make_golden.py";
        const std::string source = moescope::test::read_text(entry.path());
        for (const auto& [conversation, messages] : golden["conversations"].items()) {
            SCOPED_TRACE(name + " " + conversation);
            std::vector<ChatMessage> said;
            for (const Json& message : messages) {
                said.push_back({message["role"], message["content"]});
            }
            const Json& want = golden["templates"][name][conversation];
            if (name == kDifferences[0].file) {
                EXPECT_TRUE(want.contains("fails"));
                EXPECT_NE(rendered(source, said).find("Who "), std::string::npos);
                continue;
            }
            if (want.is_string()) {
                EXPECT_EQ(rendered(source, said, {golden["begin"], golden["end"]}), want.get<std::string>());
                ++compared;
                continue;
            }
            const std::string error = error_of(source, said);
            EXPECT_NE(error.find(want.contains("refused") ? want["refused"].get<std::string>() : "line "),
                      std::string::npos)
                << error;
            EXPECT_EQ(error.find('\n'), std::string::npos);
            ++refused;
        }
    }
    EXPECT_EQ(seen.size(), golden["templates"].size()) << "some of them are gone";
    EXPECT_GE(compared, 190);
    EXPECT_GE(refused, 10);
}

TEST(ChatTemplates, SayWhoseWordsAPieceIs) {
    const auto pieces =
        render_chat("{{ '<' + messages[0].content | trim | upper + '>' }}", {{"user", " hi "}}, {}, kNever);
    ASSERT_EQ(pieces.size(), 3u);
    EXPECT_EQ(pieces[0].text, "<");
    EXPECT_FALSE(pieces[0].from_message);
    EXPECT_EQ(pieces[1].text, "HI");
    EXPECT_TRUE(pieces[1].from_message);
    EXPECT_FALSE(pieces[2].from_message);
}

TEST(ChatTemplates, ContentInPartsWhereATemplateWantsIt) {
    const std::string source =
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}[{{ part.text }}]{% endif %}"
        "{% endfor %}{% endfor %}";
    EXPECT_EQ(rendered(source, {{"user", "hi"}}), "[hi]");
}

TEST(ChatTemplates, TellWhatTheyDoNotTake) {
    const std::vector<ChatMessage> with_system = {{"system", "Be brief."}, {"user", "hi"}};
    const std::string refuses =
        "{% if messages[0].role == 'system' %}{{ raise_exception('No system,\nplease') }}"
        "{% endif %}{{ messages[0].content }}";
    EXPECT_EQ(rendered(refuses, {{"user", "hi"}}), "hi");
    EXPECT_EQ(error_of(refuses, with_system),
              "the chat template of this model refuses the conversation: No system, please; leave the system text out, "
              "or send plain text (--no-chat, or \"chat template\" switched off in the window)");
    EXPECT_EQ(error_of("{{ messages[-1].content }}", with_system),
              "the chat template of this model has no place for a system text; leave the system text out");
    EXPECT_NE(error_of("nothing of yours").find("it leaves the prompt out"), std::string::npos);
    EXPECT_NE(error_of("{{ raise_exception('never') }}").find("refuses the conversation: never; send plain text"),
              std::string::npos);
}

TEST(ChatTemplates, BrokenOnesAreNamedWithTheirLine) {
    for (const char* source :
         {"{% for m in messages %}{{ m.content }}", "{{ messages[0].content | no_such_filter }}", "{% nonsense %}",
          "{{ messages[0].content", "{{ ((((", "{{ 'a' + 1 * }}", "{% if %}{% endif %}", "{# never ends",
          "{{ messages[0]['content'] is no_such_test }}", "\\", "{{ '\\"}) {
        const std::string error = error_of(source);
        EXPECT_NE(error.find("the chat template of this model cannot be used: "), std::string::npos) << error;
        EXPECT_NE(error.find("--no-chat"), std::string::npos) << error;
        EXPECT_EQ(error.find('\n'), std::string::npos) << error;
        EXPECT_LT(error.size(), 600u) << error;
    }
    EXPECT_NE(error_of("{{ messages[0].content }}\n\n{{ messages | no_such_filter }}").find("line 3"),
              std::string::npos);
}

/// Each must come back as one sentence, soon, and leave this process as it was.
TEST(ChatTemplates, HostileOnesComeToAnEnd) {
    const std::vector<std::string> hostile = {
        "{% for i in range(1000000000000) %}{{ i }}{% endfor %}",
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor "
        "%}",
        "{{ 'x' * 1000000000000 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ " + std::string(2'000'000, '(') + "1" + std::string(2'000'000, ')') + " }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% "
        "endfor %}",
        "{{ messages[0].content }}{{ 'abcdefghijklmnopqrstuvwxyz' * 200000 }}",
    };
    for (const std::string& source : hostile) {
        SCOPED_TRACE(source.substr(0, 80));
        const auto start = std::chrono::steady_clock::now();
        const std::string error = error_of(source);
        EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
        // Which limit is met first depends on the machine.
        EXPECT_THAT(error,
                    testing::ContainsRegex("^the chat template of this model cannot be used: it (is not done after "
                                           "5 seconds|takes more than 512 MB of memory|writes more than 256 KB|"
                                           "goes too deep.*); send plain text"));
    }
    EXPECT_EQ(rendered("{{ messages[0].content }}", {{"user", "still here"}}), "still here");
}

TEST(ChatTemplates, CancelEndsARenderingAtOnce) {
    std::atomic<bool> cancel{false};
    std::chrono::steady_clock::time_point raised;
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        raised = std::chrono::steady_clock::now();
        cancel = true;
    });
    EXPECT_THROW(
        render_chat("{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}"
                    "{% endfor %}{% endfor %}",
                    {{"user", "hi"}}, {}, cancel),
        Error);
    canceller.join();
    EXPECT_LT(std::chrono::steady_clock::now() - raised, std::chrono::milliseconds(900));
}

}  // namespace
}  // namespace moescope::engine
