// What a person has done in a session and can take back: one history for all panels of a session (Shared), behind the
// commands edit.undo and edit.redo. What lives in the node is taken back by a command like any other, so an edit may
// wait for its answer. The history itself is pure; GUI thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/client/snapshot.hpp"
#include "panels/ui/language.hpp"

namespace moescope::ui {

struct Context;

/// Something that was done.
class Edit {
 public:
    enum class Way : std::uint8_t { done, undone, redone };
    /// What came of taking it back, or of doing it again.
    struct Outcome {
        std::vector<client::CommandId> sent{};  ///< the node has to do it; empty: it is done
        std::string refused{};  ///< why it stays as it is, in the language of the window; then nothing has happened
    };

    Edit() = default;
    virtual ~Edit() = default;
    Edit(const Edit&) = delete;
    Edit& operator=(const Edit&) = delete;

    /// What was done, behind "Undo:".
    virtual std::string name(const Language& text) const = 0;
    virtual Outcome undo(Context& ctx) = 0;
    virtual Outcome redo(Context& ctx) = 0;
    /// The node has done what `way` sent; once for each command.
    virtual void answered(Way way, const nlohmann::json& value) {
        (void)way;
        (void)value;
    }
    /// Of a form or a list that may go before the history does: see UndoHistory::forget().
    virtual const void* owner() const { return nullptr; }
};

/// An edit that commands to the node take back and do again.
struct CommandEdit {
    struct Command {
        std::string name;
        nlohmann::json parameters;
    };
    /// In the language of the window.
    std::function<std::string(const Language& text)> name;
    std::vector<Command> undo, redo;
    /// Why it can't be taken back, or done again (`way` says which): somebody else has changed it since, its run has
    /// ended; empty when it can. May be empty.
    std::function<std::string(const Context& ctx, Edit::Way way)> why_not{};
};
std::unique_ptr<Edit> make_edit(CommandEdit edit);

/// The latest edits. One that the node refuses, or whose answer is not known, is none and is left out; so is one that
/// can't be taken back any more, so that those before it can.
class UndoHistory {
 public:
    static constexpr std::size_t kMost = 200;

    /// It is done, or `sent` is on its way to the node. What had been taken back before can't be done again then.
    void add(std::unique_ptr<Edit> edit, std::vector<client::CommandId> sent = {});
    /// Takes the answers of the node. Once per frame, before anything is drawn.
    void follow(const client::Snapshot& snapshot);
    /// Everything of an owner goes.
    void forget(const void* owner);

    /// Null while there is none, or while it waits for the node.
    const Edit* next_undo() const { return next(done_); }
    const Edit* next_redo() const { return next(undone_); }
    bool waits() const;
    using Apply = std::function<Edit::Outcome(Edit& edit)>;
    /// The reason why it was refused, once; empty otherwise, and when there is nothing.
    std::string undo(const Apply& apply) { return step(done_, undone_, Edit::Way::undone, apply); }
    std::string redo(const Apply& apply) { return step(undone_, done_, Edit::Way::redone, apply); }
    /// The same in the window, where the reason goes to the status line.
    void undo(Context& ctx);
    void redo(Context& ctx);

 private:
    struct Entry {
        std::unique_ptr<Edit> edit;
        std::vector<client::CommandId> waits{};  ///< without an answer
        Edit::Way way = Edit::Way::done;
    };
    using Entries = std::vector<Entry>;  ///< the latest last

    static const Edit* next(const Entries& entries);
    static void follow(Entries& entries, const client::Snapshot& snapshot);
    std::string step(Entries& from, Entries& to, Edit::Way way, const Apply& apply);

    Entries done_, undone_;
};

/// The fields of a form that lives in the window: each finished edit of a person is one step of the history. What the
/// program writes into them (a preset, what the node proposes) is none.
class FieldWatch {
 public:
    /// What a field is called, by its place in the state ("/config/train/steps"); empty: it follows from others, and a
    /// change of it alone is told by none.
    using Name = std::function<std::string(const Language& text, const std::string& place)>;
    using Apply = std::function<void(Context& ctx, const nlohmann::json& state)>;
    /// In the form's window, behind its fields, in every frame in which it is drawn. `state`: all fields, an object.
    /// `apply` puts a state into them; it is kept, and must be valid until reset() or the end of the session.
    void follow(Context& ctx, nlohmann::json state, Name name, Apply apply);
    /// The form is closed, or another one: what was done in it can't be taken back any more.
    void reset(Context& ctx);

 private:
    nlohmann::json last_;
    bool touched_ = false;  ///< a person has had hold of a field since last_
};
/// "steps: 200 → 400", or the first of several and that there are others.
std::string changed_fields(const Language& text, const nlohmann::json& before, const nlohmann::json& after,
                           const FieldWatch::Name& name);

}  // namespace moescope::ui
