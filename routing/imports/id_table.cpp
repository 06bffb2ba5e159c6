#include "routing/imports/id_table.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

namespace moescope::routing {

IdTable IdTable::of_array(std::string bytes, const base::NpyHeader& header, const std::string& source) {
    const std::string type = header.dtype.substr(1);
    if (type.size() != 2 || (type[0] != 'i' && type[0] != 'u')) {
        throw Error(say("{} holds values of the type {}, but ids and counts of experts are whole numbers", source,
                        header.dtype));
    }
    if (header.columns_first) {
        throw Error(say("{} is in Fortran's order; save it with numpy.ascontiguousarray", source));
    }
    IdTable table;
    table.bytes_ = std::move(bytes);
    table.begin_ = header.data_begin;
    table.width_ = header.item_bytes;
    table.is_signed_ = type[0] == 'i';
    table.swapped_ = header.dtype[0] == '>';
    return table;
}

IdTable IdTable::of_npy(std::string bytes, const std::string& source) {
    const base::NpyHeader header = base::parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), source);
    if (header.shape.size() != 3) {
        throw Error(say("{} has {} dimensions, but ids of experts have three: tokens, layers, experts per token",
                        source, header.shape.size()));
    }
    // A factor of 0 makes any other one fit a file of no bytes: 2^60 tokens would be looked at one by one.
    if (header.shape[0] > 0 && header.count == 0) {
        throw Error(say("{} has {} layers with {} experts per token", source, header.shape[1], header.shape[2]));
    }
    IdTable table = of_array(std::move(bytes), header, source);
    table.tokens_ = header.shape[0];
    table.layers_ = header.shape[1];
    table.per_token_ = header.shape[2];
    return table;
}

IdTable IdTable::of_counts(std::string bytes, const base::NpyHeader& header, std::size_t steps, std::size_t layers,
                           std::size_t experts, const std::string& source) {
    IdTable table = of_array(std::move(bytes), header, source);
    table.tokens_ = steps;
    table.layers_ = layers;
    table.per_token_ = experts;
    return table;
}

IdTable IdTable::of_flat(std::string bytes, std::string_view type, std::size_t layers, std::size_t per_token,
                         const std::string& source) {
    IdTable table;
    table.width_ = type == "int32" ? 4 : type == "uint16" ? 2 : type == "uint8" ? 1 : 0;
    if (table.width_ == 0) {
        throw Error(say("{} has ids of the type '{}'; int32, uint16 and uint8 can be read", source, type));
    }
    const std::size_t row = table.width_ * layers * per_token;  // both were checked to be small
    if (row == 0 || bytes.size() % row != 0) {
        throw Error(
            say("{} has {} bytes of ids, which do not fill whole tokens of {} layers with {} experts; give the "
                "shape of the model that was recorded",
                source, bytes.size(), layers, per_token));
    }
    table.is_signed_ = type == "int32";
    table.tokens_ = bytes.size() / row;
    table.layers_ = layers;
    table.per_token_ = per_token;
    table.bytes_ = std::move(bytes);
    return table;
}

IdTable IdTable::of_list(const std::vector<std::int32_t>& ids, std::size_t tokens, std::size_t layers,
                         std::size_t per_token) {
    IdTable table;
    table.width_ = sizeof(std::int32_t);
    table.tokens_ = tokens;
    table.layers_ = layers;
    table.per_token_ = per_token;
    table.bytes_.assign(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t));
    return table;
}

std::uint64_t IdTable::bits_at(std::size_t token, std::size_t layer, std::size_t rank) const {
    unsigned char item[8] = {};
    std::memcpy(item, bytes_.data() + begin_ + ((token * layers_ + layer) * per_token_ + rank) * width_, width_);
    if (swapped_) {
        std::reverse(item, item + width_);
    }
    std::uint64_t value = 0;
    std::memcpy(&value, item, sizeof value);
    return value;
}

std::string IdTable::text_at(std::size_t token, std::size_t layer, std::size_t rank) const {
    return is_signed_ ? std::to_string(at(token, layer, rank)) : std::to_string(bits_at(token, layer, rank));
}

std::int64_t IdTable::at(std::size_t token, std::size_t layer, std::size_t rank) const {
    const std::uint64_t value = bits_at(token, layer, rank);
    if (is_signed_ && width_ < 8) {
        const unsigned shift = static_cast<unsigned>(64 - 8 * width_);
        return static_cast<std::int64_t>(value << shift) >> shift;
    }
    if (!is_signed_ && value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return std::numeric_limits<std::int64_t>::max();
    }
    return static_cast<std::int64_t>(value);
}

}  // namespace moescope::routing
