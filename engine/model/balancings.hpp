// The published ways to keep the load of experts even, each as the settings that make it: for runs that differ in this
// one thing. Whatever a configuration had before, with these settings nothing of another balancing is left.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace moescope::engine {

struct Balancing {
    const char* name;      ///< "switch", as people type it
    const char* settings;  ///< a JSON object: settings by key
    const char* source;    ///< where it was published
};

/// In the order in which they are offered; the first is no balancing at all.
std::span<const Balancing> balancings();
/// The settings of one, by its name or, where that is another, by what `balance` calls its loss ("batch" is "switch");
/// null when there is none.
nlohmann::json balancing_settings(std::string_view name);

}  // namespace moescope::engine
