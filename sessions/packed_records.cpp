#include "sessions/packed_records.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <zstd.h>

#include "base/little_endian.hpp"

namespace moescope::sessions {

namespace {

using Bytes = std::vector<std::byte>;
using View = std::span<const std::byte>;

constexpr std::uint8_t kLayout = 1;
enum Method : std::uint8_t { kStored = 0, kZstd = 1 };
enum Kind : std::uint8_t { kPlain = 0, kDifferences = 1, kConstant = 2 };
constexpr std::size_t kPartHeaderBytes = 8;
constexpr std::size_t kFewestRows = 4;  ///< below it a table stands as it is
constexpr int kHeadLevel = 3, kTailLevel = 1;

void put_number(Bytes& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        out.push_back(static_cast<std::byte>(value | 0x80));
    }
    out.push_back(static_cast<std::byte>(value));
}

/// Turns `good` bad at the end of the bytes and for what is longer than 64 bits.
std::uint64_t get_number(View& in, bool& good) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in.empty()) {
            break;
        }
        const auto byte = static_cast<std::uint64_t>(in.front());
        in = in.subspan(1);
        value |= (byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    good = false;
    return 0;
}

constexpr std::uint64_t zigzag(std::uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}
constexpr std::uint64_t unzigzag(std::uint64_t value) {
    return (value >> 1) ^ (0 - (value & 1));
}

/// Rows of one type and length, by number of the record.
struct Table {
    std::size_t width = 0;
    std::vector<std::size_t> rows;
};

/// `type_of` and `width_of` by number of the record. Rows of no width are in no table.
template <class TypeOf, class WidthOf>
std::vector<Table> tables_of(std::size_t records, TypeOf type_of, WidthOf width_of) {
    std::vector<Table> tables;
    std::map<std::pair<std::uint16_t, std::size_t>, std::size_t> known;
    for (std::size_t i = 0; i < records; ++i) {
        const std::size_t width = width_of(i);
        if (width == 0) {
            continue;
        }
        const auto [place, is_new] = known.emplace(std::pair(type_of(i), width), tables.size());
        if (is_new) {
            tables.push_back({width, {}});
        }
        tables[place->second].rows.push_back(i);
    }
    return tables;
}

void put_table(Bytes& out, std::size_t width, const std::vector<View>& rows) {
    if (rows.size() < kFewestRows) {
        for (const View row : rows) {
            out.insert(out.end(), row.begin(), row.end());
        }
        return;
    }
    const std::size_t kinds = out.size();
    out.resize(kinds + width);
    Bytes constants, columns;
    columns.reserve(width * rows.size() / 2);
    Bytes column(rows.size());
    for (std::size_t c = 0; c < width; ++c) {
        for (std::size_t r = 0; r < rows.size(); ++r) {
            column[r] = rows[r][c];
        }
        std::size_t same = 0, even = 0;
        std::uint8_t last = 0;
        for (std::size_t r = 1; r < column.size(); ++r) {
            const auto difference =
                static_cast<std::uint8_t>(static_cast<unsigned>(column[r]) - static_cast<unsigned>(column[r - 1]));
            same += difference == 0 ? 1 : 0;
            even += difference == last ? 1 : 0;
            last = difference;
        }
        if (same + 1 == column.size()) {
            out[kinds + c] = std::byte{kConstant};
            constants.push_back(column.front());
            continue;
        }
        if (even > same) {
            out[kinds + c] = std::byte{kDifferences};
            for (std::size_t r = column.size(); r-- > 1;) {
                column[r] =
                    static_cast<std::byte>(static_cast<unsigned>(column[r]) - static_cast<unsigned>(column[r - 1]));
            }
        }
        columns.insert(columns.end(), column.begin(), column.end());
    }
    out.insert(out.end(), constants.begin(), constants.end());
    out.insert(out.end(), columns.begin(), columns.end());
}

bool take(View& in, std::size_t size, View& out) {
    if (size > in.size()) {
        return false;
    }
    out = in.first(size);
    in = in.subspan(size);
    return true;
}

/// `rows`: where each begins.
bool get_table(View& in, std::size_t width, const std::vector<std::byte*>& rows) {
    View taken;
    if (rows.size() < kFewestRows) {
        for (std::byte* row : rows) {
            if (!take(in, width, taken)) {
                return false;
            }
            std::memcpy(row, taken.data(), width);
        }
        return true;
    }
    View kinds, constants;
    if (!take(in, width, kinds)) {
        return false;
    }
    const auto count = static_cast<std::size_t>(std::count(kinds.begin(), kinds.end(), std::byte{kConstant}));
    if (!take(in, count, constants)) {
        return false;
    }
    std::size_t constant = 0;
    for (std::size_t c = 0; c < width; ++c) {
        if (kinds[c] == std::byte{kConstant}) {
            const std::byte value = constants[constant++];
            for (std::byte* row : rows) {
                row[c] = value;
            }
            continue;
        }
        if (kinds[c] > std::byte{kConstant} || !take(in, rows.size(), taken)) {
            return false;
        }
        if (kinds[c] == std::byte{kPlain}) {
            for (std::size_t r = 0; r < rows.size(); ++r) {
                rows[r][c] = taken[r];
            }
        } else {
            unsigned value = 0;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                value += static_cast<unsigned>(taken[r]);
                rows[r][c] = static_cast<std::byte>(value);
            }
        }
    }
    return true;
}

/// Rows of all records behind each other in `bytes`, at `offset_of` each.
template <class TypeOf, class WidthOf>
bool get_tables(View in, std::size_t records, TypeOf type_of, WidthOf width_of, std::span<std::byte> bytes) {
    std::vector<std::size_t> offsets(records);
    std::size_t end = 0;
    for (std::size_t i = 0; i < records; ++i) {
        offsets[i] = end;
        end += width_of(i);
    }
    std::vector<std::byte*> rows;
    for (const Table& table : tables_of(records, type_of, width_of)) {
        rows.clear();
        for (const std::size_t row : table.rows) {
            rows.push_back(bytes.data() + offsets[row]);
        }
        if (!get_table(in, table.width, rows)) {
            return false;
        }
    }
    return in.empty();
}

Bytes pack(const Bytes& raw, int level) {
    Bytes part(kPartHeaderBytes + std::max(ZSTD_compressBound(raw.size()), raw.size()));
    const auto size = static_cast<std::uint32_t>(raw.size());
    part[0] = std::byte{kLayout};
    part[1] = std::byte{kStored};
    std::memcpy(&part[4], &size, sizeof size);
    const std::size_t packed =
        ZSTD_compress(part.data() + kPartHeaderBytes, part.size() - kPartHeaderBytes, raw.data(), raw.size(), level);
    if (ZSTD_isError(packed) != 0 || packed >= raw.size()) {
        std::copy(raw.begin(), raw.end(), part.begin() + kPartHeaderBytes);
        part.resize(kPartHeaderBytes + raw.size());
    } else {
        part[1] = std::byte{kZstd};
        part.resize(kPartHeaderBytes + packed);
    }
    return part;
}

std::optional<Bytes> unpack(View part) {
    base::Reader reader(part);
    const auto layout = reader.get<std::uint8_t>();
    const auto method = reader.get<std::uint8_t>();
    const auto reserved = reader.get<std::uint16_t>();
    const std::size_t size = reader.get<std::uint32_t>();
    if (!reader.good() || layout != kLayout || reserved != 0 || size > kMostUnpackedBytes) {
        return std::nullopt;
    }
    const View packed = part.subspan(kPartHeaderBytes);
    if (method == kStored) {
        return packed.size() == size ? std::optional(Bytes(packed.begin(), packed.end())) : std::nullopt;
    }
    if (method != kZstd || ZSTD_getFrameContentSize(packed.data(), packed.size()) != size) {
        return std::nullopt;
    }
    Bytes raw(size);
    const std::size_t got = ZSTD_decompress(raw.data(), raw.size(), packed.data(), packed.size());
    return ZSTD_isError(got) == 0 && got == size ? std::optional(std::move(raw)) : std::nullopt;
}

template <class TypeOf, class WidthOf, class RowOf>
void put_tables(Bytes& out, std::size_t records, TypeOf type_of, WidthOf width_of, RowOf row_of) {
    std::vector<View> rows;
    for (const Table& table : tables_of(records, type_of, width_of)) {
        rows.clear();
        for (const std::size_t row : table.rows) {
            rows.push_back(row_of(row));
        }
        put_table(out, table.width, rows);
    }
}

}  // namespace

std::vector<std::byte> pack_heads(std::span<const Record> records, std::span<const std::uint32_t> heads) {
    Bytes raw;
    base::Writer writer(raw);
    writer.put(static_cast<std::uint32_t>(records.size()));
    writer.put(records.empty() ? std::uint32_t{0} : records.front().epoch);
    std::uint64_t sequence = 0, time = 0, step = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
        const Record& record = records[i];
        put_number(raw, record.sequence - sequence);
        put_number(raw, zigzag(record.time_ns - time - step));
        put_number(raw, record.type);
        put_number(raw, record.body.size());
        put_number(raw, heads[i]);
        step = record.time_ns - time;
        sequence = record.sequence;
        time = record.time_ns;
    }
    put_tables(
        raw, records.size(), [&](std::size_t i) { return records[i].type; }, [&](std::size_t i) { return heads[i]; },
        [&](std::size_t i) { return View(records[i].body).first(heads[i]); });
    return pack(raw, kHeadLevel);
}

std::vector<std::byte> pack_tails(std::span<const Record> records, std::span<const std::uint32_t> heads) {
    Bytes raw;
    put_tables(
        raw, records.size(), [&](std::size_t i) { return records[i].type; },
        [&](std::size_t i) { return records[i].body.size() - heads[i]; },
        [&](std::size_t i) { return View(records[i].body).subspan(heads[i]); });
    return pack(raw, kTailLevel);
}

std::optional<Heads> unpack_heads(std::span<const std::byte> packed) {
    const auto raw = unpack(packed);
    if (!raw) {
        return std::nullopt;
    }
    base::Reader reader(*raw);
    const std::size_t count = reader.get<std::uint32_t>();
    const auto epoch = reader.get<std::uint32_t>();
    constexpr std::size_t kFewestBytes = 5;  // of each record's numbers
    if (!reader.good() || count > kMostPackedRecords || count > reader.left() / kFewestBytes) {
        return std::nullopt;
    }
    View in = View(*raw).subspan(raw->size() - reader.left());
    Heads heads;
    heads.records.resize(count);
    std::vector<std::uint32_t> widths(count);
    std::uint64_t sequence = 0, time = 0, step = 0, total = 0;
    bool good = true;
    for (std::size_t i = 0; i < count; ++i) {
        PackedRecord& record = heads.records[i];
        const std::uint64_t more = get_number(in, good);
        step += unzigzag(get_number(in, good));
        time += step;
        const std::uint64_t type = get_number(in, good), length = get_number(in, good), head = get_number(in, good);
        if (!good || more == 0 || more > std::numeric_limits<std::uint64_t>::max() - sequence ||
            type > std::numeric_limits<std::uint16_t>::max() || length > kRecordLimit || head > length) {
            return std::nullopt;
        }
        sequence += more;
        total += head;
        record = {{epoch, sequence}, time, static_cast<std::uint16_t>(type), static_cast<std::uint32_t>(length), {}};
        widths[i] = static_cast<std::uint32_t>(head);
    }
    if (total > kMostUnpackedBytes) {
        return std::nullopt;
    }
    heads.bytes.resize(total);
    if (!get_tables(
            in, count, [&](std::size_t i) { return heads.records[i].type; }, [&](std::size_t i) { return widths[i]; },
            std::span(heads.bytes))) {
        return std::nullopt;
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; at += widths[i++]) {
        heads.records[i].head = View(heads.bytes).subspan(at, widths[i]);
    }
    return heads;
}

std::optional<Tails> unpack_tails(std::span<const std::byte> packed, std::span<const PackedRecord> records) {
    const auto width = [&](std::size_t i) { return records[i].length - records[i].head.size(); };
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
        total += width(i);
    }
    if (total > kMostUnpackedBytes) {
        return std::nullopt;
    }
    const auto raw = unpack(packed);
    if (!raw) {
        return std::nullopt;
    }
    Tails tails;
    tails.bytes.resize(total);
    if (!get_tables(
            *raw, records.size(), [&](std::size_t i) { return records[i].type; }, width, std::span(tails.bytes))) {
        return std::nullopt;
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < records.size(); at += width(i++)) {
        tails.of.push_back(View(tails.bytes).subspan(at, width(i)));
    }
    return tails;
}

}  // namespace moescope::sessions
