// Notes as records tell them: places, texts, revisions, limits.
#include "nodes/history/notes.hpp"

#include <gtest/gtest.h>

#include "nodes/history/session.hpp"

namespace {

using namespace moescope;
using history::Note;
using history::NotePlace;
using history::Notes;
using nlohmann::json;
using Kind = NotePlace::Kind;

json record(std::uint32_t number, std::uint32_t revision, const std::string& text, const NotePlace& on = {}) {
    return history::note_record(
        {.number = number, .revision = revision, .on = on, .text = text, .author = "AB", .role = "operator"});
}

TEST(NotePlaces, EachKindSurvivesItsJson) {
    for (const NotePlace& place :
         {NotePlace{}, NotePlace{.kind = Kind::step, .run = 3, .step = 40}, NotePlace{.kind = Kind::token, .run = 7},
          NotePlace{.kind = Kind::answer, .run = 2},
          NotePlace{.kind = Kind::answer, .run = 9, .item = "t-1", .model = "a|b", .language = "zh", .draw = 4}}) {
        EXPECT_EQ(history::note_place_from_json(history::to_json(place)), place) << history::to_json(place);
    }
}

TEST(NotePlaces, WhatIsNoneIsRefused) {
    for (const json& value :
         {json(), json("step"), json{{"kind", "expert"}, {"run", 1}}, json{{"kind", "step"}, {"step", 4}},
          json{{"kind", "step"}, {"run", 1}}, json{{"kind", "step"}, {"run", 1}, {"step", -4}},
          json{{"kind", "token"}, {"run", 1}, {"token", std::uint64_t{1} << 53}},
          json{{"kind", "answer"}, {"run", 1}, {"item", "i"}, {"model", "m"}, {"language", "en"}},
          json{{"kind", "answer"}, {"run", 1}, {"item", "i"}, {"model", "m"}, {"draw", 0}},
          json{{"kind", "answer"},
               {"run", 1},
               {"item", std::string(5000, 'i')},
               {"model", "m"},
               {"language", "en"},
               {"draw", 0}}}) {
        EXPECT_FALSE(history::note_place_from_json(value)) << value;
    }
}

TEST(NoteTexts, LimitsAndUtf8) {
    EXPECT_TRUE(history::note_text_problem("负载 even\n\tnow").empty());
    EXPECT_TRUE(history::note_text_problem(std::string(history::kNoteBytes, 'x')).empty());
    for (const std::string& text :
         {std::string(), std::string(" \n\t"), std::string(history::kNoteBytes + 1, 'x'), std::string("a\xFF"),
          std::string("a\0b", 3), std::string("\x1B[2J"), std::string("a\x7F")}) {
        EXPECT_FALSE(history::note_text_problem(text).empty()) << text.size();
    }
}

TEST(Notes, AreWrittenChangedRemovedAndComeBack) {
    Notes notes;
    const NotePlace on{.kind = Kind::step, .run = 3, .step = 40};
    ASSERT_TRUE(notes.apply(record(1, 1, "first", on), 10));
    ASSERT_TRUE(notes.apply(record(2, 1, "second"), 20));
    ASSERT_TRUE(notes.apply(record(1, 2, "other", on), 30));
    ASSERT_EQ(notes.all().size(), 2u);
    const Note& note = notes.all().at(1);
    EXPECT_EQ(note.on, on);
    EXPECT_EQ(note.text, "other");
    EXPECT_EQ(note.created_ns, 10u);
    EXPECT_EQ(note.changed_ns, 30u);
    EXPECT_EQ(note.author, "AB");
    EXPECT_EQ(note.role, "operator");
    ASSERT_TRUE(notes.apply(record(1, 3, "", on), 40));
    EXPECT_FALSE(notes.all().contains(1));
    ASSERT_NE(notes.find(1), nullptr);
    EXPECT_EQ(notes.find(1)->revision, 3u);
    EXPECT_TRUE(notes.find(1)->text.empty());
    EXPECT_EQ(notes.next_number(), 3u);  // a number is never given twice
    ASSERT_TRUE(notes.apply(record(1, 4, "back", on), 50));
    EXPECT_EQ(notes.all().at(1).text, "back");
    EXPECT_EQ(notes.all().at(1).created_ns, 10u);
}

TEST(Notes, AnEarlierRecordThatComesLaterChangesNothing) {
    Notes notes;
    ASSERT_TRUE(notes.apply(record(1, 2, "new"), 30));
    EXPECT_TRUE(notes.apply(record(1, 1, "old"), 10));
    EXPECT_EQ(notes.all().at(1).text, "new");
    ASSERT_TRUE(notes.apply(record(1, 3, ""), 40));
    EXPECT_TRUE(notes.apply(record(1, 2, "new"), 30));
    EXPECT_TRUE(notes.all().empty());
}

TEST(Notes, DamagedRecordsAreLeftOut) {
    Notes notes;
    std::vector<json> bad(8, record(1, 1, "text"));
    bad[0].erase("note");
    bad[1]["note"] = 0;
    bad[2]["note"] = history::kLastNote + 1;
    bad[3]["revision"] = 0;
    bad[4]["on"] = "here";
    bad[5]["text"] = 7;
    bad[6]["text"] = std::string(history::kNoteBytes + 1, 'x');
    bad[7].erase("on");
    for (const json& body : bad) {
        EXPECT_FALSE(notes.apply(body, 1)) << body.dump().substr(0, 200);
    }
    EXPECT_TRUE(notes.all().empty());
    EXPECT_EQ(notes.next_number(), 1u);
}

TEST(Notes, TheirNumberIsBounded) {
    Notes notes;
    for (std::uint32_t number = 1; number <= history::kMostNotes; ++number) {
        ASSERT_TRUE(notes.apply(record(number, 1, "x"), number));
    }
    const auto over = static_cast<std::uint32_t>(history::kMostNotes + 1);
    EXPECT_FALSE(notes.apply(record(over, 1, "x"), 1));
    EXPECT_TRUE(notes.apply(record(1, 2, "changed"), 1));
    EXPECT_TRUE(notes.apply(record(2, 2, ""), 1));
    EXPECT_TRUE(notes.apply(record(over, 1, "x"), 1));
    EXPECT_EQ(notes.all().size(), history::kMostNotes);
    // Removed ones are remembered, the oldest not for ever.
    for (std::uint32_t number = 10'000; number < 10'000 + history::kMostRemovedNotes; ++number) {
        ASSERT_TRUE(notes.apply(record(number, 1, ""), number));
    }
    EXPECT_EQ(notes.find(2), nullptr);
    EXPECT_NE(notes.find(10'000), nullptr);
}

TEST(Notes, TheReaderOfASessionKeepsThemAndSaysWhatItCannotRead) {
    history::Session session;
    const auto put = [&](const json& body, std::uint64_t at) {
        const auto bytes = protocol::encode_json(body);
        return session.apply({protocol::RecordType::note, {1, at}, at, bytes});
    };
    EXPECT_EQ(put(record(1, 1, "kept", {.kind = Kind::step, .run = 3, .step = 4}), 1), 0u)
        << "it is no record of run 3";
    ASSERT_EQ(session.notes().all().size(), 1u);
    EXPECT_TRUE(session.log().empty());
    put({{"note", 2}, {"revision", 1}, {"on", {{"kind", "moon"}}}, {"text", "x"}}, 2);
    ASSERT_EQ(session.log().size(), 1u);
    EXPECT_EQ(session.log().back().text.english(), "note 2 can't be read by this version and is left out");
}

}  // namespace
