// An archive of a session, given unpacked: the tar is packed here, so that it and not zstd is reached. Nothing may
// come to lie outside the new folder, and what is refused leaves nothing.
#include "sessions/archive.hpp"

#include <zstd.h>

#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

namespace fs = std::filesystem;

std::size_t entries_of(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder folder({});
    static std::vector<std::uint8_t> packed;
    packed.resize(ZSTD_compressBound(size));
    const std::size_t length = ZSTD_compress(packed.data(), packed.size(), data, size, 1);
    fuzz::expect(ZSTD_isError(length) == 0, "it can be packed");
    const fs::path& file = fuzz::in_file(packed.data(), length);
    const bool looks = sessions::looks_like_archive(file);
    const fs::path out = folder.path() / "out";
    try {
        const sessions::ArchiveSummary summary = sessions::unpack_archive(file, out);
        fuzz::expect(looks, "what is unpacked looks like an archive");
        std::uint64_t files = 0, bytes = 0;
        for (const auto& entry : fs::recursive_directory_iterator(out)) {
            fuzz::expect(!entry.is_symlink() && (entry.is_directory() || entry.is_regular_file()),
                         "only folders and files come out");
            if (entry.is_regular_file()) {
                ++files;
                bytes += entry.file_size();
            }
        }
        fuzz::expect(files == summary.files && bytes == summary.bytes && bytes <= size, "as many as were promised");
        fs::remove_all(out);
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    fuzz::expect(entries_of(folder.path()) == 0, "nothing is left behind");
    return 0;
}
