// Standard output, signals and options of a command.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/scratch_folder.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {

/// One line of JSON Lines; invalid UTF-8 is replaced.
void print_json(const nlohmann::json& value);

/// One line each on standard error: what is worth knowing and no reason to fail. Of many the first, and how many more
/// there are: a file from outside may have any number of them.
inline constexpr std::size_t kMostWarnings = 10;
void print_warnings(const std::vector<base::Sentence>& sentences);

/// How far a command is, on the terminal's own line of standard error, which ends with this. Nothing is written where
/// standard error is no terminal: a log would keep every line. One thread at a time.
class ProgressLine {
 public:
    ProgressLine();
    ~ProgressLine();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    /// Some are left out when they come fast, never the last, which is all of `total`.
    void show(std::uint64_t done, std::uint64_t total);
    /// The same of bytes, in units that a person reads.
    void show_bytes(std::uint64_t done, std::uint64_t total);
    /// What a model's process sends: {"progress","total"}.
    void show(std::span<const std::byte> body);
    /// Left out when the one before was written a moment ago.
    void show(const std::string& text);

 private:
    bool is_due() const;
    void write(std::string text);

    const bool terminal_;
    std::optional<std::chrono::steady_clock::time_point> shown_at_;
    std::size_t width_ = 0;
};
/// "damaged": so many places of a trace that was read, and "problems": the same in words.
void put_damage(nlohmann::json& value, std::size_t places, const std::vector<base::Sentence>& problems);

/// Text of several lines for a terminal: every line as base::one_line has it.
std::string for_terminal(const std::string& text);

/// For ->check(): a whole number in digits from `least` to `most`. CLI11 alone takes an empty text for 0, -1 for the
/// largest number, and whatever is too large for the next that fits.
CLI::Validator whole_number(std::int64_t least, std::uint64_t most);
/// The same for a number that may have a fraction and an exponent.
CLI::Validator real_number(double least, double most);
/// For ->check(): a text that is not empty.
CLI::Validator filled();
/// The option --model of a command that opens one model.
void add_model_option(CLI::App& command, std::string& model);

/// SIGINT, SIGTERM and SIGHUP, unless that is ignored as under nohup, are held back from all threads started later and
/// taken with `taken`.
class HeldSignals {
 public:
    HeldSignals();
    /// From now on, a standard output that was a pipe and whose reader has gone counts as a signal, SIGPIPE: for work
    /// whose output is what it is done for.
    void watch_output();
    /// Waits at most `milliseconds`; true when one of them came, now or earlier.
    bool taken(int milliseconds);
    /// The same for who stops at the first: one that comes a second later or more ends the program at once, as if none
    /// were held back. What comes sooner is the same wish: timeout(1) sends each signal twice.
    bool taken_once(int milliseconds);
    int first() const { return first_; }  ///< the signal that came first; 0 when none has
    /// Throws Stopped when one came, for work that can end between two pieces.
    void stop_if_taken();

 private:
    int take(int milliseconds);
    void note(int signal);
    bool hang_up_ = false, output_ = false;
    int first_ = 0;
    std::chrono::steady_clock::time_point first_at_;
};

/// A command that a signal ended before it was done. main() prints the sentence and ends the program at once, also when
/// a thread is still at work, with 128 and the signal's number as shells have it.
class Stopped : public base::Error {
 public:
    /// "stopped by SIGTERM HOW_FAR"; for SIGPIPE it says that nobody reads the output.
    Stopped(int signal, const base::Sentence& how_far);
    int status() const { return 128 + signal_; }

 private:
    int signal_;
};

/// Runs `work` on a thread of its own while this one waits for signals; `stop` turns true at the first. Throws what
/// `work` throws, or Stopped when it does so after a signal.
void run_until_signal(HeldSignals& signals, const std::function<void(const std::atomic<bool>& stop)>& work);
/// The same for work that knows of no stop: it is left alone at the first signal. It must own whatever it uses, and
/// nobody may go on after the Stopped that is thrown then.
void run_or_leave(HeldSignals& signals, std::function<void()> work);

/// What --out names: a file that takes its name when it is whole, or, for what is_standard_output() says, the standard
/// output, which gets everything at the end.
class FileOutput {
 public:
    /// Throws base::Error as OutputFile.
    FileOutput(const std::string& out, sessions::Existing existing, const sessions::Sources& sources);
    /// A file to be filled or replaced before commit().
    std::filesystem::path temporary() const;
    void commit();                                      ///< throws base::Error
    bool is_file() const { return file_.has_value(); }  ///< else nothing else belongs on the standard output

 private:
    std::optional<sessions::OutputFile> file_;
    std::optional<base::ScratchFolder> scratch_;
};

/// What an option says: itself, or the text of the file behind "@", which is added to `sources`: no output of the
/// command may take its place. Throws base::Error: the file cannot be read or has more than a MiB, which no context
/// holds; as base::require_utf8.
std::string text_option(const std::string& option, base::Marked what, sessions::Sources& sources);

/// What --system and --no-chat say about themselves, wherever they stand.
inline constexpr const char* kSystemHelp =
    "Text of a system turn before the prompt; left out: the chat template puts its own, if it has one";
inline constexpr const char* kPlainHelp = "Send the prompt as it is, not in the model's chat template";

}  // namespace moescope::node
