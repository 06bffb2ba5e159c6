#include "panels/node/link_look.hpp"

#include <algorithm>

namespace moescope::panels {

using client::Link;

namespace {

constexpr double kSilentSeconds = 6;

}  // namespace

LinkLook link_look(const Link& link, double now) {
    switch (link.state) {
        case Link::State::connected:
            return data_age(link, now) > kSilentSeconds
                       ? LinkLook{"nodes.link.silent", ui::icon::warning, ui::Tone::warning}
                       : LinkLook{"nodes.link.connected", ui::icon::check, ui::Tone::good};
        case Link::State::lost:
            return {"nodes.link.lost", ui::icon::warning, ui::Tone::warning};
        case Link::State::crashed:
            return {"nodes.link.crashed", ui::icon::error, ui::Tone::error};
        case Link::State::refused:
            return {link.obstacle == Link::Obstacle::not_paired ? "nodes.link.not_paired" : "nodes.link.refused",
                    ui::icon::error, ui::Tone::error};
        case Link::State::unopened:
            return {"nodes.link.unopened", ui::icon::warning, ui::Tone::warning};
        case Link::State::starting:
            break;
    }
    return {"nodes.link.starting", ui::icon::hourglass, ui::Tone::neutral};
}

double data_age(const Link& link, double now) {
    return link.last_data_time > 0 ? std::max(0.0, now - link.last_data_time) : -1;
}

}  // namespace moescope::panels
