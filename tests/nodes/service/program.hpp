// Runs moescope-node as a shell would, and makes the small things that the tests train on.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "tests/files.hpp"

namespace moescope::test {

/// A variable of the environment, also of the programs that are started, while this lives.
class Variable {
 public:
    Variable(const char* name, const std::string& value);
    ~Variable();
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

 private:
    const char* name_;
    std::optional<std::string> before_;
};

/// The working directory, also of the programs that are started, while this lives.
class WorkingFolder {
 public:
    explicit WorkingFolder(const std::filesystem::path& folder) { std::filesystem::current_path(folder); }
    ~WorkingFolder() { std::filesystem::current_path(before_); }
    WorkingFolder(const WorkingFolder&) = delete;
    WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
    std::filesystem::path before_ = std::filesystem::current_path();
};

struct Output {
    int status = -1;  ///< exit status, or 128 + signal
    std::string out, error;
    std::vector<nlohmann::json> lines() const;  ///< of JSON Lines; fails the test on a line that is none
};

using Arguments = std::vector<std::string>;

/// The program under test.
std::filesystem::path node_program();

/// Runs it to its end.
Output run_node(const Arguments& arguments);
/// The same with its standard output written to that file; `out` stays empty.
Output run_node_into(const std::filesystem::path& file, const Arguments& arguments);
/// The same without root's right to read and write what modes forbid; nothing else changes for who is not root.
Output run_node_without_rights(const Arguments& arguments);

/// A running program whose standard output is read line by line.
class Running {
 public:
    explicit Running(const Arguments& arguments, bool without_rights = false,
                     const std::filesystem::path& standard_output = {});
    ~Running();  ///< SIGKILL, when it still runs
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    pid_t process() const { return process_; }
    /// The next line without its end; nothing at the end of output.
    std::optional<std::string> line();
    void signal(int number) const;
    void close_output();  ///< as the next program of a pipeline that has seen enough
    /// Reads the rest and waits.
    Output finish();

 private:
    pid_t process_ = -1;
    int out_ = -1, error_ = -1;
    std::string buffer_;
};

/// The cache with the real models, or empty when the build was told none.
std::filesystem::path model_cache();

/// A folder of short English and Chinese texts.
std::filesystem::path write_corpus(const TemporaryFolder& folder);
nlohmann::json tiny_config(int steps, int checkpoint_every);
std::filesystem::path write_config(const TemporaryFolder& folder, const nlohmann::json& config);
/// Two models that answer in milliseconds, as paths of their sessions; what they say does not matter.
std::vector<std::string> train_tiny_models(const TemporaryFolder& folder);
/// Processes whose parent is this one, those that have ended left out.
std::vector<pid_t> children_of(pid_t process);

}  // namespace moescope::test
