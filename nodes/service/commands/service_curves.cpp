// The curves.* commands.
#include <fmt/format.h>

#include "nodes/curves/read_curves.hpp"
#include "nodes/curves/run_curves.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/curve_import.hpp"
#include "nodes/service/jobs/model_export.hpp"
#include "nodes/service/library/parameters.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

void Service::curves_import(const json& value, Reply reply) {
    const Parameters parameters(value, {"path", "name"});
    const fs::path path = fs::absolute(parameters.path("path"));
    const std::string name = parameters.text("name", "");
    refuse_at_the_end();
    json answer;
    {
        const BoardTask task(board_, fmt::format("curves-{}", ++outputs_), protocol::TaskKind::curves,
                             path.filename().string());
        const auto runs = curves::read_curves({path}, [&] {
            if (is_to_end(task)) {
                throw CommandError(say("the import was cancelled; nothing was added"));
            }
        });
        const auto added = add_imported_runs(*session_, *journal_, runs, name, [&] { return is_to_end(task); });
        journal_->flush();  // who is told of the runs finds them, also when the node dies now
        if (const Sentence problem = journal_->problem(); !problem.empty()) {
            throw CommandError(problem);
        }
        if (added.back().stopped) {
            throw CommandError(say("the import was cancelled; run {} has a part of its curves", added.back().run));
        }
        answer = to_json(added);
        std::vector<Sentence> notes = curves::notes_of(runs);
        constexpr std::size_t kMostNotes = 100;
        notes.resize(std::min(notes.size(), kMostNotes));
        answer["notes"] = sentences_json(notes);
    }
    reply({std::move(answer), {}});
}

void Service::curves_export(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "path", "format", "replace"});
    const std::uint32_t run = parameters.run();
    const std::string format = parameters.text("format");
    if (format != "csv" && format != "tensorboard") {
        throw CommandError(say("curves can't be written as '{}'; csv and tensorboard are the forms", format));
    }
    const fs::path path = output_place(fs::absolute(parameters.path("path")));
    const auto existing = existing_as(parameters);
    curves::RunCurves curves;
    {
        const BoardTask task(board_, fmt::format("curves-{}", ++outputs_), protocol::TaskKind::curves,
                             path.filename().string());
        const auto check = [&] {
            if (is_to_end(task)) {
                throw_export_cancelled();
            }
        };
        if (journal_) {
            journal_->flush();
        }
        if (format == "csv") {
            sessions::OutputFile output(path, existing);  // first, so that a bad place is refused at once
            curves = curves::curves_of_run(session_->journal(), run, check);
            curves::write_curve_table(output.temporary(), curves, check);
            output.commit();
        } else {
            curves = curves::curves_of_run(session_->journal(), run, check);
            curves::write_event_folder(path, curves, existing, check);
        }
    }
    reply({{{"curves", curves.curves.size()}, {"points", curves.points()}, {"path", path.string()}}, {}});
}

}  // namespace moescope::node
