#include "tests/gui/screen_text.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <map>
#include <utility>

namespace moescope::gui_test {
namespace {

/// Which letter lies where in the texture of all fonts.
class Letters {
 public:
    Letters() {
        auto& pool = ImGui::GetIO().Fonts->Builder->BakedPool;
        for (int i = 0; i < pool.Size; ++i) {
            const ImFontBaked& baked = pool[i];
            for (const ImFontGlyph& glyph : baked.Glyphs) {
                if (glyph.Visible != 0 && baked.WantDestroy == 0) {
                    known_[{glyph.U0, glyph.V0}] = {glyph.Codepoint, glyph.U1};
                    all_.push_back(glyph);
                }
            }
        }
    }

    struct Letter {
        unsigned code = 0;  ///< 0: none
        bool cut = false;   ///< at its left or right side
    };
    Letter at(const ImVec2& min, const ImVec2& max) const {
        if (const auto found = known_.find({min.x, min.y}); found != known_.end()) {
            return {found->second.first, max.x < found->second.second - kHalfTexel};
        }
        // Cut at an edge.
        const auto whole = std::find_if(all_.begin(), all_.end(), [&](const ImFontGlyph& glyph) {
            return glyph.U0 <= min.x && glyph.V0 <= min.y && max.x <= glyph.U1 && max.y <= glyph.V1;
        });
        if (whole == all_.end() || max.x <= min.x || max.y <= min.y) {
            return {};
        }
        return {whole->Codepoint, min.x > whole->U0 + kHalfTexel || max.x < whole->U1 - kHalfTexel};
    }

 private:
    static constexpr float kHalfTexel = 0.5f / 2048;
    std::map<std::pair<float, float>, std::pair<unsigned, float>> known_;  ///< code and right edge
    std::vector<ImFontGlyph> all_;
};

void append_letter(std::string& text, unsigned code) {
    char bytes[5] = {};
    ImTextCharToUtf8(bytes, code);
    text += bytes;
}

ScreenLine line_in(const char* owner) {
    std::string name = owner != nullptr ? owner : "";
    const std::size_t slash = name.find('/');
    ScreenLine line;
    line.owner = name;
    line.part = slash == std::string::npos ? "" : name.substr(slash + 1);
    line.window = name.substr(0, slash);
    if (const std::size_t id = line.window.find("###"); id != std::string::npos) {
        line.window.erase(0, id + 3);
    }
    return line;
}

class Reader {
 public:
    void read(const ImDrawList& list) {
        for (const ImDrawCmd& command : list.CmdBuffer) {
            const ImDrawIdx* index = list.IdxBuffer.Data + command.IdxOffset;
            const ImDrawVert* corner = list.VtxBuffer.Data + command.VtxOffset;
            for (unsigned i = 0; i + 6 <= command.ElemCount;) {
                // A letter is a rectangle: corners 0 1 2 and 0 2 3.
                const ImDrawIdx first = index[i];
                if (index[i + 1] != first + 1 || index[i + 2] != first + 2 || index[i + 3] != first ||
                    index[i + 4] != first + 2 || index[i + 5] != first + 3) {
                    i += 3;
                    continue;
                }
                const ImDrawVert &low = corner[first], &high = corner[first + 2];
                const Letters::Letter letter = letters_.at(low.uv, high.uv);
                const ImVec2 middle{(low.pos.x + high.pos.x) / 2, (low.pos.y + high.pos.y) / 2};
                const ImVec4& clip = command.ClipRect;
                constexpr float kBlur = 1.5f;  // pixels in which a letter fades out
                const bool past = low.pos.x < clip.x - kBlur || high.pos.x > clip.z + kBlur;
                if (letter.code != 0 && middle.y >= clip.y && middle.y < clip.w) {
                    if (middle.x >= clip.x && middle.x < clip.z) {
                        add(list._OwnerName, letter.code, low.pos, high.pos);
                        line_.cut = line_.cut || past;
                        line_.cut_in_frame = line_.cut_in_frame || letter.cut;
                    } else if (continues(low.pos, high.pos) && high.pos.x > clip.x && low.pos.x < clip.z) {
                        line_.cut = true;  // of the next letter not even the half is seen
                    }
                }
                i += 6;
            }
        }
        end_line();
    }
    std::vector<ScreenLine> take() { return std::move(lines_); }

 private:
    void end_line() {
        if (!line_.text.empty()) {
            lines_.push_back(std::move(line_));
        }
        line_ = {};
    }

    /// Letters differ in height and place: they share a line while they overlap.
    bool continues(const ImVec2& min, const ImVec2& max) const {
        const float size = ImGui::GetFontSize(), gap = min.x - line_.max.x;
        return !line_.text.empty() && min.y < line_.max.y + 0.3f * size && max.y > line_.min.y - 0.3f * size &&
               gap > -0.5f * size && gap < 1.5f * size;
    }

    void add(const char* owner, unsigned code, const ImVec2& min, const ImVec2& max) {
        const float size = ImGui::GetFontSize();
        const float gap = min.x - line_.max.x;
        if (!continues(min, max)) {
            end_line();
            line_ = line_in(owner);
            line_.min = min;
            line_.max = max;
        } else if (gap > 0.17f * size) {
            line_.text += ' ';
        }
        append_letter(line_.text, code);
        if (max.y - min.y > tallest_ || line_.tallest.empty()) {
            tallest_ = max.y - min.y;
            line_.tallest.clear();
            append_letter(line_.tallest, code);
        }
        line_.min.y = std::min(line_.min.y, min.y);
        line_.max = {max.x, std::max(line_.max.y, max.y)};
    }

    const Letters letters_;
    ScreenLine line_;
    float tallest_ = 0;  ///< height of line_.tallest
    std::vector<ScreenLine> lines_;
};

}  // namespace

std::vector<ScreenLine> screen_lines() {
    Reader reader;
    if (const ImDrawData* drawn = ImGui::GetDrawData()) {
        for (const ImDrawList* list : drawn->CmdLists) {
            reader.read(*list);
        }
    }
    return reader.take();
}

std::string squeezed(const std::string& text) {
    std::string out;
    std::copy_if(text.begin(), text.end(), std::back_inserter(out),
                 [](char c) { return c != ' ' && c != '\n' && c != '\t' && c != '\r'; });
    return out;
}

}  // namespace moescope::gui_test
