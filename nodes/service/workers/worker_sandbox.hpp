// What the process of a model may still do once it knows what is wanted of it: read that model, and write where an
// export goes. Models of servers are no files, and have to be reached: those processes keep all they have.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "base/sandbox.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// In the environment: "off" leaves the processes of models as they are.
inline constexpr const char* kSandboxVariable = "MOESCOPE_SANDBOX";

/// By the first request of such a process ("open", "export", "inspect"). Beside the model's own files: what the
/// program, the dynamic loader and drivers of GPUs read, and the folders "lent" (read) and "output" (written) that the
/// node names. Nothing for a model of a server, and where a person has switched it off.
std::optional<base::SandboxRules> sandbox_rules(const nlohmann::json& request, const Paths& paths);

/// Why the processes of models that this one starts keep more than they need; empty: they don't.
base::Sentence sandbox_problem();

}  // namespace moescope::node
