// The models, tokens and logits under tests/oracle/data, and logits of our engine for imported models.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <vector>

#include "engine/exchange/imported_model.hpp"
#include "engine/files/npy.hpp"
#include "engine/generate/forward_logits.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {

inline std::vector<std::filesystem::path> golden_folders() {
    std::vector<std::filesystem::path> folders;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(moescope::test::test_data()) / "oracle/data")) {
        if (std::filesystem::exists(entry.path() / "logits.npy")) {
            folders.push_back(entry.path());
        }
    }
    std::sort(folders.begin(), folders.end());
    return folders;
}

inline std::vector<float> read_npy_floats(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const NpyHeader header = parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), path.string());
    EXPECT_EQ(header.dtype, "<f4");
    std::vector<float> values(header.count);
    std::memcpy(values.data(), bytes.data() + header.data_begin, values.size() * sizeof(float));
    return values;
}

inline LoadedModel loaded(ImportedModel imported) {
    LoadedModel model;
    model.config.model = imported.model;
    model.layout = std::move(imported.layout);
    model.memory = std::move(imported.memory);
    model.parameters = imported.parameters;
    return model;
}

/// Mean squared error divided by the mean square of what is wanted.
inline double normalised_error(std::span<const float> got, std::span<const float> wanted) {
    EXPECT_EQ(got.size(), wanted.size());
    double error = 0, power = 0;
    for (std::size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
        const double difference = static_cast<double>(got[i]) - static_cast<double>(wanted[i]);
        error += difference * difference;
        power += static_cast<double>(wanted[i]) * static_cast<double>(wanted[i]);
    }
    return error / power;
}

}  // namespace moescope::engine::test
