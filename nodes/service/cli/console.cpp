#include "nodes/service/cli/console.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <fmt/format.h>
#include <signal.h>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_guard.hpp"

namespace moescope::node {
namespace {

constexpr std::size_t kTerminalLine = 4000;
constexpr std::size_t kShownValue = 60;

/// The whole of `text` as a number; nothing when it is none, also when it does not fit.
template <class T>
bool read_number(const std::string& text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

std::string not_in_range(const std::string& text, const std::string& kind, const std::string& least,
                         const std::string& most) {
    return fmt::format("'{}' is not {} from {} to {}", base::one_line(text, kShownValue), kind, least, most);
}

}  // namespace

std::string for_terminal(const std::string& text) {
    std::string shown;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        shown += base::one_line(std::string_view(text).substr(at, end - at), kTerminalLine);
        shown += end < text.size() ? "\n" : "";
        at = end + 1;
    }
    return shown;
}

CLI::Validator whole_number(std::int64_t least, std::uint64_t most) {
    const std::string range = fmt::format("{} to {}", least, most);
    return {[least, most](std::string& text) {
                std::uint64_t large = 0;
                std::int64_t value = 0;
                const bool fits = read_number(text, large)
                                      ? large <= most && (least <= 0 || large >= static_cast<std::uint64_t>(least))
                                  : read_number(text, value) ? value >= least
                                                             : false;
                return fits ? std::string()
                            : not_in_range(text, "a whole number", fmt::to_string(least), fmt::to_string(most));
            },
            range};
}

CLI::Validator real_number(double least, double most) {
    return {[least, most](std::string& text) {
                double value = 0;
                return read_number(text, value) && value >= least && value <= most
                           ? std::string()
                           : not_in_range(text, "a number", fmt::format("{:g}", least), fmt::format("{:g}", most));
            },
            fmt::format("{:g} to {:g}", least, most)};
}

CLI::Validator filled() {
    return {[](std::string& text) { return text.empty() ? std::string("must not be empty") : std::string(); }, ""};
}

void print_json(const nlohmann::json& value) {
    const std::string line = base::dump_json(value) + "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fflush(stdout);
}

void print_warnings(const std::vector<base::Sentence>& sentences) {
    for (const base::Sentence& sentence : sentences) {
        fmt::print(stderr, "moescope-node: warning: {}\n", base::fit_to_show(sentence).english());
    }
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

}  // namespace moescope::node
