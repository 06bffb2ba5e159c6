// What the window reads by itself: settings, texts, fonts. It asks the node for everything else.
#include <gtest/gtest.h>

#include "app/fonts.hpp"
#include "app/settings.hpp"
#include "panels/ui/language.hpp"
#include "tests/readers/hostile.hpp"

namespace moescope::test {
namespace {

TEST(WindowReaders, OfItsOwnFiles) {
    expect_guarded({
        {.name = READER("settings"),
         .place = "settings.json",
         .good = "{\"dark\": true}",
         .read = [](const fs::path& f) { app::load_settings(f / "settings.json"); },
         .tolerant = true},
        {READER("language"), "texts.json", "{\"a\": \"b\"}", [](const fs::path& f) { ui::Language::load(f, "en"); }},
    });
}

}  // namespace
}  // namespace moescope::test
