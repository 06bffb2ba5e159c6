// Names of models with a saved set of changes: MODEL|SET.
#include "panels/node/library.hpp"

#include <gtest/gtest.h>

#include "panels/routing/read_form.hpp"

namespace {

using namespace moescope;
using panels::model_with_set;

client::Snapshot library() {
    client::Snapshot snapshot;
    for (const char* name : {"qwen3-mini", "odd|name", "checkpoint:7:250"}) {
        client::ModelEntry model;
        model.name = name;
        snapshot.models.push_back(model);
    }
    snapshot.models[0].is_moe = true;
    snapshot.models[2].trained_here = true;
    return snapshot;
}

TEST(ModelWithSet, IsTakenApartAtTheLastBar) {
    const client::Snapshot snapshot = library();
    const auto parts = [&](const char* name) {
        const history::ModelWithSet made = model_with_set(snapshot, name);
        return std::pair(made.model, made.set);
    };
    using Parts = std::pair<std::string, std::string>;
    EXPECT_EQ(parts("qwen3-mini"), (Parts{"qwen3-mini", ""}));
    EXPECT_EQ(parts("qwen3-mini|no 5"), (Parts{"qwen3-mini", "no 5"}));
    EXPECT_EQ(parts("odd|name"), (Parts{"odd|name", ""}));
    EXPECT_EQ(parts("odd|name|no 5"), (Parts{"odd|name", "no 5"}));
    EXPECT_EQ(parts("checkpoint:7:250|a"), (Parts{"checkpoint:7:250", "a"}));
    EXPECT_EQ(parts("|a"), (Parts{"|a", ""}));
    EXPECT_EQ(parts("a|"), (Parts{"a|", ""}));
}

TEST(FindModel, FindsTheModelOfASet) {
    const client::Snapshot snapshot = library();
    ASSERT_NE(panels::find_model(snapshot, "qwen3-mini|no 5"), nullptr);
    EXPECT_EQ(panels::find_model(snapshot, "qwen3-mini|no 5")->name, "qwen3-mini");
    EXPECT_EQ(panels::find_model(snapshot, "odd|name")->name, "odd|name");
    EXPECT_EQ(panels::find_model(snapshot, "missing|no 5"), nullptr);
    EXPECT_TRUE(panels::is_routed(snapshot.models[0]));
    EXPECT_FALSE(panels::is_routed(snapshot.models[1]));
    EXPECT_TRUE(panels::is_routed(snapshot.models[2]));
}

TEST(EntryTitle, TellsModelsOfOneTitleApart) {
    client::Snapshot snapshot;
    const auto add = [&](const char* name, const char* title, const char* path, const char* maker) {
        client::ModelEntry model;
        model.name = name;
        model.title = title;
        model.path = path;
        model.maker = maker;
        model.available = true;
        snapshot.models.push_back(model);
    };
    add("qwen", "Qwen", "/cache/qwen.gguf", "Alibaba");
    add("workshop", "workshop", "/home/x/w60-q4k.gguf", "");
    add("same", "same.gguf", "/home/x/same.gguf", "");
    add("a", "A", "/cache/a-f16.gguf", "B");
    add("a-2", "A", "/cache/a-q4.gguf", "B");
    const auto title = [&](std::size_t at) { return panels::entry_title(snapshot, snapshot.models[at]); };
    EXPECT_EQ(title(0), "Qwen");
    EXPECT_EQ(title(1), "workshop \u00b7 w60-q4k.gguf") << "its title is what its writer put into it";
    EXPECT_EQ(title(2), "same.gguf");
    EXPECT_EQ(title(3), "A \u00b7 a-f16.gguf");
    EXPECT_EQ(title(4), "A \u00b7 a-q4.gguf");
}

TEST(EntryTitle, TellsServersOfOneTitleApart) {
    client::Snapshot snapshot;
    const auto add = [&](const char* name, const char* title, const char* path) {
        client::ModelEntry model;
        model.name = name;
        model.title = title;
        model.path = path;
        model.server.emplace();
        snapshot.models.push_back(model);
    };
    add("qwen", "qwen", "http://127.0.0.1:8000/v1#qwen");
    add("mix", "mix", "http://127.0.0.1:8000/v1#mix");
    add("mix-2", "mix", "http://127.0.0.1:9000/v1#mix");
    const auto title = [&](std::size_t at) { return panels::entry_title(snapshot, snapshot.models[at]); };
    EXPECT_EQ(title(0), "qwen");
    EXPECT_EQ(title(1), "mix \u00b7 127.0.0.1:8000");
    EXPECT_EQ(title(2), "mix \u00b7 127.0.0.1:9000");
    add("mix-3", "mix", "http://127.0.0.1:9000/v1#org/mix");
    EXPECT_EQ(title(1), "mix \u00b7 127.0.0.1:8000");
    EXPECT_EQ(title(2), "mix \u00b7 mix-2") << "nothing but the name tells them apart";
    EXPECT_EQ(title(3), "mix \u00b7 mix-3");
}

TEST(EntryTitle, TellsServersOfOneModelApart) {
    client::Snapshot snapshot;
    for (const char* path : {"http://127.0.0.1:8001/v1#x", "http://127.0.0.1:8002/v1#x", "https://[::1]:9000/a/v1#x",
                             "https://[::1]:9000/b/v1#x", "http://127.0.0.1:8001/v1#y"}) {
        client::ModelEntry model;
        model.name = "m" + std::to_string(snapshot.models.size());
        model.title = std::string(1, path[std::string(path).size() - 1]);
        model.path = path;
        model.server.emplace();
        snapshot.models.push_back(model);
    }
    const auto title = [&](std::size_t at) { return panels::entry_title(snapshot, snapshot.models[at]); };
    EXPECT_EQ(title(0), "x \u00b7 127.0.0.1:8001");
    EXPECT_EQ(title(1), "x \u00b7 127.0.0.1:8002");
    EXPECT_EQ(title(2), "x \u00b7 https://[::1]:9000/a/v1") << "host and port are those of another";
    EXPECT_EQ(title(3), "x \u00b7 https://[::1]:9000/b/v1");
    EXPECT_EQ(title(4), "y");
}

TEST(IsOfAnotherFile, GoesByHashAndTitle) {
    client::Snapshot snapshot;
    client::ModelEntry model;
    model.name = "q";
    model.title = "qwen3-mini";
    model.path = "/x/q.gguf";
    snapshot.models.push_back(model);
    const auto other = [&](const char* title, const char* sha256, const char* name = "q") {
        history::RouteRun run;
        run.manifest = {{"model_title", title}, {"model_sha256", sha256}};
        return panels::is_of_another_file(snapshot, run, name);
    };
    EXPECT_FALSE(other("qwen3-mini", "aa")) << "the hash of the file is not known yet";
    EXPECT_TRUE(other("olmoe-mini", ""));
    snapshot.models[0].sha256 = "aa";
    EXPECT_FALSE(other("qwen3-mini", "aa"));
    EXPECT_FALSE(other("qwen3-mini \u00b7 q.gguf", "aa")) << "as it was told apart from another";
    EXPECT_FALSE(other("", "")) << "an old session does not tell";
    EXPECT_TRUE(other("qwen3-mini", "bb"));
    EXPECT_TRUE(other("qwen3-mini", "bb", "q|no 5"));
    EXPECT_FALSE(other("qwen3-mini", "bb", "elsewhere"));
}

TEST(ModelOfSession, IsThatOfTheChosenRunElseTheNewest) {
    client::Snapshot snapshot = library();
    EXPECT_EQ(panels::model_of_session(snapshot, 0), "") << "no file of it is there";
    snapshot.models[2].available = true;
    for (const char* name : {"checkpoint:9:30", "checkpoint:9:120", "checkpoint:7:300"}) {
        client::ModelEntry model;
        model.name = name;
        model.available = model.trained_here = true;
        snapshot.models.push_back(model);
    }
    EXPECT_EQ(panels::model_of_session(snapshot, 0), "checkpoint:9:120");
    EXPECT_EQ(panels::model_of_session(snapshot, 7), "checkpoint:7:300");
    EXPECT_EQ(panels::model_of_session(snapshot, 8), "checkpoint:9:120");
    // What an exported file of the library is called comes after it.
    snapshot.models[0].available = true;
    EXPECT_EQ(panels::first_routed_model(snapshot, 0), "checkpoint:9:120");
    auto dense = std::make_shared<history::TrainingRun>();
    dense->layers = 4;
    dense->experts = 1;
    snapshot.training[9] = dense;
    EXPECT_EQ(panels::first_routed_model(snapshot, 0), "qwen3-mini") << "a dense model has no router";
}

}  // namespace
