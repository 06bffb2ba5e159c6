// TensorBoard's event files: records of a length, a checksum, an Event as protobuf and a checksum. Only scalars are
// read, in the three forms in which they are written: a simple value, and tensors of one float or double, packed or as
// raw bytes.
#pragma once

#include <filesystem>
#include <functional>

#include "base/sentence.hpp"
#include "nodes/curves/curve_collector.hpp"

namespace moescope::curves {

/// Whether the file begins as an event file does: with a length and its checksum. False for one that cannot be read.
bool is_event_file(const std::filesystem::path& path);
/// Whether TensorBoard takes a file of this name for one.
bool has_event_name(const std::filesystem::path& path);

/// Adds the scalars of the file; a tag is the name of its curve. A last record that is not all there, of a file that is
/// still written, is left out with a note. `check` is called now and then and may throw. Throws base::Error, a sentence
/// that begins with the path: a wrong checksum and at which byte, a record that is no event, what Collector throws.
void read_event_file(const std::filesystem::path& path, Collector& curves, std::vector<base::Sentence>& notes,
                     const std::function<void()>& check);

}  // namespace moescope::curves
