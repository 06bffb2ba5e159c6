#include "nodes/service/library/model_library.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fmt/format.h>
#include <iterator>
#include <regex>
#include <span>
#include <utility>

#include "base/atomic_files.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/sha256.hpp"
#include "base/text.hpp"
#include "engine/files/gguf.hpp"
#include "engine/files/inspect.hpp"
#include "nodes/service/library/command_error.hpp"
#include "sessions/session.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using base::text_of;
using nlohmann::json;
using namespace nlohmann::literals;

namespace {

constexpr std::uint64_t kLargestList = std::uint64_t{4} << 20;

json parse_list(const fs::path& path) {
    const auto value = base::read_json_file(path, kLargestList);
    if (!value.is_object() || !value.contains("models") || !value["models"].is_array()) {
        throw base::Error(say("{} is not a list of models; it must be an object with \"models\"", path));
    }
    return value["models"];
}

/// What the window is told of a server; never the key itself.
protocol::ServerEntry entry_of(const servers::Server& server) {
    return {.key_variable = server.key_variable,
            .key_set = std::getenv(server.key_variable.c_str()) != nullptr,
            .remote = server.remote,
            .dialect = servers::dialect_name(server.dialect),
            .silence = server.silence,
            .layers = server.shape.layers,
            .experts = server.shape.experts,
            .experts_per_token = server.shape.per_token};
}

LibraryModel from_json(const json& value) {
    LibraryModel model{protocol::model_from_json(value), false, {}, {}};
    if (servers::is_address(model.path)) {
        model.served_by = servers::server_from_json(servers::parse_address(model.path), base::member(value, "server"));
    }
    return model;
}

/// The name of a file without its ending and without the number of its part; a folder's whole.
std::string stem_of(const fs::path& path) {
    std::string name = path.filename().string();
    for (const std::string_view ending : {".gguf", ".safetensors"}) {
        if (name.size() > ending.size() && name.ends_with(ending)) {
            name.resize(name.size() - ending.size());
            static const std::regex kPart("-[0-9]{5}-of-[0-9]{5}$");
            return std::regex_replace(name, kPart, "");
        }
    }
    return name;
}

/// "My Model-v0.3-Q4.gguf" -> "my-model-v0.3-q4".
std::string name_from_stem(const std::string& whole) {
    constexpr std::size_t kLongestName = 80;
    std::string name;
    const std::string stem = base::one_line(whole, 4 * kLongestName);
    for (const char c : stem) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '.' || c == '_') {
            name += base::lower(c);
        } else if (!name.empty() && name.back() != '-') {
            name += '-';
        }
    }
    name = name.substr(0, kLongestName);
    while (!name.empty() && name.back() == '-') {
        name.pop_back();
    }
    return name.empty() ? "model" : name;
}

std::string name_from_path(const fs::path& path) {
    return name_from_stem(stem_of(path));
}

/// `stem`, or with a number what no model has yet.
std::string free_name(const std::string& stem, const std::vector<LibraryModel>& models) {
    const auto taken = [&](const std::string& name) {
        return std::any_of(models.begin(), models.end(), [&](const LibraryModel& other) { return other.name == name; });
    };
    std::string name = stem;
    for (int number = 2; taken(name); ++number) {
        name = fmt::format("{}-{}", stem, number);
    }
    return name;
}

bool is_model_folder(const fs::path& path) {
    std::error_code error;
    return fs::exists(path / "config.json", error) &&
           (fs::exists(path / "model.safetensors", error) || fs::exists(path / "model.safetensors.index.json", error));
}

bool is_session(const fs::path& path) {
    std::error_code error;
    return fs::exists(path / "manifest.json", error) && fs::is_directory(path / "segments", error);
}

bool is_file(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error);
}

}  // namespace

ModelLibrary::ModelLibrary(const Paths& paths, StatusBoard* board) : paths_(paths), board_(board) {
    load_hashes();
    load_built_in();
    models_ = current();
    if (board_ == nullptr) {
        return;
    }
    hash_new({});
    hasher_ = std::thread([this] { hash_loop(); });
}

ModelLibrary::~ModelLibrary() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (hasher_.joinable()) {
        hasher_.join();
    }
}

void ModelLibrary::hash_new(const std::vector<LibraryModel>& before) {
    if (board_ == nullptr) {
        return;
    }
    const auto known = [&](const LibraryModel& model) {
        return hashes_.contains(hash_key(model.path)) ||
               std::find(to_hash_.begin(), to_hash_.end(), model.path) != to_hash_.end() ||
               std::any_of(before.begin(), before.end(), [&](const LibraryModel& other) {
                   return other.path == model.path && other.seen == model.seen;
               });
    };
    for (const auto& model : models_) {
        if (model.available && is_file(model.path) && !known(model)) {
            to_hash_.push_back(model.path);
        }
    }
    wake_.notify_all();
}

void ModelLibrary::look_again(const std::string& only) {
    // Files are looked at without the lock: a slow disk keeps nobody from the list.
    const fs::path list = paths_.data / "models.json";
    const std::string list_now = only.empty() ? state_of_files(list) : std::string();
    std::vector<std::string> changed;
    for (const LibraryModel& model : models()) {
        const bool wanted = only.empty() || model.name == only;
        if (wanted && !model.served_by && state_of_files(model.path) != model.seen) {
            changed.push_back(model.path);
        }
    }
    const std::lock_guard lock(mutex_);
    const std::vector<LibraryModel> before = models_;
    const bool other_list = only.empty() && list_now != list_seen_;
    if (!other_list && changed.empty()) {
        return;
    }
    if (other_list) {
        models_ = current();
    }
    for (LibraryModel& model : models_) {
        if (std::find(changed.begin(), changed.end(), model.path) == changed.end()) {
            continue;
        }
        if (!model.built_in) {  // nothing that is known of the file before belongs to this one
            LibraryModel fresh;
            fresh.name = model.name;
            fresh.title = model.title;
            fresh.path = model.path;
            fresh.origin = model.origin;
            model = std::move(fresh);
        }
        inspect(model);
    }
    hash_new(before);
    ++version_;
}

std::string ModelLibrary::title_apart(const LibraryModel& model) const {
    const std::lock_guard lock(mutex_);
    const bool twice = std::any_of(models_.begin(), models_.end(), [&](const LibraryModel& other) {
        return other.name != model.name && other.title == model.title;
    });
    if (!twice) {
        return model.title;
    }
    const std::string more = model.served_by ? model.served_by->address.authority()
                                             : base::shown_name(fs::path(model.path).filename().string());
    return model.title.find(more) == std::string::npos ? model.title + " \u00b7 " + more : model.title;
}

void ModelLibrary::load_built_in() {
    for (const auto& value : parse_list(paths_.assets / "models.json")) {
        LibraryModel model = from_json(value);
        model.built_in = true;
        model.path = (paths_.models() / text_of(value, "file")).string();
        inspect(model);
        models_.push_back(std::move(model));
    }
}

std::optional<std::vector<LibraryModel>> ModelLibrary::read_added() {
    problem_ = {};
    const fs::path file = paths_.data / "models.json";
    list_seen_ = state_of_files(file);
    std::error_code ignored;
    if (!fs::exists(fs::symlink_status(file, ignored))) {
        return std::nullopt;
    }
    std::vector<LibraryModel> models;
    try {
        std::size_t number = 0;
        for (const auto& value : parse_list(file)) {
            ++number;
            LibraryModel model;
            try {
                model = from_json(value);
            } catch (const base::Error& error) {
                problem_ = say("{}: entry {}: {}", file, number, error);
                continue;
            }
            if (model.name.empty() || model.path.empty()) {
                problem_ = say("{}: entry {} names no model and no file", file, number);
                continue;
            }
            inspect(model);
            models.push_back(std::move(model));
        }
    } catch (const std::exception& error) {
        // A damaged list must not keep the node from starting.
        problem_ = base::sentence_of(error);
    }
    if (problem_.empty()) {
        return models;
    }
    const bool whole = models.empty();
    problem_ =
        fs::is_regular_file(file, ignored)
            ? say("the list of added models is damaged: {}; mend it, or it is kept under another name when a "
                  "model is added or removed",
                  problem_)
            : say("the list of added models can't be read: {}; put that right before a model is added or removed",
                  problem_);
    warn(problem_);
    return whole ? std::nullopt : std::optional(std::move(models));
}

void ModelLibrary::warn(const Sentence& sentence) {
    if (std::find(warned_.begin(), warned_.end(), sentence) == warned_.end()) {
        warned_.push_back(sentence);
        warnings_.push_back(sentence);
    }
}

Sentence ModelLibrary::problem() const {
    const std::lock_guard lock(mutex_);
    return problem_;
}

std::vector<Sentence> ModelLibrary::take_warnings() {
    const std::lock_guard lock(mutex_);
    return std::exchange(warnings_, {});
}

std::vector<LibraryModel> ModelLibrary::current() {
    auto added = read_added();
    if (!added) {
        return models_;
    }
    std::vector<LibraryModel> models;
    std::copy_if(models_.begin(), models_.end(), std::back_inserter(models),
                 [](const LibraryModel& model) { return model.built_in; });
    std::move(added->begin(), added->end(), std::back_inserter(models));
    return models;
}

void ModelLibrary::set_damaged_list_aside(const fs::path& file) {
    const fs::path aside = base::damaged_name(file);
    std::error_code error;
    fs::rename(file, aside, error);
    if (error) {
        throw CommandError(say(
            "the damaged list of models {} can't be kept under another name: {}; nothing was changed", file, error));
    }
    warn(say("the damaged list of models was kept as {}", aside));
}

void ModelLibrary::save_added(const std::vector<LibraryModel>& models) {
    auto list = json::array();
    for (const auto& model : models) {
        if (!model.built_in) {
            list.push_back({{"name", model.name}, {"title", model.title}, {"path", model.path}});
            base::put_sentence(list.back(), "origin", model.origin);
            if (model.served_by) {
                list.back()["server"] = servers::to_json(*model.served_by);
            }
        }
    }
    fs::create_directories(paths_.data);
    fs::path file = paths_.data / "models.json";
    std::error_code error;
    if (fs::is_symlink(fs::symlink_status(file, error))) {
        file = fs::canonical(file, error);  // the link stays, and what it names is written
    }
    if (!problem_.empty()) {
        if (error || !fs::is_regular_file(fs::symlink_status(file, error))) {
            throw CommandError(problem_);
        }
        set_damaged_list_aside(file);
    }
    base::write_file_atomically(file, json{{"models", list}}.dump(2) + "\n");
    list_seen_ = state_of_files(paths_.data / "models.json");
    problem_ = {};
}

void ModelLibrary::inspect(LibraryModel& model) const {
    std::error_code error;
    model.available = false;
    if (model.served_by) {
        // Nobody asks a server how it is but a person who uses it.
        model.server = entry_of(*model.served_by);
        model.state = protocol::ModelState::server;
        model.format = "HTTP";
        model.is_moe = model.served_by->shape.experts > 1;
        model.available = true;
        return;
    }
    model.seen = state_of_files(model.path);
    if (!fs::exists(model.path, error)) {
        model.state = protocol::ModelState::missing;
        model.message = model.built_in ? say("{} is not there; ./run fetches it", model.path)
                                       : say("{} is not there any more; put it back or remove the model", model.path);
        return;
    }
    const auto report = engine::inspect_file(model.path);
    const std::uint64_t bytes = model_bytes(model.path);
    model.format = report.format();
    if (const auto parts = base::texts_of(report.details, "parts"); !parts.empty()) {
        model.format = fmt::format("{} ({})", report.format(), parts.size());
    }
    if (!report.safe) {
        model.state = protocol::ModelState::refused;
        model.message = report.problem;
        return;
    }
    if (model.built_in && bytes != model.bytes) {
        model.state = protocol::ModelState::changed;
        model.message =
            say("{} has {} bytes instead of {}; delete it and start ./run again", model.path, bytes, model.bytes);
        return;
    }
    model.bytes = bytes;
    if (const auto text = text_of(report.details, "architecture"); !text.empty()) {
        model.architecture = text;
    }
    for (const char* key : {"precision", "quantisation"}) {
        if (const auto text = text_of(report.details, key); !text.empty()) {
            model.precision = text;
        }
    }
    if (model.licence.empty()) {
        model.licence = text_of(report.details, "licence");
    }
    if (!model.built_in) {
        // Of the file that is there now, whatever the list says that it was called when it was added.
        model.title = text_of(report.details, "name");
        if (model.title.empty()) {
            const fs::path path = model.path;
            model.title = base::shown_name(files_of_model(path).size() > 1 ? stem_of(path) : path.filename().string());
        }
        model.sha256.clear();
    }
    // A checkpoint of ours says it in its configuration, a GGUF file at the top.
    const bool ours =
        report.kind == engine::FileKind::checkpoint && report.details.contains("/config/model"_json_pointer);
    const json& shape = ours ? report.details["/config/model"_json_pointer] : report.details;
    const auto experts = shape.find("experts");
    model.is_moe = experts != shape.end() && experts->is_number() && experts->get<double>() > 1;
    model.state = protocol::ModelState::ready;
    model.message = {};
    model.available = true;
    const std::string hash = cached_hash(model.path);
    if (hash.empty()) {
        return;
    }
    if (model.built_in && !model.sha256.empty() && hash != model.sha256) {
        model.state = protocol::ModelState::changed;
        model.available = false;
        model.message =
            say("{} is not the file that was pinned: its SHA-256 begins with {} instead of {}; delete it "
                "and start ./run again",
                model.path, hash.substr(0, 12), model.sha256.substr(0, 12));
        return;
    }
    model.sha256 = hash;
}

std::vector<LibraryModel> ModelLibrary::models() const {
    const std::lock_guard lock(mutex_);
    return models_;
}

std::optional<LibraryModel> ModelLibrary::find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    for (const auto& model : models_) {
        if (model.name == name) {
            return model;
        }
    }
    return std::nullopt;
}

std::string ModelLibrary::add(const fs::path& given) {
    fs::path path = fs::absolute(given).lexically_normal();
    if (!path.has_filename()) {
        path = path.parent_path();  // "folder/"
    }
    const auto report = engine::inspect_file(path);
    if (const auto parts = base::texts_of(report.details, "parts"); report.safe && !parts.empty()) {
        path = path.parent_path() / parts.front();  // of a model in parts, any may be named
    }
    if (!report.safe) {
        throw CommandError(report.problem.empty() ? say("{} is not a model that can be opened", path) : report.problem);
    }
    if (report.kind != engine::FileKind::gguf && report.kind != engine::FileKind::checkpoint &&
        report.kind != engine::FileKind::hugging_face) {
        throw CommandError(
            say("{} is {}; a model must be a GGUF file, a Hugging Face folder or a checkpoint folder of Moescope", path,
                report.format()));
    }
    const std::lock_guard lock(mutex_);
    auto models = current();
    for (const auto& model : models) {
        if (model.path == path.string()) {
            return model.name;
        }
    }
    LibraryModel model;
    model.path = path.string();
    model.origin = say("added by hand");
    model.name = free_name(name_from_path(path), models);
    inspect(model);
    models.push_back(model);
    save_added(models);
    hash_new(std::exchange(models_, std::move(models)));
    ++version_;
    return model.name;
}

std::string ModelLibrary::add_server(const servers::Server& server) {
    servers::check(server);
    const std::string path = server.address.text();
    if (server.address.model.empty()) {
        throw CommandError(say("{} names no model; write its name behind a #", path));
    }
    const std::lock_guard lock(mutex_);
    auto models = current();
    auto found =
        std::find_if(models.begin(), models.end(), [&](const LibraryModel& model) { return model.path == path; });
    if (found == models.end()) {
        LibraryModel model;
        model.path = path;
        model.origin = say("on the server {}", server.address.server());
        const std::string& whole = server.address.model;
        model.name = free_name(name_from_stem(whole.substr(whole.find_last_of('/') + 1)), models);
        model.title = base::shown_name(whole);
        models.push_back(std::move(model));
        found = std::prev(models.end());
    }
    found->served_by = server;
    inspect(*found);
    const std::string name = found->name;
    save_added(models);
    models_ = std::move(models);
    ++version_;
    return name;
}

void ModelLibrary::remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    auto models = current();
    const auto found =
        std::find_if(models.begin(), models.end(), [&](const LibraryModel& model) { return model.name == name; });
    if (found == models.end()) {
        throw CommandError(say("there is no model '{}' in the library", name));
    }
    if (found->built_in) {
        throw CommandError(say("'{}' belongs to the library's own list and stays in it", name));
    }
    models.erase(found);
    save_added(models);
    models_ = std::move(models);
    ++version_;
}

ModelSource ModelLibrary::resolve_source(const std::string& model) const {
    if (const auto entry = find(model); entry && entry->served_by) {
        return {entry->path, servers::to_json(*entry->served_by)};
    }
    if (!servers::is_address(model)) {
        return resolve(model);
    }
    servers::Server server;
    server.address = servers::parse_address(model);
    const std::string path = server.address.text();
    for (const LibraryModel& entry : models()) {
        if (entry.served_by && entry.path == path) {
            return {path, servers::to_json(*entry.served_by)};
        }
    }
    if (server.address.model.empty()) {
        throw CommandError(say("{} names no model; write its name behind a #", path));
    }
    servers::check(server);
    return {path, servers::to_json(server)};
}

fs::path ModelLibrary::resolve(const std::string& model) const {
    if (servers::is_address(model)) {
        throw CommandError(needs_file(model));
    }
    if (const auto entry = find(model)) {
        if (entry->served_by) {
            throw CommandError(needs_file(model));
        }
        if (!entry->available) {
            throw CommandError(say("the model '{}' cannot be used: {}", model, entry->message));
        }
        return entry->path;
    }
    const fs::path path = fs::absolute(model).lexically_normal();
    std::error_code error;
    if (!base::is_there(path)) {
        std::string names;
        for (const auto& entry : models()) {
            base::append_to_list(names, entry.name);
        }
        throw CommandError(say("'{}' is neither a model of the library ({}) nor a file or folder", model, names));
    }
    if (fs::is_directory(path, error) && !is_model_folder(path) && is_session(path)) {
        sessions::require_known_version(path);
        return latest_checkpoint(path);
    }
    return path;
}

std::string ModelLibrary::hash_key(const fs::path& path) const {
    std::error_code error;
    const std::string state = fs::is_directory(path, error) ? std::string() : state_of_files(path);
    return state.empty() ? state : path.string() + state;
}

std::string ModelLibrary::known_sha256(const fs::path& path) const {
    const std::lock_guard lock(mutex_);
    return cached_hash(path);
}

std::string ModelLibrary::cached_hash(const fs::path& path) const {
    const auto found = hashes_.find(hash_key(path));
    return found == hashes_.end() ? std::string() : found->second;
}

void ModelLibrary::load_hashes() {
    const fs::path file = paths_.data / "hashes.json";
    std::error_code error;
    if (!fs::exists(file, error)) {
        return;
    }
    try {
        const auto value = base::read_json_file(file, kLargestList);
        if (value.is_object()) {
            for (const auto& [key, hash] : value.items()) {
                if (hash.is_string()) {
                    hashes_[key] = hash.get<std::string>();
                }
            }
        }
    } catch (const std::exception&) {
        // Only a cache: hashed again.
    }
}

void ModelLibrary::save_hashes() const {
    try {
        fs::create_directories(paths_.data);
        base::write_file_atomically(paths_.data / "hashes.json", json(hashes_).dump(2) + "\n");
    } catch (const std::exception&) {
        // Only a cache: hashed again next time.
    }
}

std::string ModelLibrary::hash_file(const LibraryModel& model) {
    BoardTask task(*board_, "hash-" + model.name, protocol::TaskKind::hash,
                   model.title.empty() ? model.name : model.title);
    double shown = -1;
    // Of a model in parts the hash of all, one after the other: that of the joined bytes.
    base::Sha256 sha;
    std::string chunk(std::size_t{1} << 20, '\0');
    const auto total = static_cast<double>(std::max<std::uint64_t>(model.bytes, 1));
    std::uint64_t before = 0;  // bytes of the parts that are done
    bool complete = true;
    try {
        for (const fs::path& path : files_of_model(model.path)) {
            const base::InputFile file(path);
            std::uint64_t done = 0;
            bool at_end = false;
            while (!at_end && !stopping_ && !task.cancelled()) {
                const std::size_t count = file.read_some(done, std::span(chunk));
                sha.add(std::string_view(chunk).substr(0, count));
                done += count;
                at_end = count == 0;
                // About every hundredth of the way, not for every piece.
                const double fraction = std::min(1.0, static_cast<double>(before + done) / total);
                if (fraction >= shown + 0.01) {
                    shown = fraction;
                    task.show(fraction);
                }
            }
            before += done;
            complete = complete && at_end;
        }
    } catch (const base::Error&) {
        complete = false;  // it went away or cannot be read; the model says so when it is used
    }
    return complete ? sha.finish() : std::string();
}

void ModelLibrary::hash_loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !to_hash_.empty(); });
        if (stopping_) {
            return;
        }
        const std::string path = to_hash_.front();
        to_hash_.pop_front();
        const auto known =
            std::find_if(models_.begin(), models_.end(), [&](const LibraryModel& m) { return m.path == path; });
        const std::string key = hash_key(path);
        if (known == models_.end() || key.empty()) {
            continue;  // removed meanwhile
        }
        const LibraryModel wanted = *known;
        lock.unlock();
        const std::string hash = hash_file(wanted);
        lock.lock();
        if (hash.empty()) {
            continue;
        }
        hashes_[key] = hash;
        save_hashes();
        for (auto& model : models_) {
            if (model.path == path) {
                inspect(model);
            }
        }
        ++version_;
    }
}

bool is_of_own_engine(const ModelSource& model) {
    std::error_code error;
    return !model.is_server() && (fs::is_directory(model.path, error) || model.path.filename() == "model.safetensors");
}

Sentence needs_file(const std::string& model) {
    return say("{} is a server, and this needs a model file or a folder", base::one_line(model));
}

std::uint64_t model_bytes(const fs::path& path) {
    std::error_code error;
    std::uint64_t total = 0;
    if (fs::is_regular_file(path, error)) {
        for (const auto& file : files_of_model(path)) {
            const auto bytes = fs::file_size(file, error);
            total += error ? 0 : bytes;
        }
        return total;
    }
    for (const auto& entry : fs::directory_iterator(path, error)) {
        if (entry.is_regular_file(error)) {
            total += entry.file_size(error);
        }
    }
    return total;
}

std::string state_of_files(const fs::path& path) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
        std::string state;
        for (const auto& file : files_of_model(path)) {
            const auto size = fs::file_size(file, error);
            const auto time = error ? fs::file_time_type() : fs::last_write_time(file, error);
            if (error) {
                return {};
            }
            state += fmt::format("|{}|{}", size, time.time_since_epoch().count());
        }
        return state;
    }
    std::uint64_t files = 0;
    fs::file_time_type latest{};
    for (const auto& entry : fs::directory_iterator(path, error)) {
        std::error_code ignored;
        if (entry.is_regular_file(ignored)) {
            ++files;
            latest = std::max(latest, entry.last_write_time(ignored));
        }
    }
    return fmt::format("|{}|{}|{}", files, model_bytes(path), latest.time_since_epoch().count());
}

std::vector<fs::path> files_of_model(const fs::path& path) {
    static const std::regex kPart(".*-([0-9]{5})-of-([0-9]{5})\\.gguf");
    std::smatch part;
    const std::string name = path.filename().string();
    if (name.size() > 255 || !std::regex_match(name, part, kPart)) {
        return {path};
    }
    const std::uint64_t number = std::stoull(part[1].str()), count = std::stoull(part[2].str());
    constexpr std::uint64_t kMostParts = 9999;
    if (number == 0 || number > count || count > kMostParts) {
        return {path};
    }
    return engine::gguf_parts(path, {number, count});
}

bool is_hugging_face_folder(const fs::path& folder) {
    const engine::FileReport report = engine::inspect_file(folder);
    return report.kind == engine::FileKind::hugging_face && report.safe;
}

fs::path latest_checkpoint(const fs::path& folder) {
    // Checkpoint folders carry their own mark of completeness, so the journal need not be read.
    const fs::path root = folder / "checkpoints";
    std::error_code error;
    fs::path best;
    fs::file_time_type best_time{};
    for (const auto& run_folder : fs::directory_iterator(root, error)) {
        std::error_code inner;
        for (const auto& entry : fs::directory_iterator(run_folder.path(), inner)) {
            if (!fs::exists(entry.path() / "DONE", inner) || !entry.path().filename().string().starts_with("step-")) {
                continue;
            }
            const auto time = fs::last_write_time(entry.path() / "DONE", inner);
            // Of one run the highest step (names grow beyond eight digits), of several the run that was saved last.
            const auto step = [](const fs::path& path) {
                const std::string name = path.filename().string();
                return std::pair(name.size(), name);
            };
            const bool same_run = !best.empty() && best.parent_path() == entry.path().parent_path();
            if (best.empty() || (same_run ? step(entry.path()) > step(best) : time > best_time)) {
                best = entry.path();
                best_time = time;
            }
        }
    }
    if (best.empty()) {
        throw CommandError(say("the session {} has no complete checkpoint; train in it first", folder));
    }
    return best;
}

}  // namespace moescope::node
