#include "app/node_copy.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include "base/error.hpp"
#include "nodes/client/ssh_command.hpp"

namespace moescope::app {

using client::Link;

NodeCopy::~NodeCopy() {
    stop();
}

void NodeCopy::stop() {
    progress_->stop = true;
}

void NodeCopy::update(ui::Context& ctx) {
    if (copied_.valid()) {
        ctx.draw_within(0.1);
        if (copied_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            return;
        }
        problem_ = copied_.get();
        failed_to_ = std::exchange(to_, std::string());
        if (problem_.empty() && ctx.snapshot.link.address == failed_to_) {
            ctx.client.restart_node();
        }
    }
    const Link& link = ctx.snapshot.link;
    const bool lacks = link.obstacle == Link::Obstacle::no_program || link.obstacle == Link::Obstacle::other_version;
    if (link.state == Link::State::refused && lacks && looked_ == Looked::no) {
        looked_ = Looked::asked;
        ctx.in_background([this, found = bundle_]() -> std::function<void()> {
            auto bundle = client::bundle_at_hand();
            return [this, found, bundle = std::move(bundle)] {
                *found = bundle;
                looked_ = Looked::done;
            };
        });
    }
}

std::uint64_t NodeCopy::offered(const ui::Context& ctx) const {
    const Link& link = ctx.snapshot.link;
    const bool lacks = link.obstacle == Link::Obstacle::no_program || link.obstacle == Link::Obstacle::other_version;
    return link.state == Link::State::refused && lacks && to_.empty() && *bundle_ ? (*bundle_)->bytes : 0;
}

void NodeCopy::start(const std::string& address) {
    if (!to_.empty() || !*bundle_) {
        return;
    }
    to_ = address;
    problem_ = {};
    progress_ = std::make_shared<client::CopyProgress>();
    copied_ = std::async(std::launch::async, [address, bundle = **bundle_, progress = progress_] {
        try {
            client::copy_node(address, bundle, client::ssh_program(), *progress);
            return base::Sentence();
        } catch (const std::exception& failure) {
            return base::sentence_of(failure);
        }
    });
}

base::Sentence NodeCopy::problem(const std::string& address) const {
    return address == failed_to_ ? problem_ : base::Sentence();
}

}  // namespace moescope::app
