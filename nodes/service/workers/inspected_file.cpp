#include "nodes/service/workers/inspected_file.hpp"

#include <string>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"

namespace moescope::node {

using nlohmann::json;

namespace {

// Below what a message holds; far above every report.
constexpr std::size_t kLongestDetails = std::size_t{512} << 10;
constexpr int kKinds = static_cast<int>(engine::FileKind::unknown) + 1;

}  // namespace

json report_to_json(const engine::FileReport& report) {
    // As text: what a file says of itself may be nested as deep as a message may be.
    std::string details = base::dump_json(report.details);
    if (details.size() > kLongestDetails) {
        details = "{}";
    }
    json answer = {{"op", "ended"},
                   {"kind", static_cast<int>(report.kind)},
                   {"safe", report.safe},
                   {"details", std::move(details)}};
    base::put_sentence(answer, "problem", report.problem);
    return answer;
}

engine::FileReport report_from_json(const json& answer) {
    engine::FileReport report;
    const int kind = base::integer_of(answer, "kind", -1);
    if (kind >= 0 && kind < kKinds) {
        report.kind = static_cast<engine::FileKind>(kind);
    }
    report.safe = base::flag_of(answer, "safe");
    report.problem = base::sentence_in(answer, "problem");
    if (auto details = base::read_json(base::text_of(answer, "details"), kLongestDetails).value) {
        report.details = std::move(*details);
    }
    return report;
}

engine::FileReport inspect_apart(WorkerPool& workers, const std::filesystem::path& path,
                                 const std::atomic<bool>& cancel) {
    try {
        return report_from_json(
            workers.ask_once({{"op", "inspect"}, {"path", path.string()}}, base::say("looking at {}", path), cancel));
    } catch (const base::Error& error) {
        engine::FileReport report;
        report.problem = error.sentence();
        return report;
    }
}

}  // namespace moescope::node
