#include "tests/faults/disk/script.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>

#include "base/atomic_files.hpp"
#include "engine/files/safetensors.hpp"
#include "sessions/archive.hpp"
#include "sessions/outputs.hpp"
#include "sessions/session.hpp"
#include "tests/files.hpp"

namespace moescope::faults {

namespace {

namespace fs = std::filesystem;
using sessions::Journal;
using sessions::Session;
using Kind = Note::Kind;

constexpr std::uint8_t kChannels = 3;
constexpr const char* kNone = "none";  ///< the value of what is not there

std::vector<float> weights(std::uint64_t step) {
    std::vector<float> values(300);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(step) + static_cast<float>(i) / 1000;
    }
    return values;
}

class Life {
 public:
    Life(const fs::path& folder, const std::function<std::size_t()>& now, const Around& around,
         const std::function<void(const Note&)>& tell)
        : folder_(folder), now_(now), around_(around), tell_(tell) {}

    Day run() {
        start(1);
        start(2);
        return std::move(day_);
    }
    Day run_once_more(std::uint64_t last_record) {
        last_record_ = last_record;
        start(3);
        return std::move(day_);
    }

 private:
    void start(int number) {
        std::unique_ptr<Session> session;
        act(Kind::opened, "session", "yes",
            [&] { session = Session::open(folder_ / "session", Journal::Mode::read_write); });
        if (session) {
            one_start(*session, number);
        }
        if (session && number == 2) {
            files(*session);
        }
        around(true);
        session.reset();
        around(false);
    }
    void around(bool begins) {
        if (around_) {
            around_(begins);
        }
    }
    void note(Kind kind, const std::string& key, const std::string& value, bool done) {
        day_.notes.push_back({now_(), kind, key, value, done});
        if (tell_) {
            tell_(day_.notes.back());
        }
    }
    bool act(Kind kind, const std::string& key, const std::string& value, const std::function<void()>& work) {
        note(kind, key, value, false);
        const bool worked = attempt(work);
        if (worked) {
            note(kind, key, value, true);
        }
        return worked;
    }
    bool attempt(const std::function<void()>& work) {
        try {
            around(true);
            work();
            around(false);
            return true;
        } catch (const std::exception& error) {
            around(false);
            day_.refusals.emplace_back(error.what());
            return false;
        }
    }

    void records(Session& session, int count) {
        std::vector<std::uint64_t> open;
        for (int i = 1; i <= count; ++i) {
            const std::uint64_t n = ++last_record_;
            const auto body = record_body(n);
            note(Kind::record, std::to_string(n), "there", false);
            if (attempt([&] { session.journal().append(1, static_cast<std::uint8_t>(n % kChannels + 1), n, body); })) {
                open.push_back(n);
                last_kept_ = n;
            } else {
                note(Kind::refused, std::to_string(n), "there", true);
            }
            if (i % 3 == 0) {
                if (attempt([&] { session.journal().sync(); })) {
                    for (const std::uint64_t each : open) {
                        note(Kind::record, std::to_string(each), "there", true);
                    }
                }
                open.clear();  // where the disk refused, they may be lost
            }
        }
    }

    void checkpoint(Session& session, std::uint64_t step) {
        const auto values = weights(step);
        act(Kind::checkpoint, std::to_string(step), "there", [&] {
            base::AtomicFolder folder(session.checkpoint_path(1, step));
            engine::write_safetensors(folder.path() / "model.safetensors", {{"w", {values.size()}, values.data()}});
            base::write_file_atomically(folder.path() / "state.json", "{\"step\": " + std::to_string(step) + "}\n");
            folder.commit();
        });
    }

    void one_start(Session& session, int start) {
        const std::string which = std::to_string(start);
        records(session, 4);
        std::uint32_t run = 0;
        if (attempt([&] { run = session.new_run("train", "run " + which); })) {
            note(Kind::run, "number", std::to_string(run), true);
        }
        act(Kind::label, "draw", "label " + which, [&] {
            session.put_label({1, "draw", "delivery", "label " + which, "me", 5});
        });
        act(Kind::setting, "note", "text " + which, [&] { session.set_value("note", "text " + which); });
        act(Kind::command, "id-" + which, "answer", [&] { session.put_finished_command("id-" + which, "answer"); });
        checkpoint(session, static_cast<std::uint64_t>(start));
        records(session, 5);
        if (start == 2) {
            act(Kind::checkpoint, "1", kNone, [&] {
                session.remove_checkpoint({1, 1, session.checkpoint_path(1, 1), 0, false, {}});
            });
        }
        saved("settings " + which + std::string(700, '.'));
    }

    void saved(const std::string& text) {
        act(Kind::file, "saved/settings.json", text, [&] {
            base::make_private_folders(folder_ / "saved");
            base::write_file_atomically(folder_ / "saved" / "settings.json", text);
        });
        act(Kind::file, "report.txt", text,
            [&] { sessions::write_output(folder_ / "report.txt", text, sessions::Existing::replace); });
    }

    void files(Session& session) {
        for (const std::string text : {"one", "two"}) {
            act(Kind::file, "export/a.txt", text, [&] {
                sessions::OutputFolder output(
                    folder_ / "export", sessions::Existing::replace,
                    {[](const std::string&) { return true; }, [](const fs::path&) { return true; }});
                fs::create_directory(output.temporary());
                base::write_file_atomically(output.temporary() / "a.txt", text);
                output.commit();
            });
        }
        const std::string records = std::to_string(last_kept_);
        attempt([&] { session.journal().sync(); });
        act(Kind::archive, "a.moescope", records, [&] {
            sessions::OutputFile output(folder_ / "a.moescope", sessions::Existing::replace);
            sessions::write_archive(session.folder(), output.temporary());
            output.commit();
        });
        act(Kind::unpacked, "unpacked", records,
            [&] { sessions::unpack_archive(folder_ / "a.moescope", folder_ / "unpacked"); });
    }

    const fs::path folder_;
    const std::function<std::size_t()> now_;
    const Around around_;
    const std::function<void(const Note&)> tell_;
    Day day_;
    std::uint64_t last_record_ = 0, last_kept_ = 0;
};

/// Asks after a fault.
class Inquiry {
 public:
    Inquiry(const fs::path& folder, const std::vector<Note>& notes, std::size_t count, bool killed)
        : folder_(folder), killed_(killed) {
        for (const Note& note : notes) {
            if (note.at > count) {
                break;
            }
            auto& allowed = allowed_[note.kind][note.key];
            if (allowed.empty()) {
                allowed.insert(kNone);
            }
            if (note.done) {
                allowed.clear();
            }
            allowed.insert(note.value);
        }
    }

    std::vector<std::string> run() {
        try {
            if (fs::exists(folder_ / "session") || must(Kind::opened, "session")) {
                session();
            }
            files();
        } catch (const std::exception& error) {
            wrong(std::string("it failed: ") + error.what());
        }
        return std::move(wrong_);
    }

 private:
    void wrong(const std::string& what) { wrong_.push_back(what); }
    bool must(Kind kind, const std::string& key) const {
        const auto kinds = allowed_.find(kind);
        if (kinds == allowed_.end()) {
            return false;
        }
        const auto found = kinds->second.find(key);
        return found != kinds->second.end() && !found->second.contains(kNone);
    }
    /// All keys of a kind with what may stand under them.
    const std::map<std::string, std::set<std::string>>& keys(Kind kind) { return allowed_[kind]; }
    void expect(Kind kind, const char* what, const std::string& key, const std::string& found) {
        const auto& known = keys(kind);
        const auto allowed = known.find(key);
        if (allowed == known.end() ? found == kNone : allowed->second.contains(found)) {
            return;
        }
        std::ostringstream text;
        text << what << " " << key << " is \"" << found.substr(0, 40) << "\"";
        for (const std::string& each : allowed == known.end() ? std::set<std::string>{} : allowed->second) {
            text << ", may be \"" << each.substr(0, 40) << "\"";
        }
        wrong(text.str());
    }

    /// In the order of reading, channel by channel.
    std::vector<std::uint64_t> records_of(Journal& journal) {
        std::vector<std::uint64_t> numbers;
        for (std::uint8_t channel = 1; channel <= kChannels; ++channel) {
            sessions::Position at;
            std::uint64_t last = 0;
            for (auto records = journal.read(channel, at, 100, 1 << 20); !records.empty();
                 records = journal.read(channel, at, 100, 1 << 20)) {
                at = {records.back().epoch, records.back().sequence};
                for (const auto& record : records) {
                    const std::uint64_t n = record_number(record.body);
                    if (n == 0 || record.time_ns != n || n % kChannels + 1 != channel) {
                        wrong("a record is not as it was written");
                    } else if (n <= last) {
                        wrong("record " + std::to_string(n) + " comes after " + std::to_string(last));
                    }
                    last = n;
                    numbers.push_back(n);
                }
            }
        }
        return numbers;
    }

    void session() {
        std::vector<std::uint64_t> found;
        std::uint64_t lost = 0;
        std::uint32_t epoch = 0;
        {
            const auto session = Session::open(folder_ / "session", Journal::Mode::read_write);
            found = records_of(session->journal());
            lost = session->journal().lost();
            epoch = session->journal().epoch();
            check_records({found.begin(), found.end()}, lost);
            for (const auto& problem : session->problems()) {
                // A torn tail is told, and no record that was said to be kept is in it.
                if (killed_ && problem.english().find("incomplete or damaged") == std::string::npos) {
                    wrong("without a fault it says: " + problem.english());
                }
            }
            check_store(*session);
            check_checkpoints(*session, 1);
            session->journal().append(1, kNewChannel, 1, {});
            session->journal().sync();
        }
        const auto again = Session::open(folder_ / "session", Journal::Mode::read_only);
        if (records_of(again->journal()) != found || again->journal().lost() != lost) {
            wrong("the second look finds other records than the first");
        }
        if (again->journal().read(kNewChannel, {epoch - 1, ~std::uint64_t{0}}, 10, 1000).size() != 1) {
            wrong("the record written after the fault is not there, or its epoch was used before");
        }
    }

    void check_records(const std::set<std::uint64_t>& found, std::uint64_t lost) {
        std::uint64_t known = 0;
        for (const auto& [key, allowed] : keys(Kind::record)) {
            expect(Kind::record, "record", key, found.contains(std::stoull(key)) ? "there" : kNone);
            known += allowed.contains("there") ? 1 : 0;
        }
        for (const auto& [key, allowed] : keys(Kind::refused)) {
            if (found.contains(std::stoull(key))) {
                wrong("record " + key + " is there, and whoever wrote it was told that it is not");
            }
        }
        if (lost > known - std::min<std::uint64_t>(known, found.size()) || (killed_ && lost > 0)) {
            wrong(std::to_string(lost) + " records are told to be lost, of " + std::to_string(known) + " are " +
                  std::to_string(found.size()) + " there");
        }
    }

    void check_store(Session& session) {
        const auto labels = session.labels(1);
        expect(Kind::label, "label", "draw", labels.empty() ? kNone : labels.front().value);
        expect(Kind::setting, "setting", "note", session.value("note").value_or(kNone));
        for (const char* id : {"id-1", "id-2", "id-3"}) {
            expect(Kind::command, "command", id, session.finished_command(id).value_or(kNone));
        }
        const std::uint32_t next = session.new_run("train", "after");
        for (const auto& [key, given] : keys(Kind::run)) {
            for (const std::string& run : given) {
                if (run != kNone && next <= std::stoul(run)) {
                    wrong("run number " + run + " is given out twice");
                }
            }
        }
    }

    void check_checkpoints(Session& session, std::uint32_t run) {
        std::map<std::string, std::string> found;
        for (const auto& checkpoint : session.checkpoints(run, true)) {
            if (!checkpoint.complete) {
                wrong("the checkpoint of step " + std::to_string(checkpoint.step) +
                      " is half there: " + checkpoint.problem.english());
                continue;
            }
            std::vector<float> values(weights(0).size());
            engine::SafetensorsFile(checkpoint.path / "model.safetensors").read_f32("w", values);
            if (values != weights(checkpoint.step)) {
                wrong("the checkpoint of step " + std::to_string(checkpoint.step) + " has other values");
            }
            found[std::to_string(checkpoint.step)] = "there";
        }
        for (const char* step : {"1", "2", "3"}) {
            expect(Kind::checkpoint, "checkpoint", step, found.contains(step) ? "there" : kNone);
        }
    }

    void files() {
        for (const char* name : {"saved/settings.json", "report.txt", "export/a.txt"}) {
            const fs::path path = folder_ / name;
            // A folder that is put in its place as a whole is never there without what is in it.
            const bool half = path.parent_path().filename() == "export" && fs::exists(path.parent_path());
            expect(Kind::file, "file", name, fs::exists(path) || half ? test::read_text(path) : kNone);
        }
        const fs::path archive = folder_ / "a.moescope";
        if (fs::exists(archive)) {
            const test::TemporaryFolder scratch(folder_);
            sessions::unpack_archive(archive, scratch / "s");
            check_copy(scratch / "s", Kind::archive, "a.moescope");
        } else {
            expect(Kind::archive, "archive", "a.moescope", kNone);
        }
        if (fs::exists(folder_ / "unpacked")) {
            check_copy(folder_ / "unpacked", Kind::unpacked, "unpacked");
        } else {
            expect(Kind::unpacked, "folder", "unpacked", kNone);
        }
    }
    void check_copy(const fs::path& folder, Kind kind, const std::string& key) {
        const auto session = Session::open(folder, Journal::Mode::read_only);
        const auto records = records_of(session->journal());
        expect(kind, "records of", key,
               std::to_string(records.empty() ? 0 : *std::max_element(records.begin(), records.end())));
        if (!session->problems().empty()) {
            wrong(key + ": " + session->problems().front().english());
        }
        for (const auto& checkpoint : session->checkpoints(1, true)) {
            if (!checkpoint.complete) {
                wrong(key + ": a checkpoint is half there: " + checkpoint.problem.english());
            }
        }
    }

    static constexpr std::uint8_t kNewChannel = 4;
    const fs::path folder_;
    const bool killed_;
    std::map<Kind, std::map<std::string, std::set<std::string>>> allowed_;
    std::vector<std::string> wrong_;
};

}  // namespace

std::vector<std::byte> record_body(std::uint64_t n) {
    std::mt19937_64 random(n);
    std::vector<std::byte> body(8 + random() % 900);
    for (auto& each : body) {
        each = static_cast<std::byte>(random());
    }
    std::memcpy(body.data(), &n, sizeof n);
    return body;
}

std::uint64_t record_number(const std::vector<std::byte>& body) {
    std::uint64_t n = 0;
    if (body.size() < sizeof n) {
        return 0;
    }
    std::memcpy(&n, body.data(), sizeof n);
    return body == record_body(n) ? n : 0;
}

Day live_through(const fs::path& folder, const std::function<std::size_t()>& now, const Around& around,
                 const std::function<void(const Note&)>& tell) {
    return Life(folder, now, around, tell).run();
}

Day live_on(const fs::path& folder, const std::function<std::size_t()>& now, std::uint64_t last_record) {
    return Life(folder, now, {}, {}).run_once_more(last_record);
}

std::vector<std::string> what_is_wrong(const fs::path& folder, const std::vector<Note>& notes, std::size_t count,
                                       bool killed) {
    return Inquiry(folder, notes, count, killed).run();
}

}  // namespace moescope::faults
