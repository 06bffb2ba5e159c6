#include "nodes/curves/curve_table.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/step_values.hpp"
#include "nodes/curves/curve_names.hpp"
#include "tests/files.hpp"

namespace moescope::test {
namespace {

using curves::Series;
using Points = std::vector<std::pair<std::uint64_t, double>>;

class CurveTable : public testing::Test {
 protected:
    void read(const std::string& text, const std::string& name = "a.csv") {
        write_text(folder_ / name, text);
        notes_.clear();
        curves::Collector curves;
        curves::read_curve_table(folder_ / name, curves, notes_, [] {});
        series_ = curves.take(notes_);
    }
    const Series& series(const std::string& name) {
        for (const Series& one : series_) {
            if (one.name == name) {
                return one;
            }
        }
        ADD_FAILURE() << "no curve " << name;
        static const Series none;
        return none;
    }
    Points points(const std::string& name) {
        Points points;
        const Series& one = series(name);
        for (std::size_t i = 0; i < one.steps.size(); ++i) {
            points.emplace_back(one.steps[i], one.values[i]);
        }
        return points;
    }
    std::string noted() const {
        std::string all;
        for (const base::Sentence& note : notes_) {
            all += note.english() + "\n";
        }
        return all;
    }
    std::string refusal(const std::string& text) {
        try {
            read(text);
        } catch (const base::Error& error) {
            return error.what();
        }
        return "";
    }
    const TemporaryFolder folder_;
    std::vector<Series> series_;
    std::vector<base::Sentence> notes_;
};

TEST_F(CurveTable, SeparatorsQuotesMarksAndLineEnds) {
    for (const std::string separator : {",", ";", "\t"}) {
        for (const std::string end : {"\n", "\r\n", "\r"}) {
            for (const std::string mark : {"", "\xEF\xBB\xBF"}) {
                std::string text =
                    mark + "\"step\"" + separator + "\"the \"\"loss\"\"" + separator + " x\"" + separator + "lr" + end;
                text += "1" + separator + "2.5" + separator + "1e-3" + end;
                text += "2" + separator + "\"2.25\"" + separator + "" + end + end;
                text += "3" + separator + "NaN" + separator + "+0.5";
                read(text);
                ASSERT_EQ(series_.size(), 2u) << text;
                if (separator != "\t") {  // within a name it is shown as a blank
                    const Points loss = points("the \"loss\"" + separator + " x");
                    ASSERT_EQ(loss.size(), 3u) << text;
                    EXPECT_EQ(loss[1], (std::pair<std::uint64_t, double>(2, 2.25)));
                    EXPECT_TRUE(std::isnan(loss[2].second)) << "a hole";
                }
                EXPECT_EQ(points("lr"), (Points{{1, 1e-3}, {3, 0.5}})) << "an empty cell is no point";
                EXPECT_EQ(series("lr").key, "learning_rate");
            }
        }
    }
}

TEST_F(CurveTable, TheStepIsFoundByItsName) {
    read("epoch,loss,trainer/global_step\n0,3,10\n0,2,20\n");
    EXPECT_EQ(points("loss"), (Points{{10, 3}, {20, 2}}));
    EXPECT_EQ(points("epoch"), (Points{{10, 0}, {20, 0}}));
    read("Iteration,loss\n5,3\n6.0,2\n7.5,1\nx,0\n");
    EXPECT_EQ(points("loss"), (Points{{5, 3}, {6, 2}}));
    EXPECT_NE(noted().find("2 rows without a whole number"), std::string::npos) << noted();
    read("loss,accuracy\n3,0.1\n2,0.2\n");
    EXPECT_EQ(points("accuracy"), (Points{{1, 0.1}, {2, 0.2}}));
    EXPECT_NE(noted().find("rows count as steps"), std::string::npos) << noted();
}

TEST_F(CurveTable, TwoColumnsOfOneNameAreTwoCurves) {
    read("step,loss,loss\n1,0.5,0.6\n2,0.4,0.3\n");
    EXPECT_EQ(points("loss"), (Points{{1, 0.5}, {2, 0.4}}));
    EXPECT_EQ(points("loss (2)"), (Points{{1, 0.6}, {2, 0.3}}));
}

TEST_F(CurveTable, TheDownloadOfTensorBoard) {
    read("Wall time,Step,Value\n1760000000.5,1,2.5\n1760000001.5,2,2.25\n", "run-.-tag-train_loss.csv");
    EXPECT_EQ(points("train_loss"), (Points{{1, 2.5}, {2, 2.25}}));
    EXPECT_EQ(series("train_loss").key, "loss");
    EXPECT_EQ(series("train_loss").wall_times, (std::vector<double>{1760000000.5, 1760000001.5}));
}

TEST_F(CurveTable, TheDownloadOfWandb) {
    read(
        "\"Step\",\"good-run-1 - train/loss\",\"good-run-1 - train/loss__MIN\",\"good-run-1 - "
        "train/loss__MAX\",\"bad-run-2 - train/loss\"\n"
        "\"0\",\"3.5\",\"3.5\",\"3.5\",\"\"\n\"1\",\"3.25\",\"3.25\",\"3.25\",\"4\"\n");
    ASSERT_EQ(series_.size(), 2u);
    EXPECT_EQ(points("good-run-1 - train/loss"), (Points{{0, 3.5}, {1, 3.25}}));
    EXPECT_EQ(points("bad-run-2 - train/loss"), (Points{{1, 4}}));
    // Two of one meaning: one stands for ours, the other for itself.
    EXPECT_EQ((series("good-run-1 - train/loss").key == "loss") + (series("bad-run-2 - train/loss").key == "loss"), 1);
}

TEST_F(CurveTable, RowsOfLightningAndOfContinuedRuns) {
    read("step,train_loss,val_loss\n10,2,\n10,,3\n20,1.5,\n30,1.25,\n20,1.75,\n20,,2.5\n");
    EXPECT_EQ(points("train_loss"), (Points{{10, 2}, {20, 1.75}}));
    EXPECT_EQ(points("val_loss"), (Points{{10, 3}, {20, 2.5}}));
    EXPECT_EQ(series("val_loss").key, "evaluation");
    EXPECT_NE(noted().find("steps went back 1 times"), std::string::npos) << noted();
}

TEST_F(CurveTable, DecimalCommasUnitsAndTexts) {
    read("step;loss [nats/token];speed [images/s];note\n1;2,5;1;good\n2;0,125;2;\n");
    EXPECT_EQ(points("loss"), (Points{{1, 2.5}, {2, 0.125}}));
    EXPECT_EQ(series("loss").unit, "nats/token");
    EXPECT_EQ(series("loss").key, "loss");
    EXPECT_EQ(series("speed").unit, "images/s");
    EXPECT_EQ(series_.size(), 2u);
    EXPECT_NE(noted().find("1 cells that are no numbers"), std::string::npos) << noted();
    read("step,loss [bits/byte]\n1,1\n");
    EXPECT_EQ(series("loss").key, "") << "another unit is another thing";
}

TEST_F(CurveTable, WhatIsNoTableOfCurvesIsRefused) {
    EXPECT_NE(refusal("").find("no line with the names"), std::string::npos);
    EXPECT_NE(refusal("1,2\n3,4\n").find("no names of columns"), std::string::npos);
    EXPECT_NE(refusal("step,loss\n").find("no column of numbers"), std::string::npos);
    EXPECT_NE(refusal("step,loss\n1,a\n2,b\n").find("no column of numbers"), std::string::npos);
    EXPECT_NE(refusal("step,\"loss\n1,2\n").find("never closed"), std::string::npos);
    EXPECT_NE(refusal("step,loss\n1,\"" + std::string(2 << 20, 'x')).find("longer than"), std::string::npos);
    EXPECT_NE(refusal("step" + std::string(5000, ',') + "\n").find("fields"), std::string::npos);
    EXPECT_EQ(refusal("step,loss\n1,2\n"), "");
}

TEST(CurveNames, MeanWhatTheyMeanAndNothingElse) {
    for (const auto& [name, key] :
         std::initializer_list<std::pair<const char*, const char*>>{{"loss", "loss"},
                                                                    {"train/loss", "loss"},
                                                                    {"Train Loss", "loss"},
                                                                    {"training/loss", "loss"},
                                                                    {"lm loss", "cross_entropy"},
                                                                    {"learning-rate", "learning_rate"},
                                                                    {"train/grad_norm", "gradient_norm"},
                                                                    {"eval/loss", "evaluation"},
                                                                    {"val_loss", "evaluation"},
                                                                    {"eval/loss/en", "evaluation.en"},
                                                                    {"train/part_ms/attention", "part_ms.attention"},
                                                                    {"my run - train/lr", "learning_rate"},
                                                                    {"train/load_balancing_loss", ""},
                                                                    {"accuracy", ""},
                                                                    {"loss/layer1", ""},
                                                                    {"test/loss", ""},
                                                                    {"train/", ""},
                                                                    {"", ""}}) {
        EXPECT_EQ(curves::key_of_name(name, ""), key) << name;
    }
    for (const base::StepValue& row : base::kStepValues) {
        EXPECT_EQ(curves::key_of_name(curves::tag_of_key(row.key), row.unit), row.key);
        EXPECT_EQ(curves::key_of_name(row.key, row.unit), row.key);
    }
    for (const char* key : {protocol::kEvaluationEnglish, protocol::kEvaluationChinese}) {
        EXPECT_EQ(curves::key_of_name(curves::tag_of_key(key), curves::unit_of_key(key)), key);
        EXPECT_EQ(curves::key_of_name(key, ""), key);
    }
}

}  // namespace
}  // namespace moescope::test
