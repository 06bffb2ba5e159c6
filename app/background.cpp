#include "app/background.hpp"

#include <fstream>
#include <unistd.h>
#include <utility>

namespace moescope::app {

Background::Background(std::function<void()> wake) : wake_(std::move(wake)), thread_([this] { work(); }) {}

Background::~Background() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    condition_.notify_one();
    thread_.join();
}

void Background::post(Job job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    condition_.notify_one();
}

void Background::finish() {
    std::vector<Completion> ready;
    {
        const std::lock_guard lock(mutex_);
        ready.swap(ready_);
    }
    for (const Completion& completion : ready)
        completion();
}

void Background::work() {
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            condition_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
            if (jobs_.empty())
                return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        Completion completion = job();
        if (!completion)
            continue;
        {
            const std::lock_guard lock(mutex_);
            ready_.push_back(std::move(completion));
        }
        wake_();
    }
}

std::string write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::error_code error;
    if (path.has_parent_path())
        std::filesystem::create_directories(path.parent_path(), error);
    const std::filesystem::path temporary = path.string() + ".new" + std::to_string(getpid());
    {
        std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        out.close();
        if (!out) {
            std::filesystem::remove(temporary, error);
            return "cannot write " + path.string() + "; is the disk full or the folder read-only?";
        }
    }
    std::filesystem::rename(temporary, path, error);
    return error ? "cannot replace " + path.string() + ": " + error.message() : "";
}

}  // namespace moescope::app
