// Sentences of the node in the language of the window.
#include "panels/ui/language.hpp"

#include <gtest/gtest.h>

#include "tests/paths.hpp"

namespace {

using moescope::base::say;
using moescope::base::Sentence;
using moescope::ui::Language;
namespace fs = std::filesystem;

TEST(Language, SentencesFollowTheLanguageOfTheWindow) {
    const fs::path languages = fs::path(moescope::test::source_assets()) / "languages";
    const Language en = Language::load(languages / "en", "en"), zh = Language::load(languages / "zh", "zh");
    const Sentence sentence = say("this run has no checkpoint yet");
    EXPECT_EQ(en.message(sentence), "this run has no checkpoint yet");
    EXPECT_EQ(zh.message(sentence), "此次训练还没有检查点");
    EXPECT_FALSE(zh.has(sentence.id())) << "sentences are no keys of the window";
    EXPECT_EQ(zh.message(Sentence::verbatim("this run has no checkpoint yet")), "this run has no checkpoint yet")
        << "an old journal's sentence is shown as it came";
}

}  // namespace
