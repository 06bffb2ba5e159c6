// `generate`, `tokenize` and `probe` with chat templates, as a shell sees them.
#include <algorithm>
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "tests/engine/runner/scripted_gguf.hpp"
#include "tests/nodes/service/program.hpp"

#ifdef MOESCOPE_HAVE_LLAMA
namespace moescope::test {
namespace {

using nlohmann::json;

constexpr const char* kTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if messages | length == 1 %}(own){% endif %}";
constexpr const char* kNoSystem =
    "{% if messages[0].role == 'system' %}{{ raise_exception('No system text here') }}{% endif %}"
    "{{ messages[0].content }}";

class Chat : public testing::Test {
 protected:
    std::string model(const std::string& name, const std::string& chat_template) const {
        const auto path = folder / (name + ".gguf");
        engine::ScriptedGguf script;
        script.chat_template = chat_template;
        engine::write_scripted_gguf(path, script);
        return path.string();
    }
    static json only_line(const Arguments& arguments) {
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 0) << output.error;
        const auto lines = output.lines();
        EXPECT_EQ(lines.size(), 1u);
        return lines.empty() ? json() : lines.front();
    }
    static std::string refusal(const Arguments& arguments) {
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 1);
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        return output.error;
    }
    TemporaryFolder folder;
};

TEST_F(Chat, TokenizeGivesWhatTheModelIsShown) {
    const std::string m = model("chat", kTemplate);
    const Arguments base = {"tokenize", "--model", m, "--prompt", "hi", "--json"};
    const auto with = [&](const Arguments& more) {
        Arguments all = base;
        all.insert(all.end(), more.begin(), more.end());
        return only_line(all);
    };
    const json plain = with({});
    EXPECT_EQ(plain["text"], "hi");
    ASSERT_EQ(plain["ids"].size(), 3u);
    EXPECT_EQ(plain["ids"][0], 1) << "the begin token";
    EXPECT_EQ(with({"--chat"})["text"], "<user>hi(own)");
    EXPECT_EQ(with({"--chat"})["ids"].size(), 1u + 13);
    EXPECT_EQ(with({"--chat", "--system", "be"})["text"], "<system>be<user>hi");
    EXPECT_EQ(run_node({"tokenize", "--model", m, "--prompt", "hi", "--system", "be"}).status, 2) << "needs --chat";
}

TEST_F(Chat, GenerateSaysWhatWasShown) {
    const std::string m = model("chat", kTemplate);
    const auto shown = [&](const Arguments& more) {
        Arguments all = {"generate", "--model", m, "--prompt", "hi", "--max-tokens", "1", "--json"};
        all.insert(all.end(), more.begin(), more.end());
        const json answer = only_line(all);
        return std::pair(answer["shown"].get<std::string>(), answer["prompt_tokens"].get<int>());
    };
    EXPECT_EQ(shown({}), (std::pair<std::string, int>("<user>hi(own)", 14)));
    EXPECT_EQ(shown({"--system", "be"}), (std::pair<std::string, int>("<system>be<user>hi", 19)));
    EXPECT_EQ(shown({"--no-chat"}), (std::pair<std::string, int>("hi", 3)));
    EXPECT_NE(refusal({"generate", "--model", m, "--prompt", "hi", "--system", "be", "--no-chat"}).find("leave one"),
              std::string::npos);
}

/// Case 14: the sentence named a switch that did not exist.
TEST_F(Chat, ATemplateThatCannotBeUsedSaysWhatToDo) {
    const std::string broken = model("broken", "{% for m in messages %}{{ m.content }}");
    const std::string error = refusal({"generate", "--model", broken, "--prompt", "hi"});
    EXPECT_NE(error.find("--no-chat"), std::string::npos) << error;
    EXPECT_EQ(run_node({"generate", "--model", broken, "--prompt", "hi", "--no-chat", "--max-tokens", "1"}).status, 0);
    const std::string refuses = model("refuses", kNoSystem);
    EXPECT_NE(refusal({"generate", "--model", refuses, "--prompt", "hi", "--system", "be"}).find("No system text here"),
              std::string::npos);
}

TEST_F(Chat, AProbeThatNobodyCanAnswerFailsWithTheCause) {
    const std::string broken = model("broken", "{{ nothing | at_all }}"), refuses = model("refuses", kNoSystem);
    const Arguments base = {"probe", "--set", "starter", "--limit", "1", "--max-tokens", "2"};
    const auto probe = [&](const std::string& models, const std::string& out, const Arguments& more) {
        Arguments all = base;
        all.insert(all.end(), {"--models", models, "--out", (folder / out).string()});
        all.insert(all.end(), more.begin(), more.end());
        return run_node(all);
    };
    const Output failed = probe(broken + "," + refuses, "a", {"--system", "be"});
    EXPECT_EQ(failed.status, 1);
    EXPECT_NE(failed.out.find("No system text here"), std::string::npos) << failed.out;
    EXPECT_NE(failed.error.find("no model could answer: "), std::string::npos) << failed.error;
    const Output partly = probe(broken + "," + refuses, "b", {});
    EXPECT_EQ(partly.status, 0) << partly.error;
    EXPECT_NE(partly.out.find("at_all"), std::string::npos) << partly.out;
    EXPECT_EQ(probe(broken + "," + refuses, "c", {"--no-chat"}).status, 0);
}

TEST_F(Chat, ASessionKeepsTheSystemTextAndWhatWasShown) {
    const std::string first = model("first", kTemplate), second = model("second", kTemplate);
    const Arguments base = {"probe",
                            "--set",
                            "starter",
                            "--limit",
                            "1",
                            "--models",
                            first + "," + second,
                            "--out",
                            (folder / "s").string(),
                            "--max-tokens",
                            "2"};
    const auto with = [&](const Arguments& more) {
        Arguments all = base;
        all.insert(all.end(), more.begin(), more.end());
        return run_node(all);
    };
    ASSERT_EQ(with({"--system", "be brief"}).status, 0);
    const auto opened = sessions::Session::open(folder / "s", sessions::Journal::Mode::read_only);
    const auto history = history::read_session(opened->journal());
    ASSERT_EQ(history.probes().size(), 1u);
    const auto& run = history.probes().begin()->second.value;
    EXPECT_EQ(run.manifest["system"], "be brief");
    EXPECT_EQ(run.manifest["chat"], true);
    EXPECT_EQ(run.manifest["template_date"], "2026-01-01");
    ASSERT_FALSE(run.draws.empty());
    for (const auto& draw : run.draws) {
        EXPECT_EQ(draw->shown, "<system>be brief<user>" + draw->prompt);
    }
}

/// Case 01.
TEST_F(Chat, QwenSaysWhoMadeItWithItsOwnSystemTurn) {
    if (model_cache().empty() ||
        !std::filesystem::exists(model_cache() / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")) {
        GTEST_SKIP() << "needs the model qwen2.5-coder-0.5b; ./run fetches it";
    }
    const Variable cache("MOESCOPE_CACHE", model_cache());
    const Arguments question = {"--model", "qwen2.5-coder-0.5b", "--prompt", "Who created you?", "--json"};
    Arguments tokenize = {"tokenize", "--chat"}, generate = {"generate", "--max-tokens", "20"};
    tokenize.insert(tokenize.end(), question.begin(), question.end());
    generate.insert(generate.end(), question.begin(), question.end());
    const json shown = only_line(tokenize), answer = only_line(generate);
    EXPECT_EQ(shown["text"],
              "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
              "<|im_start|>user\nWho created you?<|im_end|>\n<|im_start|>assistant\n");
    EXPECT_EQ(shown["ids"].front(), 151644);
    EXPECT_EQ(answer["prompt_tokens"], shown["ids"].size());
    EXPECT_NE(answer["text"].get<std::string>().find("Alibaba Cloud"), std::string::npos) << answer;
}

}  // namespace
}  // namespace moescope::test
#endif
