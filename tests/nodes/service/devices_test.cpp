// Devices as people see them: the list, a run on a GPU (the emulated one, behind a plugin that is opened as the real
// one is), what cannot be used, what is too small, and what is lost in the middle of a run.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <span>
#include <sstream>
#include <vector>

#include "engine/files/npy.hpp"
#include "nodes/history/journal_reader.hpp"
#include "tests/kernels/gpu/places.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// The programs find the plugin of tests, of this kind.
class Gpu {
 public:
    explicit Gpu(const std::string& kind = "") : kind_("MOESCOPE_TEST_GPU", kind) {}

 private:
    Variable plugin_{"MOESCOPE_CUDA_PLUGIN", gpu_plugin()}, driver_{"MOESCOPE_CUDA_DRIVER", gpu_driver()}, kind_,
        no_module_{"MOESCOPE_GGML_MODULE", "/nowhere/libmoescope-ggml-cuda.so"};
};

#if defined(MOESCOPE_HAVE_LLAMA) && !defined(__SANITIZE_ADDRESS__)
/// With a part for GGUF models of this kind, whose device is the processor behind closed memory. Inside a Gpu.
class GgmlModule {
 public:
    explicit GgmlModule(const std::string& kind = "") : kind_("MOESCOPE_TEST_GGML", kind) {}

 private:
    Variable module_{"MOESCOPE_GGML_MODULE", binary_folder() + "/test_ggml_module.so"}, kind_;
};
#endif

/// No driver, whatever this machine has.
class NoGpu {
    Variable driver_{"MOESCOPE_CUDA_DRIVER", "libcuda-that-is-nowhere.so.1"};
};

class Devices : public testing::Test {
 protected:
    void SetUp() override {
#ifdef __SANITIZE_THREAD__
        GTEST_SKIP() << "the emulated device runs on fibers, of which ThreadSanitizer knows nothing";
#endif
    }
    Arguments arguments(const std::string& out, const Arguments& more = {}) const {
        Arguments list{"train",         "--config", config.string(),         "--data",
                       corpus.string(), "--out",    (folder / out).string(), "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return list;
    }
    static json small_config() {
        json config = tiny_config(6, 3);
        config["train"]["evaluate_every"] = config["train"]["sample_every"] = 0;
        config["train"]["batch"] = config["model"]["layers"] = 1;  // the emulated GPU takes its time
        config["model"]["context"] = 8;
        config["model"]["vocabulary"] = 64;
        return config;
    }
    /// Token ids, of which none are held out: their evaluation would take minutes.
    fs::path write_tokens() const {
        std::vector<std::int32_t> tokens(2000);
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            tokens[i] = static_cast<std::int32_t>(i * i % 61);
        }
        engine::write_npy(folder / "tokens.npy", std::span<const std::int32_t>(tokens), {tokens.size()});
        return folder / "tokens.npy";
    }
    /// A refusal is one sentence, and there is no session.
    void expect_refused(const Arguments& more, const std::string& sentence) {
        const Output output = run_node(arguments("refused", more));
        EXPECT_EQ(output.status, 1);
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        EXPECT_NE(output.error.find(sentence), std::string::npos) << output.error;
        EXPECT_FALSE(fs::exists(folder / "refused"));
    }
    fs::path corpus_of_few() const {
        const std::vector<std::int32_t> tokens = {1, 5, 9, 2, 30, 31};
        engine::write_npy(folder / "few.npy", std::span<const std::int32_t>(tokens), {tokens.size()});
        return folder / "few.npy";
    }
    history::TrainingRun recorded(const std::string& out) const {
        const auto session = sessions::Session::open(folder / out, sessions::Journal::Mode::read_only);
        return history::read_session(session->journal()).trainings().begin()->second.value;
    }
    TemporaryFolder folder;
    fs::path corpus = write_tokens(), config = write_config(folder, small_config());
};

TEST_F(Devices, TheCommandListsThem) {
    {
        const NoGpu none;
        const Output output = run_node({"devices", "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        const auto lines = output.lines();
        ASSERT_EQ(lines.size(), 2u);
        EXPECT_EQ(lines[0]["name"], "cpu");
        EXPECT_EQ(lines[0]["usable"], true);
        EXPECT_GT(lines[0]["memory_total"], 1u << 20);
        EXPECT_GT(lines[0]["memory_free"], 0);
        EXPECT_EQ(lines[1]["name"], "cuda");
        EXPECT_EQ(lines[1]["usable"], false);
        EXPECT_EQ(lines[1]["why_not"], "no NVIDIA driver was found (libcuda-that-is-nowhere.so.1)");
        EXPECT_NE(run_node({"devices"}).out.find("cannot be used: no NVIDIA driver was found"), std::string::npos);
    }
    const Gpu gpu;
    const auto lines = run_node({"devices", "--json"}).lines();
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(lines[1]["name"], "cuda:0");
    EXPECT_EQ(lines[1]["title"], "Emulated GPU 0");
    EXPECT_EQ(lines[1]["usable"], true);
    EXPECT_EQ(lines[1]["memory_free"], std::uint64_t{6} << 30);
    EXPECT_EQ(lines[1]["driver_cuda"], "13.0");
    EXPECT_EQ(lines[1]["toolkit"], "13.5");
    EXPECT_EQ(lines[1]["capability"], "9.0");
    EXPECT_EQ(lines[1]["gguf"], false);
    EXPECT_EQ(lines[1]["gguf_why_not"],
              "this program was built without its part for GGUF models on GPUs, /nowhere/libmoescope-ggml-cuda.so; "
              "./run --cuda-models builds it");
    EXPECT_EQ(lines[2]["usable"], false);
    EXPECT_EQ(lines[2]["gguf_why_not"], lines[2]["why_not"]);
    const std::string text = run_node({"devices"}).out;
    EXPECT_NE(text.find("cuda:0   Emulated GPU 0; 8.6 GB of memory, 6.4 GB free; driver "), std::string::npos) << text;
}

TEST_F(Devices, WhatCannotBeUsedIsRefusedBeforeThereIsASession) {
    {
        const NoGpu none;
        expect_refused({"--device", "cuda:0"}, "cuda:0 cannot be used: no NVIDIA driver was found");
    }
    {
        const Gpu gpu;
        expect_refused({"--device", "cuda:1"}, "cuda:1 cannot be used: compute capability 3.5 is too old");
        expect_refused({"--device", "cuda:2"}, "there is no device cuda:2 here; there are: cpu, cuda:0");
        expect_refused({"--device", "cuda-emulated"}, "the device cuda-emulated is there in tests only");
        expect_refused({"--device", "gpu"}, "train.device is \"gpu\", but must be cpu, or cuda:0 and so on");
    }
    const Gpu refusing("refusing");
    expect_refused({"--device", "cuda:0"}, "cuda:0 could not be opened: cudaErrorDevicesUnavailable");
}

TEST_F(Devices, ARunThatDoesNotFitIsToldWhatWould) {
    json large = small_config();
    large["train"]["batch"] = 4096;
    write_text(config, large.dump());
    const Gpu small("small 2000000");
    const Output output = run_node(arguments("refused", {"--device", "cuda:0"}));
    EXPECT_EQ(output.status, 1);
    EXPECT_NE(output.error.find(" of memory on cuda:0, and 2.0 MB can be had there: it would fit with one of "
                                "train.batch "),
              std::string::npos)
        << output.error;
    EXPECT_FALSE(fs::exists(folder / "refused"));
}

TEST_F(Devices, ARunOnAGpuIsRecordedAndRepeatsItself) {
    const Gpu gpu;
    const Output cpu = run_node(arguments("cpu")), one = run_node(arguments("one", {"--device", "cuda:0"})),
                 two = run_node(arguments("two", {"--device", "cuda:0"}));
    for (const Output* output : {&cpu, &one, &two}) {
        ASSERT_EQ(output->status, 0) << output->error;
        ASSERT_EQ(output->lines().size(), 7u);
    }
    EXPECT_EQ(one.lines().back()["parameters_sha256"], two.lines().back()["parameters_sha256"]);
    for (std::size_t step = 0; step < 3; ++step) {
        EXPECT_NEAR(one.lines()[step]["loss"].get<double>(), cpu.lines()[step]["loss"].get<double>(), 1e-3);
    }
    const history::TrainingRun of_gpu = recorded("one"), of_cpu = recorded("cpu");
    EXPECT_EQ(of_gpu.manifest["config"]["train"]["device"], "cuda:0");
    EXPECT_EQ(of_gpu.manifest["device"]["title"], "Emulated GPU 0");
    EXPECT_EQ(of_gpu.manifest["device"]["toolkit"], "13.5");
    EXPECT_FALSE(of_gpu.manifest["device"].contains("memory_free"));
    EXPECT_EQ(of_cpu.manifest["config"]["train"]["device"], "cpu");
    EXPECT_FALSE(of_cpu.manifest.contains("device"));
    const Output replay = run_node({"train", "--replay", (folder / "one").string(), "--json"});
    EXPECT_EQ(replay.status, 0) << replay.error;
    EXPECT_EQ(replay.lines().back()["equal"], true);
    const Output elsewhere = run_node({"train", "--replay", (folder / "one").string(), "--device", "cpu", "--json"});
    EXPECT_EQ(elsewhere.status, 3) << "bytes are those of one device: " << elsewhere.error;
}

TEST_F(Devices, OneThatCannotRecordStepsSaysSoOnceAndTrainsTheSame) {
    const auto with = [&](const std::string& kind, const std::string& out) {
        const Gpu gpu(kind);
        return run_node(arguments(out, {"--device", "cuda:0"}));
    };
    const Output recording = with("", "recording"), plain = with("without graphs", "plain");
    ASSERT_EQ(recording.status, 0) << recording.error;
    ASSERT_EQ(plain.status, 0) << plain.error;
    EXPECT_EQ(recording.lines().back()["parameters_sha256"], plain.lines().back()["parameters_sha256"]);
    const auto warnings = [&](const std::string& out) {
        const auto session = sessions::Session::open(folder / out, sessions::Journal::Mode::read_only);
        const history::Session read = history::read_session(session->journal());
        int count = 0;
        for (const history::LogLine& line : read.log()) {
            count += line.text.english().starts_with(
                         "cuda:0 could not record the operations of a step (cudaErrorStreamCaptureUnsupported); they")
                         ? 1
                         : 0;
        }
        return count;
    };
    EXPECT_EQ(warnings("recording"), 0);
    EXPECT_EQ(warnings("plain"), 1);
    EXPECT_TRUE(recording.lines()[1]["part_ms"]["attention"].is_null()) << "what is started at once has no parts";
    EXPECT_TRUE(plain.lines()[1]["part_ms"]["attention"].is_number());
}

TEST_F(Devices, SeveralProcessesTakeAGpuEach) {
    json settings = small_config();
    settings["train"].update({{"processes", 2}, {"expert_parallel", 2}, {"device", "cuda:0"}});
    const fs::path shared = folder / "shared.json";
    write_text(shared, settings.dump());
    const auto of_two = [&](const std::string& out) {
        return run_node({"train", "--config", shared.string(), "--data", corpus.string(), "--out",
                         (folder / out).string(), "--json"});
    };
    {
        const Gpu gpu;
        const Output output = of_two("refused");
        if (output.error.find("several processes can't be started here") != std::string::npos) {
            GTEST_SKIP() << output.error;
        }
        EXPECT_EQ(output.status, 1);
        EXPECT_NE(output.error.find("rank 1 can't take part: cuda:1 cannot be used: compute capability 3.5 is too old"),
                  std::string::npos)
            << output.error;
    }
    {
        const Variable room("MOESCOPE_TEST_GPU", "small 2000");
        const Variable plugin("MOESCOPE_CUDA_PLUGIN", gpu_plugin()), driver("MOESCOPE_CUDA_DRIVER", gpu_driver());
        const Output output = of_two("small");
        EXPECT_EQ(output.status, 1);
        EXPECT_NE(output.error.find(" of memory on cuda:0, and 0.0 MB can be had there"), std::string::npos)
            << output.error;
    }
    const Gpu gpu("two");
    const Output cpu = run_node(arguments("cpu")), one = of_two("one"), two = of_two("two");
    for (const Output* output : {&cpu, &one, &two}) {
        ASSERT_EQ(output->status, 0) << output->error;
        ASSERT_EQ(output->lines().size(), 7u);
    }
    EXPECT_EQ(one.lines().back()["parameters_sha256"], two.lines().back()["parameters_sha256"]);
    for (std::size_t step = 0; step < 3; ++step) {
        EXPECT_NEAR(one.lines()[step]["loss"].get<double>(), cpu.lines()[step]["loss"].get<double>(), 1e-3);
    }
    const json ranks = one.lines().back()["ranks"];
    EXPECT_EQ(ranks["work_ms"].size(), 2u);
    EXPECT_GT(ranks["sent_rows"][0].get<double>() + ranks["sent_rows"][1].get<double>(), 0);
    EXPECT_GT(ranks["sent_bytes"][1].get<double>(),
              ranks["sent_rows"][1].get<double>() * ranks["row_bytes"].get<double>());
    EXPECT_EQ(recorded("one").manifest["config"]["train"]["device"], "cuda:0");
}

/// The plugin for NCCL with a stand-in for NCCL itself: the program's own way from the flag to the exchange.
TEST_F(Devices, SeveralProcessesExchangeDataAsTheyAreTold) {
    json settings = small_config();
    settings["train"].update(
        {{"processes", 2}, {"expert_parallel", 2}, {"all_to_all", true}, {"batch", 2}, {"device", "cuda:0"}});
    const fs::path shared = folder / "shared.json";
    write_text(shared, settings.dump());
    const Gpu gpu("two");
    const auto trained = [&](const std::string& out, const Arguments& more) {
        Arguments list{"train",         "--config", shared.string(),         "--data",
                       corpus.string(), "--out",    (folder / out).string(), "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return run_node(list);
    };
    const auto said = [&](const std::string& out, const std::string& beginning) {
        const auto session = sessions::Session::open(folder / out, sessions::Journal::Mode::read_only);
        const history::Session read = history::read_session(session->journal());
        return std::any_of(read.log().begin(), read.log().end(),
                           [&](const history::LogLine& line) { return line.text.english().starts_with(beginning); });
    };
    const Output host = trained("host", {"--exchange", "host"});
    if (host.error.find("several processes can't be started here") != std::string::npos) {
        GTEST_SKIP() << host.error;
    }
    ASSERT_EQ(host.status, 0) << host.error;
    EXPECT_EQ(host.lines().back()["exchange"], "host");
    EXPECT_TRUE(said("host", "the GPUs exchange data through the machine's memory and MPI, as train.exchange says"));
    {
        const Variable none("MOESCOPE_NCCL_PLUGIN", "/nowhere/libmoescope-nccl.so");
        const Output without = trained("without", {});
        ASSERT_EQ(without.status, 0) << without.error;
        EXPECT_EQ(without.lines().back()["exchange"], "host");
        EXPECT_TRUE(said("without",
                         "the GPUs exchange data through the machine's memory and MPI; NCCL cannot be used: rank 0: "
                         "/nowhere/libmoescope-nccl.so is not there"));
        const Output refused = trained("refused", {"--exchange", "nccl"});
        EXPECT_EQ(refused.status, 1);
        EXPECT_NE(refused.error.find("NCCL cannot be used: rank 0: /nowhere/libmoescope-nccl.so is not there; ./run "
                                     "--nccl makes it; with train.exchange host"),
                  std::string::npos)
            << refused.error;
    }
    const Variable plugin("MOESCOPE_NCCL_PLUGIN", binary_folder() + "/test_nccl_plugin.so");
    const Output direct = trained("direct", {});
    ASSERT_EQ(direct.status, 0) << direct.error;
    EXPECT_EQ(direct.lines().back()["exchange"], "nccl");
    EXPECT_EQ(direct.lines().back()["parameters_sha256"], host.lines().back()["parameters_sha256"]);
    EXPECT_TRUE(said("direct", "the GPUs exchange data from memory to memory, by NCCL"));
    EXPECT_EQ(recorded("direct").manifest["exchange"], "nccl");
}

// A device that is lost leaves the last checkpoint, from which the run goes on to the same bytes.
TEST_F(Devices, ALostOneEndsTheRunAndTheRunGoesOn) {
    std::string hash;
    {
        const Gpu gpu;
        const Output whole = run_node(arguments("whole", {"--device", "cuda:0"}));
        ASSERT_EQ(whole.status, 0) << whole.error;
        hash = whole.lines().back()["parameters_sha256"];
    }
    std::string out;
    for (const char* kind : {"lost 10", "lost 14", "lost 18", "lost 22", "lost 26", "lost 30"}) {
        const Gpu lost(kind);
        out = kind;
        const Output output = run_node(arguments(out, {"--device", "cuda:0"}));
        ASSERT_EQ(output.status, 1) << kind;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        EXPECT_NE(output.error.find("cuda:0 failed in step "), std::string::npos) << output.error;
        EXPECT_NE(output.error.find("cudaErrorDeviceUnavailable"), std::string::npos) << output.error;
        if (output.error.find("the run can be continued from its checkpoint at step 3") != std::string::npos) {
            break;
        }
        EXPECT_NE(output.error.find("there is no checkpoint yet"), std::string::npos) << output.error;
        out.clear();
    }
    ASSERT_FALSE(out.empty()) << "it was never lost after the first checkpoint";
    fs::copy(folder / out, folder / "elsewhere", fs::copy_options::recursive);
    {
        const NoGpu none;
        const Output output = run_node(arguments("elsewhere", {"--resume"}));
        EXPECT_EQ(output.status, 1);
        EXPECT_NE(output.error.find("cuda:0 cannot be used: no NVIDIA driver was found"), std::string::npos)
            << output.error;
        const Output moved = run_node(arguments("elsewhere", {"--resume", "--device", "cpu"}));
        EXPECT_EQ(moved.status, 0) << moved.error;
        EXPECT_NE(moved.error.find("the run goes on on cpu and no longer on cuda:0: its numbers will not be bit-equal"),
                  std::string::npos)
            << moved.error;
        EXPECT_NE(moved.lines().back()["parameters_sha256"], hash);
        const history::TrainingRun run = recorded("elsewhere");
        EXPECT_EQ(run.manifest["config"]["train"]["device"], "cpu");
        const auto rewind = std::find_if(run.events.begin(), run.events.end(),
                                         [](const history::RunEvent& event) { return event.kind == "rewind"; });
        ASSERT_NE(rewind, run.events.end());
        EXPECT_EQ(
            rewind->text.english(),
            "goes on from the checkpoint at step 3, on cpu and no longer on cuda:0: its numbers are not bit-equal "
            "to those that it would have had");
    }
    const Gpu gpu;
    const Output resumed = run_node(arguments(out, {"--resume"}));
    ASSERT_EQ(resumed.status, 0) << resumed.error;
    EXPECT_EQ(resumed.error, "") << "nothing is said where nothing is different";
    EXPECT_EQ(resumed.lines().back()["parameters_sha256"], hash);
}

TEST_F(Devices, ANodeTellsOfThemAndTrainsOnThem) {
    const Gpu gpu;
    Workbench bench(folder / "session");
    const auto now = bench.wait("the devices", [](const Snapshot& s) { return s.node.devices.size() == 3; });
    EXPECT_EQ(now->node.devices[0].name, "cpu");
    EXPECT_TRUE(now->node.devices[0].usable());
    EXPECT_EQ(now->node.devices[1].title, "Emulated GPU 0");
    EXPECT_TRUE(now->node.devices[1].usable());
    EXPECT_EQ(now->node.devices[1].memory_total, std::uint64_t{8} << 30);
    EXPECT_EQ(now->node.devices[2].why_not.english(), "compute capability 3.5 is too old");

    json order = {{"config", small_config()}, {"data", corpus.string()}};
    json& device = order["config"]["train"]["device"];
    device = "cuda:1";
    EXPECT_NE(bench.failed("train.start", order).find("cuda:1 cannot be used"), std::string::npos);
    EXPECT_NE(bench.failed("train.plan", {{"config", order["config"]}}).find("cuda:1 cannot be used"),
              std::string::npos);
    device = "cuda:0";
    const json plan = bench.done("train.plan", {{"config", order["config"]}});
    EXPECT_GT(plan["host_bytes"], 0);
    EXPECT_LT(plan["host_bytes"], plan["memory_bytes"]);
    const std::uint32_t run = bench.done("train.start", order).value("run", 0u);
    const auto ended = bench.wait("the end", in_state(run, RunState::done));
    EXPECT_EQ(training(*ended, run)->manifest["config"]["train"]["device"], "cuda:0");
    EXPECT_EQ(training(*ended, run)->manifest["plan"]["memory_bytes"], plan["memory_bytes"]);
    EXPECT_EQ(ended->training.size(), 1u) << "what was refused is no run";

    order.update({{"key", "device"}, {"values", {"cpu", "cuda:0"}}});
    const json runs = bench.done("experiment.start", order).at("runs");
    bench.wait("both", [&](const Snapshot& s) {
        return in_state(runs[0], RunState::done)(s) && in_state(runs[1], RunState::done)(s);
    });
}

TEST_F(Devices, ANodeContinuesOnAnotherOneOnlyWhenTold) {
    std::uint32_t run = 0;
    {
        const Gpu lost("lost 18");
        Workbench bench(folder / "session");
        json order = {{"config", small_config()}, {"data", corpus.string()}};
        order["config"]["train"]["device"] = "cuda:0";
        run = bench.done("train.start", order).value("run", 0u);
        const auto now = bench.wait("the loss", in_state(run, RunState::failed));
        EXPECT_NE(training(*now, run)->message.english().find("cuda:0 failed in step "), std::string::npos)
            << training(*now, run)->message;
        EXPECT_EQ(bench.client().snapshot()->link.state, client::Link::State::connected);
    }
    const NoGpu none;
    Workbench bench(folder / "session");
    bench.wait("the run", in_state(run, RunState::failed));
    EXPECT_NE(bench.failed("train.continue", {{"run", run}}).find("cuda:0 cannot be used: no NVIDIA driver"),
              std::string::npos);
    bench.done("train.continue", {{"run", run}, {"device", "cpu"}});
    const auto now = bench.wait("the end", in_state(run, RunState::done));
    EXPECT_TRUE(std::any_of(training(*now, run)->events.begin(), training(*now, run)->events.end(),
                            [](const history::RunEvent& event) {
                                return event.text.english().find("on cpu and no longer on cuda:0") != std::string::npos;
                            }));
}

/// Models with a tokenizer.
class ModelsOnDevices : public Devices {
 protected:
    void expect_refused_answer(const Arguments& arguments, const std::string& sentence, int status = 1) {
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, status) << output.error;
        EXPECT_NE(output.error.find(sentence), std::string::npos) << output.error;
        if (status == 1) {
            EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        }
    }
    static Arguments ask(const std::string& model, const Arguments& more = {}) {
        Arguments list{"generate", "--model", model, "--prompt", "the file", "--max-tokens", "5", "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return list;
    }
    std::string route(const std::string& model, const Arguments& more = {}) {
        const std::string file = (folder / "trace.jsonl").string();
        Arguments list{"route",    "--model", model,   "--text", "the file is read", "--out", file, "--force-overwrite",
                       "--detail", "scores",  "--json"};
        list.insert(list.end(), more.begin(), more.end());
        const Output output = run_node(list);
        EXPECT_EQ(output.status, 0) << output.error;
        return read_text(file);
    }
};

/// The numbers behind the header of a .npy file of version 1.
std::vector<float> floats_of_npy(const std::string& file) {
    const std::string bytes = read_text(file);
    const std::size_t at =
        10 + static_cast<unsigned char>(bytes.at(8)) + 256u * static_cast<unsigned char>(bytes.at(9));
    std::vector<float> values((bytes.size() - at) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + at, values.size() * sizeof(float));
    return values;
}

TEST_F(ModelsOnDevices, AnswerTheSameOnEach) {
    const Gpu gpu;
    const std::vector<std::string> models = train_tiny_models(folder);
    const Output cpu = run_node(ask(models[0])), device = run_node(ask(models[0], {"--device", "cuda:0"}));
    ASSERT_EQ(cpu.status, 0) << cpu.error;
    ASSERT_EQ(device.status, 0) << device.error;
    EXPECT_EQ(device.lines()[0]["text"], cpu.lines()[0]["text"]);
    EXPECT_EQ(device.lines()[0]["device"], "cuda:0");
    EXPECT_EQ(cpu.lines()[0]["device"], "cpu");
    EXPECT_EQ(device.error, "");

    const auto lines_of = [](const std::string& trace) {
        std::vector<json> lines;
        std::istringstream text(trace);
        for (std::string line; std::getline(text, line);) {
            lines.push_back(json::parse(line));
        }
        return lines;
    };
    const std::vector<json> of_cpu = lines_of(route(models[0])),
                            of_device = lines_of(route(models[0], {"--device", "cuda:0", "--knock-out", "1:0"})),
                            knocked = lines_of(route(models[0], {"--knock-out", "1:0"}));
    EXPECT_EQ(of_cpu[0]["router"]["device"], "cpu");
    EXPECT_EQ(of_device[0]["router"]["device"], "cuda:0");
    ASSERT_EQ(of_device.size(), knocked.size());
    for (std::size_t t = 1; t < knocked.size(); ++t) {  // the first line is of the file
        ASSERT_TRUE(knocked[t].contains("layers") && of_device[t].contains("layers")) << t;
        for (std::size_t layer = 0; layer < knocked[t]["layers"].size(); ++layer) {
            EXPECT_EQ(of_device[t]["layers"][layer]["ids"], knocked[t]["layers"][layer]["ids"]) << t;
        }
        ASSERT_EQ(knocked[t].contains("log_probability"), of_device[t].contains("log_probability")) << t;
        if (knocked[t].contains("log_probability") && knocked[t]["log_probability"].is_number()) {
            EXPECT_NEAR(of_device[t]["log_probability"].get<double>(), knocked[t]["log_probability"].get<double>(),
                        1e-4);
        }
    }
    const auto logits = [&](const char* where) {
        const std::string file = (folder / where).string();
        const Output output = run_node(
            {"logits", "--model", models[0], "--tokens", corpus_of_few().string(), "--out", file, "--device", where});
        EXPECT_EQ(output.status, 0) << output.error;
        return floats_of_npy(file);
    };
    const std::vector<float> expected = logits("cpu"), actual = logits("cuda:0");
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], 1e-4) << i;
    }
    write_text(folder / "prompts", "the file is read\n");
    const Output sweep = run_node({"sweep", "--model", models[0], "--layer", "1", "--prompts",
                                   (folder / "prompts").string(), "--json", "--device", "cuda:0"});
    ASSERT_EQ(sweep.status, 0) << sweep.error;
    EXPECT_EQ(sweep.lines().back()["device"], "cuda:0");
}

TEST_F(ModelsOnDevices, WhatCannotBeComputedThereSaysWhy) {
    const std::string model = train_tiny_models(folder)[0];
    {
        const Gpu gpu;
        expect_refused_answer(ask(model, {"--device", "cuda:1"}),
                              "cuda:1 cannot be used: compute capability 3.5 is too old");
        expect_refused_answer(ask(model, {"--device", "cuda:99"}),
                              "there is no device cuda:99 here; there are: cpu, cuda:0");
        expect_refused_answer(ask(model, {"--device", ""}), "--device", 2);
        const std::string gguf = (folder / "m.gguf").string();
        ASSERT_EQ(run_node({"export", "--model", model, "--format", "gguf", "--out", gguf}).status, 0);
        expect_refused_answer(ask(gguf, {"--device", "cuda:0"}),
                              "cuda:0 cannot compute GGUF models: this program was built without its part for GGUF "
                              "models on GPUs, /nowhere/libmoescope-ggml-cuda.so; ./run --cuda-models builds it");
        EXPECT_EQ(run_node(ask(gguf)).status, 0);
        expect_refused_answer(ask("http://127.0.0.1:9/v1#m", {"--device", "cuda:0"}),
                              "is computed by the program that serves it; leave out --device cuda:0");
        const std::string other = (folder / "n.gguf").string();
        fs::copy_file(gguf, other);
        expect_refused_answer({"probe", "--set", "starter", "--models", gguf + "," + other, "--out",
                               (folder / "refused").string(), "--device", "cuda:0"},
                              "cuda:0 cannot compute GGUF models: this program was built without its part for GGUF ");
        EXPECT_FALSE(fs::exists(folder / "refused"));
    }
    {
        const NoGpu none;
        expect_refused_answer(ask(model, {"--device", "cuda:0"}), "cuda:0 cannot be used: no NVIDIA driver was found");
    }
    {
        const Gpu small("small 20000");
        expect_refused_answer(ask(model, {"--device", "cuda:0"}),
                              "cuda:0 has no room for the model: not enough memory");
    }
    const Gpu lost("lost 2");
    expect_refused_answer(ask(model, {"--device", "cuda:0"}), "cuda:0 failed: cudaErrorDeviceUnavailable");
}

// A model answers where it was trained, as long as that is there.
TEST_F(ModelsOnDevices, AnswerWhereTheyWereTrained) {
    const auto routed = [&](const Arguments& more = {}) {
        Arguments list{"route", "--model", (folder / "one").string(), "--tokens", corpus_of_few().string(),
                       "--out", "-"};
        list.insert(list.end(), more.begin(), more.end());
        return run_node(list);
    };
    {
        const Gpu gpu;
        ASSERT_EQ(run_node(arguments("one", {"--device", "cuda:0"})).status, 0);
        const Output there = routed(), elsewhere = routed({"--device", "cpu"});
        ASSERT_EQ(there.status, 0) << there.error;
        EXPECT_EQ(there.lines()[0]["router"]["device"], "cuda:0");
        EXPECT_EQ(there.error, "");
        EXPECT_EQ(elsewhere.lines()[0]["router"]["device"], "cpu");
        EXPECT_EQ(elsewhere.error, "") << "that was asked for";
    }
    const NoGpu none;
    const Output output = routed();
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_EQ(output.lines()[0]["router"]["device"], "cpu");
    EXPECT_NE(output.error.find("warning: the model was trained on cuda:0, and is computed on the processor here: "
                                "cuda:0 cannot be used: no NVIDIA driver was found"),
              std::string::npos)
        << output.error;
}

TEST_F(ModelsOnDevices, ANodeAnswersOnTheChosenOne) {
    const std::string model = train_tiny_models(folder)[0];
    const auto answer = [&](Workbench& bench) {
        const std::uint32_t run =
            bench.done("generate.start",
                       {{"model", model}, {"prompt", "the file"}, {"max_tokens", 4}, {"routing", "weights"}})["run"];
        const auto now = bench.wait("the answer", [&](const Snapshot& s) {
            const auto found = s.generations.find(run);
            return found != s.generations.end() && protocol::ended(found->second->state);
        });
        return std::pair(now->generations.at(run), now->routing.contains(run) ? now->routing.at(run) : nullptr);
    };
    std::string text;
    {
        const Gpu gpu;
        Workbench bench(folder / "session");
        const auto [first, routing] = answer(bench);
        EXPECT_EQ(first->device, "cpu");
        text = first->text;
        EXPECT_NE(bench.failed("models.device", {{"device", "cuda:1"}}).find("compute capability 3.5 is too old"),
                  std::string::npos);
        bench.done("models.device", {{"device", "cuda:0"}});
        bench.wait("the choice", [](const Snapshot& s) { return s.node.models_device == "cuda:0"; });
        const auto [second, its_routing] = answer(bench);
        EXPECT_EQ(second->state, RunState::done) << second->message;
        EXPECT_EQ(second->device, "cuda:0");
        EXPECT_EQ(second->text, text);
        ASSERT_NE(its_routing, nullptr);
        EXPECT_EQ(its_routing->trace->spec().device, "cuda:0");
    }
    // The choice stays with the session; a device that is lost ends the answer, and neither the node nor the next one.
    const Gpu lost("lost 7");
    Workbench bench(folder / "session");
    bench.wait("the choice", [](const Snapshot& s) { return s.node.models_device == "cuda:0"; });
    const auto failed = answer(bench).first;
    EXPECT_EQ(failed->state, RunState::failed);
    EXPECT_EQ(failed->message.english(), "cuda:0 failed: cudaErrorDeviceUnavailable");
    EXPECT_EQ(answer(bench).first->message.english(), "cuda:0 failed: cudaErrorDeviceUnavailable")
        << "in a process of its own again, not in what is left of the first";
    bench.done("models.device", {{"device", "cpu"}});
    const auto last = answer(bench).first;
    EXPECT_EQ(last->state, RunState::done) << last->message;
    EXPECT_EQ(last->device, "cpu");
    EXPECT_EQ(last->text, text);
}

#if defined(MOESCOPE_HAVE_LLAMA) && !defined(__SANITIZE_ADDRESS__)
/// GGUF files on a device of their own, in the processes of the real program, sandbox and all.
class GgufOnDevices : public ModelsOnDevices {
 protected:
    void SetUp() override {
        ModelsOnDevices::SetUp();
        const std::string model = train_tiny_models(folder)[0];
        ASSERT_EQ(run_node({"export", "--model", model, "--format", "gguf", "--out", gguf}).status, 0);
    }
    /// As bytes; empty: it failed.
    std::string logits(const Arguments& more = {}) {
        const std::string out = (folder / "logits.npy").string();
        Arguments list{"logits", "--model", gguf, "--tokens", corpus_of_few().string(), "--out", out, "--force"};
        list.insert(list.end(), more.begin(), more.end());
        const Output output = run_node(list);
        EXPECT_EQ(output.status, 0) << output.error;
        return output.status == 0 ? read_text(out) : std::string();
    }
    /// A trace without its first line, which says what computed it.
    std::string decisions(const Arguments& more = {}) {
        const std::string trace = route(gguf, more);
        return trace.substr(trace.find('\n'));
    }
    std::string gguf = (folder / "m.gguf").string();
    const Gpu gpu;
};

TEST_F(GgufOnDevices, GiveTheSameAnswersRoutingAndLogits) {
    const GgmlModule module;
    const auto devices = run_node({"devices", "--json"}).lines();
    EXPECT_EQ(devices.at(1)["gguf"], true);
    EXPECT_EQ(devices[1]["gguf_why_not"], "");
    EXPECT_NE(run_node({"devices"}).out.find("computes GGUF models too"), std::string::npos);
    const Output here = run_node(ask(gguf)), there = run_node(ask(gguf, {"--device", "cuda:0"}));
    ASSERT_EQ(there.status, 0) << there.error;
    EXPECT_EQ(there.error, "");
    EXPECT_EQ(there.lines()[0]["device"], "cuda:0");
    EXPECT_FALSE(here.lines()[0].contains("device"));
    EXPECT_EQ(there.lines()[0]["text"], here.lines()[0]["text"]);
    EXPECT_EQ(logits({"--device", "cuda:0"}), logits());
    EXPECT_EQ(logits({"--device", "cpu"}), logits());
    const std::string trace = route(gguf, {"--device", "cuda:0"});
    EXPECT_EQ(json::parse(trace.substr(0, trace.find('\n')))["router"]["device"], "cuda:0");
    EXPECT_EQ(decisions({"--device", "cuda:0"}), decisions());
    EXPECT_EQ(decisions({"--device", "cuda:0", "--knock-out", "*:1"}), decisions({"--knock-out", "*:1"}));
    EXPECT_NE(decisions({"--knock-out", "*:1"}), decisions());
}

TEST_F(GgufOnDevices, WhatGoesWrongIsToldInOneSentence) {
    {
        const GgmlModule other("other pin");
        expect_refused_answer(ask(gguf, {"--device", "cuda:0"}), "was built from another llama.cpp than this program");
    }
    {
        const GgmlModule small("free 1000");
        expect_refused_answer(ask(gguf, {"--device", "cuda:0"}), "cuda:0 has no room for this model: all of it takes ");
    }
    // ggml ends the process of the model, and what it said of the reason comes along.
    const GgmlModule failing("fails");
    expect_refused_answer(ask(gguf, {"--device", "cuda:0"}), "CUDA error: out of memory (ggml-cuda.cu:107)");
    EXPECT_EQ(run_node(ask(gguf)).status, 0);
}

TEST_F(GgufOnDevices, ANodeTakesTheChosenOneWhereItCan) {
    const auto answer = [&](Workbench& bench) {
        const std::uint32_t run =
            bench.done("generate.start", {{"model", gguf}, {"prompt", "the file"}, {"max_tokens", 4}})["run"];
        return bench
            .wait("the answer",
                  [&](const Snapshot& s) {
                      const auto found = s.generations.find(run);
                      return found != s.generations.end() && protocol::ended(found->second->state);
                  })
            ->generations.at(run);
    };
    std::string text;
    {
        Workbench bench(folder / "session");  // without the part for GGUF models
        bench.wait("the devices", [](const Snapshot& s) { return s.node.devices.size() == 3; });
        bench.done("models.device", {{"device", "cuda:0"}});
        const auto one = answer(bench);
        EXPECT_EQ(one->state, RunState::done) << one->message;
        EXPECT_EQ(one->device, "");
        text = one->text;
    }
    const GgmlModule module;
    Workbench bench(folder / "session");
    const auto now = bench.wait("the devices", [](const Snapshot& s) { return s.node.devices.size() == 3; });
    EXPECT_TRUE(now->node.devices[1].gguf_why_not.empty()) << now->node.devices[1].gguf_why_not;
    const auto one = answer(bench);
    EXPECT_EQ(one->state, RunState::done) << one->message;
    EXPECT_EQ(one->device, "cuda:0");
    EXPECT_EQ(one->text, text);
}
#endif

// Between the check and the step a device can go; and two runs may want the same memory.
TEST_F(Devices, OneThatGoesBetweenListAndStartIsTold) {
    json order = {{"config", small_config()}, {"data", corpus.string()}};
    order["config"]["train"]["device"] = "cuda:0";
    order["config"]["train"]["steps"] = 2;
    fs::copy_file(gpu_plugin(), folder / "plugin.so");
    const Variable plugin("MOESCOPE_CUDA_PLUGIN", (folder / "plugin.so").string()),
        driver("MOESCOPE_CUDA_DRIVER", gpu_driver());
    {
        Workbench bench(folder / "gone");
        bench.wait("the devices", [](const Snapshot& s) { return s.node.devices.size() == 3; });
        // Two at once: each has a device of its own to open.
        const std::uint32_t one = bench.done("train.start", order)["run"],
                            two = bench.done("train.start", order)["run"];
        bench.wait("both", [&](const Snapshot& s) {
            return in_state(one, RunState::done)(s) && in_state(two, RunState::done)(s);
        });
        EXPECT_EQ(training(*bench.client().snapshot(), one)->manifest["plan"],
                  training(*bench.client().snapshot(), two)->manifest["plan"]);
    }
    fs::resize_file(folder / "plugin.so", fs::file_size(folder / "plugin.so") / 2);
    Workbench bench(folder / "gone");
    const auto now = bench.wait("the devices", [](const Snapshot& s) { return s.node.devices.size() == 2; });
    EXPECT_NE(now->node.devices[1].why_not.english().find("plugin.so is cut off"), std::string::npos);
    EXPECT_NE(bench.failed("train.start", order).find("cuda:0 cannot be used: "), std::string::npos);
    EXPECT_NE(bench.failed("train.continue", {{"run", 1}, {"device", ""}}).find("has done all its steps"),
              std::string::npos);
    EXPECT_EQ(bench.client().snapshot()->link.state, client::Link::State::connected);
}

}  // namespace
}  // namespace moescope::test
