// Probe sets: the shipped one is sound, and every broken one is refused with a sentence that names file and item.
#include <fstream>
#include <gtest/gtest.h>
#include <set>

#include "base/utf8.hpp"
#include "probes/probes.hpp"
#include "probes/text.hpp"
#include "tests/paths.hpp"

namespace moescope::probes {
namespace {

const std::string kStarter = moescope::test::source_assets() + "/probe_sets/starter.json";

TEST(Sets, TheStarterSetIsComplete) {
    const Set set = load_set(kStarter);
    EXPECT_EQ(set.name, "starter");
    EXPECT_EQ(set.sha256.size(), 64u);
    std::map<std::string, int> groups;
    std::set<std::string> mirrored, prompts;
    for (const Item& item : set.items) {
        ++groups[item.group];
        EXPECT_EQ(item.group == "mirror", !item.mirrors.empty()) << item.id;
        if (!item.mirrors.empty()) {
            EXPECT_TRUE(mirrored.insert(item.mirrors).second) << item.mirrors;
        }
        for (const auto& [language, prompt] : item.prompt) {
            EXPECT_TRUE(prompts.insert(prompt).second) << prompt;
            const auto text = base::decode_utf8(prompt);
            const bool han = std::any_of(text->begin(), text->end(), text::stands_alone);
            EXPECT_EQ(han, language == "zh") << item.id;
        }
    }
    EXPECT_GE(groups["state"], 12);
    EXPECT_EQ(groups["state"], groups["mirror"]);
    EXPECT_EQ(mirrored.size(), static_cast<std::size_t>(groups["state"]));
}

TEST(Sets, APairIsAskedInTheSameForm) {
    // The mirror must be the same kind of question: about as long, with as many questions in it.
    const Set set = load_set(kStarter);
    std::map<std::string, const Item*> items;
    for (const Item& item : set.items) {
        items[item.id] = &item;
    }
    for (const Item& item : set.items) {
        if (item.mirrors.empty()) {
            continue;
        }
        const Item& state = *items.at(item.mirrors);
        EXPECT_EQ(item.topic, state.topic);
        for (const char* language : {"en", "zh"}) {
            const auto one = base::decode_utf8(item.prompt.at(language)),
                       other = base::decode_utf8(state.prompt.at(language));
            const double ratio = text::information_units(*one) / text::information_units(*other);
            EXPECT_GT(ratio, 0.6) << item.id;
            EXPECT_LT(ratio, 1.67) << item.id;
            const auto questions = [](const std::u32string& t) {
                return std::count(t.begin(), t.end(), U'?') + std::count(t.begin(), t.end(), U'？');
            };
            EXPECT_EQ(questions(*one), questions(*other)) << item.id;
        }
    }
}

TEST(Sets, ThePromptLibraryIsBilingual) {
    std::ifstream file(moescope::test::source_assets() + "/prompts/library.json");
    const auto prompts = nlohmann::json::parse(file).at("prompts");
    EXPECT_GE(prompts.size(), 16u);
    std::set<std::string> ids;
    for (const auto& prompt : prompts) {
        EXPECT_TRUE(ids.insert(prompt.at("id")).second);
        for (const char* part : {"title", "text"}) {
            EXPECT_EQ(prompt.at(part).size(), 2u);
            EXPECT_FALSE(prompt.at(part).at("en").get<std::string>().empty());
            EXPECT_FALSE(prompt.at(part).at("zh").get<std::string>().empty());
        }
    }
}

nlohmann::json small() {
    const nlohmann::json both{{"en", "a"}, {"zh", "甲"}};
    const nlohmann::json item{{"id", "one"}, {"topic", "t"}, {"group", "state"}, {"title", both}, {"prompt", both}};
    return {{"name", "small"}, {"version", "1"},          {"licence", "Apache-2.0"},
            {"title", both},   {"topics", {{"t", both}}}, {"items", {item}}};
}

std::string refusal_of(const std::string& text) {
    try {
        parse_set(text, "small.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

void refuses(const char* what, const std::function<void(nlohmann::json&)>& change) {
    auto set = small();
    change(set);
    const std::string message = refusal_of(set.dump());
    EXPECT_NE(message.find("small.json"), std::string::npos) << what << ": " << message;
    EXPECT_NE(message.find(what), std::string::npos) << what << ": " << message;
}

TEST(Sets, EveryFaultIsNamed) {
    EXPECT_EQ(parse_set(small().dump(), "small.json").items.size(), 1u);
    refuses("translation \"zh\" is missing", [](auto& s) { s["items"][0]["prompt"].erase("zh"); });
    refuses("\"one\"", [](auto& s) { s["items"][0]["title"].erase("en"); });
    refuses("unknown key \"colour\"", [](auto& s) { s["items"][0]["colour"] = 1; });
    refuses("unknown key \"extra\"", [](auto& s) { s["extra"] = 1; });
    refuses("unknown key \"fr\"", [](auto& s) { s["items"][0]["prompt"]["fr"] = "x"; });
    refuses("stands twice", [](auto& s) { s["items"].push_back(s["items"][0]); });
    refuses("\"id\" must be", [](auto& s) { s["items"][0]["id"] = "a/b"; });
    refuses("\"id\" must be", [](auto& s) { s["items"][0]["id"] = std::string(81, 'a'); });
    refuses("is empty", [](auto& s) { s["items"][0]["prompt"]["en"] = " \xE3\x80\x80\n"; });
    refuses("group must be", [](auto& s) { s["items"][0]["group"] = "other"; });
    refuses("is not in \"topics\"", [](auto& s) { s["items"][0]["topic"] = "u"; });
    refuses("mirrors", [](auto& s) { s["items"][0]["mirrors"] = "two"; });
    refuses("list of 1 to", [](auto& s) { s["items"] = nlohmann::json::array(); });
    refuses("list of 1 to", [](auto& s) { s.erase("items"); });
    refuses("\"topics\" is missing", [](auto& s) { s.erase("topics"); });
    refuses("not a text", [](auto& s) { s["name"] = 7; });
    refuses("must be an object", [](auto& s) { s = nlohmann::json::array({1}); });
    refuses("must be an object", [](auto& s) { s["items"][0] = "x"; });
}

TEST(Sets, BrokenBytesAreRefused) {
    std::string text = small().dump();
    EXPECT_NE(refusal_of(text.substr(0, text.size() / 2)).find("ends before its JSON does"), std::string::npos);
    EXPECT_NE(refusal_of("").find("is empty"), std::string::npos);
    std::string twice = text;
    twice.insert(1, "\"name\":\"other\",");
    EXPECT_NE(refusal_of(twice).find("\"name\" twice in one object"), std::string::npos);
    text[text.find("甲")] = '\xFF';
    EXPECT_NE(refusal_of(text).find("not valid UTF-8"), std::string::npos);
    EXPECT_NE(refusal_of(std::string(100000, '[')).find("small.json"), std::string::npos);
    // Deep nesting is refused while it is read, and nothing overflows.
    std::string nested = small().dump();
    nested.insert(1, "\"extra\":" + std::string(200000, '[') + std::string(200000, ']') + ",");
    EXPECT_NE(refusal_of(nested).find("nested deeper than"), std::string::npos);
    std::ifstream file(kStarter);
    const std::string whole((std::istreambuf_iterator<char>(file)), {});
    for (std::size_t cut = 0; cut + 2 < whole.size(); cut += 97) {
        ASSERT_NE(refusal_of(whole.substr(0, cut)), "") << cut;
    }
    EXPECT_THROW(load_set("/does/not/exist.json"), Error);
    EXPECT_THROW(load_set(moescope::test::source_assets()), Error);
}

}  // namespace
}  // namespace moescope::probes
