#include "nodes/service/library/build_info.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/foreign_text.hpp"
#include "base/text.hpp"
#include "revision.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

constexpr std::array<std::string_view, 9> kPrefixes = {"OMP_",  "GOMP_",     "KMP_",      "CUDA_",         "CUBLAS_",
                                                       "NCCL_", "OMPI_MCA_", "MOESCOPE_", "GLIBC_TUNABLES"};
constexpr std::array<std::string_view, 7> kSecrets = {"KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH", "COOKIE"};
/// What Open MPI's launcher tells its own processes: other with each start, and nobody's choice.
constexpr std::array<std::string_view, 6> kOfLaunch = {"OMPI_MCA_ess",  "OMPI_MCA_orte_",  "OMPI_MCA_initial_wdir",
                                                       "OMPI_MCA_pmix", "OMPI_MCA_shmem_", "OMPI_MCA_prte_"};
constexpr std::size_t kMostVariables = 100;

}  // namespace

json build_info() {
    return {{"version", MOESCOPE_VERSION},   {"revision", MOESCOPE_REVISION}, {"compiler", MOESCOPE_COMPILER},
            {"flags", MOESCOPE_BUILD_FLAGS}, {"type", MOESCOPE_BUILD_TYPE},   {"third_party", MOESCOPE_PINS}};
}

bool is_told(std::string_view variable) {
    return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                       [&](std::string_view prefix) { return variable.starts_with(prefix); }) &&
           std::none_of(kOfLaunch.begin(), kOfLaunch.end(),
                        [&](std::string_view prefix) { return variable.starts_with(prefix); }) &&
           std::none_of(kSecrets.begin(), kSecrets.end(),
                        [&](std::string_view word) { return base::contains_any_case(variable, word); });
}

json environment_info() {
    json variables = json::object();
    for (char** entry = environ; entry != nullptr && *entry != nullptr && variables.size() < kMostVariables; ++entry) {
        const std::string_view text = *entry;
        const auto equal = text.find('=');
        if (equal != std::string_view::npos && is_told(text.substr(0, equal))) {
            variables[base::shown_name(text.substr(0, equal))] = base::shown_name(text.substr(equal + 1));
        }
    }
    utsname system{};
    const bool known = ::uname(&system) == 0;
    return {{"system", known ? fmt::format("{} {} {}", system.sysname, system.release, system.machine) : std::string()},
            {"libc", gnu_get_libc_version()},
            {"variables", std::move(variables)}};
}

}  // namespace moescope::node
