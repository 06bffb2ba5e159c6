// The lines of a file from outside, one at a time and of a bounded length, however large the file is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/input_file.hpp"

namespace moescope::base {

class Lines {
 public:
    /// `name`: a file, or "-": standard input. Throws Error as InputFile does.
    Lines(const std::string& name, std::size_t longest);
    Lines(InputFile&& file, std::size_t longest);

    std::uint64_t number() const { return number_; }  ///< of the line that `next` gave last, from 1
    /// Without its end and, for the first, without a byte order mark. False at the end. Throws Error, a sentence
    /// without a subject: the line has more than `longest` bytes, or cannot be read.
    bool next(std::string& line);

 private:
    bool read_more();

    const std::size_t longest_;
    std::optional<InputFile> file_;
    std::string buffer_;
    std::size_t at_ = 0;
    std::uint64_t offset_ = 0, number_ = 0;
};

}  // namespace moescope::base
