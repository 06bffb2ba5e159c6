#include "nodes/service/commands/report.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>
#include <map>

#include "base/sha256.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/library/command_error.hpp"
#include "report/from_session.hpp"

namespace moescope::node {

namespace {

constexpr double kRecordHead = 36;  // bytes of a record in the journal beside its body
constexpr double kReading = 0.9;    // of the whole way

/// Asks `progress` about every hundredth of the way, and throws when it says no.
class Progress {
 public:
    explicit Progress(const ReportProgress& progress) : progress_(progress) {}
    void at(double fraction) {
        if (!progress_ || fraction < next_) {
            return;
        }
        next_ = fraction + 0.01;
        if (!progress_(std::min(fraction, 1.0))) {
            throw CommandError(say("the report was cancelled; nothing was written"));
        }
    }

 private:
    const ReportProgress& progress_;
    double next_ = 0;
};

std::string time_text() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    localtime_r(&now, &parts);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts));
}

}  // namespace

base::Messages report_messages(const Paths& paths, const std::string& language) {
    return base::Messages::of_language(paths.assets / "languages" / (language == "zh" ? "zh" : "en"));
}

report::Input report_input(sessions::Session& session, const std::string& language, const base::Messages& messages,
                           const ReportProgress& progress) {
    Progress way(progress);
    const auto total = static_cast<double>(std::max<std::uint64_t>(session.journal().bytes(), 1));
    double seen = 0;
    std::map<std::uint32_t, base::Sha256> hashes;
    way.at(0);
    history::ReadOptions options{.keep = {.counts = report::kLoadSteps}};
    options.seen = [&](const sessions::Record& record, std::uint32_t run) {
        seen += static_cast<double>(record.body.size()) + kRecordHead;
        way.at(kReading * seen / total);
        if (run != 0) {
            hashes[run].add(std::string_view(reinterpret_cast<const char*>(record.body.data()), record.body.size()));
        }
    };
    history::Session history = history::read_session(session.journal(), options);
    history::add_stored_labels(history, session);
    std::map<std::uint32_t, std::string> records_sha256;
    for (auto& [run, hash] : hashes) {
        records_sha256[run] = hash.finish();
    }
    report::Input input = report::input_of(history, records_sha256, messages);
    // Of a session that no program has open, nothing goes on.
    const auto show_present = [&](report::Run& run) {
        if (const auto state = protocol::run_state_named(run.state)) {
            run.state = protocol::run_state_name(history::present_state(session, *state));
        }
    };
    for (report::Training& training : input.trainings) {
        show_present(training.run);
    }
    for (report::Comparison& comparison : input.comparisons) {
        for (report::Answer& answer : comparison.answers) {
            show_present(answer.run);
        }
    }
    for (report::Probe& probe : input.probes) {
        show_present(probe.run);
    }
    input.language = language;
    input.title = session.folder().filename().string();
    input.program = std::string("Moescope ") + MOESCOPE_VERSION;
    input.created = time_text();
    return input;
}

std::string report_page(sessions::Session& session, const std::string& language, const base::Messages& messages,
                        const ReportProgress& progress) {
    if (language != "en" && language != "zh") {
        throw CommandError(say("the report's language '{}' is not known; 'en' and 'zh' are", language));
    }
    report::Input input = report_input(session, language, messages, progress);
    // Now that everything was read, all is known that can't be.
    for (const base::Sentence& problem : session.problems()) {
        input.problems.push_back(messages.translate(problem));
    }
    const std::string page = report::html_report(input);
    Progress(progress).at(1);
    return page;
}

void write_report(sessions::Session& session, const std::filesystem::path& path, sessions::Existing existing,
                  const std::string& language, const base::Messages& messages, const ReportProgress& progress) {
    sessions::OutputFile output(path, existing);
    const std::string page = report_page(session, language, messages, progress);
    output.fill(page);
    output.commit();
}

}  // namespace moescope::node
