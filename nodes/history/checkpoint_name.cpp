#include "nodes/history/checkpoint_name.hpp"

#include <charconv>
#include <utility>
#include <vector>

#include "base/foreign_text.hpp"

namespace moescope::history {
namespace {

constexpr std::string_view kPrefix = "checkpoint:", kNow = "now";

/// A whole number in digits alone, at most `longest` of them.
std::optional<std::uint64_t> read_digits(std::string_view text, std::size_t longest) {
    if (text.empty() || text.size() > longest || text.find_first_not_of("0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

bool is_checkpoint_name(std::string_view name) {
    return name.starts_with(kPrefix);
}

std::optional<CheckpointName> checkpoint_named(std::string_view name) {
    if (!is_checkpoint_name(name)) {
        return std::nullopt;
    }
    name.remove_prefix(kPrefix.size());
    const std::size_t colon = name.find(':');
    const auto run = read_digits(name.substr(0, colon), 9);
    if (!run || *run == 0) {
        return std::nullopt;
    }
    CheckpointName found;
    found.run = static_cast<std::uint32_t>(*run);
    if (colon == std::string_view::npos) {
        return found;
    }
    const std::string_view which = name.substr(colon + 1);
    if (which == kNow) {
        found.which = CheckpointName::Which::now;
        return found;
    }
    const auto step = read_digits(which, 18);
    if (!step) {
        return std::nullopt;
    }
    found.which = CheckpointName::Which::step;
    found.step = *step;
    return found;
}

std::string to_text(const CheckpointName& name) {
    std::string text = std::string(kPrefix) + std::to_string(name.run);
    if (name.which == CheckpointName::Which::now) {
        text += ":" + std::string(kNow);
    } else if (name.which == CheckpointName::Which::step) {
        text += ":" + std::to_string(name.step);
    }
    return text;
}

bool is_set_name(std::string_view name) {
    constexpr std::size_t kLongest = 60;
    return !name.empty() && name.size() <= kLongest && name.find('|') == std::string_view::npos &&
           base::one_line(name) == name;
}

std::optional<ModelWithSet> model_with_set(std::string_view name) {
    const std::size_t bar = name.rfind('|');
    if (bar == std::string_view::npos || bar == 0 || !is_set_name(name.substr(bar + 1))) {
        return std::nullopt;
    }
    return ModelWithSet{std::string(name.substr(0, bar)), std::string(name.substr(bar + 1))};
}

std::string to_text(const ModelWithSet& name) {
    return name.model + "|" + name.set;
}

base::Sentence model_sentence(const std::string& name) {
    if (const auto changed = model_with_set(name); changed && changed->set.find('/') == std::string::npos) {
        return base::say("{} with {}", model_sentence(changed->model), changed->set);
    }
    const auto checkpoint = checkpoint_named(name);
    if (!checkpoint) {
        return base::Sentence::verbatim(name);
    }
    switch (checkpoint->which) {
        case CheckpointName::Which::now:
            return base::say("run {}, as it is now", checkpoint->run);
        case CheckpointName::Which::step:
            return base::say("run {}, step {}", checkpoint->run, checkpoint->step);
        case CheckpointName::Which::latest:
            break;
    }
    return base::say("run {}, latest checkpoint", checkpoint->run);
}

base::Sentence with_model_sentences(const base::Sentence& sentence) {
    if (sentence.is_verbatim()) {
        return sentence;
    }
    std::vector<base::Sentence> values = sentence.arguments();
    for (base::Sentence& value : values) {
        value = value.is_verbatim() && is_checkpoint_name(value.id()) ? model_sentence(value.id())
                                                                      : with_model_sentences(value);
    }
    return {sentence.id(), std::move(values)};
}

}  // namespace moescope::history
