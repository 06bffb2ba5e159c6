// Puts this version of moescope-node onto another machine: the bundle that ./run --bundle makes goes over ssh and is
// unpacked there as ~/.local/share/moescope/VERSION, where the next connection finds it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace moescope::client {

/// A bundle of this version. Either an archive, or the folder from which this program runs, which is packed first.
struct NodeBundle {
    std::filesystem::path archive, folder;
    std::uint64_t bytes = 0;  ///< of the archive; of a folder that of its files, an archive of which is smaller
};

/// What can be copied: the archive that MOESCOPE_BUNDLE names, else the bundle that this program runs from, else the
/// archive that ./run --bundle made in the same tree of sources. Looks at files: not for the thread of the window.
std::optional<NodeBundle> bundle_at_hand();

/// How far a copy is, for other threads, and their wish to stop it.
struct CopyProgress {
    std::atomic<std::uint64_t> sent = 0, total = 0;  ///< bytes; total is 0 while a folder is packed
    std::atomic<bool> stop = false;
};

/// Packs what has to be packed, sends it and waits until it was unpacked and has started there once. What is there
/// under the same version is replaced at the very end; what fails or is stopped leaves nothing. The thread that calls
/// it must stay until it returns. `address`: ssh://[user@]host[:port], a session behind it does not matter. Throws
/// base::Error: one sentence for a person.
void copy_node(const std::string& address, const NodeBundle& bundle, const std::filesystem::path& ssh,
               CopyProgress& progress);

namespace detail {
/// What runs there, a constant: reads "VERSION SHA256\n" and the archive from its standard input.
std::string receiving_command();
}  // namespace detail

}  // namespace moescope::client
