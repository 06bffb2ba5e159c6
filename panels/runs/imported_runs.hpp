// Curves of other tools: runs that were imported beside trainings, and runs written for other tools. The node does
// both. GUI thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nodes/history/imported_run.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The imported runs that are drawn beside a training, oldest first: those that nobody has switched off, of these the
/// newest kMostBeside.
inline constexpr std::size_t kMostBeside = 6;
std::vector<std::shared_ptr<const history::ImportedRun>> shown_imports(ui::Context& ctx);
bool is_import_shown(ui::Context& ctx, std::uint32_t run);
/// Draws an imported run beside trainings, or no longer.
void toggle_import(ui::Context& ctx, std::uint32_t run);

/// Asks the node to import a file, or a folder of logs.
void import_curves(ui::Context& ctx, const std::string& path);
/// The two ways to write a run, as entries of its menu; each asks where.
void draw_export_curves(ui::Context& ctx, const history::RunHeader& run);
/// Asks where, and has the node write the run. `format`: csv or tensorboard.
void export_curves(ui::Context& ctx, const history::RunHeader& run, const std::string& format);
/// What the list's tooltip says of an imported run: where it comes from, what of it was left out.
std::string import_details(const ui::Context& ctx, const history::ImportedRun& run);

}  // namespace moescope::panels
