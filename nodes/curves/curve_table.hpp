// Curves as a table of text: a row of names, then a row for each step. What spreadsheets, wandb, Lightning, the
// download of TensorBoard and we ourselves write.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/curves/curve_collector.hpp"

namespace moescope::curves {

/// Adds the columns of numbers. Separated by what the first line has most of: commas, semicolons or tabs; fields may be
/// in quotes; a byte order mark and CRLF are taken. The step is the column of that name (step, iteration, epoch, ...),
/// else the number of the row. An empty cell is no point, NaN a hole; a unit may stand in brackets behind a name ("loss
/// [nats/token]"). A column "Value" alone is called as the file is. Throws base::Error, a sentence that begins with the
/// path: no names in the first line, no column of numbers, a field or row that is too long, what Collector throws.
void read_curve_table(const std::filesystem::path& path, Collector& curves, std::vector<base::Sentence>& notes,
                      const std::function<void()>& check);

}  // namespace moescope::curves
