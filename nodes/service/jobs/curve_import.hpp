// Curves of other tools as runs of a session.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/curves/read_curves.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

struct AddedRun {
    std::uint32_t run = 0;
    std::string name;
    std::size_t curves = 0;
    std::uint64_t points = 0;
    bool stopped = false;  ///< before it was whole; such a run is the last one
};

/// Writes each as a run of kind "imported". `name`: what they are called, with the part of their own name that tells
/// them apart; empty: their own names. Between pieces `stop` is asked whether to end; the run under way then ends as
/// stopped. Throws base::Error: the session can't be written.
std::vector<AddedRun> add_imported_runs(sessions::Session& session, RecordSink& sink,
                                        const std::vector<curves::ReadRun>& runs, const std::string& name,
                                        const std::function<bool()>& stop);
/// {"runs": [{"run","name","curves","points"}]}: the answer of curves.import without its notes.
nlohmann::json to_json(const std::vector<AddedRun>& runs);

}  // namespace moescope::node
