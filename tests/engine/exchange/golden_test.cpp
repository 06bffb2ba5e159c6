// Logits of imported models against those that transformers computed in float64 (tests/oracle/models/make_logits.py).
#include "engine/exchange/hugging_face_import.hpp"
#include "golden_files.hpp"

namespace moescope::engine::test {
namespace {

TEST(Golden, LogitsOfEveryTypeAreThoseOfTransformers) {
    const auto folders = golden_folders();
    ASSERT_GE(folders.size(), 10u);
    for (const auto& folder : folders) {
        SCOPED_TRACE(folder.filename().string());
        const LoadedModel model = loaded(import_hugging_face(folder));
        const std::vector<std::int32_t> tokens = read_npy_tokens(folder / "tokens.npy");
        const double error = normalised_error(forward_logits(model, tokens, 1), read_npy_floats(folder / "logits.npy"));
        EXPECT_LE(error, 1e-10);
        std::printf("%-26s normalised error %.1e\n", folder.filename().c_str(), error);
    }
}

}  // namespace
}  // namespace moescope::engine::test
