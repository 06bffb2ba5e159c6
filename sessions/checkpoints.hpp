// Checkpoint folders of a session: finding, checking and removing them. Internal to this folder; others use Session.
#pragma once

#include "sessions/session.hpp"

namespace moescope::sessions {

std::filesystem::path checkpoint_folder(const std::filesystem::path& session, std::uint32_t run, std::uint64_t step);
/// Oldest first; never throws for what the folders hold, only what `check` throws.
std::vector<CheckpointInfo> list_checkpoints(const std::filesystem::path& session, std::uint32_t run,
                                             bool verify_hashes, const std::function<void()>& check);
/// First renamed, so that a crash leaves no half checkpoint under its name, then deleted. Throws std::runtime_error.
void remove_checkpoint_folder(const std::filesystem::path& session, const CheckpointInfo& checkpoint);
/// What crashes left behind: unfinished manifests, temporary and trash folders below checkpoints/.
void remove_leftovers(const std::filesystem::path& session);
/// The highest N of the folders checkpoints/run-N, 0 when there is none.
std::uint32_t highest_run_folder(const std::filesystem::path& session);

}  // namespace moescope::sessions
