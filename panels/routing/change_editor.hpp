// The set of changes that is being put together: its list, a form for more, undo, and the saved sets. GUI thread.
#pragma once

#include <optional>
#include <string>

#include "base/sentence.hpp"
#include "panels/routing/change_list.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"
#include "routing/decision.hpp"

namespace moescope::panels {

class ChangeEditor {
 public:
    /// Over the width that is there. `model`: the one that will be asked, whose router the changes have to fit.
    void draw(ui::Context& ctx, const std::string& model);
    /// Why the list does not fit the model, in the language of the window; empty while it fits, or that is not known.
    const std::string& problem() const { return problem_; }

    /// The name under which the node knows exactly this list; empty when it does under none.
    static std::string saved_name(const ui::Context& ctx, const EditedChanges& edited);
    void save(ui::Context& ctx);

 private:
    void draw_sets(ui::Context& ctx, EditedChanges& edited);
    void draw_list(ui::Context& ctx, EditedChanges& edited);
    bool draw_value(const ui::Context& ctx, const Change& change, Change& other);
    void draw_form(ui::Context& ctx, EditedChanges& edited);
    void draw_replays(ui::Context& ctx);
    void watch(ui::Context& ctx, EditedChanges& edited);
    void check(const ui::Context& ctx, const EditedChanges& edited, const std::string& model);

    ui::FieldWatch watch_;            ///< of the form for more, and of the set's name
    std::uint64_t with_version_ = 0;  ///< of the list, in the last frame
    Change::Kind kind_ = Change::Kind::knock_out;
    std::string layers_ = "0", experts_ = "0";
    float bias_ = -1;
    int limit_ = 1;
    std::uint32_t replayed_ = 0;
    std::string problem_;
    base::Sentence form_problem_;  ///< of what was to be added
    struct Tried {
        Change::Kind kind = Change::Kind::knock_out;
        std::string layers, experts;
        std::uint64_t version = 0;  ///< of the list
        bool operator==(const Tried&) const = default;
    };
    Tried problem_of_;
    /// What problem_ was made of.
    struct Checked {
        std::uint64_t version = ~std::uint64_t{0};
        std::string model, language;
        const void *router = nullptr, *replayed = nullptr;
        bool operator==(const Checked&) const = default;
    };
    Checked checked_;
};

}  // namespace moescope::panels
