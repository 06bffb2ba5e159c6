#include "panels/routing/change_undo.hpp"

#include <memory>
#include <optional>
#include <utility>

#include "panels/ui/undo.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;

/// Whether the list's latest change came from the history (Shared).
struct ListInHistory {
    bool skip = false;
};

/// A list, and the name that it had.
struct NamedList {
    std::vector<Change> changes;
    std::string name;
};

/// One list in the place of another.
class ListEdit final : public ui::Edit {
 public:
    ListEdit(NamedList before, NamedList after) : before_(std::move(before)), after_(std::move(after)) {}

    std::string name(const ui::Language& text) const override {
        return text.format("undo.changes", {{"before", changes_text(text, before_.changes)},
                                            {"after", changes_text(text, after_.changes)}});
    }
    Outcome undo(ui::Context& ctx) override { return set(ctx, after_, before_); }
    Outcome redo(ui::Context& ctx) override { return set(ctx, before_, after_); }

 private:
    /// A name that this step has not changed stays as it has become.
    static Outcome set(ui::Context& ctx, const NamedList& from, const NamedList& to) {
        auto& edited = ctx.shared.get<EditedChanges>();
        edited.list.set(to.changes);
        if (from.name != to.name) {
            edited.name = to.name;
        }
        // It comes from the history, and is none of its steps.
        ctx.shared.get<ListInHistory>().skip = true;
        return {};
    }

    NamedList before_, after_;
};

ui::CommandEdit::Command command_for(const std::string& name, const std::optional<json>& items) {
    return items ? ui::CommandEdit::Command{"interventions.save", {{"name", name}, {"items", *items}}}
                 : ui::CommandEdit::Command{"interventions.remove", {{"name", name}}};
}

std::optional<json> saved(const client::Snapshot& snapshot, const std::string& name) {
    const auto found = snapshot.intervention_sets->find(name);
    return found == snapshot.intervention_sets->end() ? std::nullopt : std::optional(found->second);
}

/// No items: the set goes.
void change_set(ui::Context& ctx, const std::string& name, const std::optional<json>& items) {
    const std::optional<json> before = saved(ctx.snapshot, name);
    if (before == items) {
        return;
    }
    const ui::CommandEdit::Command now = command_for(name, items);
    const client::CommandId sent = ctx.client.send(now.name, now.parameters);
    ui::CommandEdit edit{.name =
                             [name, removed = !items.has_value()](const ui::Language& text) {
                                 return text.format(removed ? "undo.set.removed" : "undo.set.saved", {{"name", name}});
                             },
                         .undo = {command_for(name, before)},
                         .redo = {now},
                         .why_not = [name, before, items](const ui::Context& there, ui::Edit::Way) -> std::string {
                             const std::optional<json> is = saved(there.snapshot, name);
                             // What was sent a moment ago may not have come back yet.
                             return is == before || is == items
                                        ? std::string()
                                        : there.text.format("undo.set.changed", {{"name", name}});
                         }};
    ctx.shared.get<ui::UndoHistory>().add(ui::make_edit(std::move(edit)), {sent});
}

}  // namespace

void ChangeUndo::follow(ui::Context& ctx) {
    const auto& [list, name, model] = ctx.shared.get<EditedChanges>();
    std::string name_before = std::exchange(name_, name);
    const bool skip = std::exchange(ctx.shared.get<ListInHistory>().skip, false);
    if (list.version() == version_) {
        return;
    }
    version_ = list.version();
    std::vector<Change> before = std::exchange(last_, list.changes());
    if (!skip && before != last_) {
        ctx.shared.get<ui::UndoHistory>().add(
            std::make_unique<ListEdit>(NamedList{std::move(before), std::move(name_before)}, NamedList{last_, name_}));
    }
}

void save_set(ui::Context& ctx, const std::string& name, const std::vector<Change>& changes) {
    change_set(ctx, name, items_of(changes));
}

void remove_set(ui::Context& ctx, const std::string& name) {
    if (saved(ctx.snapshot, name)) {
        change_set(ctx, name, std::nullopt);
    }
}

}  // namespace moescope::panels
