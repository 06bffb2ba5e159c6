#include "app/fonts.hpp"

#include <cstdio>
#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include <imgui_internal.h>
#include <memory>
#include <misc/freetype/imgui_freetype.h>
#include <stdexcept>

#include FT_FREETYPE_H
#include FT_SIZES_H

#include "base/error.hpp"
#include "base/input_file.hpp"

namespace moescope::app {
namespace {

std::string read_font(const std::filesystem::path& file) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;  // more than the largest collection of CJK fonts
    try {
        return base::read_file(file, kMostBytes);
    } catch (const base::Error& error) {
        throw std::runtime_error("the font " + std::string(error.what()) + "; build again or reinstall");
    }
}

struct FontFile {
    std::string file;
    int index = 0;  ///< within a collection
};

/// The system's best font that has Simplified Chinese; file empty when there is none.
FontFile find_chinese() {
    using Pattern = std::unique_ptr<FcPattern, decltype(&FcPatternDestroy)>;
    const Pattern wanted(FcPatternCreate(), FcPatternDestroy);
    for (const char* family : {"Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
                               "Droid Sans Fallback"}) {
        FcPatternAddString(wanted.get(), FC_FAMILY, reinterpret_cast<const FcChar8*>(family));
    }
    FcPatternAddString(wanted.get(), FC_LANG, reinterpret_cast<const FcChar8*>("zh-cn"));
    FcConfigSubstitute(nullptr, wanted.get(), FcMatchPattern);
    FcDefaultSubstitute(wanted.get());
    FcResult result = FcResultNoMatch;
    const Pattern found(FcFontMatch(nullptr, wanted.get(), &result), FcPatternDestroy);
    FcCharSet* characters = nullptr;
    FcChar8* file = nullptr;
    FontFile font;
    if (!found || FcPatternGetCharSet(found.get(), FC_CHARSET, 0, &characters) != FcResultMatch ||
        FcPatternGetString(found.get(), FC_FILE, 0, &file) != FcResultMatch) {
        return font;
    }
    for (const FcChar32 c : {0x4e2d, 0x95e8, 0x8fd9}) {  // 中 门 这: the last two exist only in Simplified Chinese
        if (!FcCharSetHasChar(characters, c)) {
            return font;
        }
    }
    font.file = reinterpret_cast<const char*>(file);
    FcPatternGetInteger(found.get(), FC_INDEX, 0, &font.index);
    font.index &= 0xffff;  // the upper half names an instance of a variable font
    return font;
}

/// The atlas moves its sizes of a font together when it has thrown some away, and ImGui's loader knows the size that is
/// active in FreeType by the address at which it stood: a letter that was new then came out in another size. So each
/// letter activates its own. `size_of_source` begins with the FT_Size (ImGui_ImplFreeType_FontSrcBakedData).
bool load_letter(ImFontAtlas* atlas, ImFontConfig* source, ImFontBaked* baked, void* size_of_source, int letter,
                 ImFontGlyph* glyph, float* advance) {
    FT_Activate_Size(*static_cast<FT_Size*>(size_of_source));
    return ImGuiFreeType::GetFontLoader()->FontBakedLoadGlyph(atlas, source, baked, size_of_source, letter, glyph,
                                                              advance);
}
const ImFontLoader* font_loader() {
    static const ImFontLoader loader = [] {
        ImFontLoader made = *ImGuiFreeType::GetFontLoader();
        made.FontBakedLoadGlyph = load_letter;
        return made;
    }();
    return &loader;
}

}  // namespace

void Fonts::load(const std::filesystem::path& folder) {
    regular_bytes_ = read_font(folder / "Roboto-Regular.ttf");
    bold_bytes_ = read_font(folder / "Roboto-Bold.ttf");
    mono_bytes_ = read_font(folder / "Inconsolata-Medium.ttf");
    icon_bytes_ = read_font(folder / "Font_Awesome_6_Free-Solid-900.otf");
    const FontFile chinese = find_chinese();
    if (chinese.file.empty()) {
        return;
    }
    chinese_bytes_ = read_font(chinese.file);
    chinese_file_ = chinese.file;
    chinese_index_ = chinese.index;
}

void Fonts::add_to_atlas() {
    ImGui::GetIO().Fonts->SetFontLoader(font_loader());
    regular = add(regular_bytes_, "regular");
    bold = add(bold_bytes_, "bold");
    mono = add(mono_bytes_, "mono");
}

ImFont* Fonts::add(Bytes& text, const char* name) {
    constexpr float kSize = 16;
    ImFontAtlas* atlas = ImGui::GetIO().Fonts;
    const auto config = [&](bool merge) {
        ImFontConfig c;
        c.FontDataOwnedByAtlas = false;
        c.MergeMode = merge;
        std::snprintf(c.Name, sizeof c.Name, "%s", name);
        return c;
    };
    ImFontConfig base = config(false);
    ImFont* font = atlas->AddFontFromMemoryTTF(text.data(), static_cast<int>(text.size()), kSize, &base);
    if (!chinese_bytes_.empty()) {
        ImFontConfig chinese = config(true);
        chinese.FontNo = static_cast<ImU32>(chinese_index_);
        atlas->AddFontFromMemoryTTF(chinese_bytes_.data(), static_cast<int>(chinese_bytes_.size()), kSize, &chinese);
    }
    ImFontConfig icons = config(true);
    icons.GlyphOffset = {0, 1};
    atlas->AddFontFromMemoryTTF(icon_bytes_.data(), static_cast<int>(icon_bytes_.size()), kSize * 0.85f, &icons);
    // A character that no font has (an emoji) is one empty box; U+FFFD is for bytes that are no character.
    for (const ImWchar box : {ImWchar{0x2B1A}, ImWchar{0x25A1}}) {
        if (font->IsGlyphInFont(box)) {
            font->FallbackChar = box;
            break;
        }
    }
    return font;
}

}  // namespace moescope::app
