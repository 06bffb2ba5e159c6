// A figure of the trace on show: made on its own thread, and what is drawn of it made of that in the background, so
// that no frame waits for either. GUI thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "base/sentence.hpp"
#include "panels/ui/context.hpp"
#include "routing/figures/figure_job.hpp"

namespace moescope::panels {

/// How far a figure is.
struct FigureProgress {
    std::size_t done = 0, of = 0;  ///< pieces of the trace
    std::size_t damaged = 0;       ///< of those done, left out
    bool working = false;          ///< more will come without anybody doing anything
    base::Sentence problem;        ///< why it ended too early, or never began
};
/// One line while it is made, or about what went wrong; nothing otherwise. True when it took a line.
bool draw_progress(const ui::Context& ctx, const FigureProgress& progress);

/// What a figure or what is drawn of it depends on besides the trace: a layer, an expert, options.
using FigureKey = std::array<std::int64_t, 4>;

/// Work that has become needless ends where nobody waits for it: its thread goes on until the end of a piece.
template <class Job>
void dispose(ui::Context& ctx, std::unique_ptr<Job>& job) {
    if (!job) {
        return;
    }
    ctx.in_background([old = std::shared_ptr<Job>(std::move(job))]() mutable -> std::function<void()> {
        old.reset();
        return [] {};
    });
}

/// The newest of what is made in the background of something that changes: never two at once, and none of what is no
/// longer wanted.
template <class Shown>
class Derived {
 public:
    /// What was asked for before is about another subject: nothing of it may come any more.
    void clear() { slot_ = std::make_shared<Slot>(); }
    /// `of` and `key` say what it is made of; `make` runs in the background and owns what it reads.
    void update(ui::Context& ctx, std::shared_ptr<const void> of, const FigureKey& key, std::function<Shown()> make) {
        if (slot_->making || (slot_->of == of && slot_->key == key)) {
            return;
        }
        slot_->making = true;
        ctx.in_background([slot = std::weak_ptr<Slot>(slot_), of = std::move(of), key,
                           make = std::move(make)]() -> std::function<void()> {
            std::shared_ptr<const Shown> shown;
            base::Sentence problem;
            try {
                shown = std::make_shared<const Shown>(make());
            } catch (const std::exception& error) {
                problem = base::sentence_of(error);
            }
            return [slot, of, key, shown, problem] {
                if (const auto target = slot.lock()) {
                    *target = {of, key, shown ? shown : target->shown, problem, false};
                }
            };
        });
    }
    /// Null while there is none. It may be of an older state or key: it says itself what it is about.
    const std::shared_ptr<const Shown>& shown() const { return slot_->shown; }
    const base::Sentence& problem() const { return slot_->problem; }

 private:
    struct Slot {
        std::shared_ptr<const void> of;
        FigureKey key{};
        std::shared_ptr<const Shown> shown;
        base::Sentence problem;
        bool making = false;
    };
    std::shared_ptr<Slot> slot_ = std::make_shared<Slot>();
};

template <class Figure, class Shown>
class FigureView {
 public:
    using Source = std::shared_ptr<const routing::TraceSource>;

    /// Once a frame while it is visible. Another trace or `figure_key` begins the figure anew with `empty`, which may
    /// throw Error; `alive`: the trace still grows. Of each newer state, and for another `shown_key`, `show` makes what
    /// is drawn: it runs in the background and must own what it reads.
    void update(ui::Context& ctx, const Source& trace, bool alive, const FigureKey& figure_key,
                const std::function<Figure()>& empty, const FigureKey& shown_key,
                std::function<Shown(const Figure&)> show) {
        if (trace != trace_ || figure_key != key_) {
            begin(ctx, trace, figure_key, empty);
        }
        if (trace_->chunks() != chunks_) {
            chunks_ = trace_->chunks();
            grown_at_ = ctx.now;
            if (!job_ && state_ && state_->problem.empty()) {
                restart(empty);  // it was taken for whole
            }
        }
        if (job_) {
            state_ = job_->latest();
            const bool whole = state_->done >= chunks_;
            // Pieces come on a way of their own, some of them behind the end of their run.
            const bool rests = !alive && whole && ctx.now - grown_at_ > kPatience;
            if (state_->finished || rests) {
                dispose(ctx, job_);
            } else {
                ctx.draw_within(whole ? 0.5 : 0.1);  // what comes is not told by the node
            }
        }
        if (state_) {
            shown_.update(ctx, state_, shown_key,
                          [state = state_, show = std::move(show)] { return show(state->figure); });
        }
    }
    /// Null until there is something to show.
    const std::shared_ptr<const Shown>& shown() const { return shown_.shown(); }
    /// The figure as it is; null before it began.
    const Figure* figure() const { return state_ ? &state_->figure : nullptr; }
    FigureProgress progress() const {
        FigureProgress progress;
        if (state_) {
            progress.done = state_->done;
            progress.of = state_->of;
            progress.damaged = state_->damaged;
            progress.problem = state_->problem;
            progress.working = job_ && state_->done < state_->of;
        }
        for (const base::Sentence& problem : {problem_, shown_.problem()}) {
            if (progress.problem.empty()) {
                progress.problem = problem;
            }
        }
        return progress;
    }

 private:
    using Job = routing::FigureJob<Figure>;

    static constexpr double kPatience = 3;  ///< seconds without a new piece, after which an ended trace is whole

    void begin(ui::Context& ctx, const Source& trace, const FigureKey& key, const std::function<Figure()>& empty) {
        dispose(ctx, job_);
        trace_ = trace;
        key_ = key;
        chunks_ = trace->chunks();
        grown_at_ = ctx.now;
        state_.reset();
        shown_.clear();
        problem_ = {};
        restart(empty);
    }
    void restart(const std::function<Figure()>& empty) {
        try {
            job_ = std::make_unique<Job>(trace_, empty(), true);
        } catch (const std::exception& error) {
            problem_ = base::sentence_of(error);
        }
    }

    Source trace_;
    FigureKey key_{};
    std::size_t chunks_ = 0;  ///< of the trace, when it was last looked at
    double grown_at_ = 0;     ///< Context::now when it last had more of them
    std::unique_ptr<Job> job_;
    std::shared_ptr<const typename Job::State> state_;
    Derived<Shown> shown_;
    base::Sentence problem_;
};

}  // namespace moescope::panels
