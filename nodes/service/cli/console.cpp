#include "nodes/service/cli/console.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <exception>
#include <fmt/format.h>
#include <future>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "engine/model/machine_memory.hpp"

namespace moescope::node {
namespace {

constexpr std::size_t kTerminalLine = 4000;
constexpr std::size_t kShownValue = 60;
constexpr std::chrono::milliseconds kBetweenLines{200};  ///< of progress

/// The whole of `text` as a number; nothing when it is none, also when it does not fit.
template <class T>
bool read_number(const std::string& text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

/// A pipe or socket that nobody reads any more.
bool output_is_closed() {
    struct stat status {};
    if (::fstat(STDOUT_FILENO, &status) != 0 || !(S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))) {
        return false;
    }
    pollfd output{STDOUT_FILENO, 0, 0};
    return ::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

sigset_t held_set(bool hang_up) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (hang_up) {
        sigaddset(&set, SIGHUP);
    }
    return set;
}

base::Sentence stopped_sentence(int signal, const base::Sentence& how_far) {
    if (signal == SIGPIPE) {
        return base::say("stopped, as nobody reads its output any more, {}", how_far);
    }
    return base::say("stopped by {} {}",
                     signal == SIGINT   ? "SIGINT"
                     : signal == SIGHUP ? "SIGHUP"
                                        : "SIGTERM",
                     how_far);
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

void add_model_option(CLI::App& command, std::string& model) {
    command.add_option("--model", model, "Library name, GGUF file, checkpoint or session folder")
        ->required()
        ->check(filled());
}

void print_json(const nlohmann::json& value) {
    const std::string line = base::dump_json(value) + "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fflush(stdout);
}

void print_warnings(const std::vector<base::Sentence>& sentences) {
    const std::size_t shown = sentences.size() > kMostWarnings ? kMostWarnings - 1 : sentences.size();
    for (std::size_t i = 0; i < shown; ++i) {
        fmt::print(stderr, "moescope-node: warning: {}\n", base::fit_to_show(sentences[i]).english());
    }
    if (shown < sentences.size()) {
        fmt::print(stderr, "moescope-node: warning: {} more of these are left out\n", sentences.size() - shown);
    }
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
    if (shown_at_) {
        std::fputs("\n", stderr);
    }
}

bool ProgressLine::is_due() const {
    return terminal_ && (!shown_at_ || std::chrono::steady_clock::now() - *shown_at_ >= kBetweenLines);
}

void ProgressLine::write(std::string text) {
    const std::size_t width = text.size();
    if (width < width_) {
        text.append(width_ - width, ' ');
    }
    width_ = width;
    shown_at_ = std::chrono::steady_clock::now();
    fmt::print(stderr, "\r{}", text);
    std::fflush(stderr);
}

void ProgressLine::show(std::uint64_t done, std::uint64_t total) {
    if (is_due() || (terminal_ && done == total)) {
        write(fmt::format("{} of {}", done, total));
    }
}

void ProgressLine::show_bytes(std::uint64_t done, std::uint64_t total) {
    if (is_due() || (terminal_ && done == total)) {
        write(fmt::format("{} of {}", engine::memory_text(done), engine::memory_text(total)));
    }
}

void ProgressLine::show(std::span<const std::byte> body) {
    if (const auto progress = base::parse_object(body, body.size())) {
        show(base::count_of(*progress, "progress"), base::count_of(*progress, "total"));
    }
}

void ProgressLine::show(const std::string& text) {
    if (is_due()) {
        write(text);
    }
}

void put_damage(nlohmann::json& value, std::size_t places, const std::vector<base::Sentence>& problems) {
    value["damaged"] = places;
    value["problems"] = nlohmann::json::array();
    for (const base::Sentence& problem : problems) {
        value["problems"].push_back(problem.english());
    }
}

HeldSignals::HeldSignals() {
    // One that is ignored would be queued all the same while it is held back.
    struct sigaction hang_up {};
    hang_up_ = ::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN;
    const sigset_t set = held_set(hang_up_);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void HeldSignals::watch_output() {
    output_ = true;
}

void HeldSignals::note(int signal) {
    if (first_ == 0 && signal != 0) {
        first_ = signal;
        first_at_ = std::chrono::steady_clock::now();
    }
}

/// The signal that came within that time, or 0.
int HeldSignals::take(int milliseconds) {
    const sigset_t set = held_set(hang_up_);
    const timespec wait{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1000000L};
    const int signal = std::max(sigtimedwait(&set, nullptr, &wait), 0);
    note(signal);
    if (output_ && first_ == 0 && output_is_closed()) {
        note(SIGPIPE);
    }
    return signal;
}

bool HeldSignals::taken(int milliseconds) {
    take(milliseconds);
    return first_ != 0;
}

bool HeldSignals::taken_once(int milliseconds) {
    const bool before = first_ != 0;
    const int signal = take(milliseconds);
    if (before && signal != 0 && std::chrono::steady_clock::now() - first_at_ >= std::chrono::seconds(1)) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        ::signal(signal, SIG_DFL);
        ::raise(signal);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    }
    return first_ != 0;
}

Stopped::Stopped(int signal, const base::Sentence& how_far)
    : base::Error(stopped_sentence(signal, how_far)), signal_(signal) {}

void run_until_signal(HeldSignals& signals, const std::function<void(const std::atomic<bool>& stop)>& work) {
    std::atomic<bool> stop{false}, finished{false};
    std::exception_ptr failure;
    std::thread worker([&] {
        try {
            work(stop);
        } catch (...) {
            failure = std::current_exception();
        }
        finished = true;
    });
    while (!finished) {
        stop = signals.taken_once(10);
    }
    worker.join();
    if (failure && signals.first() != 0) {
        throw Stopped(signals.first(), base::say("before it was done"));
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

void HeldSignals::stop_if_taken() {
    if (taken(0)) {
        throw Stopped(first_, base::say("before it was done; nothing was written"));
    }
}

void run_or_leave(HeldSignals& signals, std::function<void()> work) {
    std::packaged_task<void()> task(std::move(work));
    std::future<void> done = task.get_future();
    std::thread(std::move(task)).detach();
    while (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        if (signals.taken(10)) {
            throw Stopped(signals.first(), base::say("before it was done; nothing was written"));
        }
    }
    done.get();
}

FileOutput::FileOutput(const std::string& out, sessions::Existing existing, const sessions::Sources& sources) {
    if (sessions::is_standard_output(out)) {
        scratch_.emplace();
    } else {
        file_.emplace(out, existing, sources);
    }
}

std::filesystem::path FileOutput::temporary() const {
    return file_ ? file_->temporary() : scratch_->path() / "output";
}

void FileOutput::commit() {
    if (file_) {
        return file_->commit();
    }
    constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;
    const base::InputFile whole(temporary());
    std::vector<char> piece(std::min(kPiece, whole.size()));
    for (std::uint64_t at = 0; at < whole.size(); at += piece.size()) {
        piece.resize(std::min(kPiece, whole.size() - at));
        whole.read(at, std::span(piece));
        sessions::write_standard_output({piece.data(), piece.size()});
    }
}

std::string text_option(const std::string& option, base::Marked what, sessions::Sources& sources) {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 20;
    std::string text = option;
    if (option.starts_with('@')) {
        text = base::read_file(option.substr(1), kMost);
        sources.emplace_back(option.substr(1));
    }
    base::require_utf8(text, what);
    return text;
}

}  // namespace moescope::node
