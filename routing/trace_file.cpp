#include "routing/trace_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/checksums.hpp"
#include "base/crc32c.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/little_endian.hpp"
#include "routing/chunk_codec.hpp"
#include "routing/interventions.hpp"
#include "routing/token_order.hpp"

namespace moescope::routing {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeadBytes = 20, kMostHeadJson = std::size_t{1} << 20;
constexpr std::size_t kMostChunks = std::size_t{1} << 22;
/// How far behind damage a sound chunk is looked for: more than the longest chunk.
constexpr std::uint64_t kFarthest = std::uint64_t{96} << 20;
constexpr std::size_t kFirstPiece = std::size_t{1} << 12, kLargestPiece = std::size_t{1} << 20;
/// So many damaged places are stepped over; a file with more of them is not worth the time that it would take.
constexpr std::size_t kMostGaps = 1000;

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

/// What the head says, checked. Throws Error, a sentence without a subject.
std::pair<RouterSpec, json> parse_head(const std::string& text) {
    if (text.size() > kMostHeadJson) {
        throw Error(say("has a head of {} bytes; {} are possible", text.size(), kMostHeadJson));
    }
    base::ParsedJson head = base::read_json(text, kMostHeadJson);
    if (!head.value) {
        throw Error(head.problem);
    }
    json changes;
    if (head.value->is_object() && head.value->contains("interventions")) {
        changes = std::move((*head.value)["interventions"]);
        check_changes(changes);
    }
    return {router_from_json(base::member(*head.value, "router")), std::move(changes)};
}

}  // namespace

Sentence missing_within_texts(const fs::path& path, std::uint64_t tokens, std::size_t places) {
    return say("{}: {} tokens are missing within texts: positions are skipped, in {} places", path, tokens, places);
}

TraceWriter::TraceWriter(fs::path path, const RouterSpec& spec, const json& interventions, base::FileIo& io)
    : path_(std::move(path)), shape_(shape_of(spec)), limits_(limits_of(spec, !interventions.is_null())), io_(io) {
    json head = {{"router", router_to_json(spec)}};
    if (!interventions.is_null()) {
        head["interventions"] = interventions;
    }
    const std::string text = base::dump_json(head);
    try {
        check(spec);
        (void)parse_head(text);
    } catch (const Error& error) {
        throw Error(say("{} can't be written as a trace that could be read again: it {}", path_, error.sentence()));
    }
    const int file = io_.open_for_writing(path_);
    if (file < 0) {
        throw Error(say("{} can't be written: {}", path_, base::system_sentence(file)));
    }
    file_ = base::Descriptor(file);
    if (const int error = io_.truncate(file_.get(), 0); error < 0) {
        throw Error(say("{} can't be written: {}", path_, base::system_sentence(error)));
    }
    std::vector<std::byte> out;
    base::Writer writer(out);
    writer.put_bytes(kTraceMark.data(), kTraceMark.size());
    writer.put(kVersion);
    writer.put(static_cast<std::uint32_t>(text.size()));
    writer.put(base::crc32c(bytes_of(text)));
    writer.put_bytes(text.data(), text.size());
    write(out);
}

void TraceWriter::write(std::span<const std::byte> data) {
    if (const int error = base::write_fully(io_, file_.get(), data, bytes_); error < 0) {
        throw Error(say("{} can't be written: {}", path_, base::system_sentence(error)));
    }
    bytes_ += data.size();
}

void TraceWriter::append(const Chunk& chunk) {
    const std::vector<std::byte> bytes = encode_chunk(chunk);
    if (chunk.shape != shape_ || !possible(chunk, limits_) || chunk.first < next_token_ || chunks_ == kMostChunks ||
        !read_chunk_header(std::span(bytes).first(std::min(bytes.size(), kMostHeaderBytes)), shape_)) {
        throw Error(say("{} can't take a piece of {} tokens from token {} on: no reader would take it", path_,
                        chunk.tokens, chunk.first));
    }
    write(bytes);
    next_token_ = chunk.first + chunk.tokens;
    ++chunks_;
}

void TraceWriter::sync() {
    if (const int error = io_.sync_data(file_.get()); error < 0) {
        throw Error(say("{} can't be written: {}", path_, base::system_sentence(error)));
    }
}

TraceFile::TraceFile(const fs::path& path) : TraceFile(base::InputFile(path)) {}

TraceFile::TraceFile(base::InputFile&& file) : file_(std::move(file)) {
    try {
        read_head();
    } catch (const Error& error) {
        throw Error(say("{} {}", file_.path(), error.sentence()));
    }
    refresh();
}

void TraceFile::read_head() {
    std::array<std::byte, kHeadBytes> start{};
    if (file_.read_some(0, start) < start.size() ||
        std::memcmp(start.data(), kTraceMark.data(), kTraceMark.size()) != 0) {
        throw Error(say("is no trace"));
    }
    base::Reader reader(std::span<const std::byte>(start).subspan(kTraceMark.size()));
    const auto version = reader.get<std::uint32_t>(), size = reader.get<std::uint32_t>(),
               crc = reader.get<std::uint32_t>();
    if (version != kVersion) {
        throw Error(say("is a trace of version {}; version {} can be read", version, kVersion));
    }
    if (size > kMostHeadJson || size > file_.size() - kHeadBytes) {
        throw Error(say("ends within its head"));
    }
    std::string text(size, '\0');
    file_.read(kHeadBytes, std::span(text));
    if (base::kChecksumsCount && base::crc32c(bytes_of(text)) != crc) {
        throw Error(say("has a damaged head"));
    }
    std::tie(spec_, interventions_) = parse_head(text);
    shape_ = shape_of(spec_);
    limits_ = limits_of(spec_, !interventions_.is_null());
    end_ = kHeadBytes + size;
}

std::uint64_t TraceFile::find_header(std::uint64_t offset) const {
    std::vector<std::byte> piece(kFirstPiece);
    std::array<std::byte, 4> mark{};
    std::memcpy(mark.data(), &kChunkMark, mark.size());
    for (const std::uint64_t stop = offset + kFarthest; offset < stop;) {
        const std::size_t count = file_.read_some(offset, piece);
        const auto begin = piece.begin(), end = begin + static_cast<std::ptrdiff_t>(count);
        for (auto at = std::search(begin, end, mark.begin(), mark.end()); at != end;
             at = std::search(at + 1, end, mark.begin(), mark.end())) {
            const std::uint64_t place = offset + static_cast<std::uint64_t>(at - begin);
            std::span<const std::byte> here(&*at, static_cast<std::size_t>(end - at));
            std::array<std::byte, kMostHeaderBytes> bytes{};
            if (here.size() < bytes.size()) {  // read again only where it goes on: damage may be nothing but marks
                here = std::span(bytes).first(file_.read_some(place, bytes));
            }
            if (read_chunk_header(here, shape_)) {
                return place;
            }
        }
        if (count < piece.size()) {
            return 0;
        }
        offset += count - (mark.size() - 1);  // a mark may lie across two pieces
        piece.resize(std::min(piece.size() * 4, kLargestPiece));
    }
    return 0;
}

void TraceFile::refresh() const {
    const std::lock_guard alone(refreshing_);
    std::vector<Entry> found;
    std::uint64_t end = 0, damaged = 0, left = 0, next_token = 0;
    std::uint64_t missing = 0;
    std::size_t known = 0, gaps = 0, holes = 0;
    bool after_damage = false;
    {
        const std::lock_guard lock(mutex_);
        end = end_;
        known = entries_.size();
        after_damage = after_damage_;
        next_token = known == 0 ? 0 : entries_.back().first + entries_.back().tokens;
    }
    std::array<std::byte, kMostHeaderBytes> bytes{};
    while (known + found.size() < kMostChunks) {
        const std::size_t have = file_.read_some(end, bytes);
        if (have == 0) {
            break;
        }
        const auto header = read_chunk_header(std::span(bytes).first(have), shape_);
        if (!header) {
            const std::uint64_t next = gaps >= kMostGaps ? 0 : find_header(end + 1);
            if (next == 0) {
                left = file_.size() > end ? file_.size() - end : have;
                break;
            }
            damaged += next - end;
            ++gaps;
            after_damage = true;
            end = next;
            continue;
        }
        const std::uint64_t after = end + header->header_bytes + header->packed_bytes;
        std::array<std::byte, 1> last{};
        if (file_.read_some(after - 1, last) == 0) {  // not all of it is there, or not yet
            left = file_.size() > end ? file_.size() - end : have;
            break;
        }
        if (header->first >= next_token) {
            // Behind damaged bytes the tokens that were in them are missing, and that was counted.
            if (header->first > next_token && !after_damage) {
                missing += header->first - next_token;
                ++holes;
            }
            after_damage = false;
            found.push_back({end, header->first, header->tokens});
            next_token = header->first + header->tokens;
        } else {
            damaged += after - end;  // numbers of tokens only rise: it does not belong here
            ++gaps;
        }
        end = after;
    }
    const std::lock_guard lock(mutex_);
    entries_.insert(entries_.end(), found.begin(), found.end());
    end_ = end;
    damaged_ += damaged;
    gaps_ += gaps;
    after_damage_ = after_damage;
    missing_ += missing;
    holes_ += holes;
    left_ = left;
}

std::size_t TraceFile::chunks() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
}

std::uint64_t TraceFile::tokens() const {
    const std::lock_guard lock(mutex_);
    return entries_.empty() ? 0 : entries_.back().first + entries_.back().tokens;
}

std::size_t TraceFile::chunk_holding(std::uint64_t token) const {
    const std::lock_guard lock(mutex_);
    const auto after = std::upper_bound(entries_.begin(), entries_.end(), token,
                                        [](std::uint64_t wanted, const Entry& entry) { return wanted < entry.first; });
    for (auto at = after; at != entries_.begin();) {
        --at;  // chunks without tokens may stand between
        if (at->tokens > 0) {
            return token - at->first < at->tokens ? static_cast<std::size_t>(at - entries_.begin()) : entries_.size();
        }
    }
    return entries_.size();
}

std::optional<ChunkHeader> TraceFile::header_of(std::size_t number, std::uint64_t* offset) const {
    Entry entry;
    {
        const std::lock_guard lock(mutex_);
        if (number >= entries_.size()) {
            return std::nullopt;
        }
        entry = entries_[number];
    }
    if (offset != nullptr) {
        *offset = entry.offset;
    }
    std::array<std::byte, kMostHeaderBytes> bytes{};
    return read_chunk_header(std::span(bytes).first(file_.read_some(entry.offset, bytes)), shape_);
}

std::uint64_t TraceFile::file_bytes(unsigned wanted) const {
    std::uint64_t bytes = 0;
    for (std::size_t number = 0; number < chunks(); ++number) {
        const auto header = header_of(number);
        for (std::size_t i = 0; header && i < header->parts.size(); ++i) {
            bytes += holds_wanted(header->parts[i], wanted) ? header->parts[i].packed : 0;
        }
    }
    return bytes;
}

std::shared_ptr<const Chunk> TraceFile::chunk(std::size_t number, unsigned wanted) const {
    std::uint64_t offset = 0;
    const auto header = header_of(number, &offset);
    if (!header) {
        return nullptr;
    }
    ChunkDecoder decoder(*header, shape_);
    std::vector<std::byte> packed;
    offset += header->header_bytes;
    for (const PartEntry& part : header->parts) {
        if (holds_wanted(part, wanted)) {
            packed.resize(part.packed);
            file_.read(offset, packed);
            if (!decoder.take(part, packed)) {
                return nullptr;
            }
        }
        offset += part.packed;
    }
    auto chunk = decoder.finish(wanted);
    if (!chunk || !possible(*chunk, limits_)) {
        return nullptr;
    }
    note_positions(number, *chunk);
    return chunk;
}

void TraceFile::note_positions(std::size_t number, const Chunk& chunk) const {
    if (chunk.tokens == 0 || chunk.position.size() != chunk.tokens || chunk.document.size() != chunk.tokens) {
        return;
    }
    Positions here;
    here.read = true;
    here.first_document = chunk.document.front();
    here.last_document = chunk.document.back();
    here.first = chunk.position.front();
    here.last = chunk.position.back();
    for (std::size_t at = 1; at < chunk.tokens; ++at) {
        const std::uint64_t lacks = chunk.document[at] == chunk.document[at - 1]
                                        ? missing_between(chunk.position[at - 1], chunk.position[at])
                                        : 0;
        here.missing += lacks;
        here.gaps += lacks > 0 ? 1 : 0;
    }
    const std::lock_guard lock(mutex_);
    if (positions_.size() <= number) {
        positions_.resize(number + 1);
    }
    positions_[number] = here;
}

TraceFile::Positions TraceFile::within_texts() const {
    Positions all;
    const Positions* before = nullptr;
    std::uint64_t next_token = 0;
    for (std::size_t number = 0; number < positions_.size(); ++number) {
        const Positions& here = positions_[number];
        const Entry& entry = entries_[number];
        if (!here.read) {
            continue;
        }
        // Where tokens are missing that have a number, that was counted.
        const bool neighbours =
            before != nullptr && entry.first == next_token && before->last_document == here.first_document;
        const std::uint64_t lacks = neighbours ? missing_between(before->last, here.first) : 0;
        all.missing += here.missing + lacks;
        all.gaps += here.gaps + (lacks > 0 ? 1 : 0);
        before = &here;
        next_token = entry.first + entry.tokens;
    }
    return all;
}

std::size_t TraceFile::damaged_places() const {
    const std::lock_guard lock(mutex_);
    return gaps_ + holes_ + within_texts().gaps + (left_ > 0 ? 1 : 0);
}

std::vector<Sentence> TraceFile::problems(std::size_t damaged_chunks) const {
    const std::lock_guard lock(mutex_);
    std::vector<Sentence> problems;
    if (damaged_chunks > 0) {
        problems.push_back(say("{}: {} of {} pieces of the trace are damaged and left out", file_.path(),
                               damaged_chunks, entries_.size()));
    }
    if (damaged_ > 0) {
        problems.push_back(say("{}: {} bytes between the pieces of the trace are damaged", file_.path(), damaged_));
    }
    if (missing_ > 0) {
        problems.push_back(say("{}: {} tokens are missing: pieces of the trace are not there, in {} places",
                               file_.path(), missing_, holes_));
    }
    if (const Positions texts = within_texts(); texts.gaps > 0) {
        problems.push_back(missing_within_texts(file_.path(), texts.missing, texts.gaps));
    }
    if (left_ > 0) {
        problems.push_back(
            say("{}: its last {} bytes are no whole piece of the trace and are left out", file_.path(), left_));
    }
    return problems;
}

}  // namespace moescope::routing
