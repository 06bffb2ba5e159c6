// The same through the program: its command line, and a node that goes on answering.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>

#include "tests/nodes/service/workbench.hpp"
#include "tests/paths.hpp"
#include "tests/readers/hostile.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

/// Runs the program; one that does not end in time fails the test instead of stopping it.
Output run_in_time(const Arguments& arguments) {
    Running running(arguments);
    std::promise<void> ended;
    std::thread watch([&running, end = ended.get_future()] {
        if (end.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
            ADD_FAILURE() << "it hangs";
            running.signal(SIGKILL);
        }
    });
    Output output = running.finish();
    ended.set_value();
    watch.join();
    return output;
}

TEST(Programs, NoOptionWaitsForWhatIsNoFile) {
    const TemporaryFolder folder;
    const std::string config = write_config(folder, tiny_config(1, 1)).string(), out = (folder / "out").string();
    const std::string corpus = write_corpus(folder).string();
    for (const Hostile kind : {Hostile::pipe, Hostile::device, Hostile::folder}) {
        SCOPED_TRACE(name_of(kind));
        const auto hostile = [&](const std::string& name) {
            const fs::path path = folder / name;
            fs::remove_all(path);
            make_hostile(kind, path, "");
            return path.string();
        };
        const std::string f_json = hostile("f.json"), f_npy = hostile("f.npy"), f_txt = hostile("f.txt"),
                          f_gguf = hostile("f.gguf");
        std::vector<Arguments> all = {
            {"train", "--config", f_json, "--data", corpus, "--out", out},
            {"train", "--config", config, "--data", f_npy, "--out", out + "1"},
            {"probe", "--set", f_json, "--models", "a,b", "--out", out},
            {"inspect", f_gguf},
            {"generate", "--model", f_gguf, "--prompt", "x"},
            {"logits", "--model", corpus, "--tokens", f_npy, "--out", out},
            {"models", "add", f_gguf},
            {"report", f_txt, "--out", out},
            {"label", f_txt, "--json"},
        };
        if (kind != Hostile::folder) {
            all.push_back({"train", "--config", config, "--data", f_txt, "--out", out + "2"});
        }
        for (const Arguments& arguments : all) {
            const Output output = run_in_time(arguments);
            SCOPED_TRACE(arguments[0] + " " + arguments.back() + ": " + output.error);
            EXPECT_EQ(output.status, 1);
            EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1);
        }
    }
}

TEST(Programs, ANodeGoesOnAnswering) {
    const TemporaryFolder folder;
    const fs::path pipe = folder / "f.json", tokens = folder / "f.npy";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    ASSERT_EQ(::mkfifo(tokens.c_str(), 0600), 0);
    const fs::path deep = folder / "model";
    fs::create_directories(deep);
    write_text(deep / "config.json",
               "{\"model_type\": \"qwen3_moe\", \"x\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}");
    write_text(deep / "model.safetensors", "x");
    Workbench bench(folder / "session");
    EXPECT_NE(bench.failed("probe.start", {{"set", pipe.string()}, {"models", {"a", "b"}}}).find("is a pipe"),
              std::string::npos);
    const json report = bench.done("models.inspect", {{"path", deep.string()}});
    EXPECT_NE(report.value("problem", "").find("nested deeper"), std::string::npos) << report;
    EXPECT_NE(bench.failed("train.start", {{"config", tiny_config(1, 1)}, {"data", tokens.string()}}).find("is a pipe"),
              std::string::npos);
    bench.done("train.plan", {{"config", tiny_config(1, 1)}});
}

/// A text that takes far longer to read than a person waits: 200 MB without a blank line.
fs::path long_text(const TemporaryFolder& folder) {
    const fs::path path = folder / "long.txt";
    std::ofstream file(path, std::ios::binary);
    std::string block;
    for (int i = 0; i < 16000; ++i) {
        block += "Sentence " + std::to_string(i * 7919) + " stands on a line of its own and says little.\n";
    }
    for (int i = 0; i < 200; ++i) {
        file << block;
    }
    return path;
}

TEST(Programs, ALongTextIsLeftAtOnce) {
    const TemporaryFolder folder;
    const fs::path text = long_text(folder);
    const std::string config = write_config(folder, tiny_config(1, 1)).string();
    for (const int signal : {SIGINT, SIGTERM}) {
        Running train({"train", "--config", config, "--data", text.string(), "--out",
                       (folder / ("out" + std::to_string(signal))).string()});
        std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        const auto start = Clock::now();
        train.signal(signal);
        const Output output = train.finish();
        // A second on a machine of its own; this one may be busy.
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << output.error;
        EXPECT_EQ(output.status, 128 + signal) << output.error;
        EXPECT_NE(output.error.find(" before the first step; nothing was saved"), std::string::npos) << output.error;
        EXPECT_EQ(output.out, "stopped before the first step\n") << "there are no parameters to hash";
    }
    const std::string corpus = write_corpus(folder).string();
    Workbench bench(folder / "session");
    const auto slow =
        bench.done("train.start", {{"config", tiny_config(1, 1)}, {"data", text.string()}}).value("run", 0u);
    const auto quick = bench.done("train.start", {{"config", tiny_config(1, 1)}, {"data", corpus}}).value("run", 0u);
    bench.wait("the other run, which waits for nobody", in_state(quick, RunState::done));
    const auto start = Clock::now();
    bench.done("train.stop", {{"run", slow}});
    bench.wait("the stop", in_state(slow, RunState::stopped));
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace moescope::test
