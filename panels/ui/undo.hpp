// What a person has done in a session and can take back: one history for all panels of a session (Shared), behind the
// commands edit.undo and edit.redo. What lives in the node is taken back by a command like any other, so an edit may
// wait for its answer. The history itself is pure; GUI thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <imgui.h>
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
    /// Whether the record of what `way` did is in the snapshot. Answers and records come on two channels: until it is,
    /// for kLate seconds at most, what the snapshot shows is older than the edit and says nothing of other people, and
    /// why_not is not asked. `answer`: of the node to the latest command. May be empty.
    std::function<bool(const Context& ctx, Edit::Way way, const nlohmann::json& answer)> arrived{};
    static constexpr double kLate = 10;
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
/// program writes into them (a preset, what the node proposes) is none. An edit is finished when the item in which it
/// is made has neither keyboard nor mouse any more: what is typed into a field is one step, the button pressed behind
/// it another one.
class FieldWatch {
 public:
    /// What a field is called, by its place in the state ("/config/train/steps"); empty: it follows from others, and a
    /// change of it alone is told by none.
    using Name = std::function<std::string(const Language& text, const std::string& place)>;
    using Apply = std::function<void(Context& ctx, const nlohmann::json& state)>;
    /// In the form's window, behind its fields, in every frame in which it is drawn. `state`: all fields, an object.
    /// `apply` puts a state into them; it is kept, and must be valid until reset() or the end of the session. It gets
    /// the fields as they are but for those that the step has changed.
    void follow(Context& ctx, nlohmann::json state, Name name, Apply apply);
    /// Before a person changes fields from elsewhere: a command of a menu, another session's panel. `state`: as they
    /// are. The next change is a step then.
    void touch(nlohmann::json state);
    /// What has become of the fields belongs to a step of somebody else.
    void absorb(nlohmann::json state);
    /// The form is closed, or another one: what was done in it can't be taken back any more.
    void reset(Context& ctx);

    FieldWatch() = default;
    FieldWatch(const FieldWatch&) = delete;  // the steps know it by its place
    FieldWatch& operator=(const FieldWatch&) = delete;

 private:
    friend class FieldEdit;
    nlohmann::json last_;
    bool touched_ = false;  ///< a person has had hold of a field since last_
    bool told_ = false;     ///< touch() said so
    ImGuiID item_ = 0;      ///< that had keyboard or mouse in the last frame
    bool handed_ = false;   ///< it had come straight from another one in that frame
    int drawn_ = -1;        ///< the last frame
};
/// "undo.form." and the first part of the place: the Name of forms whose fields have all one text there.
std::string form_field(const Language& text, const std::string& place);
/// `state` with what has changed from `before` to `after` as in `after`; lists are taken whole.
nlohmann::json with_change(nlohmann::json state, const nlohmann::json& before, const nlohmann::json& after);
/// "steps: 200 → 400", or the first of several and that there are others.
std::string changed_fields(const Language& text, const nlohmann::json& before, const nlohmann::json& after,
                           const FieldWatch::Name& name);

}  // namespace moescope::ui
