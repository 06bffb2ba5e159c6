// Gradients of one step and losses of twenty against PyTorch's, from the same weights and tokens
// (tests/oracle/models/make_training.py).
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/exchange/hugging_face_config.hpp"
#include "engine/exchange/hugging_face_import.hpp"
#include "engine/files/safetensors.hpp"
#include "engine/train/trainer.hpp"
#include "golden_files.hpp"

namespace moescope::engine::test {
namespace {

nlohmann::json read_json(const std::filesystem::path& path) {
    std::ifstream file(path);
    return nlohmann::json::parse(file);
}

std::vector<std::filesystem::path> training_folders() {
    std::vector<std::filesystem::path> folders;
    for (const auto& folder : golden_folders()) {
        if (std::filesystem::exists(folder / "train" / "training.json")) {
            folders.push_back(folder);
        }
    }
    return folders;
}

TrainConfig train_config(const nlohmann::json& settings) {
    TrainConfig train;
    train.batch = settings.at("batch");
    train.steps = settings.at("steps");
    train.learning_rate = settings.at("learning_rate");
    train.warmup_steps = 0;
    train.final_learning_rate_ratio = 1.0;  // constant
    train.beta1 = settings.at("beta1");
    train.beta2 = settings.at("beta2");
    train.adam_epsilon = settings.at("adam_epsilon");
    train.weight_decay = settings.at("weight_decay");
    train.gradient_clip = settings.at("gradient_clip");
    train.balance_coefficient = settings.at("balance_coefficient");
    train.z_coefficient = settings.at("z_coefficient");
    train.bias_update_rate = settings.at("bias_update_rate");
    train.threads = 2;
    return train;
}

std::shared_ptr<const Dataset> golden_data(const std::filesystem::path& file) {
    auto data = std::make_shared<Dataset>();
    for (const std::int32_t token : read_npy_tokens(file)) {
        data->train_tokens.push_back(token);
    }
    data->train_languages.assign(data->train_tokens.size(), 0);
    data->in_order = true;
    data->name = file.string();
    return data;
}

struct GoldenRun {
    ImportedModel model;
    std::unique_ptr<Trainer> trainer;
};

GoldenRun start(const std::filesystem::path& folder) {
    GoldenRun run;
    run.model = import_hugging_face(folder);
    const nlohmann::json settings = read_json(folder / "train" / "training.json");
    RunConfig config;
    config.name = folder.filename().string();
    config.model = run.model.model;
    config.model.context = settings.at("sequence_length");
    config.train = train_config(settings);
    if (run.model.type == "deepseek_v3") {
        config.train.balance = Balance::sequence;  // as tests/oracle/models/routing.py says
    }
    run.trainer = std::make_unique<Trainer>(config, golden_data(folder / "train" / "tokens.npy"),
                                            std::span<const float>(run.model.parameters, run.model.layout.floats));
    return run;
}

TEST(TrainingParity, EveryGradientOfTheFirstStepIsThatOfPyTorch) {
    const auto folders = training_folders();
    ASSERT_EQ(folders.size(), 4u);
    for (const auto& folder : folders) {
        SCOPED_TRACE(folder.filename().string());
        const GoldenRun run = start(folder);
        run.trainer->step();
        const HuggingFaceConfig config = parse_hugging_face_config(read_json(folder / "config.json"), folder.string());
        const SafetensorsFile file(folder / "train" / "gradients.safetensors");  // under the names of the weights
        const auto& stored = file.header().tensors;
        double worst = 0;
        std::string name;
        std::size_t compared = 0;
        for (const FileTensor& tensor :
             hugging_face_tensors(config.type, run.model.model, run.model.layout, ExpertFiles::separate)) {
            if (!stored.contains(tensor.name)) {
                EXPECT_TRUE(tensor.name.ends_with("e_score_correction_bias"))
                    << tensor.name << " has no golden gradient";
                continue;
            }
            std::vector<float> got(tensor.count()), wanted(tensor.count());
            gather(got, run.trainer->gradients().data(), tensor);
            file.read_floats(tensor.name, wanted);
            double difference = 0, size = 0;
            for (std::size_t i = 0; i < got.size(); ++i) {
                difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
                size += std::pow(static_cast<double>(wanted[i]), 2);
            }
            ++compared;
            if (size == 0) {
                EXPECT_EQ(difference, 0) << tensor.name << " should have no gradient";
                continue;
            }
            const double relative = std::sqrt(difference / size);
            EXPECT_LE(relative, 1e-4) << tensor.name;
            if (relative > worst) {
                worst = relative;
                name = tensor.name;
            }
        }
        EXPECT_EQ(compared, stored.size());
        std::printf("%-14s %zu gradients, worst %.1e (%s)\n", folder.filename().c_str(), compared, worst, name.c_str());
    }
}

TEST(TrainingParity, TwentyStepsGiveTheLossesOfPyTorch) {
    for (const auto& folder : training_folders()) {
        SCOPED_TRACE(folder.filename().string());
        const GoldenRun run = start(folder);
        const nlohmann::json wanted = read_json(folder / "train" / "losses.json");
        double worst = 0;
        for (std::size_t step = 0; step < 20; ++step) {
            const StepStats stats = run.trainer->step();
            ASSERT_EQ(stats.fault.english(), "");
            const double loss = wanted.at("exact").at("losses").at(step),
                         norm = wanted.at("exact").at("gradient_norms").at(step);
            EXPECT_LE(std::fabs(stats.loss - loss), 1e-4 * loss) << "step " << step + 1;
            EXPECT_LE(std::fabs(stats.gradient_norm - norm), 1e-3 * norm) << "step " << step + 1;
            worst = std::max(worst, std::fabs(stats.loss - loss) / loss);
        }
        std::printf("%-14s worst relative difference of 20 losses %.1e\n", folder.filename().c_str(), worst);
    }
}

}  // namespace
}  // namespace moescope::engine::test
