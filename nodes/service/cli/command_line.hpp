// What `moescope-node` does from a shell: each function is one subcommand and gives its exit status. They throw to
// fail; main prints the one sentence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nodes/service/library/paths.hpp"

namespace moescope::node {

struct TrainOptions {
    std::string preset, config, data = "manpages", out;
    std::string init;    ///< weights to start from: library name, checkpoint, session, Hugging Face folder or GGUF file
    std::string replay;  ///< session whose latest training run is run again and compared
    std::optional<int> steps, threads;
    std::optional<std::uint64_t> seed;
    bool resume = false, json = false;
};

struct ExportOptions {
    std::string model, format = "huggingface", out, precision = "f32";
    bool json = false;
};

struct GenerateOptions {
    std::string model, prompt;
    int max_tokens = 256, threads = 0, count = 1, alternatives = 0, top_k = 40;
    std::uint64_t seed = 1;
    double temperature = 0, top_p = 0.95, min_p = 0.05;
    bool json = false;
};

struct ProbeOptions {
    std::string set, out;
    std::vector<std::string> models;
    std::optional<std::size_t> limit;
    int max_tokens = 160;
    bool resume = false, json = false;
};

int serve_command(const Paths& paths, const std::string& socket, const std::string& session);
int train_command(const Paths& paths, const TrainOptions& options);
/// Runs the latest training run of a session again and compares every step; 0 when all are equal, 3 when not.
int replay_command(const Paths& paths, const TrainOptions& options);
int export_command(const Paths& paths, const ExportOptions& options);
int generate_command(const Paths& paths, const GenerateOptions& options);
int logits_command(const Paths& paths, const std::string& model, const std::string& tokens, const std::string& out);
int probe_command(const Paths& paths, const ProbeOptions& options);
int report_command(const Paths& paths, const std::string& session, const std::string& out, const std::string& language);
int inspect_command(const std::string& file, bool json);
int models_list_command(const Paths& paths, bool json);
int models_add_command(const Paths& paths, const std::string& file, bool json);

/// SIGINT and SIGTERM are held back from all threads started later and taken with `taken`.
class HeldSignals {
 public:
    HeldSignals();
    /// Waits at most `milliseconds`; true when one of the two came, now or earlier.
    bool taken(int milliseconds);

 private:
    bool seen_ = false;
};

}  // namespace moescope::node
