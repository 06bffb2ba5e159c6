#include "panels/ui/undo.hpp"

#include <algorithm>
#include <utility>

#include "panels/ui/context.hpp"

namespace moescope::ui {

namespace {

class SentEdit final : public Edit {
 public:
    explicit SentEdit(CommandEdit edit) : edit_(std::move(edit)) {}
    std::string name(const Language& text) const override { return edit_.name(text); }
    Outcome undo(Context& ctx) override { return send(ctx, Way::undone, edit_.undo); }
    Outcome redo(Context& ctx) override { return send(ctx, Way::redone, edit_.redo); }

 private:
    Outcome send(Context& ctx, Way way, const std::vector<CommandEdit::Command>& commands) const {
        if (!ctx.connected()) {
            return {.refused = ctx.text("runs.offline")};
        }
        if (edit_.why_not) {
            if (std::string why = edit_.why_not(ctx, way); !why.empty()) {
                return {.refused = std::move(why)};
            }
        }
        Outcome outcome;
        for (const CommandEdit::Command& command : commands) {
            outcome.sent.push_back(ctx.client.send(command.name, command.parameters));
        }
        return outcome;
    }

    CommandEdit edit_;
};

}  // namespace

std::unique_ptr<Edit> make_edit(CommandEdit edit) {
    return std::make_unique<SentEdit>(std::move(edit));
}

void UndoHistory::add(std::unique_ptr<Edit> edit, std::vector<client::CommandId> sent) {
    undone_.clear();
    done_.push_back({std::move(edit), std::move(sent)});
    if (done_.size() > kMost) {
        done_.erase(done_.begin());
    }
}

void UndoHistory::follow(Entries& entries, const client::Snapshot& snapshot) {
    using State = client::CommandResult::State;
    std::erase_if(entries, [&](Entry& entry) {
        bool came_to_nothing = false;
        std::erase_if(entry.waits, [&](client::CommandId id) {
            if (pending(snapshot, id)) {
                return false;
            }
            const auto result = snapshot.results.find(id);
            if (result == snapshot.results.end() || result->second.state != State::done) {
                came_to_nothing = true;
            } else {
                entry.edit->answered(entry.way, result->second.value);
            }
            return true;
        });
        return came_to_nothing;
    });
}

void UndoHistory::follow(const client::Snapshot& snapshot) {
    follow(done_, snapshot);
    follow(undone_, snapshot);
}

void UndoHistory::forget(const void* owner) {
    for (Entries* entries : {&done_, &undone_}) {
        std::erase_if(*entries, [&](const Entry& entry) { return entry.edit->owner() == owner; });
    }
}

const Edit* UndoHistory::next(const Entries& entries) {
    return entries.empty() || !entries.back().waits.empty() ? nullptr : entries.back().edit.get();
}

bool UndoHistory::waits() const {
    const auto waiting = [](const Entries& entries) { return !entries.empty() && !entries.back().waits.empty(); };
    return waiting(done_) || waiting(undone_);
}

std::string UndoHistory::step(Entries& from, Entries& to, Edit::Way way, const Apply& apply) {
    // Two commands under way could overtake each other.
    if (next(from) == nullptr || waits()) {
        return {};
    }
    Entry entry = std::move(from.back());
    from.pop_back();
    Edit::Outcome outcome = apply(*entry.edit);
    if (!outcome.refused.empty()) {
        return std::move(outcome.refused);
    }
    entry.way = way;
    entry.waits = std::move(outcome.sent);
    to.push_back(std::move(entry));
    return {};
}

void UndoHistory::undo(Context& ctx) {
    if (const std::string why = undo([&](Edit& edit) { return edit.undo(ctx); }); !why.empty()) {
        ctx.notify(why, true);
    }
}

void UndoHistory::redo(Context& ctx) {
    if (const std::string why = redo([&](Edit& edit) { return edit.redo(ctx); }); !why.empty()) {
        ctx.notify(why, true);
    }
}

}  // namespace moescope::ui
