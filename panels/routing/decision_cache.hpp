// Pieces of traces that the window draws from, unpacked away from it and kept while they are looked at. GUI thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "panels/ui/context.hpp"
#include "routing/packed_trace.hpp"

namespace moescope::panels {

class DecisionCache {
 public:
    /// Sees to it that the decisions for tokens [first, last) of the trace are there soon; a frame follows when they
    /// are. Another trace than the one before drops what was kept. Call with what is in sight, each frame.
    void want(ui::Context& ctx, const std::shared_ptr<const routing::PackedTrace>& trace, std::uint64_t first,
              std::uint64_t last);

    struct Place {
        const routing::Chunk* chunk = nullptr;  ///< null: not there (yet), or damaged; valid in this frame
        std::size_t at = 0;
    };
    Place find(std::uint64_t token) const;
    bool waiting() const { return busy_; }
    /// Rises when something was unpacked.
    std::uint64_t version() const { return version_; }

 private:
    struct Entry {
        std::shared_ptr<const routing::Chunk> chunk;  ///< null: damaged
        std::size_t number = 0, bytes = 0;
        std::uint64_t used = 0;
    };
    void drop_oldest();

    std::shared_ptr<const routing::PackedTrace> trace_;
    std::map<std::uint64_t, Entry> chunks_;         ///< by number of their first token
    std::map<std::size_t, std::uint64_t> numbers_;  ///< number of the chunk -> its key in chunks_
    std::size_t bytes_ = 0;
    std::uint64_t turn_ = 0, version_ = 0;
    bool busy_ = false;
};

}  // namespace moescope::panels
