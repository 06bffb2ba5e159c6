#include "nodes/curves/event_file.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

#include "base/error.hpp"
#include "tests/files.hpp"
#include "tests/nodes/curves/event_bytes.hpp"

namespace moescope::test {
namespace {

using curves::Collector;
using curves::Series;
using Points = std::vector<std::pair<std::uint64_t, double>>;

struct Read {
    std::vector<Series> series;
    std::vector<base::Sentence> notes;
    const Series* find(const std::string& name) const {
        for (const Series& one : series) {
            if (one.name == name) {
                return &one;
            }
        }
        return nullptr;
    }
    Points points(const std::string& name) const {
        Points points;
        for (std::size_t i = 0; find(name) != nullptr && i < find(name)->steps.size(); ++i) {
            points.emplace_back(find(name)->steps[i], find(name)->values[i]);
        }
        return points;
    }
    std::string noted() const {
        std::string all;
        for (const base::Sentence& note : notes) {
            all += note.english() + "\n";
        }
        return all;
    }
};

class EventFile : public testing::Test {
 protected:
    Read read(const std::string& bytes) {
        write_text(folder_ / "events.out.tfevents.1.host", bytes);
        Collector curves;
        Read read;
        curves::read_event_file(folder_ / "events.out.tfevents.1.host", curves, read.notes, [] {});
        read.series = curves.take(read.notes);
        return read;
    }
    std::string refusal(const std::string& bytes) {
        try {
            read(bytes);
        } catch (const base::Error& error) {
            return error.what();
        }
        return "";
    }
    const TemporaryFolder folder_;
};

TEST_F(EventFile, SimpleValuesAndTensorsOfEveryForm) {
    const std::string packed = bytes_field(5, raw(2.5f)), plain = float_field(5, 3.5f);
    const std::string wide = bytes_field(6, raw(0.1)), content = bytes_field(4, raw(4.5f)),
                      wide_content = bytes_field(4, raw(1e-300));
    const Read read =
        this->read(version_event() + summary_event(1, simple_value("train/loss", 1.5f), 100.25) +
                   summary_event(2, simple_value("train/loss", 0.1f) + simple_value("lr", 1e-3f)) +
                   summary_event(3, tensor_value("a", 1, packed)) + summary_event(4, tensor_value("a", 1, plain, "")) +
                   summary_event(5, tensor_value("b", 2, wide)) + summary_event(6, tensor_value("a", 1, content, "")) +
                   summary_event(7, tensor_value("b", 2, wide_content, "")));
    EXPECT_EQ(read.points("train/loss"), (Points{{1, 1.5}, {2, static_cast<double>(0.1f)}}));
    EXPECT_EQ(read.points("a"), (Points{{3, 2.5}, {4, 3.5}, {6, 4.5}}));
    EXPECT_EQ(read.points("b"), (Points{{5, 0.1}, {7, 1e-300}}));
    EXPECT_EQ(read.find("train/loss")->wall_times[0], 100.25);
    EXPECT_EQ(read.find("train/loss")->key, "loss");
    EXPECT_EQ(read.find("lr")->key, "learning_rate");
    EXPECT_EQ(read.find("a")->key, "");
    EXPECT_EQ(read.noted(), "");
}

TEST_F(EventFile, WhatIsNoScalarIsLeftOutAndCounted) {
    const std::string two =
        number_field(1, 1) + bytes_field(2, bytes_field(2, number_field(1, 2))) + bytes_field(5, raw(1.0f) + raw(2.0f));
    const std::string one_of_list =
        number_field(1, 1) + bytes_field(2, bytes_field(2, number_field(1, 1))) + bytes_field(5, raw(8.0f));
    const Read read =
        this->read(version_event() + summary_event(1, bytes_field(1, bytes_field(1, "two") + bytes_field(8, two))) +
                   summary_event(1, bytes_field(1, bytes_field(1, "list") + bytes_field(8, one_of_list))) +
                   summary_event(1, tensor_value("text", 7, bytes_field(8, "words"), "text")) +
                   summary_event(1, bytes_field(1, bytes_field(1, "histogram") + bytes_field(5, "\x09" + raw(1.0)))) +
                   summary_event(1, tensor_value("of a plugin", 1, bytes_field(5, raw(1.0f)), "custom")) +
                   summary_event(2, tensor_value("of a plugin", 1, bytes_field(5, raw(1.0f)), "")));
    ASSERT_EQ(read.series.size(), 1u);
    EXPECT_EQ(read.points("list"), (Points{{1, 8.0}}));
    EXPECT_NE(read.noted().find("5 values that are no scalars"), std::string::npos) << read.noted();
}

TEST_F(EventFile, StepsThatGoBackTakeThePlaceOfWhatCameBefore) {
    std::string bytes = version_event();
    for (const std::uint64_t step : {1, 2, 3, 4}) {
        bytes += summary_event(step, simple_value("a", static_cast<float>(step)) + simple_value("b", 1));
    }
    const Read read =
        this->read(bytes + summary_event(3, simple_value("a", 30)) + summary_event(3, simple_value("a", 31)));
    EXPECT_EQ(read.points("a"), (Points{{1, 1}, {2, 2}, {3, 31}}));
    EXPECT_EQ(read.points("b").size(), 4u) << "each curve by itself";
    EXPECT_NE(read.noted().find("steps went back 1 times"), std::string::npos) << read.noted();
    const Read restarted = this->read(bytes + restart_event(2) + summary_event(2, simple_value("a", 20)));
    EXPECT_EQ(restarted.points("a"), (Points{{1, 1}, {2, 20}}));
    EXPECT_EQ(restarted.points("b"), (Points{{1, 1}}));
}

TEST_F(EventFile, ATornEndIsNotedAndDamageHasItsPlace) {
    const std::string first = version_event() + summary_event(1, simple_value("a", 1));
    const std::string second = summary_event(2, simple_value("a", 2));
    for (std::size_t size = 1; size < second.size(); ++size) {
        const Read read = this->read(first + second.substr(0, size));
        ASSERT_EQ(read.points("a"), (Points{{1, 1}})) << size;
        ASSERT_NE(read.noted().find("last record is not whole"), std::string::npos) << size;
    }
    EXPECT_EQ(read(first).noted(), "");
    const std::string whole = first + second + summary_event(3, simple_value("a", 3));
    for (std::size_t at = 0; at < first.size() + second.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        ASSERT_NE(refusal(damaged).find("wrong checksum"), std::string::npos) << at;
    }
    std::string damaged = whole;
    damaged[first.size() + 20] ^= 1;
    EXPECT_NE(refusal(damaged).find("record at byte " + std::to_string(first.size())), std::string::npos);
    EXPECT_NE(refusal(version_event() + event_record("\x0F")).find("is no event"), std::string::npos);
}

TEST_F(EventFile, NumbersThatAreNoneAreHolesAndStrangeStepsAreLeftOut) {
    const Read read = this->read(
        version_event() + summary_event(1, simple_value("a", 1)) + summary_event(2, simple_value("a", std::nanf(""))) +
        summary_event(3, simple_value("a", HUGE_VALF)) + summary_event(~std::uint64_t{0}, simple_value("a", 4)) +
        summary_event(std::uint64_t{1} << 60, simple_value("a", 5)) +
        summary_event(4, simple_value("only nothing", std::nanf(""))));
    const Points points = read.points("a");
    ASSERT_EQ(points.size(), 3u);
    EXPECT_TRUE(std::isnan(points[1].second) && std::isnan(points[2].second));
    EXPECT_EQ(read.series.size(), 1u);
    EXPECT_NE(read.noted().find("2 values of steps that are negative or too large"), std::string::npos) << read.noted();
    EXPECT_NE(read.noted().find("1 curves without any value"), std::string::npos) << read.noted();
}

TEST_F(EventFile, LongRecordsAreSkippedAndManyCurvesAreRefused) {
    const Read read = this->read(version_event() + event_record(bytes_field(4, std::string(9 << 20, 'g'))) +
                                 summary_event(1, simple_value("a", 1)));
    EXPECT_EQ(read.points("a").size(), 1u);
    EXPECT_NE(read.noted().find("1 records of more than 8 MiB"), std::string::npos) << read.noted();
    std::string many;
    for (int i = 0; i <= 2000; ++i) {
        many += simple_value("t" + std::to_string(i), 1);
    }
    EXPECT_NE(refusal(version_event() + summary_event(1, many)).find("more than 2000 curves"), std::string::npos);
}

TEST_F(EventFile, HostileRecordsOfRightChecksumsAreReadOrRefused) {
    const std::string event = double_field(1, 1) + number_field(2, 5) +
                              bytes_field(5, simple_value("a", 1) + tensor_value("b", 1, bytes_field(5, raw(1.0f))) +
                                                 tensor_value("c", 2, bytes_field(4, raw(1.0))));
    std::mt19937_64 random(7);
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string changed = event;
        for (std::uint64_t i = 0; i < 1 + random() % 4; ++i) {
            changed[random() % changed.size()] = static_cast<char>(random());
        }
        changed.resize(random() % 3 == 0 ? random() % changed.size() : changed.size());
        refused += refusal(version_event() + event_record(changed)).empty() ? 0 : 1;
    }
    EXPECT_GT(refused, 300);
    EXPECT_LT(refused, 3000);
    // Lengths that would reach beyond everything.
    EXPECT_NE(refusal(version_event() + event_record("\x2A" + varint(~std::uint64_t{0}))), "");
    EXPECT_NE(refusal(version_event() + event_record("\x12" + std::string(11, '\xFF'))), "");
    const std::string length = raw(~std::uint64_t{0});
    EXPECT_NE(read(version_event() + length + masked_crc(length) + "abc").noted().find("not whole"), std::string::npos);
}

}  // namespace
}  // namespace moescope::test
