// The Chinese texts, all of them: one term for one thing, and blanks between Chinese and Latin writing.
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.hpp"
#include "tests/paths.hpp"

namespace {

namespace base = moescope::base;
namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kAssets = moescope::test::source_assets();

/// The terms of this project and what else they have been called; `within`: words that hold the other and are right,
/// with "|" between them.
struct Term {
    const char *english, *chinese, *other, *within;
};
constexpr std::array kTerms{
    Term{"prompt", "提示词", "提示", "提示词|悬停提示"},
    Term{"max. tokens", "词元上限", "最多词元", ""},
    Term{"token", "词元", "令牌", ""},
    Term{"token", "词元", "标记数", ""},
    Term{"delivery", "作答情况", "送达", ""},
    Term{"sensitive for the Chinese state", "对中国政府而言敏感", "对中国政府敏感", ""},
    Term{"sensitive for the Chinese state", "对中国政府而言敏感", "在华敏感", ""},
    Term{"maker", "开发方", "制作者", ""},
    Term{"base model", "基座模型", "基础模型", ""},
    Term{"knob", "调节", "旋钮", ""},
    Term{"with own settings", "自定义", "自定设置", ""},
    Term{"manifest of a run", "运行清单", "训练清单", ""},
    Term{"interval", "置信区间", "95 % 区间", ""},
    Term{"planned", "待运行", "计划中", ""},
    Term{"planned memory", "预计内存", "规划内存", ""},
    Term{"viewer", "客户端", "观看者", ""},
    Term{"last checkpoint", "最后的检查点", "最近的检查点", ""},
    Term{"last checkpoint", "最后的检查点", "最近的完整检查点", ""},
    Term{"left", "剩余", "还剩", ""},
    Term{"left", "剩余", "还需", "还需要"},
    Term{"stopped at the limit of tokens", "达到长度上限", "达到词元上限", ""},
    Term{"held-out", "英文留出集", "留出英文", ""},
    Term{"held-out", "中文留出集", "留出中文", ""},
    Term{"first start", "首次启动", "第一次启动", ""},
    Term{"pairs", "配对数", "不一致对", ""},
    Term{"you", "您", "你", "你是谁"},
};

void each_text(const json& value, const std::string& name, const std::function<void(std::string, std::string)>& look) {
    if (value.is_string()) {
        look(name, value.get<std::string>());
    } else if (value.is_structured()) {
        for (const auto& [key, part] : value.items()) {
            each_text(part, name + " " + key, look);
        }
    }
}

void each_chinese_text(const std::function<void(std::string, std::string)>& look) {
    for (const auto& entry : fs::directory_iterator(kAssets / "languages" / "zh")) {
        std::ifstream in(entry.path());
        each_text(json::parse(in), entry.path().filename().string(), look);
    }
    std::ifstream library(kAssets / "prompts" / "library.json");
    const json prompts = json::parse(library);
    for (const json& prompt : prompts.at("prompts")) {
        look("library.json " + prompt.at("id").get<std::string>(), prompt.at("title").at("zh").get<std::string>());
    }
    std::ifstream set(kAssets / "probe_sets" / "starter.json");
    look("starter.json title", json::parse(set).at("title").at("zh").get<std::string>());
    std::ifstream manual(kAssets.parent_path() / "docs" / "manual-zh.md");
    std::size_t number = 0;
    for (std::string line; std::getline(manual, line);) {
        look("manual-zh.md " + std::to_string(++number), line);
    }
}

/// Is the word `other` at `at` a part of one of `within`?
bool is_within(const std::string& text, std::size_t at, const std::string& other, const std::string& within) {
    std::istringstream words(within);
    for (std::string word; std::getline(words, word, '|');) {
        const std::size_t before = word.find(other);
        if (before <= at && text.compare(at - before, word.size(), word) == 0) {
            return true;
        }
    }
    return false;
}

TEST(ChineseTexts, OneTermForOneThing) {
    std::size_t texts = 0;
    each_chinese_text([&](const std::string& name, const std::string& text) {
        ++texts;
        for (const Term& term : kTerms) {
            const std::string other = term.other;
            for (std::size_t at = text.find(other); at != std::string::npos; at = text.find(other, at + 1)) {
                EXPECT_TRUE(is_within(text, at, other, term.within))
                    << name << ": \"" << term.english << "\" is called " << term.chinese << ", not " << other << ": "
                    << text;
            }
        }
    });
    EXPECT_GT(texts, 1500u);
}

TEST(ChineseTexts, BlanksStandBetweenChineseAndLatinWriting) {
    const auto latin = [](char32_t c) {
        return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9');
    };
    each_chinese_text([&](const std::string& name, const std::string& text) {
        const bool prompt = name.rfind("library.json", 0) == 0;  // years stand in them as in any Chinese sentence
        const std::u32string code = base::decode_utf8_lossy(text);
        for (std::size_t i = 0; i + 1 < code.size(); ++i) {
            const bool touch = (base::is_han(code[i]) && latin(code[i + 1]) && !(prompt && code[i + 1] <= U'9')) ||
                               (latin(code[i]) && base::is_han(code[i + 1]) && !(prompt && code[i] <= U'9'));
            EXPECT_FALSE(touch) << name << ": " << base::encode_utf8(code.substr(i, 2)) << " in " << text;
        }
    });
}

/// Beside Chinese writing stand the full-width marks, but for what is code or a formula: "P(专家)", "层:专家", a link.
TEST(ChineseTexts, MarksBesideChineseWritingAreFullWidth) {
    const std::string code_words = "checkpoint:运行|运行:步数|运行:now|层:专家|主机:端口|moescope:routing?";
    each_chinese_text([&](const std::string& name, const std::string& text) {
        const std::u32string code = base::decode_utf8_lossy(text);
        const auto han = [&](std::size_t i) { return i < code.size() && base::is_han(code[i]); };
        const auto called = [&](std::size_t i) {  // "P(", "ln(", "](": a formula, a function, a link
            const char32_t before = i > 0 ? code[i - 1] : U' ';
            return (before < 0x80 && std::isalnum(static_cast<unsigned char>(before)) != 0) || before == U']' ||
                   before == U'.';
        };
        std::vector<bool> open;  // brackets: whether they are those of a call
        for (std::size_t i = 0; i < code.size(); ++i) {
            if (std::u32string_view(U":;(),?!").find(code[i]) == std::u32string_view::npos) {
                continue;
            }
            bool of_code = false;
            if (code[i] == U'(') {
                open.push_back(of_code = called(i));
            } else if (code[i] == U')' && !open.empty()) {
                of_code = open.back();
                open.pop_back();
            } else {
                const std::string mark = base::encode_utf8(code.substr(i, 1));
                of_code = is_within(text, base::encode_utf8(code.substr(0, i)).size(), mark, code_words);
            }
            const bool blank_follows = i + 1 < code.size() && code[i + 1] == U' ';
            const bool blank_before = i > 1 && code[i - 1] == U' ' && code[i] == U'(';
            const bool beside =
                (i > 0 && han(i - 1)) || han(i + 1) || (blank_follows && han(i + 2)) || (blank_before && han(i - 2));
            EXPECT_TRUE(of_code || !beside) << name << ": " << base::encode_utf8(code.substr(i, 1)) << " in " << text;
        }
    });
}

TEST(ChineseTexts, PercentSignsStandAtTheirNumber) {
    each_chinese_text([](const std::string& name, const std::string& text) {
        for (std::size_t at = text.find(" %"); at != std::string::npos; at = text.find(" %", at + 1)) {
            const char before = at == 0 ? ' ' : text[at - 1];
            EXPECT_FALSE((before >= '0' && before <= '9') || before == '}') << name << ": " << text;
        }
    });
}

}  // namespace
