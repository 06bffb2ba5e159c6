// The data sets of a node.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "engine/text/dataset.hpp"

namespace moescope::node {

/// Loads data sets and shares the built-in one between runs. Thread safe; nobody waits for another's load, but for one
/// of the same built-in text.
class DatasetStore {
 public:
    explicit DatasetStore(std::filesystem::path cache) : cache_(std::move(cache)) {}
    /// See engine::load_dataset. `tokenizer` may be null.
    std::shared_ptr<const engine::Dataset> load(const std::string& data, int vocabulary,
                                                std::shared_ptr<const engine::Tokenizer> tokenizer,
                                                const engine::Progress& progress);

 private:
    class Turn;

    const std::filesystem::path cache_;
    std::mutex mutex_;
    std::condition_variable loaded_;
    std::set<std::string> loading_;  ///< keys
    std::string key_;                ///< of last_
    std::shared_ptr<const engine::Dataset> last_;
};

}  // namespace moescope::node
