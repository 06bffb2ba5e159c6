// The data sets of a node.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "engine/text/dataset.hpp"

namespace moescope::node {

/// Loads each data set once and shares it between runs. Thread safe; a second load waits for the first.
class DatasetStore {
 public:
    explicit DatasetStore(std::filesystem::path cache) : cache_(std::move(cache)) {}
    /// See engine::load_dataset. `tokenizer` may be null.
    std::shared_ptr<const engine::Dataset> load(const std::string& data, int vocabulary,
                                                std::shared_ptr<const engine::Tokenizer> tokenizer,
                                                const engine::Progress& progress);

 private:
    const std::filesystem::path cache_;
    std::mutex mutex_;
    std::string key_;
    std::shared_ptr<const engine::Dataset> last_;
};

}  // namespace moescope::node
