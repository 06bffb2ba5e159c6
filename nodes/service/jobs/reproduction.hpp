// What of a recorded training run is other here: before it is run again, so that nobody wonders about other numbers.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "engine/model/config.hpp"
#include "kernels/devices.hpp"

namespace moescope::node {

struct Difference {
    const char* what;     ///< "revision", "data", ...: for programs
    base::Sentence text;  ///< one sentence
    bool stops = false;   ///< the run can't be done again like this; else its numbers may be others
};

/// `manifest`: of the run. `config`: what it will be run with here. What an old manifest does not say is no difference;
/// that it says nothing of its build is one. Looks at the data only as far as whether they are there. May look at GPUs,
/// which takes up to a second.
std::vector<Difference> differences_here(const nlohmann::json& manifest, const engine::RunConfig& config,
                                         kernels::Devices& devices);
/// Whether the data that were loaded for a run are the recorded ones: nothing when they are, or when it is not known.
std::optional<Difference> other_data(const nlohmann::json& manifest, const std::string& sha256);
/// Both programs were built from one revision with changes: nobody knows whether these are the same.
std::optional<Difference> unsure_sources(const nlohmann::json& manifest);
/// The hash of the data as they are here, for other_data(): reads all of them. `check` is called now and then and may
/// throw. Throws base::Error: they can't be read.
std::string hash_of_data(const std::string& data, int vocabulary, const std::filesystem::path& cache,
                         const std::function<void()>& check);
/// {"what","text","text_id","stops"} each.
nlohmann::json to_json(const std::vector<Difference>& differences);

}  // namespace moescope::node
