// The Chinese catalogue against the sources: GNU xgettext lists every sentence of the code, and each has a translation.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <unistd.h>

#include "base/messages.hpp"
#include "base/settings.hpp"
#include "tests/paths.hpp"

namespace {

using moescope::base::marked;
using moescope::base::Messages;
using moescope::base::say;
using moescope::base::Sentence;
using moescope::base::system_sentence;
namespace fs = std::filesystem;

const fs::path kAssets = moescope::test::source_assets();

/// Sentences that end on a terminal: the command line, and a catalogue that cannot be read.
bool is_for_a_terminal(const std::string& path) {
    return path.find("nodes/service/cli/") != std::string::npos || path.find("base/messages.cpp") != std::string::npos;
}
/// Words that become sentences at run time: the states of a run.
const std::set<std::string> kSpoken = {"planned", "running", "paused", "done", "stopped", "failed", "interrupted"};

std::vector<fs::path> sources() {
    std::vector<fs::path> files;
    for (const char* folder :
         {"base", "kernels", "engine", "sessions", "probes", "routing", "report", "nodes", "panels", "app"}) {
        for (const auto& entry : fs::recursive_directory_iterator(kAssets.parent_path() / folder)) {
            const fs::path extension = entry.path().extension();
            if ((extension == ".cpp" || extension == ".hpp") && !is_for_a_terminal(entry.path().string())) {
                files.push_back(entry.path());
            }
        }
    }
    return files;
}

/// A pattern as it is written -> its id: "{:.1f}" is "{}" there.
std::string id_of(const std::string& pattern) {
    std::string id;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const bool doubled = pattern.compare(i, 2, "{{") == 0 || pattern.compare(i, 2, "}}") == 0;
        const std::size_t close = pattern[i] == '{' && !doubled ? pattern.find('}', i) : std::string::npos;
        id += doubled ? pattern.substr(i, 2) : close != std::string::npos ? "{}" : pattern.substr(i, 1);
        i = doubled ? i + 1 : close != std::string::npos ? close : i;
    }
    return id;
}

/// The strings of say("...") and marked("...") in `files`, by id, with the place of the first use.
std::map<std::string, std::string> sentences_in(const std::vector<fs::path>& files) {
    const fs::path list = fs::temp_directory_path() / ("moescope-sources-" + std::to_string(::getpid()));
    std::ofstream out(list);
    for (const fs::path& file : files) {
        out << file.string() << '\n';
    }
    out.close();
    const std::string command =
        "xgettext --keyword=say --keyword=marked -C --from-code=UTF-8 --no-wrap --omit-header -o - -f " + list.string();
    std::string text;
    if (FILE* pipe = ::popen(command.c_str(), "r"); pipe != nullptr) {
        std::array<char, 4096> part{};
        while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) {
            text.append(part.data(), size);
        }
        EXPECT_EQ(::pclose(pipe), 0) << "xgettext (Debian package gettext) is needed";
    }
    fs::remove(list);
    std::map<std::string, std::string> found;
    std::string place, id;
    bool inside = false;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with("#: ")) {
            place = place.empty() ? line.substr(3) : place;
        } else if (line.starts_with("msgid ")) {
            id = nlohmann::json::parse(line.substr(6)).get<std::string>();
            inside = true;
        } else if (inside && line.starts_with("\"")) {
            id += nlohmann::json::parse(line).get<std::string>();
        } else if (line.starts_with("msgstr ")) {
            found.emplace(id_of(id), place);
            place.clear();
            inside = false;
        }
    }
    return found;
}

std::map<std::string, std::string> catalogue() {
    std::ifstream in(kAssets / "languages" / "zh" / "messages.json");
    return nlohmann::json::parse(in).get<std::map<std::string, std::string>>();
}

/// The numbers of {0}, {1}, ... in a translation.
std::multiset<int> numbers(const std::string& text) {
    std::multiset<int> found;
    for (std::size_t i = 0; i + 2 < text.size(); ++i) {
        if (text[i] == '{' && text[i + 2] == '}' && std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0) {
            found.insert(text[i + 1] - '0');
        }
    }
    return found;
}

TEST(Catalogue, NoErrorIsMadeOfALiteral) {
    const std::regex literal(R"re(\b(Error|CommandError|WorkerError)\((fmt::format|std::string\(|"))re");
    for (const fs::path& file : sources()) {
        std::ifstream in(file);
        for (std::string line; std::getline(in, line);) {
            EXPECT_TRUE(line.find("//") != std::string::npos || !std::regex_search(line, literal))
                << file << ": " << line;
        }
    }
}

TEST(Catalogue, EverySentenceOfTheSourcesHasATranslation) {
    const auto known = catalogue();
    const auto sentences = sentences_in(sources());
    EXPECT_GT(sentences.size(), 600u);
    for (const auto& [id, place] : sentences) {
        EXPECT_TRUE(known.count(id)) << place << " writes " << nlohmann::json(id).dump()
                                     << ": add it to assets/languages/zh/messages.json";
        EXPECT_FALSE(id.ends_with('.') && !id.ends_with("..")) << place << ": sentences have no full stop: " << id;
    }
}

TEST(Catalogue, NoTranslationIsLeftOver) {
    const auto sentences = sentences_in(sources());
    std::set<std::string> system;
    for (int i = 1; i < 134; ++i) {
        system.insert(std::strerror(i));
    }
    for (int i = 1; i < 32; ++i) {
        system.insert(::strsignal(i));
    }
    for (const auto& [id, translation] : catalogue()) {
        EXPECT_TRUE(sentences.count(id) || kSpoken.count(id) || system.count(id))
            << "no source writes " << nlohmann::json(id).dump();
    }
}

TEST(Catalogue, EveryValueStandsOnceInTheTranslation) {
    for (const auto& [id, translation] : catalogue()) {
        std::multiset<int> wanted;
        for (int i = 0; i < moescope::base::sentence_detail::places(id); ++i) {
            wanted.insert(i);
        }
        EXPECT_EQ(numbers(translation), wanted) << id;
        EXPECT_FALSE(translation.empty()) << id;
    }
}

TEST(Catalogue, SentencesWithinSentences) {
    const Messages messages = Messages::of_language(kAssets / "languages" / "zh");
    EXPECT_EQ(messages.translate(say("the model '{}' cannot be used: {}", "m",
                                     say("{} {}", "/a b/m.gguf", say("does not start with the GGUF mark")))),
              "模型“m”无法使用：/a b/m.gguf 开头没有 GGUF 标记");
    EXPECT_EQ(messages.translate(say("{}; {}", say("takes distance, then answers: {}", "敏感话题"),
                                     say("stopped at the length limit"))),
              "先表示保留，再回答：敏感话题；达到长度上限而停止");
    EXPECT_EQ(messages.translate(say("{}: {}", say("{}, {}", say("probe set {}", "s.json"), say("item {}", 3)),
                                     say("\"{}\" is missing", "prompt"))),
              "题集 s.json，第 3 题：缺少“prompt”");
    EXPECT_EQ(messages.translate(
                  say("gradient norm is {} in {}", marked("infinite"), say("layer {} {}", 3, marked("experts")))),
              "梯度范数为无穷大，位于第 3 层的专家");
    EXPECT_EQ(messages.translate(say("{} must be a multiple of {}",
                                     say("{} ({})", moescope::base::setting_path("model", "experts"), 16),
                                     say("{} ({})", moescope::base::setting_path("model", "router_groups"), 3))),
              "每层专家数（E）（16）必须是专家组数（3）的倍数");
    EXPECT_EQ(moescope::base::setting_path("model", "experts").english(), "model.experts") << "as in the file";
    EXPECT_EQ(messages.translate(say("run {} is not active; it is {}", 4, Sentence("done", {}))),
              "运行 4 没有在进行；状态为已完成");
    EXPECT_EQ(messages.translate(say("the journal file {} can't be written: {}; make room on the disk", "/s/1",
                                     system_sentence(ENOSPC))),
              "无法写入日志文件 /s/1：磁盘空间已满；请腾出磁盘空间");
}

}  // namespace
