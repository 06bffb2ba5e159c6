// Closing sessions, one or with the program all of them, while their nodes still work in them: a node of our own ends
// with its session, so a person is told once what becomes of the work of all, and it is done before anything ends. GUI
// thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "app/open_session.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

class Leaving {
 public:
    enum class Where { out, other_session };
    /// Calls `go` at once when none of `sessions` trains, probes or reads on a node of our own, else when the person
    /// has said so and the runs are saved, or what was asked about has ended by itself. A question that is still open
    /// is dropped.
    void ask(const OpenSessions& sessions, Where where, std::function<void()> go);
    /// Once per frame.
    void draw(const ui::Context& ctx);
    bool open() const { return static_cast<bool>(go_); }

 private:
    void save();
    bool any_works() const;
    bool any_trains() const;
    void draw_what_happens(const ui::Context& ctx) const;
    void draw_saving(const ui::Context& ctx) const;
    void draw_buttons(const ui::Context& ctx);
    void leave();
    void close();

    std::function<void()> go_;
    OpenSessions sessions_;  ///< that the question is about; none while it is not open
    Where where_ = Where::out;
    bool appear_ = false, saving_ = false, leave_ = false;
    std::map<std::pair<std::uint64_t, std::uint32_t>, client::CommandId> stops_;  ///< by session and run
};

}  // namespace moescope::app
