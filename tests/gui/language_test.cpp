// The two languages: the same keys, the same placeholders, nothing missing in the sources, nothing unused.
#include "panels/ui/language.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <unistd.h>

#include "tests/paths.hpp"

namespace {

using moescope::ui::Language;
namespace fs = std::filesystem;

/// Keys that are put together at run time. Every key that begins like this counts as used.
constexpr const char* kDynamicPrefixes[] = {"remote_link.",  // "link." of a node on another machine
                                            "task.",         // the kinds come from the node
                                            "report."};      // of the report, whose own test holds them to its sources

const fs::path kAssets = moescope::test::source_assets();

std::set<std::string> placeholders(const std::string& text) {
    static const std::regex pattern(R"(\{([a-z_0-9]+)\})");
    std::set<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
        found.insert((*it)[1]);
    }
    return found;
}

std::string sources() {
    std::ostringstream all;
    for (const char* folder : {"app", "panels"}) {
        for (const auto& entry : fs::recursive_directory_iterator(kAssets.parent_path() / folder)) {
            if (entry.path().extension() == ".cpp" || entry.path().extension() == ".hpp") {
                all << std::ifstream(entry.path()).rdbuf() << '\n';
            }
        }
    }
    return all.str();
}

TEST(Languages, SameKeysAndPlaceholders) {
    const Language en = Language::load(kAssets / "languages" / "en", "en"),
                   zh = Language::load(kAssets / "languages" / "zh", "zh");
    ASSERT_GT(en.texts().size(), 100u);
    for (const auto& [key, text] : en.texts()) {
        ASSERT_TRUE(zh.has(key)) << key << " is missing in Chinese";
        EXPECT_EQ(placeholders(text), placeholders(zh.texts().at(key))) << key;
        EXPECT_FALSE(text.empty()) << key;
    }
    for (const auto& [key, text] : zh.texts()) {
        EXPECT_TRUE(en.has(key)) << key << " is missing in English";
        EXPECT_FALSE(text.empty()) << key;
    }
}

TEST(Languages, EveryKeyInTheSourcesExists) {
    const Language en = Language::load(kAssets / "languages" / "en", "en");
    const std::string code = sources();
    static const std::regex use(R"re((?:text|text\)|label|format|text_)\(\s*"([a-z_0-9]+(?:\.[a-z_0-9]+)+)"\s*[,)])re");
    std::size_t found = 0;
    for (std::sregex_iterator it(code.begin(), code.end(), use), end; it != end; ++it, ++found) {
        EXPECT_TRUE(en.has((*it)[1].str())) << (*it)[1];
    }
    EXPECT_GT(found, 100u);
}

TEST(Languages, EveryKeyIsUsed) {
    const Language en = Language::load(kAssets / "languages" / "en", "en");
    const std::string code = sources();
    for (const auto& [key, text] : en.texts()) {
        bool used = code.find('"' + key + '"') != std::string::npos;
        for (const char* prefix : kDynamicPrefixes) {
            used = used || key.rfind(prefix, 0) == 0;
        }
        // "models.state." + state, or "models.state.{}": a literal that ends there stands for all keys that begin so.
        for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
            const std::string begin = '"' + key.substr(0, dot + 1);
            used = used || code.find(begin + '"') != std::string::npos || code.find(begin + "{}") != std::string::npos;
        }
        // "name.help" beside a used "name" is looked up by appending.
        const std::size_t dot = key.rfind('.');
        for (const char* suffix : {".help", ".hint", ".what"}) {
            used =
                used || (key.substr(dot) == suffix && code.find('"' + key.substr(0, dot) + '"') != std::string::npos);
        }
        EXPECT_TRUE(used) << key << " is used nowhere; delete it or name its prefix in kDynamicPrefixes";
    }
}

/// "名称: 值" has a mark of the other language: what is put together takes common.colon and its like.
TEST(Languages, MarksBetweenTextsAreThoseOfTheLanguage) {
    const std::string code = sources();
    static const std::regex mark(R"re(.*"(: |; | \()".*)re");
    std::istringstream lines(code);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t begin = line.find_first_not_of(' ');
        const bool comment = begin != std::string::npos && line.compare(begin, 2, "//") == 0;
        EXPECT_FALSE(!comment && std::regex_match(line, mark)) << line;
    }
}

TEST(Languages, NamesInTheListOfModelsAreTranslated) {
    std::ifstream in(kAssets / "models.json");
    const nlohmann::json list = nlohmann::json::parse(in);
    std::set<std::string> makers;
    const Language en = Language::load(kAssets / "languages" / "en", "en"),
                   zh = Language::load(kAssets / "languages" / "zh", "zh");
    for (const nlohmann::json& model : list.at("models")) {
        const std::string country = model.at("country"), maker = model.at("maker");
        makers.insert("models.maker_name." + maker);
        EXPECT_NE(zh.named("models.country.", country), country);
        EXPECT_EQ(en.named("models.country.", country), country);
    }
    for (const auto& [key, text] : zh.texts()) {
        EXPECT_TRUE(key.rfind("models.maker_name.", 0) != 0 || makers.count(key) == 1) << key << " made no model";
    }
    EXPECT_EQ(zh.named("models.maker_name.", "Alibaba Cloud (Qwen team)"), "阿里云（Qwen 团队）");
    EXPECT_EQ(zh.named("models.maker_name.", "Google"), "Google");
}

TEST(Languages, FormatAndNumbers) {
    const Language en = Language::load(kAssets / "languages" / "en", "en");
    EXPECT_EQ(en.number(std::uint64_t{1234567}), "1,234,567");
    EXPECT_EQ(en.number(std::uint64_t{999}), "999");
    EXPECT_EQ(en.number(0.123456), "0.1235");
    EXPECT_EQ(en.number(12345.6), "12,346");
    EXPECT_EQ(en.number(-1234.0, 4), "-1,234");
    EXPECT_EQ(en.number(std::nan("")), "\u2013");
    EXPECT_EQ(std::string(en("no.such.key")), "\u2039no.such.key\u203a");
    EXPECT_EQ(en.format("event.at_step", {{"step", "7"}}), "Step 7");
    EXPECT_EQ(std::string(en.label("common.cancel")), "Cancel###common.cancel");
    const Language zh = Language::load(kAssets / "languages" / "zh", "zh");
    EXPECT_EQ(zh.number(std::uint64_t{1234567}), "1,234,567");
    EXPECT_EQ(zh.number(12345.6), "12,346");
}

/// Who writes into the log is named in the language of the window.
TEST(Languages, EverySourceOfTheLogHasAName) {
    const Language en = Language::load(kAssets / "languages" / "en", "en");
    // log("info", "train", ...), {time, "warning", "node", ...}, log_end("train", ...), By by(*this, "command")
    static const std::regex use(R"re((?:"(?:info|warning|error)", |log_end\(|by\(\*this, )"([a-z]+)")re");
    std::size_t found = 0;
    for (const auto& entry : fs::recursive_directory_iterator(kAssets.parent_path() / "nodes")) {
        if (entry.path().extension() != ".cpp" || entry.path().string().find("/cli/") != std::string::npos) {
            continue;
        }
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const std::string code = text.str();
        for (std::sregex_iterator it(code.begin(), code.end(), use), end; it != end; ++it) {
            const std::string source = (*it)[1].str();
            ++found;
            EXPECT_TRUE(en.has("log.source." + source)) << source << " in " << entry.path();
        }
    }
    EXPECT_GT(found, 15u);
}

TEST(Languages, DamagedFilesAreNamed) {
    const fs::path folder = fs::temp_directory_path() / ("moescope-language-" + std::to_string(::getpid()));
    fs::create_directories(folder);
    std::ofstream(folder / "a.json") << R"({"x.y": "1"})";
    std::ofstream(folder / "b.json") << R"({"x.y": "2"})";
    const auto message = [&] {
        try {
            Language::load(folder, "en");
        } catch (const std::runtime_error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_NE(message().find("b.json"), std::string::npos);
    std::ofstream(folder / "b.json") << "{";
    EXPECT_NE(message().find("b.json"), std::string::npos);
    std::ofstream(folder / "b.json") << R"({"z": 3})";
    EXPECT_NE(message().find("\"z\""), std::string::npos);
    fs::remove_all(folder);
    EXPECT_NE(message().find(folder.string()), std::string::npos);
}

}  // namespace
