// From a session's journal to the HTML report: the one place where records become the report's input.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/messages.hpp"
#include "nodes/service/library/paths.hpp"
#include "report/report.hpp"
#include "sessions/outputs.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// Called from time to time with 0 to 1; false cancels.
using ReportProgress = std::function<bool(double fraction)>;

/// The catalogue of the node's sentences in that language.
base::Messages report_messages(const Paths& paths, const std::string& language);

/// Reads the whole journal; everything in the report comes from there. `language` is "en" or "zh", that of `messages`.
/// Throws CommandError when it was cancelled.
report::Input report_input(sessions::Session& session, const std::string& language, const base::Messages& messages,
                           const ReportProgress& progress = {});

/// The page. Throws CommandError for another language and when it was cancelled. What is damaged or lost in the session
/// is said on it; session.problems() has the same sentences afterwards.
std::string report_page(sessions::Session& session, const std::string& language, const base::Messages& messages,
                        const ReportProgress& progress = {});

/// Writes the page; the file appears whole or not at all. Throws as report_page(), and base::Error when it may not or
/// can't be written there (sessions/outputs.hpp), the former before the work begins.
void write_report(sessions::Session& session, const std::filesystem::path& path, sessions::Existing existing,
                  const std::string& language, const base::Messages& messages, const ReportProgress& progress = {});

}  // namespace moescope::node
