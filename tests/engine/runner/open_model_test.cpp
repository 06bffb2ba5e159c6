#include <gtest/gtest.h>

#include "engine/error.hpp"
#include "engine/runner/language_model.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

std::string problem(const std::filesystem::path& path) {
    try {
        open_model(path, 1);
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(OpenModel, RefusesBeforeAnythingIsLoaded) {
    const TemporaryFolder folder;
    EXPECT_NE(problem(folder.path() / "none.gguf").find("does not exist"), std::string::npos);
    EXPECT_NE(problem(folder.write("p.bin", "\x80\x04\x95....")).find("can run any code"), std::string::npos);
    EXPECT_NE(problem(folder.write("e.gguf", "")).find("is empty"), std::string::npos);
    EXPECT_NE(problem(folder.write("cut.gguf", small_moe().file(256).substr(0, 300))).find("cut.gguf ends at byte 300"),
              std::string::npos);
    const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    EXPECT_NE(problem(folder.write("w.safetensors",
                                   GgufBytes::raw<std::uint64_t>(header.size()) + header + std::string(8, '\0')))
                  .find("cannot be run by itself"),
              std::string::npos);
    GgufBytes part = small_moe();
    part.u32("split.count", 3);
    EXPECT_NE(
        problem(folder.write("part-00001-of-00003.gguf", part.file(256))).find("part-00002-of-00003.gguf is missing"),
        std::string::npos);
    EXPECT_NE(problem(folder.path()).find("is a folder without config.json"), std::string::npos);
}

}  // namespace
}  // namespace moescope::engine
