#include "nodes/history/event_log.hpp"

#include "base/settings.hpp"
#include "nodes/history/run_title.hpp"

namespace moescope::history {

namespace {

using base::say;
using base::Sentence;

Sentence title_of(const RunHeader& run) {
    return run.name.empty() ? say("run {}", run.id) : quoted(run.name);
}

Sentence expert_sentence(const RunHeader& run, const RunEvent& event) {
    const Sentence title = title_of(run);
    const int layer = event.layer, expert = event.expert;
    const std::uint64_t step = event.step;
    if (event.name == "disable") {
        return say("{}: layer {}, expert {} is disabled from step {} on", title, layer, expert, step);
    }
    if (event.name == "enable") {
        return say("{}: layer {}, expert {} is enabled again from step {} on", title, layer, expert, step);
    }
    if (event.name == "freeze") {
        return say("{}: layer {}, expert {} is frozen from step {} on", title, layer, expert, step);
    }
    if (event.name == "thaw") {
        return say("{}: layer {}, expert {} learns again from step {} on", title, layer, expert, step);
    }
    if (event.name == "reset") {
        return say("{}: layer {}, expert {} was reset before step {}", title, layer, expert, step);
    }
    return say("{}: {}", title, event.text);
}

Sentence sentence_of(const RunHeader& run, const RunEvent& event, bool by_somebody) {
    if (event.kind == "knob") {
        return say("{}: {} changed from {} to {}, from step {} on", title_of(run), base::setting_name(event.name),
                   base::setting_text(event.old_value), base::setting_text(event.new_value), event.step);
    }
    if (event.kind == "expert") {
        return expert_sentence(run, event);
    }
    if (event.kind == "pause" && event.text.empty()) {  // else a fault paused it, which has its own line
        return say("{} paused after step {}", title_of(run), event.step);
    }
    if (event.kind == "resume") {
        return say("{} goes on after step {}", title_of(run), event.step);
    }
    if (event.kind == "checkpoint" && by_somebody) {
        return say("{}: checkpoint saved at step {}", title_of(run), event.step);
    }
    if (event.kind == "difference") {
        return say("{}: first difference from the recorded run at step {}: {}", title_of(run), event.step, event.text);
    }
    if (event.kind == "rewind" || event.kind == "fault") {
        return say("{}: {}", title_of(run), event.text);
    }
    return {};
}

}  // namespace

std::optional<LogLine> log_line(const TrainingRun& run, const RunEvent& event, const std::string& by,
                                std::uint64_t time_ns) {
    Sentence text = sentence_of(run, event, !by.empty());
    if (text.empty()) {
        return {};
    }
    return LogLine{time_ns, event.kind == "fault" || event.kind == "difference" ? "warning" : "info",
                   by.empty() ? "train" : by, std::move(text)};
}

LogLine log_line_of_interruption(const RunHeader& run, std::uint64_t time_ns) {
    return {time_ns, "warning", "node",
            run.message.empty() ? say("{} was interrupted", title_of(run))
                                : say("{} was interrupted: {}", title_of(run), run.message)};
}

}  // namespace moescope::history
