#include "nodes/curves/curve_names.hpp"

#include <algorithm>
#include <array>

#include "base/step_values.hpp"
#include "base/text.hpp"
#include "nodes/protocol/curve_record.hpp"

namespace moescope::curves {

namespace {

struct Alias {
    std::string_view name;  ///< as plain() has it
    const char* key;
};
// Only what means the same in the same unit; a balance loss, say, is scaled in another way by every program.
constexpr std::array kAliases = {
    Alias{"total_loss", "loss"},
    Alias{"loss_metrics/global_avg_loss", "loss"},
    Alias{"lm_loss", "cross_entropy"},
    Alias{"ce_loss", "cross_entropy"},
    Alias{"nll_loss", "cross_entropy"},
    Alias{"cross_entropy_loss", "cross_entropy"},
    Alias{"grad_norm", "gradient_norm"},
    Alias{"global_grad_norm", "gradient_norm"},
    Alias{"lr", "learning_rate"},
    Alias{"tokens_per_sec", "tokens_per_second"},
    Alias{"eval/loss/en", protocol::kEvaluationEnglish},
    Alias{"eval/loss/zh", protocol::kEvaluationChinese},
    Alias{"eval/loss", protocol::kEvaluationAny},
    Alias{"eval_loss", protocol::kEvaluationAny},
    Alias{"val/loss", protocol::kEvaluationAny},
    Alias{"val_loss", protocol::kEvaluationAny},
    Alias{"valid/loss", protocol::kEvaluationAny},
    Alias{"valid_loss", protocol::kEvaluationAny},
    Alias{"validation/loss", protocol::kEvaluationAny},
    Alias{"validation_loss", protocol::kEvaluationAny},
    Alias{"lm_loss_validation", protocol::kEvaluationAny},
};
constexpr std::array<std::string_view, 6> kTraining = {"train/",    "train_",         "training/",
                                                       "training_", "metrics/train/", "metrics/"};
constexpr std::array<const char*, 3> kEvaluations = {protocol::kEvaluationEnglish, protocol::kEvaluationChinese,
                                                     protocol::kEvaluationAny};
constexpr const char* kLossUnit = "nats/token";

std::string plain(std::string_view name) {
    if (const auto run = name.rfind(" - "); run != std::string_view::npos) {
        name.remove_prefix(run + 3);
    }
    std::string text = base::lower(std::string(base::trimmed(name)));
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
    return text;
}

std::string known(std::string_view name) {
    for (const char* key : kEvaluations) {
        if (name == key) {
            return key;
        }
    }
    std::string dotted(name);
    std::replace(dotted.begin(), dotted.end(), '/', '.');
    for (const base::StepValue& row : base::kStepValues) {
        if (name == row.key || dotted == row.key) {
            return row.key;
        }
    }
    for (const Alias& alias : kAliases) {
        if (name == alias.name) {
            return alias.key;
        }
    }
    return {};
}

}  // namespace

std::string key_of_name(std::string_view name, std::string_view unit) {
    const std::string text = plain(name);
    std::string key = known(text);
    for (const std::string_view prefix : kTraining) {
        if (key.empty() && text.starts_with(prefix)) {
            key = known(std::string_view(text).substr(prefix.size()));
        }
    }
    return unit.empty() || unit == unit_of_key(key) ? key : std::string();
}

std::string tag_of_key(std::string_view key) {
    for (const Alias& alias : kAliases) {
        if (key == alias.key && alias.name.starts_with("eval/")) {
            return std::string(alias.name);
        }
    }
    std::string tag = "train/" + std::string(key);
    std::replace(tag.begin(), tag.end(), '.', '/');
    return tag;
}

std::string_view unit_of_key(std::string_view key) {
    for (const base::StepValue& row : base::kStepValues) {
        if (key == row.key) {
            return row.unit;
        }
    }
    return std::find(kEvaluations.begin(), kEvaluations.end(), key) != kEvaluations.end() ? kLossUnit : "";
}

}  // namespace moescope::curves
