// Sessions for tests of the window, written without a node: training runs, comparisons and probes whose every text and
// number belongs to one session only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"

namespace moescope::gui_test {

class WrittenSession {
 public:
    /// Every name and text that this session gets begins with `root`, which occurs nowhere else. `seed`: of its
    /// numbers.
    WrittenSession(const std::filesystem::path& folder, std::string root, std::uint64_t seed);

    /// 'T' a training run of 40 steps, 'N' one of four processes, 'D' one whose first layer is dense and which has a
    /// prediction module, 'A' a comparison of two answers, 'B' one of three,
    /// 'P' a probe run with its answers, 'S' one that was stopped after 10 of its 16 questions, 'R' a text whose
    /// routing was recorded with all scores, by a router like DeepSeek's, 'C' a note on a step of run 1 (is no run);
    /// each other letter takes the next run numbers. Runs of the same kind have the same sizes in every session, so
    /// that nothing but their contents tells them apart.
    void write(const std::string& runs);
    /// A comparison of these models. Not `ended`: their answers are being written. `asked`: what else the manifests
    /// say.
    void compare(const std::vector<std::string>& models, const std::string& prompt, bool ended = true,
                 const nlohmann::json& asked = nlohmann::json::object());

 private:
    void put(protocol::RecordType type, const std::vector<std::byte>& body);
    void put(protocol::RecordType type, const nlohmann::json& body);
    std::string word();
    std::string sentence(int words);
    void end_run(std::uint32_t run, int step, const char* state = "done");
    void training(int processes = 1, bool dense = false);
    void ranks(std::uint32_t run, int step, int processes);
    void comparison(int columns);
    void probe(bool stopped);
    void routing();

    std::unique_ptr<sessions::Session> session_;
    const std::string root_;
    std::mt19937_64 random_;
    std::uint32_t notes_ = 0;
    std::uint64_t time_ns_ = 1'764'000'000'000'000'000;
};

}  // namespace moescope::gui_test
