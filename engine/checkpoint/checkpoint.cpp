#include "engine/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/input_file.hpp"
#include "base/saved_folder.hpp"
#include "engine/error.hpp"
#include "engine/files/partial_file.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t kMaxText = 1 << 20;  // config.json, state.json

void write_file(const std::filesystem::path& path, const std::string& text) {
    errno = 0;
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    if (!file) {
        throw writing_failed(path, errno);
    }
}

Json read_json(const std::filesystem::path& path) {
    Json value;
    try {
        value = base::read_json_file(path, kMaxText);
    } catch (const Error& problem) {
        throw Error(say("{}; the checkpoint is damaged, use another one", problem));
    }
    if (!value.is_object()) {
        throw Error(say("{}: is not a JSON object; the checkpoint is damaged, use another one", path));
    }
    return value;
}

std::uint64_t whole_number(const Json& value, const char* key, const std::filesystem::path& path) {
    const auto found = value.find(key);
    if (found == value.end() || !found->is_number_unsigned()) {
        throw Error(
            say("{}: \"{}\" is missing or no whole number; the checkpoint is damaged, use another one", path, key));
    }
    return found->get<std::uint64_t>();
}

std::string text_of(const Json& value, const char* key, const std::filesystem::path& path) {
    const auto found = value.find(key);
    if (found == value.end() || !found->is_string()) {
        throw Error(say("{}: \"{}\" is missing or no text; the checkpoint is damaged, use another one", path, key));
    }
    return found->get<std::string>();
}

/// A list of [layer, expert]; ranges are checked by the run that takes them.
std::vector<std::pair<int, int>> experts_of(const Json& value, const char* key, const std::filesystem::path& path) {
    std::vector<std::pair<int, int>> list;
    const auto found = value.find(key);
    if (found == value.end()) {
        return list;  // written before there were such knobs
    }
    constexpr std::uint64_t kMost = 1 << 20;
    const auto whole = [](const Json& number) {
        return number.is_number_unsigned() && number.get<std::uint64_t>() < kMost;
    };
    for (const Json& pair : *found) {
        if (!pair.is_array() || pair.size() != 2 || !whole(pair[0]) || !whole(pair[1])) {
            throw Error(say("{}: \"{}\" is no list of layers and experts; the checkpoint is damaged, use another one",
                            path, key));
        }
        list.emplace_back(pair[0].get<int>(), pair[1].get<int>());
    }
    return list;
}

/// A number in [low, high], `otherwise` when missing.
double number_of(const Json& value, const char* key, double low, double high, double otherwise,
                 const std::filesystem::path& path) {
    const auto found = value.find(key);
    if (found == value.end()) {
        return otherwise;
    }
    if (!found->is_number() || !(found->get<double>() >= low) || !(found->get<double>() <= high)) {
        throw Error(say("{}: \"{}\" is no number in its range; the checkpoint is damaged, use another one", path, key));
    }
    return found->get<double>();
}

}  // namespace

void check_as_saved(const std::filesystem::path& folder) {
    if (!base::is_there(folder / "DONE")) {
        return;
    }
    const auto damaged = [&](const Sentence& problem) {
        return Error(say("{}; the checkpoint is damaged, use another one", say("{}: {}", folder, problem)));
    };
    std::vector<base::SavedFile> files;
    try {
        files = base::read_saved_list(folder);
    } catch (const Error& problem) {
        throw damaged(problem.sentence());
    }
    for (const char* name : {kConfigFile, kStateFile, kModelFile, kTokenizerFile}) {
        const auto file =
            std::find_if(files.begin(), files.end(), [&](const base::SavedFile& saved) { return saved.name == name; });
        if (!base::is_there(folder / name)) {
            continue;  // who reads it says so; a model without its tokenizer still has logits
        }
        if (file == files.end()) {
            throw damaged(say("the file DONE does not list {}", name));
        }
        if (const Sentence problem = base::changed_since_saved(folder, *file, true); !problem.empty()) {
            throw damaged(problem);
        }
    }
}

RunConfig read_checkpoint_config(const std::filesystem::path& folder) {
    const auto path = folder / kConfigFile;
    return parse_run_config(read_json(path), path.string());
}

void take_live(RunConfig& now, const RunConfig& config, const CheckpointState& state) {
    const auto live = [&](const char* key, double value) {
        if (may_change(config, key)) {  // once, any could be turned in any run
            set_live(now, config, key, value);
        }
    };
    if (state.experts_per_token > 0) {
        live("experts_per_token", state.experts_per_token);
    }
    if (state.capacity_factor >= 0) {
        live("capacity_factor", state.capacity_factor);
    }
}

CheckpointState read_checkpoint_state(const std::filesystem::path& folder) {
    const auto path = folder / kStateFile;
    const Json value = read_json(path);
    if (const std::uint64_t format = whole_number(value, "format", path); format > 1) {
        throw Error(say("{}: was written by a newer version; update the program", path));
    } else if (format == 0) {
        throw Error(say("{}: \"{}\" is missing or no whole number; the checkpoint is damaged, use another one", path,
                        "format"));
    }
    CheckpointState state;
    state.step = whole_number(value, "step", path);
    state.updates = whole_number(value, "updates", path);
    state.sequences = whole_number(value, "sequences", path);
    state.data_name = text_of(value, "data_name", path);
    state.data_sha256 = text_of(value, "data_sha256", path);
    state.data_tokens = whole_number(value, "data_tokens", path);
    state.experts_per_token = static_cast<int>(number_of(value, "experts_per_token", 0, 64, 0, path));
    state.capacity_factor = number_of(value, "capacity_factor", -1, 1000, -1, path);
    state.disabled = experts_of(value, "disabled_experts", path);
    state.frozen = experts_of(value, "frozen_experts", path);
    constexpr std::uint64_t kMost = std::uint64_t{1} << 52;
    if (state.step > kMost || state.updates > state.step || state.sequences > kMost) {
        throw Error(say("{}: its counters make no sense; the checkpoint is damaged, use another one", path));
    }
    return state;
}

std::shared_ptr<const Tokenizer> read_checkpoint_tokenizer(const std::filesystem::path& folder) {
    const auto path = folder / kTokenizerFile;
    if (!base::is_there(path)) {
        return nullptr;
    }
    try {
        return Tokenizer::from_bytes(base::read_file(path, kMaxTokenizerBytes));
    } catch (const Error& problem) {
        const std::string text = problem.what();
        throw Error(text.find(path.string()) == std::string::npos ? say("{}: {}", path, problem) : problem.sentence());
    }
}

void write_checkpoint_texts(const std::filesystem::path& folder, const RunConfig& config, const CheckpointState& state,
                            const Tokenizer* tokenizer) {
    const Json value = {{"format", 1},
                        {"step", state.step},
                        {"updates", state.updates},
                        {"sequences", state.sequences},
                        {"data_name", state.data_name},
                        {"data_sha256", state.data_sha256},
                        {"data_tokens", state.data_tokens},
                        {"experts_per_token", state.experts_per_token},
                        {"capacity_factor", state.capacity_factor},
                        {"disabled_experts", state.disabled},
                        {"frozen_experts", state.frozen}};
    if (tokenizer != nullptr) {
        write_file(folder / kTokenizerFile, tokenizer->model_bytes());
    }
    // Invalid UTF-8 in a name (a path, perhaps) is replaced: it is shown, never used to open anything.
    write_file(folder / kConfigFile, to_json(config).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    write_file(folder / kStateFile, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

CheckpointTensors::CheckpointTensors(const std::filesystem::path& path, const ModelConfig& model,
                                     const ParameterLayout& layout, const std::vector<std::string>& prefixes)
    : file_(path), names_(name_tensors(model, layout)) {
    const auto& tensors = file_.header().tensors;
    for (const std::string& prefix : prefixes) {
        for (const NamedTensor& tensor : names_) {
            const auto found = tensors.find(prefix + tensor.name);
            if (found == tensors.end()) {
                throw Error(say("{}: tensor \"{}{}\" is missing; it does not belong to {}", path, prefix, tensor.name,
                                kConfigFile));
            }
            if (found->second.dtype != "F32" || found->second.shape != tensor.shape) {
                throw Error(
                    say("{}: tensor \"{}{}\" has another type or shape than {} says; the files do not belong together",
                        path, prefix, tensor.name, kConfigFile));
            }
        }
    }
    if (tensors.size() != names_.size() * prefixes.size()) {
        throw Error(say("{}: has {} tensors, but {} says {}; the files do not belong together", path, tensors.size(),
                        kConfigFile, names_.size() * prefixes.size()));
    }
}

void CheckpointTensors::read(const std::string& prefix, float* into, const std::function<void()>& check) const {
    read(prefix, names_, into, check);
}

void CheckpointTensors::read(const std::string& prefix, const std::vector<NamedTensor>& names, float* into,
                             const std::function<void()>& check) const {
    for (const NamedTensor& tensor : names) {
        if (check) {
            check();
        }
        file_.read_f32(prefix + tensor.name, {into + tensor.offset, tensor.count});
    }
}

void write_checkpoint_tensors(const std::filesystem::path& path, const ModelConfig& model,
                              const ParameterLayout& layout, const std::vector<PrefixedBuffer>& buffers) {
    std::vector<SafetensorsOutput> outputs;
    for (const PrefixedBuffer& buffer : buffers) {
        for (NamedTensor& tensor : name_tensors(model, layout)) {
            outputs.push_back({buffer.prefix + tensor.name, std::move(tensor.shape), buffer.values + tensor.offset});
        }
    }
    write_safetensors(path, std::move(outputs));
}

}  // namespace moescope::engine
