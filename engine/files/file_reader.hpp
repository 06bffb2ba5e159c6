// Sequential reading of an untrusted file in small pieces: every length is compared with what is left in the file
// before anything is allocated, so a damaged length can cost an error but never memory. No mmap: a file that shrinks
// meanwhile must not kill us.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "base/input_file.hpp"
#include "base/sentence.hpp"

namespace moescope::engine {

class FileReader {
 public:
    /// Throws Error as base::InputFile does, beginning with the path.
    explicit FileReader(const std::filesystem::path& path);

    std::uint64_t size() const { return file_.size(); }
    std::uint64_t position() const { return position_; }
    std::uint64_t left() const { return size() - position_; }

    /// `what` names the thing for the message. Throws Error when fewer than `count` bytes are left.
    void read(void* target, std::uint64_t count, base::Marked what);
    void skip(std::uint64_t count, base::Marked what);
    std::string text(std::uint64_t count, base::Marked what);

    /// A little-endian number; the machines we build for are little-endian.
    template <class T>
    T number(base::Marked what) {
        static_assert(std::is_arithmetic_v<T>);
        T value{};
        read(&value, sizeof value, what);
        return value;
    }

 private:
    void require(std::uint64_t count, base::Marked what) const;
    void refill();

    base::InputFile file_;
    std::uint64_t position_ = 0;
    std::vector<char> buffer_;
    std::size_t next_ = 0;   ///< in buffer_
    std::size_t ahead_ = 0;  ///< bytes of the last refill; 0 after a leap
};

}  // namespace moescope::engine
