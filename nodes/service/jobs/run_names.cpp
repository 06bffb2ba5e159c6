#include "nodes/service/jobs/run_names.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "nodes/history/run_title.hpp"

namespace moescope::node {

std::string running_name(const std::string& base, const std::vector<std::string>& earlier) {
    std::size_t number = earlier.size();
    std::string name;
    do {
        name = fmt::format("{}-{}", base.empty() ? "run" : base, ++number);
    } while (std::find(earlier.begin(), earlier.end(), name) != earlier.end());
    return name;
}

std::vector<std::string> names_of(const std::vector<RunStatus>& runs, protocol::RunKind kind) {
    std::vector<std::string> names;
    for (const RunStatus& run : runs) {
        if (run.kind == kind) {
            names.push_back(run.name);
        }
    }
    return names;
}

Sentence name_in(const std::vector<RunStatus>& runs, std::uint32_t run) {
    const auto found = std::find_if(runs.begin(), runs.end(), [&](const RunStatus& one) { return one.run == run; });
    return found == runs.end() || found->name.empty() ? Sentence::verbatim(fmt::to_string(run))
                                                      : history::quoted(found->name);
}

Sentence title_of(const history::RunHeader& run) {
    return run.name.empty() ? Sentence::verbatim(fmt::to_string(run.id)) : history::quoted(run.name);
}

}  // namespace moescope::node
