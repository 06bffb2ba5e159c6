// Where the ranks of a run are, and whether those that can be seen from here still live: a launcher and a network take
// their time to tell of one that ended.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

class RankPlaces {
 public:
    RankPlaces() = default;
    /// Every rank of `world` calls it. Throws Error.
    explicit RankPlaces(Comm& world);
    /// Ranks on this machine, this one included.
    int neighbours() const { return neighbours_; }
    /// Of them those of lower number.
    int neighbour() const { return neighbour_; }
    /// Throws Error when a rank on this machine has ended. Cheap enough for ten times a second.
    void look_after() const;

 private:
    struct Place {
        char host[256] = "";
        std::int32_t process = 0;  ///< 0: not to be seen from here
        std::uint64_t began = 0;
    };
    std::vector<Place> places_;
    int neighbours_ = 1, neighbour_ = 0;
};

}  // namespace moescope::engine::comm
