// What the window offers when a node died or a run was interrupted: start again, go on from the last checkpoint.
// Pure decisions over snapshots, so tests need no window.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "nodes/client/snapshot.hpp"

namespace moescope::app {

class Recovery {
 public:
    struct Offer {
        bool crashed = false;   ///< the node's process is gone
        std::uint32_t run = 0;  ///< run that can go on; 0: none
        std::string run_name;
        std::uint64_t checkpoint = 0;  ///< step of its last checkpoint, 0: it has none
        std::uint64_t step = 0;        ///< last step that was seen
    };
    /// What to show now; nothing when all is well or the person waved it away.
    std::optional<Offer> offer(const client::Snapshot& snapshot) const;
    /// Don't show this offer again.
    void dismiss(const Offer& offer) { dismissed_.insert(offer.run); }
    /// After the node is up again, this run shall go on.
    void go_on_later(std::uint32_t run) { waiting_ = run; }
    /// The run to continue now (once), 0 when there is nothing to do yet.
    std::uint32_t due(const client::Snapshot& snapshot);

 private:
    std::set<std::uint32_t> dismissed_;
    std::uint32_t waiting_ = 0;
};

}  // namespace moescope::app
