// Leaving a session, for another one or for good, while the node still works in it: the node ends with it, so a person
// is told what becomes of the work, and it is done before anything ends. GUI thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "panels/ui/context.hpp"

namespace moescope::app {

class Leaving {
 public:
    enum class Where { out, other_session };
    /// Calls `go` at once when nothing trains, probes or reads, else when the person has said so and the runs are
    /// saved, or what was asked about has ended by itself. A question that is still open is dropped.
    void ask(const client::Snapshot& snapshot, Where where, std::function<void()> go);
    /// Once per frame.
    void draw(const ui::Context& ctx);
    bool open() const { return static_cast<bool>(go_); }

 private:
    void save(const ui::Context& ctx);
    void draw_what_happens(const ui::Context& ctx) const;
    void draw_saving(const ui::Context& ctx) const;
    void draw_buttons(const ui::Context& ctx);
    void leave();

    std::function<void()> go_;
    Where where_ = Where::out;
    bool appear_ = false, saving_ = false, leave_ = false;
    std::map<std::uint32_t, client::CommandId> stops_;  ///< by run
};

}  // namespace moescope::app
