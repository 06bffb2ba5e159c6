// The changes to routers that a person puts together: a list in their order. Pure; what each change
// means for a model is in routing/interventions.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/language.hpp"
#include "routing/interventions.hpp"

namespace moescope::panels {

struct Change {
    enum class Kind : std::uint8_t { knock_out, force, bias, limit, zero, replay };
    Kind kind = Kind::knock_out;
    int layer = routing::kEvery, expert = routing::kEvery;  ///< kEvery: of all; a limit has no expert, a replay neither
    float bias = 0;                                         ///< of kind bias
    int experts = 1;                                        ///< of kind limit: so many are chosen at most
    std::string source{};                                   ///< of kind replay: whose routing, see replay_source()
    bool operator==(const Change&) const = default;
};
inline constexpr int kChangeKinds = 6;
/// "knock_out", "force", "bias", "limit_k", "zero", "replay": as in an item of a set, and the end of a language key.
const char* change_kind_name(Change::Kind kind);

/// What a replay of a run of the session names as its source.
std::string replay_source(std::uint32_t run);
/// The run that a source names; 0 when it names none.
std::uint32_t replayed_run(std::string_view source);

/// [{"kind":"knock_out","layer":3,"expert":5}, ...]
nlohmann::json items_of(const std::vector<Change>& changes);
/// Throws base::Error with the reason, as routing::interventions_from_json does.
std::vector<Change> changes_from(const nlohmann::json& items);
/// The same of a set that came with the session: empty where it is damaged.
std::vector<Change> changes_or_none(const nlohmann::json& items);

/// "layer 3, expert 5: knocked out"
std::string change_text(const ui::Language& text, const Change& change);
/// "2 knocked out, bias at 1 place"; says so when there are none.
std::string changes_text(const ui::Language& text, const std::vector<Change>& changes);

/// Changes of one kind for every place that the two texts name ("3", "0-5", "*"; "0-4,7"): what a person types into the
/// fields of layers and experts. Throws base::Error that says what is wrong.
std::vector<Change> changes_at(Change::Kind kind, std::string_view layers, std::string_view experts, float bias,
                               int most_experts);

/// Why a set can't have this name: a language key; null when it can. 1 to 60 bytes, no bar, no control characters.
const char* set_name_problem(std::string_view name);

class ChangeList {
 public:
    const std::vector<Change>& changes() const { return changes_; }
    bool empty() const { return changes_.empty(); }

    /// Puts a change behind the others. What it contradicts goes: knocked out and forced at one place, another bias or
    /// limit there, another replay. False, and nothing happens, when all of it is there already.
    bool add(const std::vector<Change>& more);
    bool add(const Change& change) { return add(std::vector<Change>{change}); }
    void remove(std::size_t index);
    void replace(std::size_t index, Change change);
    void clear() { set({}); }
    /// Another list in its place, as one step to undo.
    void set(std::vector<Change> changes);
    /// Takes back what stands exactly at this place, of any kind. False when nothing does.
    bool remove_at(int layer, int expert);
    /// What stands exactly at this place.
    std::vector<Change> at(int layer, int expert) const;

    /// Rises with every change of the list.
    std::uint64_t version() const { return version_; }

 private:
    void step(std::vector<Change> next);

    std::vector<Change> changes_;
    std::uint64_t version_ = 0;
};

/// The set that is being put together, one for the window: the panel of interventions draws it, every map adds to it
/// (ui::Shared).
struct EditedChanges {
    ChangeList list;
    std::string name;   ///< as it was loaded or saved; empty: neither
    std::string model;  ///< of the map that the latest change came from; empty: it did not say
};

}  // namespace moescope::panels
