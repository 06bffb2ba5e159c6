// Every field, box and list of the window is either something that a person edits, which can be taken back, or is none,
// with the reason. A new one is counted here, or the test fails: docs/decisions.md has the same in words.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <regex>
#include <string>

#include "tests/paths.hpp"

namespace {

namespace fs = std::filesystem;

struct Fields {
    int edited;           ///< taken back: through ui::FieldWatch or ui::UndoHistory in `watch`
    int other;            ///< not
    const char* watch;    ///< file that puts the edits into the history; empty: the same one
    const char* why_not;  ///< of the others
};

// clang-format off
const std::map<std::string, Fields> kFields = {
    {"app/connect_form.cpp", {0, 1, "", "an address, of the window and no session; may be a secret"}},
    {"app/dialogs.cpp", {0, 6, "", "a dialog of files: gone with its answer"}},
    {"app/escape.cpp", {0, 1, "", "a comment"}},
    {"app/palette.cpp", {0, 1, "", "a search"}},
    {"panels/answers/compare.cpp", {7, 3, "", "earlier comparisons, the mode of the view; library and earlier ones change the prompt, which is watched"}},
    {"panels/answers/probe.cpp", {4, 1, "", "which run is shown"}},
    {"panels/answers/probe_answers.cpp", {2, 0, "panels/answers/probe.cpp", ""}},
    {"panels/answers/probe_matrix.cpp", {0, 1, "", "a view"}},
    {"panels/answers/probe_merge.cpp", {1, 0, "", ""}},
    {"panels/experts/load_toolbar.cpp", {0, 4, "", "views: mode, scale, layer, window"}},
    {"panels/experts/placement.cpp", {1, 1, "", "a view"}},
    {"panels/experts/ranks.cpp", {0, 2, "", "views"}},
    {"panels/node/device_choice.cpp", {0, 1, "", "a setting of the node, on which others rely"}},
    {"panels/node/export_form.cpp", {6, 0, "", ""}},
    {"panels/node/library.cpp", {0, 2, "", "the list itself; who uses it is counted"}},
    {"panels/node/log.cpp", {0, 3, "", "views: level, search, follow"}},
    {"panels/node/models.cpp", {1, 0, "", ""}},
    {"panels/node/server_form.cpp", {5, 0, "", ""}},
    {"panels/notes/notes.cpp", {2, 2, "", "kind and search: what is listed"}},
    {"panels/overlay/overlay.cpp", {0, 4, "", "views: figures, smoothing"}},
    {"panels/overlay/overlay_maps.cpp", {0, 3, "", "views"}},
    {"panels/overlay/overlay_table.cpp", {0, 1, "", "a view"}},
    {"panels/overlay/run_choice.cpp", {0, 3, "", "what is shown: one click away"}},
    {"panels/routing/change.cpp", {0, 1, "", "a tab"}},
    {"panels/routing/change_editor.cpp", {9, 0, "", ""}},
    {"panels/routing/expert.cpp", {0, 5, "", "views"}},
    {"panels/routing/read_form.cpp", {5, 0, "", ""}},
    {"panels/routing/routing_diff.cpp", {1, 2, "", "what is shown, and how"}},
    {"panels/routing/shown_routing.cpp", {0, 1, "", "what is shown"}},
    {"panels/routing/structure.cpp", {0, 8, "", "views"}},
    {"panels/routing/sweep_view.cpp", {5, 2, "", "which result is shown, and how"}},
    {"panels/routing/token_view.cpp", {0, 2, "", "views"}},
    {"panels/routing/trace_head.cpp", {0, 1, "", "which layer is shown"}},
    {"panels/routing/trial_view.cpp", {6, 3, "", "which trial is shown, and how"}},
    {"panels/runs/experiment_part.cpp", {4, 1, "panels/runs/run_form.cpp", "a search"}},
    {"panels/runs/run_form.cpp", {7, 2, "", "a search; the data of a fork, which can't be changed"}},
    {"panels/runs/session_tabs.cpp", {0, 1, "", "which session is in front"}},
    {"panels/training/knobs.cpp", {1, 0, "", ""}},
    {"panels/training/samples.cpp", {0, 1, "", "a view"}},
    {"panels/training/timeline.cpp", {0, 1, "", "the speed of the playback"}},
    {"panels/training/training.cpp", {0, 3, "", "tabs"}},
    {"panels/ui/knob.cpp", {0, 3, "", "the fields themselves; who uses them is counted"}},
    {"panels/ui/question.cpp", {0, 3, "", "the fields themselves; who uses them is counted"}},
    {"panels/ui/text_layout.cpp", {0, 1, "", "text for reading"}},
    {"panels/ui/where.cpp", {0, 1, "", "hands the form over, which is a step of the other session"}},
    {"panels/ui/widgets.cpp", {0, 3, "", "the widgets themselves"}},
};
// clang-format on

std::string read(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(EditedFields, AreAllTakenBackOrSaidToBeNone) {
    static const std::regex field(
        R"re(\b(InputText(WithHint|Multiline)?|InputInt|InputFloat|InputDouble|InputScalarN?|V?Slider[A-Z]\w*|)re"
        R"re(Drag(Int|Float|Scalar)\w*|Checkbox|CheckboxFlags|RadioButton|begin_combo|BeginCombo|Combo|ListBox|)re"
        R"re(Color(Edit|Picker)\d|segmented|number_field|ui::knob|model_combo|question_fields)\()re");
    static const std::regex watch(R"re(watch_\s*\.follow\(|UndoHistory>\(\)\s*\.add\()re");
    const fs::path root = fs::path(moescope::test::source_assets()).parent_path();
    std::map<std::string, int> found;
    for (const char* folder : {"app", "panels"}) {
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            const std::string code = entry.path().extension() == ".cpp" ? read(entry.path()) : std::string();
            const auto count = std::distance(std::sregex_iterator(code.begin(), code.end(), field), {});
            if (count > 0) {
                found[fs::relative(entry.path(), root).generic_string()] = static_cast<int>(count);
            }
        }
    }
    ASSERT_GT(found.size(), 30u);
    for (const auto& [file, count] : found) {
        const auto row = kFields.find(file);
        ASSERT_NE(row, kFields.end()) << file << " has " << count
                                      << " fields: take back what is edited there (ui::FieldWatch), and say so here";
        const Fields& fields = row->second;
        EXPECT_EQ(fields.edited + fields.other, count)
            << file << ": a field came or went; can it be taken back (ui::FieldWatch)?";
        EXPECT_EQ(fields.other == 0, std::string(fields.why_not).empty()) << file;
        if (fields.edited > 0) {
            const std::string where = *fields.watch == '\0' ? file : fields.watch;
            EXPECT_TRUE(std::regex_search(read(root / where), watch)) << where << " puts nothing into the history";
        }
    }
    for (const auto& [file, fields] : kFields) {
        EXPECT_TRUE(found.contains(file)) << file << " has no fields any more";
    }
}

}  // namespace
