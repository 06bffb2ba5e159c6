#include "base/executor.hpp"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace moescope::base {

struct Executor::Impl {
    boost::asio::thread_pool pool{1};
    std::atomic<bool> finished{false};
};

Executor::Executor() : impl_(std::make_unique<Impl>()) {}

Executor::~Executor() {
    finish();
}

void Executor::post(std::function<void()> work) {
    if (!impl_->finished) {
        boost::asio::post(impl_->pool, std::move(work));
    }
}

void Executor::finish() {
    impl_->finished = true;
    impl_->pool.join();
}

}  // namespace moescope::base
