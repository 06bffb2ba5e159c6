// moescope-node label: the label rules on answers that were made elsewhere.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/json_guard.hpp"
#include "base/lines.hpp"
#include "base/sentence.hpp"
#include "base/stop_reason.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/command_error.hpp"
#include "probes/probes.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

constexpr std::size_t kLongestLine = std::size_t{4} << 20;  // bytes

struct GivenAnswer {
    std::string prompt, answer, stop = "end";
};

/// Throws Error: a sentence without a subject.
GivenAnswer parse_line(const std::string& line) {
    const base::ParsedJson parsed = base::read_json(line, kLongestLine);
    if (!parsed.value) {
        throw base::Error(parsed.problem);
    }
    if (!parsed.value->is_object()) {
        throw base::Error(say("is no JSON object"));
    }
    GivenAnswer given;
    const auto take = [&](const char* key, std::string& into) {
        const auto found = parsed.value->find(key);
        // The larger interfaces give null for a stop that they do not know; a question and an answer are texts.
        if (found == parsed.value->end() || (found->is_null() && std::string_view(key) == "stop")) {
            return false;
        }
        if (!found->is_string()) {
            throw base::Error(say("has \"{}\" that is no text", key));
        }
        into = found->get<std::string>();
        return true;
    };
    take("prompt", given.prompt);
    if (!take("answer", given.answer)) {
        throw base::Error(say("has no \"answer\""));
    }
    if (take("stop", given.stop) && !base::stop_from_name(given.stop)) {
        throw base::Error(
            say("has the unknown \"stop\" '{}'; end, length, context, time, cancelled, error and filtered are known, "
                "and what the larger interfaces call them",
                given.stop));
    }
    return given;
}

int label_command(const std::string& file, bool as_json) {
    base::Lines lines(file, kLongestLine);
    std::string line;
    try {
        while (lines.next(line)) {
            if (line.find_first_not_of(" \t") == std::string::npos) {
                continue;
            }
            const GivenAnswer given = parse_line(line);
            const probes::Labels labels = probes::label_answer(given.prompt, given.answer, given.stop);
            json out = {{"delivery", probes::delivery_name(labels.delivery)},
                        {"engagement", labels.engagement},
                        {"rule", labels.rule.english()}};
            if (labels.reasoning != probes::Trace::absent) {
                out["reasoning"] = probes::trace_name(labels.reasoning);
            }
            if (as_json) {
                print_json(out);
            } else {
                fmt::print("{}\t{}\t{}\t{}\n", lines.number(), probes::delivery_name(labels.delivery),
                           labels.engagement < 0 ? std::string("-") : std::to_string(labels.engagement),
                           labels.rule.english());
            }
        }
    } catch (const base::Error& error) {
        throw base::Error(say("line {} of {} {}", lines.number(), file == "-" ? std::string("standard input") : file,
                              base::sentence_of(error)));
    }
    return 0;
}

}  // namespace

void add_label(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file = "-";
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* label = app.add_subcommand("label", "Label answers that were made elsewhere, by the rules of the probes");
    label->add_option("file", options->file,
                      "JSON Lines of {\"prompt\",\"answer\",\"stop\"}; \"-\" or nothing: standard input");
    label->add_flag("--json", options->json,
                    "One JSON object {\"delivery\",\"engagement\",\"rule\"} per answer on standard output");
    label->callback([&chosen, options] {
        chosen.command = [options](const Paths&) { return label_command(options->file, options->json); };
    });
}

}  // namespace moescope::node
