// Runs written for other tools, and read again by our own readers; what other programs read of them is compared in
// tests/nodes/curves_program.py.
#include "nodes/curves/run_curves.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "nodes/curves/read_curves.hpp"
#include "nodes/history/imported_run.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"
#include "tests/files.hpp"
#include "tests/nodes/curves/event_bytes.hpp"

namespace moescope::test {
namespace {

using curves::ReadRun;
using curves::Series;
using nlohmann::json;
using protocol::RecordType;
namespace fs = std::filesystem;

class RunCurves : public testing::Test {
 protected:
    void put(RecordType type, const std::vector<std::byte>& body) {
        session->journal().append(static_cast<std::uint16_t>(type),
                                  static_cast<std::uint8_t>(protocol::channel_of(type)), (time += 1'000'000'000), body);
    }
    void put(RecordType type, const json& body) { put(type, protocol::encode_json(body)); }
    void start(std::uint32_t run, const char* kind, const char* name) {
        put(RecordType::run_started, json{{"run", run}, {"kind", kind}, {"name", name}, {"manifest", json::object()}});
    }
    void step(std::uint64_t number, double loss) {
        protocol::StepRecord record;
        record.run = 1;
        record.step = number;
        record.tokens_total = 100 * number;
        record.loss = loss;
        record.learning_rate = 0.1;
        put(RecordType::step, protocol::encode_step(record));
    }
    void curve(std::uint16_t number, const char* name, const char* key, std::vector<std::uint64_t> steps,
               std::vector<double> values) {
        protocol::CurveRecord record;
        record.run = 2;
        record.curve = number;
        record.name = name;
        record.key = key;
        record.steps = std::move(steps);
        record.values = std::move(values);
        put(RecordType::curve, protocol::encode_curve(record));
    }
    void write_session() {
        start(1, "train", "ours");
        for (const std::uint64_t number : {1, 2, 3, 4}) {
            step(number, 1.0 / static_cast<double>(number));
        }
        put(RecordType::evaluation, json{{"run", 1}, {"step", 2}, {"loss", {{"en", 0.75}, {"zh", nullptr}}}});
        put(RecordType::event, json{{"run", 1}, {"step", 2}, {"kind", "rewind"}});
        step(3, 0.3);
        start(2, "imported", "theirs");
        curve(0, "train/loss", "loss", {1, 10}, {4, 3});
        curve(1, "accuracy", "", {5, 10}, {0.5, std::nan("")});
        put(RecordType::run_ended, json{{"run", 2}, {"state", "done"}});
    }
    const Series& series(const ReadRun& run, const std::string& name) {
        for (const Series& one : run.curves) {
            if (one.name == name) {
                return one;
            }
        }
        ADD_FAILURE() << name;
        return run.curves.front();
    }
    const TemporaryFolder folder;
    std::unique_ptr<sessions::Session> session =
        sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
    std::uint64_t time = 1'760'000'000'000'000'000ull;
};

TEST_F(RunCurves, ATrainingIsWrittenAsRewindsHaveLeftIt) {
    write_session();
    const auto run = curves::curves_of_run(session->journal(), 0, [] {});
    EXPECT_EQ(run.run, 1u);
    EXPECT_EQ(run.curves.size(), 4u) << "tokens, loss, learning rate, evaluation";
    curves::write_curve_table(folder / "a.csv", run, [] {});
    EXPECT_EQ(read_text(folder / "a.csv"),
              "step,wall_time [s],tokens_total [tokens],loss [nats/token],learning_rate,evaluation.en [nats/token]\r\n"
              "1,1760000002,100,1,0.1,\r\n"
              "2,1760000003,200,0.5,0.1,0.75\r\n"
              "3,1760000008,300,0.3,0.1,\r\n");
    curves::write_event_folder(folder / "tb", run, sessions::Existing::refuse, [] {});
    for (const fs::path& path : {folder / "a.csv", folder / "tb"}) {
        const auto read = curves::read_curves({path}, [] {});
        ASSERT_EQ(read.size(), 1u);
        const bool table = path.extension() == ".csv";
        const Series& loss = series(read[0], table ? "loss" : "train/loss");
        EXPECT_EQ(loss.key, "loss");
        EXPECT_EQ(loss.steps, (std::vector<std::uint64_t>{1, 2, 3}));
        EXPECT_EQ(loss.values[2], table ? 0.3 : static_cast<double>(0.3f));
        EXPECT_EQ(loss.wall_times[2], 1760000008);
        EXPECT_EQ(series(read[0], table ? "evaluation.en" : "eval/loss/en").key, "evaluation.en");
    }
    EXPECT_THROW(curves::write_event_folder(folder / "tb", run, sessions::Existing::refuse, [] {}), base::Error);
    curves::write_event_folder(folder / "tb", run, sessions::Existing::replace, [] {});
    write_text(folder / "tb" / "notes.txt", "mine");
    EXPECT_THROW(curves::write_event_folder(folder / "tb", run, sessions::Existing::replace, [] {}), base::Error);
    EXPECT_EQ(read_text(folder / "tb" / "notes.txt"), "mine");
}

TEST_F(RunCurves, AnImportedRunIsWrittenByItsOwnNames) {
    write_session();
    const auto run = curves::curves_of_run(session->journal(), 2, [] {});
    curves::write_curve_table(folder / "a.csv", run, [] {});
    EXPECT_EQ(read_text(folder / "a.csv"),
              "step,wall_time [s],train/loss [nats/token],accuracy\r\n1,,4,\r\n5,,,0.5\r\n10,,3,\r\n");
    EXPECT_THROW(curves::curves_of_run(session->journal(), 3, [] {}), base::Error);
}

TEST_F(RunCurves, TheHistoryHasAnImportedRunAndPlotsItsColumns) {
    write_session();
    const auto history = history::read_session(session->journal());
    ASSERT_EQ(history.imports().size(), 1u);
    const history::ImportedRun& run = history.imports().at(2).value;
    EXPECT_EQ(run.state, history::RunState::done);
    EXPECT_EQ(run.name, "theirs");
    ASSERT_EQ(run.step.size(), 2u) << "only the steps of what we know";
    EXPECT_EQ(run.step[1], 10);
    EXPECT_EQ(run[&base::StepValues::loss][1], 3);
    EXPECT_TRUE(std::isnan(run[&base::StepValues::learning_rate][0]));
    ASSERT_EQ(run.curves.size(), 2u);
    EXPECT_EQ(run.curves[1].name, "accuracy");
    EXPECT_EQ(history.trainings().size(), 1u) << "an imported run is no training";
    // A piece that does not follow takes the place of what was there.
    curve(0, "train/loss", "loss", {5, 20}, {2, 1});
    const auto later = history::read_session(session->journal());
    EXPECT_EQ(later.imports().at(2).value.step.size(), 3u);
    EXPECT_EQ(later.imports().at(2).value.step[1], 5);
}

TEST_F(RunCurves, FoldersAreRunsAndFilesOfOneFolderAreOne) {
    const auto at = [&](const std::string& name, const std::string& bytes) {
        write_text(folder / name, version_event() + bytes);
    };
    at("logs/train/events.out.tfevents.1.h",
       summary_event(1, simple_value("loss", 3)) + summary_event(2, simple_value("loss", 2)));
    at("logs/train/events.out.tfevents.2.h",
       summary_event(2, simple_value("loss", 20)) + summary_event(3, simple_value("loss", 1)));
    at("logs/validation/events.out.tfevents.1.h", summary_event(1, simple_value("loss", 4)));
    at("logs/hparams/events.out.tfevents.1.h", "");
    write_text(folder / "logs/train/notes.txt", "no events");
    write_text(folder / "table.csv", "step,x\n1,2\n");
    const auto runs = curves::read_curves({folder / "logs", folder / "table.csv"}, [] {});
    std::map<std::string, const ReadRun*> by_name;
    for (const ReadRun& run : runs) {
        by_name[run.name] = &run;
    }
    ASSERT_EQ(by_name.size(), 3u);
    ASSERT_TRUE(by_name.contains("logs/train") && by_name.contains("logs/validation") && by_name.contains("table"));
    EXPECT_EQ(series(*by_name["logs/train"], "loss").values, (std::vector<double>{3, 20, 1}));
    EXPECT_EQ(by_name["logs/train"]->files.size(), 2u);
    EXPECT_EQ(by_name["table"]->format, "csv");
    for (const fs::path& wrong : {folder / "nothing", folder / "logs/hparams", folder / "session"}) {
        EXPECT_THROW(curves::read_curves({wrong}, [] {}), base::Error) << wrong;
    }
}

}  // namespace
}  // namespace moescope::test
