// The message catalogue: every sentence of the node has a translation, and what is formatted comes back translated.
#include "panels/ui/messages.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "panels/ui/language.hpp"
#include "source_sentences.hpp"
#include "tests/paths.hpp"

namespace {

using moescope::tests::add_sentences_of;
using moescope::tests::sentences_in;
using moescope::ui::Messages;
namespace fs = std::filesystem;

const fs::path kAssets = moescope::test::source_assets();

/// Where sentences come from that the window shows.
constexpr const char* kFolders[] = {"nodes/service", "nodes/client", "nodes/protocol", "nodes/transport",
                                    "sessions",      "engine/model", "engine/train",   "engine/generate",
                                    "engine/runner", "engine/text",  "engine/formats", "probes"};
/// A file of the window whose sentences take the same way.
constexpr const char* kWindowFile = "app/background.cpp";
/// The command line, the report and the phrase lists: their texts go to a terminal, a file or nowhere.
const std::set<std::string> kOtherFiles = {
    "nodes/service/main.cpp",   "nodes/service/command_line.cpp", "probes/report_text.cpp", "probes/report.cpp",
    "probes/report_probes.cpp", "probes/report_svg.cpp",          "probes/report_html.hpp", "probes/phrases.cpp",
    "probes/text.cpp"};
/// Deliberately not translated: names of keys, what is only compared, and what a person never sees.
const std::set<std::string> kInternal = {
    "model name",
    "told to",
    "{}: model",
    "{}: model.",
    "{}: model.{}",
    "{}: train",
    "{}: train.",
    "{}: train.{}",
    "{}: train.seed",
    "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
    "Moescope {}",
    "temperature {}, seed {}",
    "a SharedList has no element at this index",
};
/// In the catalogue without a literal of the sources: glue, and sentences put together from parts whose order or
/// grammar differs in Chinese.
const std::set<std::string> kAssembled = {
    "{}: {}",
    "{} {}",
    "item {}, {}",
    "probe set {}, {}",
    "gives the tensor '{}' {} dimensions; 1 to 4 are possible",
    "run {} is not active; it is done",
    "run {} is not active; it is failed",
    "run {} is not active; it is interrupted",
    "run {} is not active; it is stopped",
    "loss is infinite",
    "gradient norm is infinite in {}{}",
    "layer {} attention",
    "layer {} experts",
    "layer {} norm",
    "layer {} router",
    "the embedding",
    "the head",
    "the norm",
    "0 to 1",
    "0 to 1000",
};

bool is_sql(const std::string& text) {
    const std::size_t start = text.find_first_not_of('\n');
    for (const char* verb : {"BEGIN ", "CREATE ", "DELETE ", "INSERT ", "PRAGMA ", "SELECT ", "UPDATE "})
        if (start != std::string::npos && text.compare(start, std::strlen(verb), verb) == 0)
            return true;
    return false;
}

std::map<std::string, std::string> source_sentences() {
    std::map<std::string, std::string> all;
    for (const char* folder : kFolders)
        for (const auto& entry : fs::directory_iterator(kAssets.parent_path() / folder)) {
            const fs::path& file = entry.path();
            if ((file.extension() == ".cpp" || file.extension() == ".hpp") &&
                !kOtherFiles.count(std::string(folder) + "/" + file.filename().string()))
                add_sentences_of(file, all);
        }
    add_sentences_of(kAssets.parent_path() / kWindowFile, all);
    return all;
}

std::map<std::string, std::string> catalogue() {
    std::ifstream in(kAssets / "languages" / "zh" / "messages.json");
    return nlohmann::json::parse(in).get<std::map<std::string, std::string>>();
}

/// The numbers of {0}, {1}, ... in a translation, and how many {} an English text has.
std::set<int> numbers(const std::string& text) {
    std::set<int> found;
    for (std::size_t i = 0; i + 2 < text.size(); ++i)
        if (text[i] == '{' && text[i + 2] == '}' && std::isdigit(static_cast<unsigned char>(text[i + 1])))
            found.insert(text[i + 1] - '0');
    return found;
}
int values(const std::string& text) {
    int count = 0;
    for (std::size_t at = text.find("{}"); at != std::string::npos; at = text.find("{}", at + 2))
        ++count;
    return count;
}

std::string filled(std::string text, const std::vector<std::string>& with) {
    for (std::size_t i = 0; i < with.size(); ++i)
        for (const std::string& mark : {std::string("{}"), "{" + std::to_string(i) + "}"})
            if (const std::size_t at = text.find(mark); at != std::string::npos) {
                text.replace(at, mark.size(), with[i]);
                break;
            }
    for (const char* brace : {"{{", "}}"})
        if (const std::size_t at = text.find(brace); at != std::string::npos)
            text.erase(at, 1);
    return text;
}

TEST(Messages, EverySentenceOfTheSourcesHasATranslation) {
    const auto known = catalogue();
    const auto sentences = source_sentences();
    EXPECT_GT(sentences.size(), 300u);
    for (const auto& [pattern, place] : sentences)
        EXPECT_TRUE(known.count(pattern) || kInternal.count(pattern) || is_sql(pattern))
            << place << " writes " << nlohmann::json(pattern).dump() << ": add it to assets/languages/zh/messages.json";
    for (const std::string& pattern : kInternal)
        EXPECT_TRUE(sentences.count(pattern)) << "no source writes \"" << pattern << "\" any more";
}

TEST(Messages, NoTranslationIsLeftOver) {
    const auto sentences = source_sentences();
    std::set<std::string> system;
    for (int i = 1; i < 134; ++i)
        system.insert(std::strerror(i));
    for (int i = 1; i < 32; ++i)
        system.insert(::strsignal(i));
    for (const auto& [pattern, translation] : catalogue())
        EXPECT_TRUE(sentences.count(pattern) || kAssembled.count(pattern) || system.count(pattern))
            << "no source writes " << nlohmann::json(pattern).dump();
}

TEST(Messages, PlaceholdersAgree) {
    for (const auto& [pattern, translation] : catalogue()) {
        const std::string& text = translation;
        std::set<int> wanted;
        for (int i = 0; i < values(pattern); ++i)
            wanted.insert(i);
        EXPECT_EQ(numbers(text), wanted) << pattern;
        EXPECT_FALSE(text.empty()) << pattern;
        EXPECT_EQ(text.find("{}"), std::string::npos) << pattern;
    }
}

TEST(Messages, FormattedSentencesComeBackTranslated) {
    const auto all = catalogue();
    const Messages messages = Messages::load(kAssets / "languages" / "zh" / "messages.json");
    const std::vector<std::string> samples{"/home/ab/7.gguf", "q-17", "0.25", "x9", "88"};
    for (const auto& [pattern, translation] : all) {
        if (std::none_of(pattern.begin(), pattern.end(), [](unsigned char c) { return std::isalpha(c); }))
            continue;  // glue, only good around another sentence
        // A continuation stands after or before something else.
        const bool after = pattern[0] == ' ' || pattern[0] == ';', ahead = pattern.back() == ' ';
        const std::string before = after ? "the connection was closed" : "", rest = ahead ? "xyz" : "";
        EXPECT_EQ(messages.translate(before + filled(pattern, samples) + rest),
                  (after ? all.at(before) : "") + filled(translation, samples) + rest);
    }
}

TEST(Messages, SentencesWithinSentences) {
    const Messages messages = Messages::load(kAssets / "languages" / "zh" / "messages.json");
    EXPECT_EQ(messages.translate("the model 'm' cannot be used: /a b/m.gguf does not start with the GGUF mark"),
              "模型“m”无法使用：/a b/m.gguf 开头没有 GGUF 标记");
    EXPECT_EQ(messages.translate("/a/manifest.json can't be read: Permission denied"),
              "/a/manifest.json 无法读取：权限不足");
    EXPECT_EQ(
        messages.translate("takes distance, then answers: 敏感话题; stopped at the length limit; repeats itself from "
                           "there on"),
        "先表示保留，再回答：敏感话题；达到长度上限而停止；此后不断重复");
    EXPECT_EQ(messages.translate("probe set my set.json, item 3, \"prompt\": the translation \"zh\" is missing; every "
                                 "text needs \"en\" and \"zh\""),
              "题集 my set.json，第 3 题，\"prompt\"：缺少译文“zh”；每段文本都需要“en”和“zh”");
    EXPECT_EQ(
        messages.translate("step 7: gradient norm is infinite in layer 3 experts; the step was not applied; lower the "
                           "learning rate and resume, or stop the run and continue it from its checkpoint at step 4"),
        "第 7 步：梯度范数为无穷大，位于第 3 层的专家；该步没有应用；请降低学习率后继续，或停止训练并从第 4 "
        "步的检查点继续");
    EXPECT_EQ(
        messages.translate("the journal file /s/seg-1 can't be written: No space left on device; make room on the "
                           "disk"),
        "无法写入日志文件 /s/seg-1：磁盘空间已满；请腾出磁盘空间");
    EXPECT_EQ(messages.translate("m.gguf ends at byte 7 inside the GGUF version, which needs 4 bytes from byte 5"),
              "m.gguf 在第 7 字节处结束，没有读完GGUF 版本：从第 5 字节起需要 4 字节");
    EXPECT_EQ(messages.translate("the database /s/session.db can't be opened: disk I/O error"),
              "数据库 /s/session.db 无法打开：disk I/O error");
}

TEST(Messages, UnknownTextStaysAsItIs) {
    const Messages messages = Messages::load(kAssets / "languages" / "zh" / "messages.json");
    for (const std::string text : {"", "x", "{}", "{0}", "a sentence that nobody wrote", "run seven is", "\xff\xfe run",
                                   "GET /v1/models 200", "the model 'x' cannot"})
        EXPECT_EQ(messages.translate(text), text);
    EXPECT_EQ(Messages().translate("the prompt is empty; write something"), "the prompt is empty; write something");
    const std::string huge(100'000, 'a');
    EXPECT_EQ(messages.translate(huge), huge);
}

TEST(Messages, FollowTheLanguageOfTheWindow) {
    using moescope::ui::Language;
    const std::string sentence = "this run has no checkpoint yet";
    const Language en = Language::load(kAssets / "languages" / "en", "en"),
                   zh = Language::load(kAssets / "languages" / "zh", "zh");
    EXPECT_EQ(en.message(sentence), sentence);
    EXPECT_EQ(zh.message(sentence), "此次训练还没有检查点");
    EXPECT_FALSE(zh.has(sentence)) << "sentences are no keys of the window";
}

TEST(Messages, BadEntriesAreNamed) {
    const auto problem = [](const std::string& english, const std::string& translation) {
        try {
            Messages({{english, translation}});
        } catch (const std::runtime_error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(problem("run {} ends", "{0} ends"), "");
    EXPECT_EQ(problem("run {{}} ends", "{{}}"), "");
    EXPECT_NE(problem("run {} ends", "{1} ends").find("run {} ends"), std::string::npos);
    EXPECT_NE(problem("run {} ends", "{} ends").find("{0}"), std::string::npos);
    EXPECT_NE(problem("run {x} ends", "{0} ends").find("{}"), std::string::npos);
    EXPECT_NE(problem("run { ends", "ends").find("{}"), std::string::npos);
    EXPECT_NE(problem("{}", "{0}").find("words"), std::string::npos);
}

/// A log of 2,000 different lines must not be felt in a frame budget of milliseconds.
TEST(Messages, ALineTakesMicroseconds) {
    const Messages messages = Messages::load(kAssets / "languages" / "zh" / "messages.json");
    std::vector<std::string> lines;
    lines.reserve(2000);
    for (int i = 0; i < 2000; ++i)
        lines.push_back(i % 2 ? "checkpoint saved at step " + std::to_string(i)
                              : "llama_model_loader: - kv " + std::to_string(i) + ": general.name str = Model");
    const std::clock_t start = std::clock();  // processor time: a busy machine must not fail this
    std::size_t changed = 0;
    for (const std::string& line : lines)
        changed += messages.translate(line) != line;
    const double each =
        1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / static_cast<double>(lines.size());
    EXPECT_EQ(changed, 1000u);
    RecordProperty("microseconds_per_line", std::to_string(each));
    EXPECT_LT(each, 500);  // about 2; wide enough for a build with sanitizers
}

TEST(SourceSentences, FollowFormatsAndChains) {
    const auto found = sentences_in(R"x(
        // "a comment is no sentence"
        throw Error(fmt::format("run {:>4} has {} " "steps", a, b));
        throw Error(path.string() + ": tensor \"" + name(1, "x y") + "\" is missing; " + std::string("get it"));
        text += "; and more of " + what;
        return bad ? "first of two" : "second of two";
        fail(std::string("its header ") + (cut ? std::string("is cut") : problem) + " at byte");
        const char* key = "name"; auto j = json{{"kind", "no sentence: a key"}, {"x_y", 1}};
        it("begins with '{' here");
    )x",
                                    "t.cpp");
    for (const char* pattern :
         {"run {} has {} steps", "{}: tensor \"{}\" is missing; get it", "x y", "{}; and more of {}", "first of two",
          "second of two", "its header {} at byte", "is cut", "begins with '{{' here"})
        EXPECT_TRUE(found.count(pattern)) << pattern;
    EXPECT_FALSE(found.count("a comment is no sentence"));
    EXPECT_FALSE(found.count("name"));
    EXPECT_EQ(found.size(), 10u);
}

}  // namespace
