// From a session's journal to the HTML report: the one place where records become the report's input.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/messages.hpp"
#include "nodes/service/library/paths.hpp"
#include "report/report.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// Called from time to time with 0 to 1; false cancels.
using ReportProgress = std::function<bool(double fraction)>;

/// The catalogue of the node's sentences in that language; an empty one for English.
base::Messages report_messages(const Paths& paths, const std::string& language);

/// Reads the whole journal; everything in the report comes from there. `language` is "en" or "zh", that of `messages`.
/// Throws CommandError when it was cancelled.
report::Input report_input(sessions::Session& session, const std::string& language, const base::Messages& messages,
                           const ReportProgress& progress = {});

/// Writes the report; the file appears whole or not at all. Throws CommandError for another language and when it was
/// cancelled, std::runtime_error when it cannot be written.
void write_report(sessions::Session& session, const std::filesystem::path& path, const std::string& language,
                  const base::Messages& messages, const ReportProgress& progress = {});

}  // namespace moescope::node
