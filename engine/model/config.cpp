#include "engine/model/config.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>
#include <span>
#include <sstream>

#include "engine/error.hpp"
#include "engine/model/validate.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

template <class Owner>
struct IntField {
    const char* key;
    int Owner::*member;
    int low, high;
};

template <class Owner>
struct RealField {
    const char* key;
    double Owner::*member;
    double low, high;
};

template <class Owner>
struct BoolField {
    const char* key;
    bool Owner::*member;
};

// Kernel limits: vocabulary fits the 16-bit tokens of a Dataset; kMaxHeadWidth, kMaxExperts, kMaxChosen of kernels/cpu.
constexpr IntField<ModelConfig> kModelInts[] = {
    {"vocabulary", &ModelConfig::vocabulary, 2, 65536},
    {"width", &ModelConfig::width, 1, 16384},
    {"layers", &ModelConfig::layers, 1, 256},
    {"heads", &ModelConfig::heads, 1, 256},
    {"kv_heads", &ModelConfig::kv_heads, 1, 256},
    {"head_width", &ModelConfig::head_width, 2, 512},
    {"experts", &ModelConfig::experts, 1, 1024},
    {"experts_per_token", &ModelConfig::experts_per_token, 1, 64},
    {"expert_width", &ModelConfig::expert_width, 1, 65536},
    {"context", &ModelConfig::context, 1, 32768},
};
constexpr RealField<ModelConfig> kModelReals[] = {
    {"rope_theta", &ModelConfig::rope_theta, 1.0, 1e9},
    {"rms_epsilon", &ModelConfig::rms_epsilon, 1e-12, 0.1},
};
constexpr BoolField<ModelConfig> kModelBools[] = {
    {"normalise_weights", &ModelConfig::normalise_weights},
    {"tied_head", &ModelConfig::tied_head},
};
constexpr int kMany = 1000000000;
constexpr IntField<TrainConfig> kTrainInts[] = {
    {"batch", &TrainConfig::batch, 1, 65536},
    {"steps", &TrainConfig::steps, 1, kMany},
    {"warmup_steps", &TrainConfig::warmup_steps, 0, kMany},
    {"evaluate_every", &TrainConfig::evaluate_every, 0, kMany},
    {"sample_every", &TrainConfig::sample_every, 0, kMany},
    {"checkpoint_every", &TrainConfig::checkpoint_every, 0, kMany},
    {"threads", &TrainConfig::threads, 0, 1024},
};
constexpr RealField<TrainConfig> kTrainReals[] = {
    {"learning_rate", &TrainConfig::learning_rate, 0.0, kMaxLearningRate},
    {"final_learning_rate_ratio", &TrainConfig::final_learning_rate_ratio, 0.0, 1.0},
    {"weight_decay", &TrainConfig::weight_decay, 0.0, 1.0},
    {"beta1", &TrainConfig::beta1, 0.0, 0.999999},
    {"beta2", &TrainConfig::beta2, 0.0, 0.999999},
    {"adam_epsilon", &TrainConfig::adam_epsilon, 1e-16, 0.1},
    {"gradient_clip", &TrainConfig::gradient_clip, 1e-6, 1e6},
    {"balance_coefficient", &TrainConfig::balance_coefficient, 0.0, kMaxCoefficient},
    {"z_coefficient", &TrainConfig::z_coefficient, 0.0, kMaxCoefficient},
};

std::string number(double value) {
    std::ostringstream out;
    out.precision(9);
    out << value;
    return out.str();
}

std::string shown(const Json& value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) {
        text.resize(60);
        text += "...";
    }
    return text;
}

[[noreturn]] void refuse_range(const std::string& where, const std::string& value, double low, double high) {
    throw Error(where + " is " + value + ", but must be from " + number(low) + " to " + number(high) + ".");
}

void read_int(const Json& value, const std::string& where, int low, int high, int& into) {
    if (!value.is_number_integer()) {
        throw Error(where + " is " + shown(value) + ", but must be a whole number from " + number(low) + " to " +
                    number(high) + ".");
    }
    const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                                                 : value.get<std::int64_t>() <= high;
    if (!fits || value.get<std::int64_t>() < low) {
        refuse_range(where, shown(value), low, high);
    }
    into = value.get<int>();
}

void check_real(double value, const std::string& where, double low, double high) {
    if (!std::isfinite(value) || value < low || value > high) {
        refuse_range(where, number(value), low, high);
    }
}

template <class Owner, std::size_t Ints, std::size_t Reals>
class Section {
 public:
    Section(const IntField<Owner> (&ints)[Ints], const RealField<Owner> (&reals)[Reals],
            std::span<const BoolField<Owner>> bools)
        : ints_(ints), reals_(reals), bools_(bools) {}

    /// True when `key` is one of this section's and was read.
    bool read(const std::string& key, const Json& value, const std::string& where, Owner& into) const {
        for (const auto& field : ints_) {
            if (key == field.key) {
                read_int(value, where, field.low, field.high, into.*field.member);
                return true;
            }
        }
        for (const auto& field : reals_) {
            if (key == field.key) {
                if (!value.is_number()) {
                    throw Error(where + " is " + shown(value) + ", but must be a number from " + number(field.low) +
                                " to " + number(field.high) + ".");
                }
                into.*field.member = value.get<double>();
                check_real(into.*field.member, where, field.low, field.high);
                return true;
            }
        }
        for (const auto& field : bools_) {
            if (key == field.key) {
                if (!value.is_boolean()) {
                    throw Error(where + " is " + shown(value) + ", but must be true or false.");
                }
                into.*field.member = value.get<bool>();
                return true;
            }
        }
        return false;
    }

    void check(const Owner& values, const std::string& where) const {
        for (const auto& field : ints_) {
            const int value = values.*field.member;
            if (value < field.low || value > field.high) {
                refuse_range(where + field.key, std::to_string(value), field.low, field.high);
            }
        }
        for (const auto& field : reals_) {
            check_real(values.*field.member, where + field.key, field.low, field.high);
        }
    }

    void write(const Owner& values, Json& into) const {
        for (const auto& field : ints_) {
            into[field.key] = values.*field.member;
        }
        for (const auto& field : reals_) {
            into[field.key] = values.*field.member;
        }
        for (const auto& field : bools_) {
            into[field.key] = values.*field.member;
        }
    }

 private:
    std::span<const IntField<Owner>> ints_;
    std::span<const RealField<Owner>> reals_;
    std::span<const BoolField<Owner>> bools_;
};

Section<ModelConfig, std::size(kModelInts), std::size(kModelReals)> model_section() {
    return {kModelInts, kModelReals, kModelBools};
}
Section<TrainConfig, std::size(kTrainInts), std::size(kTrainReals)> train_section() {
    return {kTrainInts, kTrainReals, {}};
}

[[noreturn]] void refuse_key(const std::string& where, const std::string& key) {
    throw Error(where + " has the unknown key \"" + key + "\": check the spelling or remove it.");
}

void read_seed(const Json& value, const std::string& where, std::uint64_t& seed) {
    if (!value.is_number_unsigned()) {
        throw Error(where + " is " + shown(value) + ", but must be a whole number from 0 to 18446744073709551615.");
    }
    seed = value.get<std::uint64_t>();
}

const Json& object(const Json& value, const std::string& where) {
    if (!value.is_object()) {
        throw Error(where + " is " + shown(value) + ", but must be a JSON object.");
    }
    return value;
}

/// What no single range can say.
void check_together(const RunConfig& config, const std::string& source) {
    const ModelConfig& m = config.model;
    if (m.heads % m.kv_heads != 0) {
        throw Error(source + ": model.heads (" + std::to_string(m.heads) + ") must be a multiple of model.kv_heads (" +
                    std::to_string(m.kv_heads) + ").");
    }
    if (m.head_width % 2 != 0) {
        throw Error(source + ": model.head_width (" + std::to_string(m.head_width) +
                    ") must be even, because RoPE turns pairs.");
    }
    if (m.experts_per_token > m.experts) {
        throw Error(source + ": model.experts_per_token (" + std::to_string(m.experts_per_token) +
                    ") must not be more than model.experts (" + std::to_string(m.experts) + ").");
    }
    const std::int64_t rows = static_cast<std::int64_t>(config.train.batch) * m.context * m.experts_per_token;
    if (rows > std::numeric_limits<std::int32_t>::max()) {
        throw Error(source + ": train.batch x model.context x model.experts_per_token is " + std::to_string(rows) +
                    ", more than 2147483647: choose a smaller batch or context.");
    }
}

}  // namespace

void validate(const RunConfig& config, const std::string& source) {
    model_section().check(config.model, source + ": model.");
    train_section().check(config.train, source + ": train.");
    check_together(config, source);
}

RunConfig parse_run_config(const Json& value, const std::string& source) {
    RunConfig config;
    for (const auto& [key, part] : object(value, source).items()) {
        if (key == "name") {
            if (!part.is_string() || part.get_ref<const std::string&>().size() > 200) {
                throw Error(source + ": name is " + shown(part) + ", but must be a text of at most 200 bytes.");
            }
            config.name = part.get<std::string>();
        } else if (key == "model") {
            for (const auto& [inner, field] : object(part, source + ": model").items()) {
                if (!model_section().read(inner, field, source + ": model." + inner, config.model)) {
                    refuse_key(source + ": model", inner);
                }
            }
        } else if (key == "train") {
            for (const auto& [inner, field] : object(part, source + ": train").items()) {
                if (inner == "seed") {
                    read_seed(field, source + ": train.seed", config.train.seed);
                } else if (!train_section().read(inner, field, source + ": train." + inner, config.train)) {
                    refuse_key(source + ": train", inner);
                }
            }
        } else {
            refuse_key(source, key);
        }
    }
    validate(config, source);
    return config;
}

Json to_json(const RunConfig& config) {
    Json value = {{"name", config.name}, {"model", Json::object()}, {"train", Json::object()}};
    model_section().write(config.model, value["model"]);
    train_section().write(config.train, value["train"]);
    value["train"]["seed"] = config.train.seed;
    return value;
}

}  // namespace moescope::engine
