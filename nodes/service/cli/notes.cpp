// moescope-node notes: the notes of a session, read, written and removed.
#include <CLI/CLI.hpp>
#include <ctime>
#include <fmt/format.h>
#include <limits>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/note_book.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
using history::Note;
using history::NotePlace;
using nlohmann::json;

namespace {

constexpr std::uint64_t kLastPlace = history::kLastNotePlace - 1;

struct NotesOptions {
    std::string session, node, text, author;
    Wait wait;
    std::uint32_t run = 0, number = 0;
    std::optional<std::uint64_t> step, token;
    std::string item, model, language = "en";
    int draw = 0;
    bool json = false;
};

std::string time_text(std::uint64_t time_ns) {
    const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
    std::tm parts{};
    std::string text(32, '\0');
    if (gmtime_r(&seconds, &parts) == nullptr) {
        return "?";
    }
    text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
    return text;
}

json to_line(const Note& note) {
    return {{"note", note.number},
            {"revision", note.revision},
            {"on", history::to_json(note.on)},
            {"text", note.text},
            {"author", note.author},
            {"role", note.role},
            {"created", time_text(note.created_ns)},
            {"changed", time_text(note.changed_ns)}};
}

void print_note(const Note& note, bool as_json) {
    if (as_json) {
        print_json(to_line(note));
        return;
    }
    const std::string who = note.author.empty() ? note.role : note.author + " (" + note.role + ")";
    fmt::print("{}\t{}\t{}\t{}\n{}\n", note.number, base::one_line(history::note_place_sentence(note.on).english()),
               who, time_text(note.changed_ns), for_terminal(note.text));
}

/// Of one answer of notes.list; what is no note is left out.
std::vector<Note> notes_in(const json& answer) {
    std::vector<Note> notes;
    for (const json& entry : base::member(answer, "notes")) {
        history::Notes one;
        if (!one.apply(entry, base::count_of(entry, "created_ns")) || one.all().empty()) {
            continue;
        }
        notes.push_back(one.all().begin()->second);
        notes.back().changed_ns = base::count_of(entry, "changed_ns");
    }
    return notes;
}

int list_there(const Paths& paths, const NotesOptions& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
    std::uint64_t after = 0;
    do {
        const json answer = node.ask(signals, "notes.list", {{"after", after}});
        for (const Note& note : notes_in(answer)) {
            print_note(note, options.json);
        }
        const std::uint64_t next = base::count_of(answer, "next");
        after = next > after ? next : 0;  // of a node that goes round in circles we stop
    } while (after != 0);
    return 0;
}

int list_command(const Paths& paths, const NotesOptions& options) {
    if (!options.node.empty()) {
        return list_there(paths, options);
    }
    const auto session = sessions::Session::open(options.session, sessions::Journal::Mode::read_only);
    const history::Session history = history::read_runs(session->journal());
    for (const auto& [number, note] : history.notes().all()) {
        print_note(note, options.json);
    }
    print_warnings(session->problems());
    return 0;
}

NotePlace place_of(const NotesOptions& options) {
    NotePlace place{.run = options.run};
    if (options.run == 0) {
        if (options.step || options.token || !options.item.empty()) {
            throw CommandError(say("--step, --token and --item are of a run: give its number with --run"));
        }
        return place;
    }
    if (options.step.has_value() + options.token.has_value() + !options.item.empty() > 1) {
        throw CommandError(say("a note stands on one thing: give --step, --token or --item"));
    }
    if (options.step) {
        place.kind = NotePlace::Kind::step;
        place.step = *options.step;
    } else if (options.token) {
        place.kind = NotePlace::Kind::token;
        place.token = *options.token;
    } else {
        place.kind = NotePlace::Kind::answer;
        if (!options.item.empty()) {
            place.item = options.item;
            place.model = options.model;
            place.language = options.language;
            place.draw = options.draw;
        }
    }
    return place;
}

void print_answer(const json& answer, const NotesOptions& options) {
    if (options.json) {
        print_json(answer);
    } else {
        fmt::print("note {}\n", answer.at("note").get<std::uint32_t>());
    }
}

/// Does it with the session's own files.
json change_here(const Paths& paths, const NotesOptions& options,
                 const std::function<json(LocalNode&, NoteBook&)>& change) {
    require_session(options.session);
    try {
        LocalNode node(paths, options.session, [](protocol::RecordType, const std::vector<std::byte>&) {});
        NoteBook notes;
        notes.take(history::read_runs(node.session->journal()).notes());
        json answer = change(node, notes);
        node.session->journal().sync();
        return answer;
    } catch (const sessions::InUse& error) {
        throw base::Error(
            say("{}; write the note there, or give the address of its node with --node", error.sentence()));
    }
}

void require_place_to_write(const NotesOptions& options) {
    if (options.session.empty() == options.node.empty()) {
        throw CommandError(say("name a session folder, or with --node the node that has the session"));
    }
}

int add_command(const Paths& paths, const NotesOptions& options) {
    require_place_to_write(options);
    sessions::Sources sources;
    const std::string text = text_option(options.text, base::marked("--text"), sources);
    base::require_utf8(options.author, base::marked("--author"));
    const NotePlace place = place_of(options);
    if (!options.node.empty()) {
        HeldSignals signals;
        RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
        print_answer(node.ask(signals, "notes.add",
                              {{"on", history::to_json(place)}, {"text", text}, {"author", options.author}}),
                     options);
        return 0;
    }
    print_answer(change_here(paths, options,
                             [&](LocalNode& node, NoteBook& notes) {
                                 check_note_place(*node.session, place);
                                 return notes.add(node.journal, place, text, options.author, protocol::Right::admin);
                             }),
                 options);
    return 0;
}

int remove_command(const Paths& paths, const NotesOptions& options) {
    require_place_to_write(options);
    if (!options.node.empty()) {
        HeldSignals signals;
        RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
        print_answer(node.ask(signals, "notes.remove", {{"note", options.number}}), options);
        return 0;
    }
    print_answer(change_here(paths, options,
                             [&](LocalNode& node, NoteBook& notes) {
                                 return notes.remove(node.journal, options.number, 0, "", protocol::Right::admin);
                             }),
                 options);
    return 0;
}

}  // namespace

void add_notes(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<NotesOptions>();
    auto* notes = app.add_subcommand("notes", "The notes that people have written on a session");
    notes->add_option("session", options->session, "Session folder")->check(filled());
    add_node_option(*notes, options->node, options->wait, "List those of a session on another machine");
    notes->add_flag("--json", options->json, "JSON Lines on standard output, one object for each note");
    auto* add = notes->add_subcommand("add", "Write a note on the session, a step, a token or an answer");
    add->add_option("session", options->session, "Session folder")->check(filled());
    add->add_option("--text", options->text, "The note; @FILE: what stands in the file")->required()->check(filled());
    add->add_option("--author", options->author, "Initials or a name");
    add->add_option("--run", options->run, "What it stands on is of this run; alone: an answer of a comparison")
        ->check(whole_number(1, std::numeric_limits<std::uint32_t>::max()));
    add->add_option("--step", options->step, "On this step of a training run")->check(whole_number(0, kLastPlace));
    add->add_option("--token", options->token, "On this token of a recorded routing, from 0")
        ->check(whole_number(0, kLastPlace));
    auto* item = add->add_option("--item", options->item, "On the answer to this item of a probe run")->check(filled());
    add->add_option("--model", options->model, "Of this model")->needs(item)->check(filled());
    item->needs(add->get_option("--model"));
    add->add_option("--language", options->language, "In this language")->needs(item)->check(filled());
    add->add_option("--draw", options->draw, "The answer's number, from 0")->needs(item)->check(whole_number(0, 1000));
    auto* remove = notes->add_subcommand("remove", "Remove a note");
    remove->add_option("session", options->session, "Session folder")->check(filled());
    remove->add_option("--note", options->number, "Its number")->required()->check(whole_number(1, history::kLastNote));
    for (CLI::App* command : {add, remove}) {
        add_node_option(*command, options->node, options->wait);
        command->add_flag("--json", options->json, "One JSON object on standard output");
    }
    add->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return add_command(paths, *options); };
    });
    remove->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return remove_command(paths, *options); };
    });
    notes->callback([&chosen, notes, options] {
        if (!notes->get_subcommands().empty()) {
            return;
        }
        if (options->session.empty() == options->node.empty()) {
            throw CLI::ValidationError("notes needs a session folder, or --node: then those of that node's session");
        }
        chosen.command = [options](const Paths& paths) { return list_command(paths, *options); };
    });
}

}  // namespace moescope::node
