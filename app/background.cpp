#include "app/background.hpp"

#include <utility>

#include "sessions/outputs.hpp"

namespace moescope::app {

Background::Background(std::function<void()> wake) : wake_(std::move(wake)) {}

Background::~Background() {
    executor_.finish();
}

void Background::post(Job job) {
    executor_.post([this, job = std::move(job)] {
        Completion completion = job();
        if (!completion) {
            return;
        }
        {
            const std::lock_guard lock(mutex_);
            ready_.push_back(std::move(completion));
        }
        wake_();
    });
}

void Background::finish() {
    std::vector<Completion> ready;
    {
        const std::lock_guard lock(mutex_);
        ready.swap(ready_);
    }
    for (const Completion& completion : ready) {
        completion();
    }
}

base::Sentence write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::error_code error;
    if (path.has_parent_path()) {
        std::filesystem::create_directories(path.parent_path(), error);
    }
    if (error) {
        return base::say("{} {}: {}", path, base::say("can't be written"), base::system_sentence(error));
    }
    try {
        sessions::write_output(path, bytes, sessions::Existing::replace);
        return {};
    } catch (const std::exception& problem) {
        return base::sentence_of(problem);
    }
}

}  // namespace moescope::app
