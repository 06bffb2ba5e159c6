// Text fonts: Roboto and Inconsolata from the assets, each merged with the icons and with the system's Chinese font.
#pragma once

#include <filesystem>
#include <imgui.h>
#include <string>

namespace moescope::app {

/// Owns the bytes of the font files, which ImGui's atlas reads for as long as it lives: destroy after ImGui's context.
class Fonts {
 public:
    /// Reads the files (before the first frame). Throws std::runtime_error naming a file of the assets that is missing.
    void load(const std::filesystem::path& folder);
    /// Adds them to the atlas of the current ImGui context.
    void add_to_atlas();

    ImFont* regular = nullptr;
    ImFont* bold = nullptr;
    ImFont* mono = nullptr;
    /// File of the Chinese font, empty when the system has none.
    const std::string& chinese_file() const { return chinese_file_; }

 private:
    using Bytes = std::string;
    ImFont* add(Bytes& text, const char* name);
    Bytes regular_bytes_, bold_bytes_, mono_bytes_, icon_bytes_, chinese_bytes_;
    std::string chinese_file_;
    int chinese_index_ = 0;
};

}  // namespace moescope::app
