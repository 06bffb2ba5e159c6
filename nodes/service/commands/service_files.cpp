// The files.* commands: what a viewer fetches from this node's machine, and what it sends there; and how much room
// stays on the disk.
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/atomic_files.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/scratch_folder.hpp"
#include "nodes/service/commands/remote_paths.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/library/parameters.hpp"
#include "sessions/archive.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using Object = TransferTable::Object;

namespace {

constexpr std::size_t kMostListed = 2000;

json opened(const protocol::ObjectId& id, const Object& object) {
    json answer = transfer::to_json(object.out ? object.out->what() : object.in->what());
    answer["object"] = protocol::to_text(id);
    return answer;
}

/// What is in that place already, when its files have the names and sizes of what is to come: who sends it again, after
/// something that follows the transfer was refused, has it there. Whether it is the same is told by the hashes.
std::unique_ptr<const transfer::Outgoing> same_there(const fs::path& target, const transfer::Description& what) {
    try {
        auto there = std::make_unique<const transfer::Outgoing>(target);
        const transfer::Description& now = there->what();
        // A single file may have got another name there.
        const bool same =
            now.folder == what.folder && (what.folder ? now.files == what.files : now.bytes() == what.bytes());
        return same ? std::move(there) : nullptr;
    } catch (const base::Error&) {
        return nullptr;  // nothing that could be sent is there
    }
}

/// Throws as whoever would put something in its place.
void require_same(const transfer::Outgoing& there, const std::vector<std::string>& sha256,
                  const std::function<void()>& check) {
    bool same = sha256.size() == there.what().files.size();
    for (std::uint32_t file = 0; same && file < sha256.size(); ++file) {
        same = there.sha256(file, check) == sha256[file];
    }
    if (!same) {
        throw CommandError(
            there.what().folder
                ? say("{} is there already; choose another name", there.path())
                : say("{} is there already; choose another name, or say that it shall be replaced", there.path()));
    }
}

/// Where a session is packed to be sent: on its own disk, and not among its parts. Gone with the last that holds it.
struct Packed {
    explicit Packed(const fs::path& session) : folder(session / "packed") {}
    base::WorkFolder folder;
};

/// About what it will take: the contents are packed, but for checkpoints that is little.
std::uint64_t bytes_in(const fs::path& folder) {
    std::uint64_t sum = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        std::error_code gone;
        const auto bytes = it->is_regular_file(gone) ? it->file_size(gone) : 0;
        sum += gone ? 0 : bytes;
    }
    return sum;
}

}  // namespace

void Service::on_range(const transport::Asker& who, transport::RangeRequest request,
                       std::function<void(transport::RangeAnswer)> reply) {
    using protocol::RangeEnd;
    const auto failed = [](const Sentence& why) {
        return transport::RangeAnswer{{0, RangeEnd::State::failed, {}, why}, {}};
    };
    if (!protocol::covers(who.right, protocol::Right::operator_)) {
        reply(failed(needs_right("files.open", protocol::Right::operator_, who.right)));
        return;
    }
    const auto shared = std::make_shared<const transport::RangeRequest>(std::move(request));
    lane(Lane::ranges)
        .post(who.viewer, {[this, shared, reply] { reply(transfers_.carry_out(*shared)); },
                           [reply, failed] { reply(failed(not_carried_out().error)); }});
}

void Service::make_shared_folder() {
    if (!journal_) {
        return;
    }
    session_->check_place();
    // Never the folders above it: a session that was moved away would get a second one in its place.
    const fs::path folder = shared_files(session_->folder());
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        throw CommandError(say("the folder {} can't be made: {}", folder, base::system_sentence(errno)));
    }
}

fs::path Service::output_place(const fs::path& named) {
    const fs::path name =
        journal_ ? fs::path() : named.lexically_normal().lexically_relative(shared_files(session_->folder()));
    if (name.empty() || *name.begin() == ".." || name == ".") {
        return named;
    }
    const std::lock_guard lock(outputs_mutex_);
    if (!outputs_folder_) {
        outputs_folder_.emplace();
    }
    const fs::path place = outputs_folder_->path() / name;
    base::make_private_folders(place.parent_path());
    return place;
}

fs::path Service::output_in_stead(const fs::path& named) {
    {
        const std::lock_guard lock(outputs_mutex_);
        if (!outputs_folder_) {
            return {};
        }
    }
    fs::path place = output_place(named);
    return place != named && base::is_there(place) ? place : fs::path();
}

void Service::files_list(const json& value, Reply reply) {
    const Parameters none(value, {});
    const fs::path root = shared_files(session_->folder());
    json files = json::array();
    std::size_t left_out = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
        std::error_code gone;
        const std::string name = it->path().filename().string();
        const bool folder = fs::is_directory(it->symlink_status(gone));
        const bool unfinished = folder && fs::exists(it->path() / transfer::kNotes, gone);
        if (name.starts_with(".") || unfinished) {
            if (folder) {
                it.disable_recursion_pending();
            }
            continue;
        }
        const auto bytes = fs::is_regular_file(it->symlink_status(gone)) ? it->file_size(gone) : 0;
        if (folder || gone || !fs::is_regular_file(it->symlink_status(gone))) {
            continue;
        }
        if (files.size() == kMostListed) {
            ++left_out;
            continue;
        }
        files.push_back({{"path", it->path().lexically_relative(root).generic_string()}, {"bytes", bytes}});
    }
    std::sort(files.begin(), files.end(),
              [](const json& a, const json& b) { return a["path"].get_ref<const std::string&>() < b["path"]; });
    reply({{{"files", files}, {"left_out", left_out}}, {}});
}

/// A packed session stays as it is while somebody fetches it, and for a while after, so that a cut costs no new one.
void Service::open_packed_session(const std::string& version, const Reply& reply) {
    if (const auto known = transfers_.packed_session(version)) {
        reply({opened(*known, *transfers_.find(protocol::to_text(*known))), {}});
        return;
    }
    if (!journal_) {
        throw CommandError(
            say("a session that is open for reading only is not packed by its node; pack it there with "
                "`moescope-node archive`"));
    }
    const std::uint64_t needed = bytes_in(session_->folder());
    const std::uint64_t reserve = disk_.reserve_for(0);
    if (const auto free = disk_.free(); free && (*free < reserve || *free - reserve < needed)) {
        throw CommandError(
            say("packing the session may take {} bytes, and its disk has {} free, of which {} are kept for "
                "checkpoints and the journal; make room there first",
                needed, *free, reserve));
    }
    journal_->flush();
    const auto packed = std::make_shared<const Packed>(session_->folder());
    const std::string name = session_->folder().filename().string() + ".moescope";
    const fs::path file = packed->folder.path() / name;
    BoardTask task(board_, fmt::format("archive-{}", ++outputs_), protocol::TaskKind::archive, name);
    sessions::write_archive(session_->folder(), file, [&](std::uint64_t done, std::uint64_t total) {
        if (is_to_end(task)) {
            throw CommandError(say("packing the session was cancelled"));
        }
        task.show(total > 0 ? static_cast<double>(done) / static_cast<double>(total) : -1);
    });
    const auto object = std::make_shared<Object>();
    object->out = std::make_unique<const transfer::Outgoing>(file);
    object->hold = packed;
    object->packed_session = true;
    reply({opened(transfers_.add(object), *object), {}});
}

void Service::files_open(const json& value, Reply reply) {
    const Parameters parameters(value, {"path", "model", "session", "version"});
    const int named = static_cast<int>(parameters.has("path")) + static_cast<int>(parameters.has("model")) +
                      static_cast<int>(parameters.flag("session", false));
    if (named != 1) {
        throw CommandError(say("files.open needs one of 'path', 'model' and 'session'"));
    }
    if (parameters.flag("session", false)) {
        open_packed_session(parameters.text("version", ""), reply);
        return;
    }
    if (parameters.has("path")) {
        const auto object = std::make_shared<Object>();
        const fs::path place = parameters.path("path"), instead = output_in_stead(place);
        object->out = std::make_unique<const transfer::Outgoing>(instead.empty() ? place : instead);
        reply({opened(transfers_.add(object), *object), {}});
        return;
    }
    const Asker who = asker(Lane::files);
    with_models({parameters.path("model")}, reply, [this, who, reply](const std::vector<ProbeModel>& models) {
        const ProbeModel& model = models.front();
        if (model.path.is_server()) {
            throw CommandError(needs_file(model.name));
        }
        // A checkpoint that was saved for this is told of on the quick lane, where nothing may take long.
        go_on(Lane::files, who, reply, [this, path = model.path, hold = model.hold, reply] {
            const auto files = files_of_model(path.path);
            const auto object = std::make_shared<Object>();
            object->out = files.size() == 1
                              ? std::make_unique<const transfer::Outgoing>(files.front())
                              : std::make_unique<const transfer::Outgoing>(path.path.stem().string(), files);
            object->hold = hold;
            reply({opened(transfers_.add(object), *object), {}});
        });
    });
}

void Service::files_receive(const json& value, Reply reply) {
    const Parameters parameters(value, {"name", "object", "replace"});
    auto what = transfer::description_from(parameters.at("object"));
    if (!what) {
        throw CommandError(say("'object' does not describe a file or a folder that can be taken"));
    }
    make_shared_folder();
    const std::string name = parameters.path("name");
    const fs::path target = confined(shared_files(session_->folder()), name);
    base::make_private_folders(target.parent_path());
    // Of who has lost its connection, most of all.
    const std::uint64_t viewer = asker(Lane::files).viewer;
    transfers_.close_incoming(target, viewer, [this](std::uint64_t other) { return server_->heard(other); });
    const auto object = std::make_shared<Object>();
    object->viewer = viewer;
    if (auto there = same_there(target, *what); there && !parameters.flag("replace", false)) {
        object->out = std::move(there);
        json have = json::array();
        for (std::size_t file = 0; file < what->files.size(); ++file) {
            have.push_back({file, 0, transfer::ranges_of(what->files[file].bytes)});
        }
        json answer = {{"have", have}, {"bytes_done", what->bytes()}, {"afresh", false}, {"path", target.string()}};
        answer["object"] = protocol::to_text(transfers_.add(object));
        return reply({std::move(answer), {}});
    }
    object->in =
        std::make_unique<transfer::Incoming>(target, std::move(*what), existing_as(parameters), disk_.reserve_for(0));
    json answer = {{"have", object->in->have()},
                   {"bytes_done", object->in->bytes_done()},
                   {"afresh", object->in->afresh()},
                   {"path", target.string()}};
    answer["object"] = protocol::to_text(transfers_.add(object));
    reply({std::move(answer), {}});
}

void Service::files_hash(const json& value, Reply reply) {
    const Parameters parameters(value, {"object", "file"});
    const auto object = transfers_.find(parameters.text("object"));
    if (!object->out) {
        throw CommandError(say("this file was opened to be written"));
    }
    const auto file = static_cast<std::uint32_t>(parameters.integer("file", 0, transfer::kMostFiles));
    reply({{{"sha256", object->out->sha256(file, [this] { refuse_at_the_end(); })}}, {}});
}

void Service::files_finish(const json& value, Reply reply) {
    const Parameters parameters(value, {"object", "sha256"});
    const auto object = transfers_.find(parameters.text("object"));
    const bool there = !object->in && object->viewer != 0;  // see files_receive
    if (!object->in && !there) {
        throw CommandError(say("this file was opened to be read"));
    }
    const fs::path target = there ? object->out->path() : object->in->target();
    bool right = false;
    if (there) {
        require_same(*object->out, parameters.texts("sha256"), [this] { refuse_at_the_end(); });
        right = true;
    } else {
        const std::lock_guard lock(object->mutex);
        right = object->in->finish(parameters.texts("sha256"), [this] { refuse_at_the_end(); });
    }
    if (right) {
        transfers_.close(parameters.text("object"));
    }
    if (right && !there) {
        log("info", "node", say("{} was received from a workbench", target));
    }
    const fs::path root = fs::weakly_canonical(shared_files(session_->folder()));
    reply({{{"whole", right}, {"path", target.string()}, {"name", target.lexically_relative(root).string()}}, {}});
}

void Service::files_close(const json& value, Reply reply) {
    transfers_.close(Parameters(value, {"object"}).text("object"));
    reply({});
}

void Service::node_disk(const json& value, Reply reply) {
    const Parameters parameters(value, {"reserve"});
    // null is no value of a parameter, so that the computed one is asked for with -1.
    const std::int64_t bytes = parameters.integer("reserve", -1, std::numeric_limits<std::int64_t>::max());
    session_->set_value(kDiskReserve, std::to_string(bytes));
    disk_.set_reserve(bytes < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(bytes)));
    reply({});
}

}  // namespace moescope::node
