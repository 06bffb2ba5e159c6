#include "panels/ui/undo.hpp"

#include <algorithm>
#include <imgui_internal.h>
#include <utility>

#include "panels/ui/context.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::ui {

namespace {

class SentEdit final : public Edit {
 public:
    explicit SentEdit(CommandEdit edit) : edit_(std::move(edit)) {}
    std::string name(const Language& text) const override { return edit_.name(text); }
    Outcome undo(Context& ctx) override { return send(ctx, Way::undone, edit_.undo); }
    Outcome redo(Context& ctx) override { return send(ctx, Way::redone, edit_.redo); }
    void answered(Way way, const nlohmann::json& value) override {
        way_ = way;
        answer_ = value;
        answered_at_ = client::now_seconds();
    }

 private:
    bool is_late(const Context& ctx) const {
        return edit_.arrived && !answer_.is_null() && ctx.now - answered_at_ < CommandEdit::kLate &&
               !edit_.arrived(ctx, way_, answer_);
    }

    Outcome send(Context& ctx, Way way, const std::vector<CommandEdit::Command>& commands) const {
        if (!ctx.connected()) {
            return {.refused = ctx.text("runs.offline")};
        }
        if (edit_.why_not && !is_late(ctx)) {
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
    Way way_ = Way::done;  ///< that answer_ is of
    nlohmann::json answer_;
    double answered_at_ = 0;  ///< client::now_seconds()
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

namespace {

constexpr std::size_t kShownOfValue = 40;  // bytes

std::string value_text(const Language& text, const nlohmann::json& value) {
    if (value.is_boolean()) {
        return text(value.get<bool>() ? "runs.flag.on" : "runs.flag.off");
    }
    const std::string shown = value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
    return panels::in_one_line(shown, kShownOfValue);
}

}  // namespace

class FieldEdit final : public Edit {
 public:
    FieldEdit(FieldWatch& watch, nlohmann::json before, nlohmann::json after, FieldWatch::Name name,
              FieldWatch::Apply apply)
        : watch_(watch),
          before_(std::move(before)),
          after_(std::move(after)),
          name_(std::move(name)),
          apply_(std::move(apply)) {}

    std::string name(const Language& text) const override { return changed_fields(text, before_, after_, name_); }
    Outcome undo(Context& ctx) override { return put(ctx, after_, before_, "undo.unseen"); }
    Outcome redo(Context& ctx) override { return put(ctx, before_, after_, "redo.unseen"); }
    const void* owner() const override { return &watch_; }

 private:
    Outcome put(Context& ctx, const nlohmann::json& from, const nlohmann::json& to, const char* unseen) {
        watch_.last_ = with_change(std::move(watch_.last_), from, to);  // from the history, and none of its steps
        apply_(ctx, watch_.last_);
        if (watch_.drawn_ < ImGui::GetFrameCount() - 1) {
            ctx.notify(ctx.text.format(unseen, {{"what", name(ctx.text)}}), false);
        }
        return {};
    }

    FieldWatch& watch_;
    const nlohmann::json before_, after_;
    const FieldWatch::Name name_;
    const FieldWatch::Apply apply_;
};

std::string form_field(const Language& text, const std::string& place) {
    return text("undo.form." + place.substr(1, place.find('/', 1) - 1));
}

nlohmann::json with_change(nlohmann::json state, const nlohmann::json& before, const nlohmann::json& after) {
    if (!state.is_object() || !before.is_object() || !after.is_object()) {
        return after;
    }
    for (const auto& [key, value] : after.items()) {
        const auto was = before.find(key);
        if (was == before.end() || *was != value) {
            nlohmann::json& now = state[key];
            now = with_change(std::move(now), was == before.end() ? nlohmann::json() : *was, value);
        }
    }
    for (const auto& [key, value] : before.items()) {
        if (!after.contains(key)) {
            state.erase(key);
        }
    }
    return state;
}

std::string changed_fields(const Language& text, const nlohmann::json& before, const nlohmann::json& after,
                           const FieldWatch::Name& name) {
    const nlohmann::json was = before.flatten(), is = after.flatten();
    std::string first;
    std::size_t count = 0;
    const auto add = [&](const std::string& place, const nlohmann::json& from, const nlohmann::json& to) {
        const std::string field = name(text, place);
        if (from == to || field.empty()) {
            return;
        }
        if (count++ == 0) {
            first = text.format("undo.field",
                                {{"field", field}, {"old", value_text(text, from)}, {"new", value_text(text, to)}});
        }
    };
    for (const auto& [place, value] : is.items()) {
        add(place, was.contains(place) ? was[place] : nlohmann::json(), value);
    }
    for (const auto& [place, value] : was.items()) {
        if (!is.contains(place)) {
            add(place, value, nlohmann::json());
        }
    }
    return count > 1 ? text.format("undo.fields", {{"field", first}}) : first;
}

void FieldWatch::follow(Context& ctx, nlohmann::json state, Name name, Apply apply) {
    const ImGuiID item = ImGui::GetActiveID();
    const bool other = item != item_, handed = other && item != 0 && item_ != 0;
    item_ = item;
    // What a field takes when it is left comes in the frame of the click or in the next one. What was clicked acts when
    // the button is let go, which is later.
    const bool left = item == 0 || handed || handed_;
    handed_ = handed;
    drawn_ = ImGui::GetFrameCount();
    if (last_.is_null()) {
        last_ = std::move(state);
        touched_ = told_ = false;
        return;
    }
    const bool held = item != 0 && ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows);
    if (state == last_) {
        told_ = false;
        touched_ = item != 0 && (touched_ || held);
        return;
    }
    touched_ = touched_ || held;
    if (!left && !told_) {
        return;  // it is still being edited
    }
    nlohmann::json before = std::exchange(last_, std::move(state));
    const bool done = std::exchange(touched_, held) || told_;
    told_ = false;
    if (done && !changed_fields(ctx.text, before, last_, name).empty()) {
        ctx.shared.get<UndoHistory>().add(
            std::make_unique<FieldEdit>(*this, std::move(before), last_, std::move(name), std::move(apply)));
    }
}

void FieldWatch::touch(nlohmann::json state) {
    if (last_.is_null()) {
        last_ = std::move(state);
    }
    told_ = true;
}

void FieldWatch::absorb(nlohmann::json state) {
    if (!last_.is_null()) {
        last_ = std::move(state);
    }
}

void FieldWatch::reset(Context& ctx) {
    if (!last_.is_null()) {
        last_ = nlohmann::json();
        ctx.shared.get<UndoHistory>().forget(this);
    }
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
