#include "app/recovery.hpp"

namespace moescope::app {
namespace {

using client::Link;
using history::RunState;

/// The newest training run that stands still because its node stopped. One of an experiment goes on by itself.
const history::TrainingRun* stranded(const client::Snapshot& snapshot) {
    const bool crashed = snapshot.link.state == Link::State::crashed;
    for (auto it = snapshot.training.rbegin(); it != snapshot.training.rend(); ++it) {
        const RunState state = it->second->state;
        if (snapshot.experiments.count(history::experiment_place(it->second->manifest).number) != 0) {
            continue;
        }
        if (state == RunState::interrupted || (crashed && (state == RunState::running || state == RunState::paused))) {
            return it->second.get();
        }
    }
    return nullptr;
}

}  // namespace

std::optional<Recovery::Offer> Recovery::offer(const client::Snapshot& snapshot) const {
    Offer offer;
    offer.crashed = snapshot.link.state == Link::State::crashed;
    if (const history::TrainingRun* run = stranded(snapshot)) {
        offer.run = run->id;
        offer.run_name = run->name;
        offer.checkpoint = run->last_checkpoint;
        offer.step = run->step.empty() ? 0 : static_cast<std::uint64_t>(run->step.back());
    }
    if (offer.crashed) {
        return offer;
    }
    if (snapshot.link.state != Link::State::connected || offer.run == 0 || offer.run == waiting_ ||
        dismissed_.count(offer.run) != 0) {
        return {};
    }
    return offer;
}

std::uint32_t Recovery::due(const client::Snapshot& snapshot) {
    if (snapshot.link.state == Link::State::crashed) {
        dismissed_.clear();  // what was waved away before is news again
    }
    if (waiting_ == 0 || snapshot.link.state != Link::State::connected) {
        return 0;
    }
    const auto run = snapshot.training.find(waiting_);
    if (run == snapshot.training.end() || run->second->state != RunState::interrupted) {
        return 0;
    }
    const std::uint32_t id = waiting_;
    dismissed_.insert(id);  // the offer was taken
    waiting_ = 0;
    return id;
}

}  // namespace moescope::app
