// manifest.json of a session, and DONE of a checkpoint.
#include "base/saved_folder.hpp"
#include "sessions/session.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder folder({"manifest.json", "DONE"});
    const auto& path = folder.with(data, size);
    try {
        sessions::require_known_version(path);
    } catch (const sessions::OpenError& error) {
        fuzz::expect(error.why() == sessions::OpenError::Why::newer, "only a newer version is refused");
    }
    try {
        for (const base::SavedFile& file : base::read_saved_list(path)) {
            const auto whole = (path / file.name).lexically_normal().string();
            fuzz::expect(whole.starts_with(path.string() + "/"), "a saved file lies in its folder");
        }
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    return 0;
}
