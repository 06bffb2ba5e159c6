#include "nodes/client/transfers.hpp"

#include <algorithm>
#include <set>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "nodes/transport/connection.hpp"

namespace moescope::client {

using base::Error;
using base::say;
using base::Sentence;
using nlohmann::json;
using protocol::RangeEnd;
using transport::steady_seconds;
using State = CommandResult::State;

namespace {

constexpr std::size_t kRangesUnderWay = 2;  // so that one is on its way while the other is written
constexpr int kMostBeginnings = 3;          // of a file that changes again and again
constexpr double kMeasureSeconds = 1;

bool offers_files(const std::string& features) {
    for (std::size_t begin = 0; begin <= features.size();) {
        const std::size_t end = std::min(features.find(',', begin), features.size());
        if (base::trimmed(std::string_view(features).substr(begin, end - begin)) == protocol::kFilesFeature) {
            return true;
        }
        begin = end + 1;
    }
    return false;
}

std::string task_id(CommandId id) {
    return "transfer-" + std::to_string(id);
}

}  // namespace

bool is_transfer_command(const std::string& name) {
    return name.starts_with("transfer.");
}

struct Transfers::Active {
    Order order;
    std::atomic<bool> stop{false};
    Transfer shown;
    int beginnings = 0;
    protocol::ObjectId object{};
    transfer::Description what;  ///< of a pull
    std::string version;         ///< of what has come, to be asked for again
    // Of the thread of files, while it works; it never works twice at the same time.
    std::unique_ptr<transfer::Incoming> in;
    std::unique_ptr<const transfer::Outgoing> out;
    std::vector<std::string> hashes;
    bool right = false;

    // Of the I/O thread.
    std::map<std::uint32_t, transfer::Range> under_way;
    std::deque<transfer::Range> missing;  ///< of a push
    std::size_t writing = 0;              ///< steps of a pull that the thread of files has
    std::uint64_t written = 0;            ///< bytes that are verified
    double measured_at = 0;
    std::uint64_t measured = 0;
};

Transfers::~Transfers() {
    if (active_) {
        active_->stop = true;
    }
    files_.finish();
}

void Transfers::command(CommandId id, const std::string& name, const json& parameters) {
    if (name == "transfer.cancel") {
        const std::string task = base::text_of(parameters, "id");
        host_.transfer_ended(id, {State::done, name, json::object(), {}});
        if (active_ && task_id(active_->order.id) == task) {
            active_->stop = true;
            fail(say("the transfer was cancelled; what has come is kept, and goes on when it is asked for again"));
            return;
        }
        const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const Order& order) { return task_id(order.id) == task; });
        if (found != waiting_.end()) {
            const Order order = *found;
            waiting_.erase(found);
            host_.transfer_ended(order.id,
                                 {State::failed, order.name, {}, say("the transfer was cancelled before it began")});
        }
        return;
    }
    const bool push = name == "transfer.push";
    const bool complete = push ? !base::text_of(parameters, "from").empty() : !base::text_of(parameters, "to").empty();
    if ((!push && name != "transfer.pull") || !complete) {
        host_.transfer_ended(id, {State::failed, name, {}, say("a transfer needs the names of both files")});
        return;
    }
    host_.transfer_ended(id, {State::pending, name, {}, {}});
    waiting_.push_back({id, push, name, parameters, json::object()});
    begin_next();
}

void Transfers::fetch_output(CommandId id, const std::string& name, const std::string& path, json answer,
                             const std::string& to, bool replace) {
    answer["node_path"] = path;
    json parameters = {{"path", path}, {"to", to}, {"replace", replace}};
    waiting_.push_back({id, false, name, std::move(parameters), std::move(answer)});
    begin_next();
}

void Transfers::begin_next() {
    if (active_ || waiting_.empty()) {
        return;
    }
    active_ = std::make_shared<Active>();
    active_->order = std::move(waiting_.front());
    waiting_.pop_front();
    Transfer& shown = active_->shown;
    const json& parameters = active_->order.parameters;
    shown.command = active_->order.id;
    shown.task = task_id(active_->order.id);
    shown.push = active_->order.push;
    shown.place = base::text_of(parameters, shown.push ? "from" : "to");
    shown.name = base::text_of(parameters, base::text_of(parameters, "path").empty() ? "model" : "path");
    if (shown.push || shown.name.empty()) {
        shown.name = std::filesystem::path(shown.place).filename().string();
    }
    if (connected_) {
        open();
    }
    host_.transfers_changed();
}

void Transfers::greeted(const std::string& features) {
    ++connection_;
    connected_ = true;
    can_transfer_ = offers_files(features);
    if (active_) {
        open();
    } else {
        begin_next();
    }
}

void Transfers::connection_lost() {
    connected_ = false;
    ++connection_;
    if (active_) {
        active_->under_way.clear();
        active_->missing.clear();
        active_->writing = 0;
        active_->shown.phase = Transfer::Phase::waiting;
        active_->shown.bytes_per_second = 0;
        host_.transfers_changed();
    }
}

void Transfers::give_up(const Sentence& why) {
    for (const Order& order : std::exchange(waiting_, {})) {
        host_.transfer_ended(order.id, {State::failed, order.name, {}, why});
    }
    if (active_) {
        active_->stop = true;
        fail(say("{}; what has come is kept, and goes on when it is asked for again", why));
    }
}

void Transfers::ask(const char* name, json parameters, void (Transfers::*then)(const json& answer)) {
    host_.ask_node(
        name, std::move(parameters),
        [this, then, active = active_, connection = connection_](const protocol::ResponseReceived& response) {
            if (active != active_ || connection != connection_) {
                return;
            }
            if (!response.done) {
                fail(response.error);
            } else {
                (this->*then)(response.value);
            }
        });
}

void Transfers::on_files(std::function<void(Active&)> work, std::function<void()> then) {
    files_.post([this, work = std::move(work), then, active = active_, connection = connection_] {
        Sentence problem;
        if (active->stop) {
            return;
        }
        try {
            work(*active);
        } catch (const std::exception& error) {
            problem = base::sentence_of(error);
        }
        host_.post([this, then, active, connection, problem] {
            if (active != active_) {
                return;
            }
            if (!problem.empty()) {
                fail(problem);
            } else if (connection == connection_) {
                then();
            }
        });
    });
}

void Transfers::open() {
    if (!can_transfer_) {
        fail(say("the node is older than this program and sends and takes no files; update it"));
        return;
    }
    active_->shown.phase = Transfer::Phase::opening;
    if (active_->order.push) {
        on_files(
            [](Active& active) {
                // Looked at again after a cut: it may be another one by now.
                active.out = std::make_unique<const transfer::Outgoing>(base::text_of(active.order.parameters, "from"));
            },
            [this] { prepare_push(); });
        return;
    }
    json wanted = json::object();
    for (const char* key : {"path", "model", "session"}) {
        if (active_->order.parameters.contains(key)) {
            wanted[key] = active_->order.parameters[key];
        }
    }
    if (wanted.contains("session") && !active_->version.empty()) {
        wanted["version"] = active_->version;
    }
    ask("files.open", std::move(wanted), &Transfers::opened_to_pull);
}

void Transfers::opened_to_pull(const json& answer) {
    auto what = transfer::description_from(answer);
    const auto object = protocol::object_named(base::text_of(answer, "object"));
    if (!what || !object) {
        fail(say("the node described its file in a way that can't be read"));
        return;
    }
    active_->object = *object;
    active_->shown.bytes = what->bytes();
    if (active_->version != what->version && ++active_->beginnings > kMostBeginnings) {
        fail(say("the file changes again and again while it is fetched; fetch it when nothing writes to it"));
        return;
    }
    if (active_->version != what->version) {
        active_->written = 0;
    }
    active_->version = what->version;
    step_of_pull([what = std::move(*what)](Active& active) {
        if (active.in && active.in->what() == what) {
            active.in->give_back_all();
            return;
        }
        active.in.reset();  // with its lock
        const bool replace = base::flag_of(active.order.parameters, "replace");
        active.in = std::make_unique<transfer::Incoming>(base::text_of(active.order.parameters, "to"), what,
                                                         sessions::existing_files(replace));
    });
}

/// What the thread of files knows after a step of a pull.
struct Transfers::Progress {
    std::vector<transfer::Range> next;  ///< to be asked for
    std::uint64_t written = 0;
    bool whole = false;
};

/// Does `work` on the thread of files, and then asks for as many ranges as may be under way.
void Transfers::step_of_pull(std::function<void(Active&)> work) {
    const std::size_t most = kRangesUnderWay - std::min(kRangesUnderWay, active_->under_way.size() + active_->writing);
    ++active_->writing;
    const auto progress = std::make_shared<Progress>();
    on_files(
        [work = std::move(work), most, progress](Active& active) {
            work(active);
            while (progress->next.size() < most) {
                const auto range = active.in->next();
                if (!range) {
                    break;
                }
                progress->next.push_back(*range);
            }
            progress->written = active.in->bytes_done();
            progress->whole = active.in->whole();
        },
        [this, progress] { ask_for_ranges(*progress); });
}

void Transfers::ask_for_ranges(const Progress& progress) {
    --active_->writing;
    active_->shown.phase = Transfer::Phase::moving;
    active_->written = std::max(active_->written, progress.written);
    for (const transfer::Range& range : progress.next) {
        const std::uint32_t number = ++numbers_;
        active_->under_way.emplace(number, range);
        host_.pull_range({number, active_->object, range.file, range.offset, range.length});
    }
    measure();
    if (progress.whole && active_->under_way.empty() && active_->writing == 0) {
        compare();
    }
}

void Transfers::range_received(protocol::RangeReceived range) {
    if (!active_ || !active_->under_way.contains(range.order.number)) {
        return;
    }
    if (active_->order.push) {
        pushed(range);
    } else {
        pulled(range);
    }
}

void Transfers::pulled(const protocol::RangeReceived& range) {
    const auto found = active_->under_way.find(range.order.number);
    const transfer::Range which = found->second;
    active_->under_way.erase(found);
    if (range.end.state == RangeEnd::State::open_again) {
        open_again(range.end.error);
        return;
    }
    if (range.end.state != RangeEnd::State::whole) {
        fail(range.end.error.empty() ? say("the node did not send a part of the file") : range.end.error);
        return;
    }
    // A range whose bytes do not have its hash is missing still, and asked for again.
    step_of_pull([which, range](Active& active) { active.in->write(which, range.bytes, range.end.sha256); });
}

void Transfers::open_again(const Sentence& /*why*/) {
    ++connection_;  // what is under way on the thread of files ends without a word
    active_->under_way.clear();
    active_->missing.clear();
    active_->writing = 0;
    open();
}

void Transfers::begin_anew() {
    if (++active_->beginnings > kMostBeginnings) {
        fail(say("the bytes that came were not those of the other side's file, again and again"));
        return;
    }
    open();
}

/// All ranges are there: the files as a whole. The node is asked for the hashes of its own, one by one.
void Transfers::compare() {
    active_->shown.phase = Transfer::Phase::checking;
    active_->hashes.clear();
    host_.transfers_changed();
    finish_pull();
}

void Transfers::finish_pull() {
    const std::size_t file = active_->hashes.size();
    if (file < active_->in->what().files.size()) {
        host_.ask_node("files.hash", {{"object", protocol::to_text(active_->object)}, {"file", file}},
                       [this, active = active_, connection = connection_](const protocol::ResponseReceived& response) {
                           if (active != active_ || connection != connection_) {
                               return;
                           }
                           if (!response.done) {
                               // Forgotten, or another file by now: opening it again tells which.
                               if (++active->beginnings > kMostBeginnings) {
                                   fail(response.error);
                               } else {
                                   open_again(response.error);
                               }
                               return;
                           }
                           active->hashes.push_back(base::text_of(response.value, "sha256"));
                           finish_pull();
                       });
        return;
    }
    on_files(
        [](Active& active) {
            active.right = active.in->finish(active.hashes, [&active] {
                if (active.stop) {
                    throw Error(say("the transfer was cancelled"));
                }
            });
        },
        [this] { ended_pull(); });
}

void Transfers::ended_pull() {
    if (!active_->right) {
        begin_anew();
        return;
    }
    host_.ask_node("files.close", {{"object", protocol::to_text(active_->object)}},
                   [](const protocol::ResponseReceived&) {});
    const transfer::Incoming& in = *active_->in;
    json value = active_->order.answer;
    value.update({{"path", in.target().string()}, {"bytes", in.what().bytes()}, {"files", in.what().files.size()}});
    if (!in.what().folder) {
        value["sha256"] = active_->hashes.front();
    }
    end(State::done, std::move(value), {});
}

void Transfers::prepare_push() {
    const transfer::Description& what = active_->out->what();
    active_->shown.bytes = what.bytes();
    if (active_->version != what.version && ++active_->beginnings > kMostBeginnings) {
        fail(say("the file changes again and again while it is sent; send it when nothing writes to it"));
        return;
    }
    active_->version = what.version;
    std::string name = base::text_of(active_->order.parameters, "name");
    ask("files.receive",
        {{"name", name.empty() ? what.name : name},
         {"object", transfer::to_json(what)},
         {"replace", base::flag_of(active_->order.parameters, "replace")}},
        &Transfers::opened_to_push);
}

void Transfers::opened_to_push(const json& answer) {
    const auto object = protocol::object_named(base::text_of(answer, "object"));
    const transfer::Description& what = active_->out->what();
    std::set<std::pair<std::uint32_t, std::uint64_t>> there;
    for (const json& part : base::member(answer, "have")) {
        if (!part.is_array() || part.size() != 3) {
            continue;
        }
        const auto file = base::as_count(part[0]), first = base::as_count(part[1]), count = base::as_count(part[2]);
        if (!file || !first || !count || *file >= what.files.size()) {
            continue;
        }
        const std::uint64_t ranges = transfer::ranges_of(what.files[*file].bytes);
        for (std::uint64_t i = *first; i < ranges && i - *first < *count; ++i) {
            there.emplace(static_cast<std::uint32_t>(*file), i);
        }
    }
    if (!object) {
        fail(say("the node described its file in a way that can't be read"));
        return;
    }
    active_->object = *object;
    active_->written = 0;
    active_->missing.clear();
    for (std::uint32_t file = 0; file < what.files.size(); ++file) {
        for (std::uint64_t i = 0; i < transfer::ranges_of(what.files[file].bytes); ++i) {
            const transfer::Range range = transfer::range_at(what, file, i);
            if (there.contains({file, i})) {
                active_->written += range.length;
            } else {
                active_->missing.push_back(range);
            }
        }
    }
    active_->shown.phase = Transfer::Phase::moving;
    send_ranges();
}

void Transfers::send_ranges() {
    measure();
    while (active_->under_way.size() < kRangesUnderWay && !active_->missing.empty()) {
        const transfer::Range range = active_->missing.front();
        active_->missing.pop_front();
        const std::uint32_t number = ++numbers_;
        active_->under_way.emplace(number, range);
        files_.post([this, range, number, active = active_, connection = connection_] {
            if (active->stop) {
                return;
            }
            auto piece = std::make_shared<transfer::Outgoing::Piece>();
            Sentence problem;
            bool changed = false;
            try {
                *piece = active->out->read(range);
            } catch (const transfer::SourceChanged&) {
                changed = true;
            } catch (const std::exception& error) {
                problem = base::sentence_of(error);
            }
            host_.post([this, range, number, active, connection, piece, problem, changed] {
                if (active != active_ || connection != connection_) {
                    return;
                }
                if (changed) {
                    open_again({});
                } else if (!problem.empty()) {
                    fail(problem);
                } else {
                    host_.push_range({{number, active->object, range.file, range.offset, range.length}, piece->sha256},
                                     std::move(piece->bytes));
                }
            });
        });
    }
    if (active_->under_way.empty() && active_->missing.empty()) {
        active_->shown.phase = Transfer::Phase::checking;
        host_.transfers_changed();
        on_files(
            [](Active& active) {
                active.hashes.clear();
                for (std::uint32_t i = 0; i < active.out->what().files.size(); ++i) {
                    active.hashes.push_back(active.out->sha256(i, [&active] {
                        if (active.stop) {
                            throw Error(say("the transfer was cancelled"));
                        }
                    }));
                }
            },
            [this] { finish_push(); });
    }
}

void Transfers::pushed(const protocol::RangeReceived& range) {
    const auto found = active_->under_way.find(range.order.number);
    const transfer::Range which = found->second;
    active_->under_way.erase(found);
    switch (range.end.state) {
        case RangeEnd::State::whole:
            active_->written += which.length;
            break;
        case RangeEnd::State::differs:
            active_->missing.push_front(which);
            break;
        case RangeEnd::State::open_again:
            open_again(range.end.error);
            return;
        case RangeEnd::State::failed:
            fail(range.end.error);
            return;
    }
    send_ranges();
}

void Transfers::finish_push() {
    ask("files.finish", {{"object", protocol::to_text(active_->object)}, {"sha256", active_->hashes}},
        &Transfers::ended_push);
}

void Transfers::ended_push(const json& answer) {
    if (!base::flag_of(answer, "whole")) {
        begin_anew();
        return;
    }
    end(State::done,
        {{"path", base::text_of(answer, "path")},
         {"name", base::text_of(answer, "name")},
         {"bytes", active_->out->what().bytes()}},
        {});
}

void Transfers::measure() {
    const double now = steady_seconds();
    Transfer& shown = active_->shown;
    shown.done = active_->written;
    if (active_->measured_at == 0 || active_->written < active_->measured) {
        active_->measured_at = now;
        active_->measured = active_->written;
    } else if (now - active_->measured_at >= kMeasureSeconds) {
        shown.bytes_per_second =
            static_cast<double>(active_->written - active_->measured) / (now - active_->measured_at);
        active_->measured_at = now;
        active_->measured = active_->written;
    }
    host_.transfers_changed();
}

void Transfers::end(State state, json value, const Sentence& error) {
    const auto ended = std::move(active_);
    active_.reset();
    // The files are let go of where they are used, after what is still to be done with them.
    files_.post([ended]() mutable {
        ended->in.reset();
        ended->out.reset();
    });
    host_.transfer_ended(ended->order.id, {state, ended->order.name, std::move(value), error});
    host_.transfers_changed();
    begin_next();
}

std::vector<Transfer> Transfers::list() const {
    std::vector<Transfer> list;
    if (active_) {
        list.push_back(active_->shown);
    }
    for (const Order& order : waiting_) {
        Transfer waits;
        waits.command = order.id;
        waits.task = task_id(order.id);
        waits.push = order.push;
        waits.place = base::text_of(order.parameters, order.push ? "from" : "to");
        waits.name = std::filesystem::path(waits.place).filename().string();
        list.push_back(std::move(waits));
    }
    return list;
}

}  // namespace moescope::client
