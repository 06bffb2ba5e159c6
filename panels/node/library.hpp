// The node's library and catalogue as several panels read them: models with their titles, texts in two languages.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/json_fields.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/runs.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Where a comparison or a probe of a Chinese and a Western model starts when both are in the library.
inline constexpr std::array<const char*, 2> kDefaultModels = {"qwen2.5-coder-0.5b", "smollm2-135m"};

/// {"title": {"en": ..., "zh": ...}} or {"title": ...}: the text in `language`.
std::string localized(const nlohmann::json& object, const char* key, const std::string& language);

/// A model and, where it is to be asked with a saved set of changes to its routers, the name of the set ("MODEL|SET");
/// else that is empty. A name of the library that has a bar itself stays whole.
history::ModelWithSet model_with_set(const client::Snapshot& snapshot, const std::string& name);

/// The entry of a name, with or without a set; null when the library has none. Valid as long as the snapshot.
const client::ModelEntry* find_model(const client::Snapshot& snapshot, const std::string& name);
/// What a person calls a model: its title, else its name; a checkpoint by its run and the step that wrote it; with a
/// set "MODEL with SET".
std::string model_title(const ui::Context& ctx, const std::string& name);
/// The same for the model of a run: as its file was called when the run began, which may be another one than the
/// library has under that name now. Then, and where runs of several files would have one name, with the beginning of
/// the hash of its file, or when the run began.
std::string model_title_of(const ui::Context& ctx, const history::RunHeader& run, const std::string& model);
/// Whether the library has another file under that name than the one of the run, as far as that is known.
bool is_of_another_file(const client::Snapshot& snapshot, const history::RunHeader& run, const std::string& model);
/// The title of a model of the library, with the name of its file where that tells more: several have the title, or
/// somebody has added the file, whose title then is whatever its writer put into it. Of several on servers with the
/// host and the port, or with the whole address where these are one; with the model's name where file or address are
/// the same too.
std::string entry_title(const client::Snapshot& snapshot, const client::ModelEntry& model);
/// What came of models.add, once the node has answered: the name in the library, or else what went wrong.
struct AddedModel {
    std::string name;
    base::Sentence problem;  ///< empty where there is a name
};
/// Nothing while `adding` is unanswered; sets it to 0 with the answer. 0 has none.
std::optional<AddedModel> take_added(const ui::Context& ctx, client::CommandId& adding);
/// The newest checkpoint of the training run `run`, else that of the newest run of this session that has one; empty
/// without any.
std::string model_of_session(const client::Snapshot& snapshot, std::uint32_t run);
/// Has a router as far as the library knows: a mixture of experts, or trained here.
bool is_routed(const client::ModelEntry& model);

enum class Offer {
    models,     ///< all of the library
    with_sets,  ///< and below each with a router the same with every saved set of changes
    routed,     ///< only those with a router
};
/// A combo box with models of the library; those without a file can't be chosen. True when `chosen` has changed.
bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown,
                 Offer offer = Offer::models);

}  // namespace moescope::panels
