#include "nodes/service/jobs/dataset_store.hpp"

#include <chrono>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/sha256.hpp"

namespace moescope::node {

using base::say;

/// The right to load what belongs to a key; others that want the same wait, and ask their own progress meanwhile.
class DatasetStore::Turn {
 public:
    Turn(DatasetStore& store, std::string key, const engine::Progress& progress) : store_(store), key_(std::move(key)) {
        constexpr std::chrono::milliseconds kAskEvery{100};
        std::unique_lock lock(store_.mutex_);
        while (store_.loading_.contains(key_)) {
            store_.loaded_.wait_for(lock, kAskEvery);
            lock.unlock();
            if (progress && !progress(0, say("waiting for another run that reads the same text"))) {
                throw base::Error(say("cancelled"));
            }
            lock.lock();
        }
        store_.loading_.insert(key_);
    }
    ~Turn() {
        {
            const std::lock_guard lock(store_.mutex_);
            store_.loading_.erase(key_);
        }
        store_.loaded_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

 private:
    DatasetStore& store_;
    const std::string key_;
};

std::shared_ptr<const engine::Dataset> DatasetStore::load(const std::string& data, int vocabulary,
                                                          std::shared_ptr<const engine::Tokenizer> tokenizer,
                                                          const engine::Progress& progress) {
    if (data != "manpages") {  // files can change between runs; only the built-in corpus is taken as it was
        return engine::load_dataset(data, vocabulary, cache_, progress, std::move(tokenizer));
    }
    const std::string key = fmt::format("{}|{}", vocabulary, tokenizer ? base::sha256(tokenizer->model_bytes()) : "");
    const Turn turn(*this, key, progress);
    {
        const std::lock_guard lock(mutex_);
        if (last_ && key == key_) {
            return last_;
        }
    }
    auto dataset = engine::load_dataset(data, vocabulary, cache_, progress, std::move(tokenizer));
    const std::lock_guard lock(mutex_);
    key_ = key;
    last_ = dataset;
    return dataset;
}

}  // namespace moescope::node
