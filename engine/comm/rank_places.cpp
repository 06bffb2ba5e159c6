#include "engine/comm/rank_places.hpp"

#include <algorithm>
#include <cstring>
#include <unistd.h>

#include "base/process_life.hpp"

namespace moescope::engine::comm {

RankPlaces::RankPlaces(Comm& world) {
    Place mine;
    gethostname(mine.host, sizeof mine.host - 1);
    mine.process = getpid();
    mine.began = base::process_start(getpid());
    places_.resize(static_cast<std::size_t>(world.size()));
    world.all_gather(places_.data(), &mine, sizeof mine);
    const auto here = [&mine](const Place& place) {
        return std::strncmp(place.host, mine.host, sizeof mine.host) == 0;
    };
    neighbours_ = static_cast<int>(std::count_if(places_.begin(), places_.end(), here));
    neighbour_ = static_cast<int>(std::count_if(places_.begin(), places_.begin() + world.rank(), here));
    for (Place& place : places_) {
        if (base::process_start(place.process) != place.began) {
            place.process = 0;  // on another machine, or in a container of its own
        }
    }
}

void RankPlaces::look_after() const {
    for (std::size_t r = 0; r < places_.size(); ++r) {
        if (places_[r].process != 0 && base::process_start(places_[r].process) != places_[r].began) {
            throw Error(say("rank {} has ended (process {}), and the others stop; go on from the last checkpoint", r,
                            places_[r].process));
        }
    }
}

}  // namespace moescope::engine::comm
