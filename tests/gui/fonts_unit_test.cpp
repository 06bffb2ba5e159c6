// Letters have the size of their text, whatever sizes came and went before.
#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "app/fonts.hpp"
#include "tests/paths.hpp"

namespace moescope {
namespace {

class FontSizes : public testing::Test {
 protected:
    FontSizes() {
        ImGui::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.DisplaySize = {100, 100};
        io.BackendFlags |= ImGuiBackendFlags_RendererHasTextures;
        fonts.load(std::filesystem::path(test::binary_folder()) / "assets/fonts");
        fonts.add_to_atlas();
    }
    ~FontSizes() override { ImGui::DestroyContext(); }
    FontSizes(const FontSizes&) = delete;
    FontSizes& operator=(const FontSizes&) = delete;

    static float height(ImFontBaked* baked, ImWchar code) {
        const ImFontGlyph* glyph = baked->FindGlyph(code);
        return glyph->Y1 - glyph->Y0;
    }
    app::Fonts fonts;
};

TEST_F(FontSizes, ALetterThatIsNewAfterSizesWereThrownAwayHasItsOwn) {
    ImGui::NewFrame();
    constexpr float kLarge = 40, kSmall = 17;
    ImFontAtlas* atlas = ImGui::GetIO().Fonts;
    ImFont* font = fonts.regular;
    for (int i = 0; i < 3; ++i) {  // the large size goes, and the small one, which is younger, moves to its place
        ImFontBaked *large = font->GetFontBaked(kLarge + static_cast<float>(i)), *small = font->GetFontBaked(kSmall);
        const float expected = height(small, 'H');
        EXPECT_LT(expected, kSmall);
        EXPECT_GT(height(large, 'A' + static_cast<ImWchar>(i)), kSmall);  // its size is the active one now
        ImFontAtlasBakedDiscard(atlas, font, large);
        ImGui::EndFrame();
        ImGui::NewFrame();
        EXPECT_NEAR(height(font->GetFontBaked(kSmall), 'K' + static_cast<ImWchar>(i)), expected, 1.5f) << i;
    }
    ImGui::EndFrame();
}

}  // namespace
}  // namespace moescope
