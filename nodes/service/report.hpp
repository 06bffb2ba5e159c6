// From a session's journal to the HTML report: the one place where records become the report's input.
#pragma once

#include <filesystem>
#include <string>

#include "probes/report.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// Reads the whole journal; everything in the report comes from there. `language` is "en" or "zh".
probes::ReportInput report_input(sessions::Session& session, const std::string& language);

/// Writes the report; the file appears whole or not at all. Throws CommandError for another language,
/// std::runtime_error when it cannot be written.
void write_report(sessions::Session& session, const std::filesystem::path& path, const std::string& language);

}  // namespace moescope::node
