// What a node's STATE says of long work and of models: one definition for the node that fills it and the client that
// reads it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::protocol {

enum class TaskKind : std::uint8_t {
    train,
    corpus,
    wait,
    load,
    generate,
    probe,
    hash,
    report,
    route,
    effect,
    sweep,
    model_export,
    archive,  ///< a session is packed
    fetch,    ///< files come from a node
    send,     ///< files go to one
    curves    ///< of other tools, in or out
};
inline constexpr int kTaskKinds = 16;
/// "task.train", ...: a language key.
const char* task_kind_name(TaskKind kind);
std::optional<TaskKind> task_kind_named(std::string_view name);

/// Long work in the node: progress, rate, time left, cancel.
struct Task {
    std::string id;
    std::optional<TaskKind> kind;  ///< nothing: of a later version
    std::string title;             ///< a name
    double fraction = -1;          ///< 0 to 1, below 0 when unknown
    double seconds_left = -1;      ///< below 0 when unknown
    base::Sentence detail;
    /// Sent with {"run"}, or with {"id"} when the task belongs to no run; empty when it cannot be cancelled.
    std::string cancel_command;
    std::uint32_t run = 0;  ///< 0: none
};
nlohmann::json to_json(const Task& task);
Task task_from_json(const nlohmann::json& value);

enum class ModelState : std::uint8_t {
    ready,
    missing,
    refused,    ///< not safe to open, or not a model
    changed,    ///< not the file that was pinned
    untrained,  ///< a run of this session that has no checkpoint yet
    server,     ///< another program has it; whether that answers is seen when it is asked
};
inline constexpr int kModelStates = 6;
const char* model_state_name(ModelState state);
std::optional<ModelState> model_state_named(std::string_view name);

/// Memory of one process of the program.
struct ProcessMemory {
    enum class Kind : std::uint8_t { node, model };
    Kind kind = Kind::node;
    std::string name;          ///< of a model; of several that a process has open one after the other, the present one
    std::int64_t process = 0;  ///< process id
    std::uint64_t bytes = 0;   ///< see base::process_memory()
    bool in_use = true;        ///< of a model's process: it answers; else it is kept for the next question
};
inline constexpr int kProcessKinds = 2;
const char* process_kind_name(ProcessMemory::Kind kind);
nlohmann::json to_json(const ProcessMemory& memory);
/// Nothing for a kind of a later version.
std::optional<ProcessMemory> process_memory_from_json(const nlohmann::json& value);

/// What can compute on the node's machine, or why it can't.
struct DeviceEntry {
    std::string name;   ///< as train.device has it: "cpu", "cuda:0"; "cuda" where no GPU can be told
    std::string title;  ///< of the processor or GPU
    std::uint64_t memory_total = 0, memory_free = 0;  ///< bytes, when it was looked at; 0: not known
    std::string driver, driver_cuda, toolkit;         ///< "580.65.06", "13.0", "13.5"; empty: none, or not known
    std::string capability;                           ///< "9.0", of a GPU
    int multiprocessors = 0;                          ///< of a GPU
    base::Sentence why_not;                           ///< empty: it can be used
    base::Sentence gguf_why_not;                      ///< why GGUF models can't be computed there; empty: they can
    bool usable() const { return why_not.empty(); }
};
nlohmann::json to_json(const DeviceEntry& device);
DeviceEntry device_from_json(const nlohmann::json& value);

/// What a device does now. What the system does not tell is not there, and nothing stands in its place.
struct DeviceUse {
    std::string name;                                        ///< "cpu", or of a GPU as its driver counts: "gpu 0"
    std::string title;                                       ///< of a GPU
    std::optional<double> use;                               ///< 0 to 1, since the look before
    std::optional<std::uint64_t> memory_used, memory_total;  ///< bytes, of all programs
    std::optional<double> temperature;                       ///< degrees Celsius
    std::optional<double> power, power_limit;                ///< watts
    bool operator==(const DeviceUse&) const = default;
};
nlohmann::json to_json(const DeviceUse& use);
DeviceUse device_use_from_json(const nlohmann::json& value);

/// Of a model that another program computes. Its key stays in the environment.
struct ServerEntry {
    std::string key_variable;                            ///< of the environment, with the key
    bool key_set = false;                                ///< whether the node has such a variable
    bool remote = false;                                 ///< prompts may leave this machine
    std::string dialect;                                 ///< "auto", "vllm", ...
    int silence = 0;                                     ///< seconds that are waited for it
    int layers = 0, experts = 0, experts_per_token = 0;  ///< 0: not known
};

/// One model of a node's library.
struct ModelEntry {
    std::string name, title, maker, country, licence, path, sha256, format, architecture, precision;
    std::optional<ModelState> state;  ///< nothing: of a later version
    base::Sentence origin;
    base::Sentence message;  ///< when not ready
    std::uint64_t bytes = 0;
    bool is_moe = false;
    bool available = false;
    bool trained_here = false;  ///< a checkpoint of a run of this session
    std::optional<ServerEntry> server;
};
nlohmann::json to_json(const ModelEntry& model);
ModelEntry model_from_json(const nlohmann::json& value);

}  // namespace moescope::protocol
