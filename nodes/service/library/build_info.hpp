// What a run needs to know of this program and its surroundings to be done again: for manifests, and for who compares.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace moescope::node {

/// {"version","revision" (of the sources; "+" at its end: with changes; empty: not known),"compiler","flags","type",
/// "third_party" (SHA-256 of the list of pinned versions)}.
nlohmann::json build_info();
/// {"system" ("Linux 6.1.0 x86_64"),"libc","variables" {name: value}}. Variables of the environment that change what is
/// computed or where: those of OpenMP, MPI, CUDA, NCCL and our own; never one whose name sounds like a secret.
nlohmann::json environment_info();
/// Whether environment_info() would tell a variable of this name.
bool is_told(std::string_view variable);

}  // namespace moescope::node
