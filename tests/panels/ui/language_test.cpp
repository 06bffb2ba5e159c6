// Sentences of the node in the language of the window.
#include "panels/ui/language.hpp"

#include <gtest/gtest.h>

#include "base/settings.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/units.hpp"
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

TEST(Language, SettingsAreCalledByTheirNames) {
    const fs::path languages = fs::path(moescope::test::source_assets()) / "languages";
    const Language en = Language::load(languages / "en", "en"), zh = Language::load(languages / "zh", "zh");
    const Sentence sentence = say("{}: {} changed from {} to {}, from step {} on", "workshop-1",
                                  moescope::base::setting_name("learning_rate"), "0.001", "0.002", 8);
    EXPECT_EQ(en.message(sentence), "workshop-1: learning rate changed from 0.001 to 0.002, from step 8 on");
    EXPECT_EQ(zh.message(sentence), "workshop-1：学习率 由 0.001 改为 0.002，自第 8 步起生效");
    for (const Language* language : {&en, &zh}) {
        EXPECT_EQ(language->message(say("{} stays", Sentence::verbatim("learning_rate"))), "learning_rate stays")
            << "a text that happens to be called like a setting";
        EXPECT_EQ(language->message(moescope::base::setting_name("a {} b")), "a {} b");
        EXPECT_EQ(language->message(moescope::base::setting_name("of_tomorrow")), "setting of_tomorrow");
    }
}

TEST(Percent, IsWrittenAsTheLanguageDoes) {
    const fs::path languages = fs::path(moescope::test::source_assets()) / "languages";
    const Language en = Language::load(languages / "en", "en"), zh = Language::load(languages / "zh", "zh");
    EXPECT_EQ(moescope::ui::percent_text(en, 0.829), "82.9 %");
    EXPECT_EQ(moescope::ui::percent_text(zh, 0.829), "82.9%");
    using moescope::panels::Unit;
    EXPECT_EQ(moescope::panels::value_text(zh, 0.000341, Unit::percent), "0.0341%");
    EXPECT_EQ(moescope::panels::value_text(zh, 0.004, Unit::points), "+0.4%");
}

}  // namespace
