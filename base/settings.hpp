// What is known of a run's settings without the engine that reads them: where they stand in a configuration, which ones
// were called otherwise once, and what a condition says. A configuration is {"name", "model": {...}, "train": {...}};
// every key is in one section only. The settings themselves: engine/model/config.hpp.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::base {

/// Today's name of a setting that was once called `key`; `key` where it was not. Old configurations, journals and
/// checkpoints have the old names.
std::string current_setting(const std::string& key);
/// The names that a setting of today had.
std::vector<std::string> old_settings(std::string_view key);
/// Gives the settings of a configuration today's names. What is there under both names is left alone.
void rename_settings(nlohmann::json& config);

/// The key of a setting as a value of a sentence: "setting learning_rate", which window and report show by its name in
/// their language (Messages::of_language). What can't be a key is verbatim.
Sentence setting_name(const std::string& key);

/// "model.experts" as a value of a sentence: in a message about a file as it stands there, in window and report by the
/// setting's name as well.
Sentence setting_path(const std::string& section, const std::string& key);

/// The value of `key` in the section "model" or "train", or null.
const nlohmann::json* setting(const nlohmann::json& config, std::string_view key);
/// A value as a person would type it: "0.003", "latent", "true"; empty for null.
std::string setting_text(const nlohmann::json& value);

// A condition is clauses joined by " and "; a clause is a key, one of = != > <, and a value as in JSON without quotes,
// or for > and < also another key: "attention = latent", "selection_bias = true and dense_layers < layers". The empty
// one always holds.

/// True also where the configuration lacks a key of the condition.
bool holds(std::string_view condition, const nlohmann::json& config);
std::vector<std::string> clauses(std::string_view condition);
/// Joins conditions, any of which may be empty.
std::string both(std::string_view one, std::string_view other);

}  // namespace moescope::base
