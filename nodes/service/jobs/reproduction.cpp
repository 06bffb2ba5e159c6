#include "nodes/service/jobs/reproduction.hpp"

#include <set>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "engine/text/corpus.hpp"
#include "engine/text/dataset.hpp"
#include "engine/text/dataset_check.hpp"
#include "nodes/service/library/build_info.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {

using base::member;
using base::say;
using base::text_of;
using nlohmann::json;

namespace {

constexpr std::size_t kShownHash = 12;

/// A text that both know and that is another.
bool differs(const json& recorded, const json& here, const char* key) {
    const std::string before = text_of(recorded, key), now = text_of(here, key);
    return !before.empty() && !now.empty() && before != now;
}

void compare_builds(const json& manifest, std::vector<Difference>& differences) {
    const json here = build_info();
    const json& build = member(manifest, "build");
    if (!build.is_object()) {
        differences.push_back({"build", say("the session does not say from which sources its program was built")});
        if (const std::string version = text_of(manifest, "program_version");
            !version.empty() && version != text_of(here, "version")) {
            differences.push_back({"version", say("it was recorded with version {} of the program; this is {}", version,
                                                  text_of(here, "version"))});
        }
        return;
    }
    if (differs(build, here, "version")) {
        differences.push_back({"version", say("it was recorded with version {} of the program; this is {}",
                                              text_of(build, "version"), text_of(here, "version"))});
    }
    if (differs(build, here, "revision")) {
        differences.push_back(
            {"revision",
             say("its program was built from revision {} of the sources, this one from {}",
                 text_of(build, "revision").substr(0, kShownHash), text_of(here, "revision").substr(0, kShownHash))});
    }
    if (differs(build, here, "compiler")) {
        differences.push_back({"compiler", say("its program was built by {}, this one by {}",
                                               text_of(build, "compiler"), text_of(here, "compiler"))});
    }
    if (differs(build, here, "flags")) {
        differences.push_back({"flags", say("its program was built with the flags '{}', this one with '{}'",
                                            text_of(build, "flags"), text_of(here, "flags"))});
    }
    if (differs(build, here, "third_party")) {
        differences.push_back(
            {"third_party", say("its program was built with other versions of third-party libraries")});
    }
}

/// How threads wait and where files lie changes no number.
bool is_about_numbers(const std::string& variable) {
    return variable != "GOMP_SPINCOUNT" && variable != "OMP_WAIT_POLICY" && variable != "MOESCOPE_CACHE";
}

void compare_environments(const json& manifest, std::vector<Difference>& differences) {
    const json& before = member(manifest, "environment");
    if (!before.is_object()) {
        return;
    }
    const json here = environment_info();
    if (differs(before, here, "libc")) {
        differences.push_back(
            {"libc", say("it was recorded with version {} of the C library, which computes powers and "
                         "logarithms; here is {}",
                         text_of(before, "libc"), text_of(here, "libc"))});
    }
    const json &recorded = member(before, "variables"), &now = member(here, "variables");
    std::set<std::string> names;
    for (const json* variables : {&recorded, &now}) {
        for (auto entry = variables->begin(); variables->is_object() && entry != variables->end(); ++entry) {
            names.insert(entry.key());
        }
    }
    for (const std::string& name : names) {
        const std::string then = text_of(recorded, name.c_str()), today = text_of(now, name.c_str());
        if (then == today || !is_about_numbers(name)) {
            continue;
        }
        differences.push_back(
            {"variable", then.empty()    ? say("the variable {} was not set, and is '{}' here", name, today)
                         : today.empty() ? say("the variable {} was '{}', and is not set here", name, then)
                                         : say("the variable {} was '{}', and is '{}' here", name, then, today)});
    }
}

void compare_machines(const json& manifest, const engine::RunConfig& config, std::vector<Difference>& differences) {
    const json& machine = member(manifest, "machine");
    const std::string before = text_of(machine, "cpu"), here = processor_name();
    if (!before.empty() && !here.empty() && before != here) {
        differences.push_back({"processor", say("it was recorded on the processor {}; this is {}", before, here)});
    }
    const auto threads = base::count_of(manifest, "threads");
    const auto wanted = static_cast<std::uint64_t>(config.train.threads);
    if (threads > 0 && wanted > 0 && threads != wanted) {
        differences.push_back(
            {"threads",
             say("it was computed on {} threads and will be on {}: sums are taken in another order", threads, wanted)});
    } else if (threads > static_cast<std::uint64_t>(cores())) {
        differences.push_back(
            {"threads", say("it was computed on {} threads, and there are {} cores here", threads, cores())});
    }
}

void compare_devices(const json& manifest, const engine::RunConfig& config, kernels::Devices& devices,
                     std::vector<Difference>& differences) {
    const std::string& wanted = config.train.device;
    const std::string recorded = text_of(member(member(manifest, "config"), "train"), "device");
    if (!recorded.empty() && recorded != wanted) {
        differences.push_back({"device", say("it was computed on {} and will be on {}", recorded, wanted)});
    }
    try {
        devices.check(wanted);
    } catch (const base::Error& error) {
        differences.push_back({"device", error.sentence(), true});
        return;
    }
    const json& before = member(manifest, "device");
    if (!before.is_object() || recorded != wanted) {
        return;
    }
    const json here = device_manifest(devices, wanted);
    if (differs(before, here, "title")) {
        differences.push_back(
            {"device", say("{} was a {}, and is a {} here", wanted, text_of(before, "title"), text_of(here, "title"))});
    }
    if (differs(before, here, "driver") || differs(before, here, "toolkit")) {
        differences.push_back(
            {"driver", say("{} had driver {} and toolkit {}; here it has {} and {}", wanted, text_of(before, "driver"),
                           text_of(before, "toolkit"), text_of(here, "driver"), text_of(here, "toolkit"))});
    }
}

}  // namespace

std::vector<Difference> differences_here(const json& manifest, const engine::RunConfig& config,
                                         kernels::Devices& devices) {
    std::vector<Difference> differences;
    try {
        engine::check_dataset(text_of(manifest, "data"), config.model.vocabulary,
                              manifest.contains("init") || manifest.contains("fork"));
    } catch (const base::Error& error) {
        differences.push_back({"data", error.sentence(), true});
    }
    compare_builds(manifest, differences);
    compare_machines(manifest, config, differences);
    compare_devices(manifest, config, devices, differences);
    compare_environments(manifest, differences);
    return differences;
}

std::optional<Difference> other_data(const json& manifest, const std::string& sha256) {
    const std::string before = text_of(manifest, "corpus_sha256");
    if (before.empty() || sha256.empty() || before == sha256) {
        return std::nullopt;
    }
    return Difference{"data",
                      say("the data {} are not those that were recorded: their SHA-256 was {} and is {}",
                          text_of(manifest, "data"), before.substr(0, kShownHash), sha256.substr(0, kShownHash))};
}

std::optional<Difference> unsure_sources(const json& manifest) {
    const std::string revision = text_of(build_info(), "revision");
    if (!revision.ends_with("+") || text_of(member(manifest, "build"), "revision") != revision) {
        return std::nullopt;
    }
    return Difference{"revision", say("the sources had changes beyond revision {}, which may be others now",
                                      revision.substr(0, kShownHash))};
}

std::string hash_of_data(const std::string& data, int vocabulary, const std::filesystem::path& cache,
                         const std::function<void()>& check) {
    if (engine::holds_tokens(data)) {
        const auto progress = [&](double, const base::Sentence&) {
            check();
            return true;
        };
        return engine::load_dataset(data, vocabulary, cache, progress)->sha256;
    }
    return engine::read_corpus(data, cache, check).sha256;
}

json to_json(const std::vector<Difference>& differences) {
    json list = json::array();
    for (const Difference& one : differences) {
        json entry = {{"what", one.what}, {"stops", one.stops}};
        base::put_sentence(entry, "text", one.text);
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace moescope::node
