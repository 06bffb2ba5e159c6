#include "nodes/protocol/gauges.hpp"

#include <array>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/protocol/run_state.hpp"

namespace moescope::protocol {
namespace {

constexpr std::array<std::pair<const char*, std::string ModelEntry::*>, 10> kTexts{
    {{"name", &ModelEntry::name},
     {"title", &ModelEntry::title},
     {"maker", &ModelEntry::maker},
     {"country", &ModelEntry::country},
     {"licence", &ModelEntry::licence},
     {"path", &ModelEntry::path},
     {"sha256", &ModelEntry::sha256},
     {"format", &ModelEntry::format},
     {"architecture", &ModelEntry::architecture},
     {"precision", &ModelEntry::precision}}};

}  // namespace

const char* task_kind_name(TaskKind kind) {
    switch (kind) {
        case TaskKind::train:
            return "task.train";
        case TaskKind::corpus:
            return "task.corpus";
        case TaskKind::wait:
            return "task.wait";
        case TaskKind::load:
            return "task.load";
        case TaskKind::generate:
            return "task.generate";
        case TaskKind::probe:
            return "task.probe";
        case TaskKind::hash:
            return "task.hash";
        case TaskKind::report:
            return "task.report";
        case TaskKind::route:
            return "task.route";
        case TaskKind::effect:
            return "task.effect";
        case TaskKind::sweep:
            return "task.sweep";
        case TaskKind::model_export:
            return "task.export";
        case TaskKind::archive:
            return "task.archive";
        case TaskKind::fetch:
            return "task.fetch";
        case TaskKind::send:
            return "task.send";
        case TaskKind::curves:
            return "task.curves";
    }
    return "";
}

std::optional<TaskKind> task_kind_named(std::string_view name) {
    return named(name, kTaskKinds, task_kind_name);
}

nlohmann::json to_json(const Task& task) {
    nlohmann::json value = {{"id", task.id},
                            {"kind", task.kind ? task_kind_name(*task.kind) : ""},
                            {"title", task.title},
                            {"fraction", task.fraction},
                            {"seconds_left", task.seconds_left},
                            {"cancel_command", task.cancel_command},
                            {"run", task.run}};
    base::put_sentence(value, "detail", task.detail);
    return value;
}

Task task_from_json(const nlohmann::json& value) {
    Task task;
    task.id = base::text_of(value, "id");
    task.kind = task_kind_named(base::text_of(value, "kind"));
    task.title = base::shown_name(base::text_of(value, "title"));
    task.fraction = base::number_of(value, "fraction", -1);
    task.seconds_left = base::number_of(value, "seconds_left", -1);
    task.detail = base::sentence_in(value, "detail");
    task.cancel_command = base::text_of(value, "cancel_command");
    task.run = base::run_of(value);
    return task;
}

const char* process_kind_name(ProcessMemory::Kind kind) {
    switch (kind) {
        case ProcessMemory::Kind::node:
            return "node";
        case ProcessMemory::Kind::model:
            return "model";
    }
    return "";
}

nlohmann::json to_json(const ProcessMemory& memory) {
    return {{"kind", process_kind_name(memory.kind)},
            {"name", memory.name},
            {"process", memory.process},
            {"bytes", memory.bytes},
            {"in_use", memory.in_use}};
}

std::optional<ProcessMemory> process_memory_from_json(const nlohmann::json& value) {
    const auto kind = named(base::text_of(value, "kind"), kProcessKinds, process_kind_name);
    if (!kind) {
        return std::nullopt;
    }
    ProcessMemory memory;
    memory.kind = *kind;
    memory.name = base::text_of(value, "name");
    memory.process = static_cast<std::int64_t>(base::count_of(value, "process"));
    memory.bytes = base::count_of(value, "bytes");
    memory.in_use = base::flag_of(value, "in_use");
    return memory;
}

nlohmann::json to_json(const DeviceEntry& device) {
    nlohmann::json value = {{"name", device.name},
                            {"title", device.title},
                            {"memory_total", device.memory_total},
                            {"memory_free", device.memory_free},
                            {"driver", device.driver},
                            {"driver_cuda", device.driver_cuda},
                            {"toolkit", device.toolkit},
                            {"capability", device.capability},
                            {"multiprocessors", device.multiprocessors},
                            {"usable", device.usable()},
                            {"gguf", device.gguf_why_not.empty()}};
    base::put_sentence(value, "why_not", device.why_not);
    base::put_sentence(value, "gguf_why_not", device.gguf_why_not);
    return value;
}

DeviceEntry device_from_json(const nlohmann::json& value) {
    DeviceEntry device;
    device.name = base::text_of(value, "name");  // goes into commands as it is
    device.title = base::shown_name(base::text_of(value, "title"));
    device.memory_total = base::count_of(value, "memory_total");
    device.memory_free = base::count_of(value, "memory_free");
    device.driver = base::shown_name(base::text_of(value, "driver"));
    device.driver_cuda = base::shown_name(base::text_of(value, "driver_cuda"));
    device.toolkit = base::shown_name(base::text_of(value, "toolkit"));
    device.capability = base::shown_name(base::text_of(value, "capability"));
    device.multiprocessors = base::integer_of(value, "multiprocessors");
    device.why_not = base::sentence_in(value, "why_not");
    if (device.usable() && !base::flag_of(value, "usable")) {
        device.why_not = base::say("the node does not say why");
    }
    device.gguf_why_not = base::sentence_in(value, "gguf_why_not");
    if (device.gguf_why_not.empty() && !base::flag_of(value, "gguf") && device.name != "cpu") {
        device.gguf_why_not =
            base::say("the node does not say why");  // an older one: it computes them on its processor
    }
    return device;
}

nlohmann::json to_json(const DeviceUse& use) {
    nlohmann::json value = {{"name", use.name}, {"title", use.title}};
    const auto put = [&](const char* key, const auto& known) {
        if (known) {
            value[key] = *known;
        }
    };
    put("use", use.use);
    put("memory_used", use.memory_used);
    put("memory_total", use.memory_total);
    put("temperature", use.temperature);
    put("power", use.power);
    put("power_limit", use.power_limit);
    return value;
}

DeviceUse device_use_from_json(const nlohmann::json& value) {
    DeviceUse use;
    use.name = base::shown_name(base::text_of(value, "name"));
    use.title = base::shown_name(base::text_of(value, "title"));
    const auto number = [&](const char* key, double low, double high) -> std::optional<double> {
        const std::optional<double> known = base::as_number(base::member(value, key));
        return known && *known >= low && *known <= high ? known : std::nullopt;
    };
    use.use = number("use", 0, 1);
    use.memory_used = base::as_count(base::member(value, "memory_used"));
    use.memory_total = base::as_count(base::member(value, "memory_total"));
    use.temperature = number("temperature", -100, 1000);
    use.power = number("power", 0, 1e6);
    use.power_limit = number("power_limit", 0, 1e6);
    return use;
}

const char* model_state_name(ModelState state) {
    switch (state) {
        case ModelState::ready:
            return "ready";
        case ModelState::missing:
            return "missing";
        case ModelState::refused:
            return "refused";
        case ModelState::changed:
            return "changed";
        case ModelState::untrained:
            return "untrained";
        case ModelState::server:
            return "server";
    }
    return "";
}

std::optional<ModelState> model_state_named(std::string_view name) {
    return named(name, kModelStates, model_state_name);
}

nlohmann::json to_json(const ModelEntry& model) {
    nlohmann::json value = {{"state", model.state ? model_state_name(*model.state) : ""},
                            {"bytes", model.bytes},
                            {"is_moe", model.is_moe},
                            {"available", model.available},
                            {"trained_here", model.trained_here}};
    for (const auto& [key, member] : kTexts) {
        value[key] = model.*member;
    }
    base::put_sentence(value, "origin", model.origin);
    base::put_sentence(value, "message", model.message);
    if (model.server) {
        value["server"] = {{"key_variable", model.server->key_variable},
                           {"key_set", model.server->key_set},
                           {"remote", model.server->remote},
                           {"dialect", model.server->dialect},
                           {"silence", model.server->silence},
                           {"layers", model.server->layers},
                           {"experts", model.server->experts},
                           {"experts_per_token", model.server->experts_per_token}};
    }
    return value;
}

ModelEntry model_from_json(const nlohmann::json& value) {
    ModelEntry model;
    for (const auto& [key, member] : kTexts) {
        model.*member = base::text_of(value, key);
        if (member != &ModelEntry::name && member != &ModelEntry::path) {  // these two go into commands as they are
            model.*member = base::shown_name(model.*member);
        }
    }
    model.state = model_state_named(base::text_of(value, "state"));
    model.origin = base::sentence_in(value, "origin");
    model.message = base::sentence_in(value, "message");
    model.bytes = base::count_of(value, "bytes");
    model.is_moe = base::flag_of(value, "is_moe");
    model.available = base::flag_of(value, "available");
    model.trained_here = base::flag_of(value, "trained_here");
    if (const nlohmann::json& server = base::member(value, "server"); server.is_object()) {
        model.server = ServerEntry{base::shown_name(base::text_of(server, "key_variable")),
                                   base::flag_of(server, "key_set"),
                                   base::flag_of(server, "remote"),
                                   base::shown_name(base::text_of(server, "dialect")),
                                   base::integer_of(server, "silence"),
                                   base::integer_of(server, "layers"),
                                   base::integer_of(server, "experts"),
                                   base::integer_of(server, "experts_per_token")};
    }
    return model;
}

}  // namespace moescope::protocol
