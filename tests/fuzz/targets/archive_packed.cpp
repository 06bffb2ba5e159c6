// The same bytes as they come: what zstd makes of them is bounded.
#include "sessions/archive.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder folder({});
    const auto& file = fuzz::in_file(data, size);
    try {
        (void)sessions::unpack_archive(file, folder.path() / "out");
        std::filesystem::remove_all(folder.path() / "out");
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    return 0;
}
