// Expert ids as other programs send them: [tokens, layers, experts per token] in one block of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/npy.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

class IdTable {
 public:
    /// A whole .npy file of whole numbers, three-dimensional, in C's order; without ids it is without tokens. Throws
    /// Error naming `source`.
    static IdTable of_npy(std::string bytes, const std::string& source);
    /// Numbers without a header ("int32", "uint8", "uint16"), little-endian. Throws Error when they do not fill whole
    /// tokens.
    static IdTable of_flat(std::string bytes, std::string_view type, std::size_t layers, std::size_t per_token,
                           const std::string& source);
    /// The .npy file of counts that `header` describes, read as three dimensions. Throws Error as of_npy.
    static IdTable of_counts(std::string bytes, const base::NpyHeader& header, std::size_t steps, std::size_t layers,
                             std::size_t experts, const std::string& source);
    /// `ids` fill the shape.
    static IdTable of_list(const std::vector<std::int32_t>& ids, std::size_t tokens, std::size_t layers,
                           std::size_t per_token);

    std::size_t tokens() const { return tokens_; }
    std::size_t layers() const { return layers_; }
    std::size_t per_token() const { return per_token_; }
    /// A number that does not fit is the largest that does.
    std::int64_t at(std::size_t token, std::size_t layer, std::size_t rank) const;
    /// The same as it stands there, for sentences.
    std::string text_at(std::size_t token, std::size_t layer, std::size_t rank) const;

 private:
    std::uint64_t bits_at(std::size_t token, std::size_t layer, std::size_t rank) const;
    static IdTable of_array(std::string bytes, const base::NpyHeader& header, const std::string& source);

    std::string bytes_;
    std::size_t begin_ = 0, width_ = 0;
    bool is_signed_ = true, swapped_ = false;
    std::size_t tokens_ = 0, layers_ = 0, per_token_ = 0;
};

}  // namespace moescope::routing
