// Model files as the world writes them, through the program: names and titles of every kind, models in parts, files
// without a tokenizer, strays in a folder.
#include <algorithm>
#include <gtest/gtest.h>

#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "sessions/session.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/nodes/service/raw_viewer.hpp"
#include "tests/nodes/service/workbench.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
    return fs::path(moescope::test::test_data()) / "oracle" / "data" / name;
}

/// A GGUF file with one tensor of 8 floats; `part` of `parts` (from 0).
std::string gguf(const std::string& title, std::uint16_t part = 0, std::uint16_t parts = 1) {
    engine::GgufBytes g;
    g.string("general.name", title);
    g.u16("split.no", part);
    g.u16("split.count", parts);
    g.tensor({"t" + std::to_string(part), {8}, 0, 0});
    return g.file(32);
}

/// A list of models of its own: what is added here is not in the other tests' way.
class ForeignFiles : public testing::Test {
 protected:
    TemporaryFolder folder;

 private:
    const Variable data_{"XDG_DATA_HOME", folder / "data"};
};

json entry(const std::string& name) {
    for (const json& model : run_node({"models", "list", "--json"}).lines()) {
        if (model["name"] == name) {
            return model;
        }
    }
    ADD_FAILURE() << "no model " << name;
    return json::object();
}

/// The name that the library gave.
std::string add(const fs::path& path) {
    const Output output = run_node({"models", "add", path.string(), "--json"});
    EXPECT_EQ(output.status, 0) << output.error;
    return output.status == 0 ? output.lines().back().value("name", "") : "";
}

TEST_F(ForeignFiles, AFolderKeepsItsDotsAndSaysWhatItIs) {
    const fs::path model = folder / "Mixtral-8x7B-v0.3";
    fs::copy(golden("mixtral-sliding"), model);
    const std::string name = add(model.string() + "/");
    EXPECT_EQ(name, "mixtral-8x7b-v0.3");
    const json said = entry(name);
    EXPECT_EQ(said["is_moe"], true);
    EXPECT_EQ(said["architecture"], "mixtral");
    EXPECT_EQ(said["precision"], "F32");
    EXPECT_EQ(said["format"], "Hugging Face folder");
    EXPECT_EQ(add(model), name) << "the same folder";
    // Beside the weights: what a Mac, a browser and another tool leave.
    write_text(model / "._model.safetensors", "AppleDouble");
    write_text(model / "model (1).safetensors", "half a download");
    write_text(model / "pytorch_model.bin", "\x80\x02}q.");
    const Output output = run_node({"logits", "--model", model.string(), "--tokens", (model / "tokens.npy").string(),
                                    "--out", (folder / "o.npy").string()});
    EXPECT_EQ(output.status, 0) << output.error;
    const json details = run_node({"inspect", model.string(), "--json"}).lines().back()["details"];
    EXPECT_EQ(details["not_read"], json({"._model.safetensors", "model (1).safetensors", "pytorch_model.bin"}));
}

TEST_F(ForeignFiles, AModelInPartsIsListedOnce) {
    write_text(folder / "big-v1.5-00001-of-00002.gguf", gguf("big", 0, 2));
    const Output alone = run_node({"models", "add", (folder / "big-v1.5-00001-of-00002.gguf").string()});
    EXPECT_EQ(alone.status, 1);
    EXPECT_NE(alone.error.find("big-v1.5-00002-of-00002.gguf is missing"), std::string::npos) << alone.error;
    write_text(folder / "big-v1.5-00002-of-00002.gguf", gguf("", 1, 2));
    const std::string name = add(folder / "big-v1.5-00002-of-00002.gguf");
    EXPECT_EQ(name, "big-v1.5");
    EXPECT_EQ(add(folder / "big-v1.5-00001-of-00002.gguf"), name);
    const json said = entry(name);
    EXPECT_EQ(said["path"], (folder / "big-v1.5-00001-of-00002.gguf").string());
    EXPECT_EQ(said["format"], "GGUF (2)");
    EXPECT_EQ(said["bytes"], fs::file_size(folder / "big-v1.5-00001-of-00002.gguf") +
                                 fs::file_size(folder / "big-v1.5-00002-of-00002.gguf"));
}

TEST_F(ForeignFiles, TitlesDoNotCommandTheTerminal) {
    write_text(folder / "m.gguf", gguf("red \x1b[31m\nline\abell \u202eright"));
    const std::string name = add(folder / "m.gguf");
    for (const Arguments& arguments :
         {Arguments{"models", "list"}, Arguments{"inspect", (folder / "m.gguf").string()}}) {
        const Output output = run_node(arguments);
        ASSERT_EQ(output.status, 0) << output.error;
        EXPECT_EQ(output.out.find_first_of("\x1b\a"), std::string::npos) << output.out;
        EXPECT_EQ(output.out.find("\u202e"), std::string::npos) << output.out;
        EXPECT_NE(output.out.find("line"), std::string::npos) << output.out;
    }
    EXPECT_EQ(entry(name)["title"], "red \ufffd[31m line\ufffdbell \ufffdright");
}

#ifdef MOESCOPE_HAVE_LLAMA
TEST_F(ForeignFiles, OurExportWithoutATokenizerAnswersWithAReason) {
    const std::string file = (folder / "olmoe.gguf").string();
    ASSERT_EQ(run_node({"export", "--model", golden("olmoe").string(), "--format", "gguf", "--out", file}).status, 0);
    const Output output = run_node({"generate", "--model", file, "--prompt", "hi"});
    EXPECT_EQ(output.status, 1);
    EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    EXPECT_NE(output.error.find("olmoe.gguf cannot read or write text: it has no tokenizer"), std::string::npos)
        << output.error;
    EXPECT_NE(output.error.find("logits of token ids can be had"), std::string::npos) << output.error;
    EXPECT_EQ(run_node({"logits", "--model", file, "--tokens", (golden("olmoe") / "tokens.npy").string(), "--out",
                        (folder / "o.npy").string()})
                  .status,
              0);
}
#endif

TEST_F(ForeignFiles, NamesAreBoundedOnTheWayIn) {
    const std::string corpus = write_corpus(folder).string();
    Workbench bench(folder / "session");
    json order = {{"config", tiny_config(1, 1)}, {"data", corpus}, {"name", std::string(60'000, 'n')}};
    EXPECT_NE(bench.failed("train.start", order).find("a name of 60000 bytes is too long; use one of at most 200"),
              std::string::npos);
    order["name"] = "two\nlines \x1b[31m";
    const std::uint32_t run = bench.done("train.start", order).at("run");
    const auto now = bench.wait("the end of the run", in_state(run, RunState::done));
    EXPECT_EQ(training(*now, run)->name, "two lines \ufffd[31m");
}

/// Twenty of these were more than one message can hold, and later runs never appeared.
TEST_F(ForeignFiles, ASessionWithVeryLongNamesShowsAllItsRuns) {
    constexpr std::uint32_t kRuns = 25;
    {
        const auto session = sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
        node::JournalWriter journal(session->journal());
        for (std::uint32_t i = 0; i < kRuns; ++i) {
            const std::uint32_t run = session->new_run("train", "long");
            journal.write_json(
                protocol::RecordType::run_started,
                {{"run", run}, {"kind", "train"}, {"name", std::string(60'000, 'n')}, {"manifest", json::object()}});
            journal.write_json(protocol::RecordType::run_ended, {{"run", run}, {"state", "done"}, {"step", 1}});
        }
        journal.flush();
    }
    PipedNode node(folder / "session");
    RawViewer viewer(node.in(), node.out());
    viewer.greet();
    const auto frame = viewer.wait("the runs", [](const protocol::Frame& one) {
        return one.type == static_cast<std::uint16_t>(protocol::FrameType::state) && body_of(one).contains("runs");
    });
    const json runs = body_of(frame).value("runs", json::array());
    ASSERT_EQ(runs.size(), kRuns);
    for (const json& run : runs) {
        EXPECT_LT(run["name"].get<std::string>().size(), 300u);
    }
}

}  // namespace
}  // namespace moescope::test
