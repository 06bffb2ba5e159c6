#include "nodes/service/cli/console.hpp"

#include <cstdio>
#include <ctime>
#include <signal.h>

#include "base/error.hpp"
#include "base/json_guard.hpp"
#include "base/utf8.hpp"

namespace moescope::node {

void print_json(const nlohmann::json& value) {
    const std::string line = base::dump_json(value) + "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fflush(stdout);
}

HeldSignals::HeldSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool HeldSignals::taken(int milliseconds) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    const timespec wait{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1000000L};
    if (sigtimedwait(&set, nullptr, &wait) > 0) {
        seen_ = true;
    }
    return seen_;
}

void require_utf8(const std::string& text, base::Marked what) {
    if (const std::size_t bad = base::first_invalid_utf8(text); bad != text.size()) {
        throw base::Error(base::say("{} is not valid UTF-8 at byte {}; convert it first", what, bad));
    }
}

}  // namespace moescope::node
