// What the adapter between the files of a session and its history adds: the labels of the database.
#include "nodes/history/journal_reader.hpp"

#include <gtest/gtest.h>

#include "nodes/protocol/records.hpp"
#include "tests/files.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;
using protocol::RecordType;

class StoredLabels : public testing::Test {
 protected:
    StoredLabels() {
        put(RecordType::run_started, {{"run", 1}, {"kind", "probe"}, {"name", "p"}, {"manifest", json::object()}});
        put(RecordType::probe_draw, {{"run", 1},
                                     {"item", "i"},
                                     {"model", "m"},
                                     {"language", "en"},
                                     {"draw", 0},
                                     {"delivery", "answered"},
                                     {"engagement", 4}});
    }
    void put(RecordType type, const json& body) {
        session->journal().append(static_cast<std::uint16_t>(type),
                                  static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                                  protocol::encode_json(body));
    }
    void label(const std::string& value) { session->put_label({1, kKey, "delivery", value, "", 1}); }
    static std::string delivery(const Session& history) { return history.probes().at(1).value.draws.at(0)->delivery; }

    static constexpr const char* kKey = "i/m/en/0";
    test::TemporaryFolder folder;
    std::unique_ptr<sessions::Session> session =
        sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
};

TEST_F(StoredLabels, CountBeforeTheirRecordHasCome) {
    label("refused");
    EXPECT_EQ(delivery(read_run(*session, 1)), "refused");
}

TEST_F(StoredLabels, OneThatWasTakenBackCountsNoMore) {
    label("refused");
    put(RecordType::probe_label, {{"run", 1},
                                  {"item", "i"},
                                  {"model", "m"},
                                  {"language", "en"},
                                  {"draw", 0},
                                  {"field", "delivery"},
                                  {"value", "refused"}});
    Session history = read_run(*session, 1);
    ASSERT_EQ(delivery(history), "refused");
    label("");  // its record may come later
    add_stored_labels(history, *session);
    EXPECT_EQ(delivery(history), "answered") << "a history that is kept, as by a running probe";
    EXPECT_EQ(delivery(read_run(*session, 1)), "answered") << "and one that is read anew";
}

}  // namespace
}  // namespace moescope::history
