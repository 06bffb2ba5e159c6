#include "sessions/archive.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <unistd.h>
#include <vector>
#include <zstd.h>

#include "base/atomic_files.hpp"
#include "base/checksums.hpp"
#include "base/file_io.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/scratch_folder.hpp"
#include "base/sha256.hpp"
#include "sessions/database.hpp"
#include "sessions/session.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;
using base::Error;
using base::say;
using nlohmann::json;

namespace {

constexpr std::size_t kBlock = 512, kPiece = 256 * 1024;
constexpr std::size_t kSum = 148, kSumBytes = 8;  ///< of a header: the sum of its bytes
constexpr std::uint64_t kLongestList = 16 << 20, kMostFiles = 200'000;
constexpr std::uint64_t kRatio = 1000, kFree = 64 << 20;  ///< what a packed file may become
constexpr std::uint64_t kMostPadding = 1 << 20;           ///< zeros behind the end mark; tar's own are below 10 KiB
constexpr int kLevel = 3, kLargestWindow = 23;            ///< 8 MiB
constexpr int kFormat = 1;
constexpr const char* kCheckpoints = "checkpoints";  ///< in "left_out" of the list

struct Entry {
    std::string name;  ///< in the archive
    fs::path path;     ///< of what is packed
    std::uint64_t size = 0;
    std::string sha256;
};

/// A header of POSIX ustar for a plain file. Names have at most 255 bytes, split at a slash.
std::array<char, kBlock> header_of(const std::string& name, std::uint64_t size) {
    std::array<char, kBlock> block{};
    std::string prefix, rest = name;
    if (name.size() > 100) {
        const auto slash = name.find('/', name.size() - 101);
        if (slash == std::string::npos || slash > 155) {
            throw Error(say("the name {} is too long for an archive", name));
        }
        prefix = name.substr(0, slash);
        rest = name.substr(slash + 1);
    }
    const auto put = [&](std::size_t at, const std::string& text) {
        std::memcpy(&block[at], text.data(), text.size());
    };
    const auto octal = [&](std::size_t at, std::size_t width, std::uint64_t value) {
        for (std::size_t i = width - 1; i-- > 0; value >>= 3) {
            block[at + i] = static_cast<char>('0' + (value & 7));
        }
    };
    put(0, rest);
    octal(100, 8, 0600);
    octal(108, 8, 0);
    octal(116, 8, 0);
    octal(124, 12, size);
    octal(136, 12, 0);
    std::memset(&block[kSum], ' ', kSumBytes);
    block[156] = '0';
    put(257, std::string("ustar\0"
                         "00",
                         8));
    put(345, prefix);
    unsigned sum = 0;
    for (const char byte : block) {
        sum += static_cast<unsigned char>(byte);
    }
    octal(kSum, 7, sum);
    block[154] = '\0';
    return block;
}

/// Writes zstd frames to a file.
class Packer {
 public:
    explicit Packer(const fs::path& file)
        : path_(file),
          file_(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)),
          stream_(ZSTD_createCCtx(), ZSTD_freeCCtx),
          out_(ZSTD_CStreamOutSize()) {
        if (!file_) {
            throw Error(say("{} can't be written: {}", file, base::system_sentence(errno)));
        }
        if (!stream_ || ZSTD_isError(ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, kLevel)) != 0 ||
            ZSTD_isError(ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1)) != 0) {
            throw Error(say("there is not enough memory to pack {}", file));
        }
    }
    void put(const void* data, std::size_t size, ZSTD_EndDirective end = ZSTD_e_continue) {
        ZSTD_inBuffer in{data, size, 0};
        std::size_t left = 1;
        while (in.pos < in.size || (end == ZSTD_e_end && left != 0)) {
            ZSTD_outBuffer out{out_.data(), out_.size(), 0};
            left = ZSTD_compressStream2(stream_.get(), &out, &in, end);
            if (ZSTD_isError(left) != 0) {
                throw Error(say("{} can't be packed: {}", path_, ZSTD_getErrorName(left)));
            }
            if (const int error = base::write_all(file_.get(), std::span(out_.data(), out.pos)); error != 0) {
                throw Error(say("{} can't be written: {}", path_, base::system_sentence(error)));
            }
        }
    }
    void pad(std::uint64_t size) {
        const std::array<char, kBlock> zeros{};
        put(zeros.data(), static_cast<std::size_t>((kBlock - size % kBlock) % kBlock));
    }
    void finish() {
        const std::array<char, 2 * kBlock> zeros{};
        put(zeros.data(), zeros.size());
        put(nullptr, 0, ZSTD_e_end);
    }

 private:
    const fs::path path_;
    base::Descriptor file_;
    std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> stream_;
    std::vector<std::byte> out_;
};

/// The unpacked bytes of a file, at most `limit` of them.
class Unpacker {
 public:
    explicit Unpacker(const fs::path& file)
        : in_file_(file),
          stream_(ZSTD_createDCtx(), ZSTD_freeDCtx),
          in_bytes_(static_cast<std::size_t>(std::clamp<std::uint64_t>(in_file_.size(), 1, ZSTD_DStreamInSize()))),
          limit_(in_file_.size() * kRatio + kFree) {
        if (!stream_ || ZSTD_isError(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kLargestWindow)) != 0) {
            throw Error(say("there is not enough memory to unpack {}", file));
        }
    }
    /// Exactly so many.
    void take(void* to, std::size_t size) {
        ZSTD_outBuffer out{to, size, 0};
        while (out.pos < out.size) {
            if (in_.pos == in_.size && !more()) {
                throw cut();
            }
            const std::size_t code = ZSTD_decompressStream(stream_.get(), &out, &in_);
            if (ZSTD_isError(code) != 0) {
                throw Error(say("{} can't be unpacked: {}", in_file_.path(), ZSTD_getErrorName(code)));
            }
            whole_ = code == 0;
        }
        given_ += size;
        if (given_ > limit_) {
            throw Error(say("{} becomes more than {} times its size when it is unpacked; that is no session",
                            in_file_.path(), kRatio));
        }
    }
    /// The frame has come to its end with its checksum, and nothing lies behind the end mark but zeros, with which
    /// other programs fill up their last record.
    void end() {
        std::array<char, kBlock> beyond{};
        std::uint64_t zeros = 0;
        const auto too_long = [&] { return Error(say("{} has something behind its end", in_file_.path())); };
        while (!whole_) {
            if (in_.pos == in_.size && !more()) {
                throw cut();
            }
            ZSTD_outBuffer out{beyond.data(), beyond.size(), 0};
            const std::size_t code = ZSTD_decompressStream(stream_.get(), &out, &in_);
            if (ZSTD_isError(code) != 0) {
                throw Error(say("{} can't be unpacked: {}", in_file_.path(), ZSTD_getErrorName(code)));
            }
            whole_ = code == 0;
            zeros += out.pos;
            if (zeros > kMostPadding || std::any_of(beyond.data(), beyond.data() + out.pos, [](char c) { return c; })) {
                throw too_long();
            }
        }
        if (in_.pos < in_.size || at_ < in_file_.size()) {
            throw too_long();
        }
    }
    const fs::path& path() const { return in_file_.path(); }
    std::uint64_t packed() const { return in_file_.size(); }

 private:
    Error cut() const { return Error(say("{} ends too early: it is cut", in_file_.path())); }
    bool more() {
        const std::size_t count = in_file_.read_some(at_, std::span(in_bytes_));
        at_ += count;
        in_ = {in_bytes_.data(), count, 0};
        return count > 0;
    }

    const base::InputFile in_file_;
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> stream_;
    std::vector<std::byte> in_bytes_;
    ZSTD_inBuffer in_{nullptr, 0, 0};
    std::uint64_t at_ = 0, given_ = 0;
    const std::uint64_t limit_;
    bool whole_ = false;
};

/// A relative path of plain names.
bool is_plain_name(const std::string& name) {
    const fs::path path(name);
    return !name.empty() && name.size() <= 255 && !path.is_absolute() && name.back() != '/' &&
           path.lexically_normal() == path && path.lexically_normal().string() == name &&
           std::none_of(path.begin(), path.end(),
                        [](const fs::path& part) { return part == ".." || part == "." || part.empty(); }) &&
           std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < ' ' || c == 0x7f || c == '\\'; });
}

/// Does write_archive() put files of that name into an archive?
bool is_of_a_session(const std::string& name) {
    return name == "manifest.json" || name == "session.db" || name.starts_with("segments/") ||
           name.starts_with("checkpoints/") || name.starts_with("files/");
}

struct Header {
    std::string name;
    std::uint64_t size = 0;
};

/// Nothing for a block of zeros, with which the tar ends.
std::optional<Header> read_header(Unpacker& in) {
    std::array<char, kBlock> block{};
    in.take(block.data(), block.size());
    if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) {
        return std::nullopt;
    }
    const auto text = [&](std::size_t at, std::size_t width) {
        return std::string(&block[at], ::strnlen(&block[at], width));
    };
    Header header;
    const std::string prefix = text(345, 155), digits = text(124, 12);
    header.name = prefix.empty() ? text(0, 100) : prefix + "/" + text(0, 100);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), header.size, 8);
    // What this program writes has one form, so anything else was made by somebody else.
    const auto is_ours = [&] {
        auto ours = header_of(header.name, header.size);
        if (!base::kChecksumsCount) {
            std::copy_n(&block[kSum], kSumBytes, &ours[kSum]);
        }
        return block == ours;
    };
    if (error != std::errc() || end != digits.data() + digits.size() || !is_plain_name(header.name) || !is_ours()) {
        throw Error(say("{} holds something else than plain files of a session", in.path()));
    }
    return header;
}

/// Records are appended while this runs: what is there now counts.
void add_file(std::vector<Entry>& entries, const fs::path& root, const fs::path& path, std::uint64_t most) {
    const base::InputFile file(path);
    base::Sha256 hash;
    std::vector<char> piece(kPiece);
    const std::uint64_t size = std::min(file.size(), most);
    for (std::uint64_t at = 0; at < size;) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size - at));
        file.read(at, std::span(piece).first(count));
        hash.add({piece.data(), count});
        at += count;
    }
    std::string name = fs::relative(path, root).string();
    if (!is_plain_name(name)) {
        throw Error(say("the name {} can't stand in an archive", name));
    }
    entries.push_back({std::move(name), path, size, hash.finish()});
}

void add_folder(std::vector<Entry>& entries, const fs::path& root, const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> files;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (name.find(".tmp-") != std::string::npos) {
            it.disable_recursion_pending();  // being written
        } else if (it->is_regular_file(error) && !it->is_symlink(error)) {
            files.push_back(it->path());
        }
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        add_file(entries, root, file, UINT64_MAX);
    }
}

/// Folders whose last file is there.
std::vector<fs::path> whole_checkpoints(const fs::path& session) {
    std::vector<fs::path> folders;
    std::error_code error;
    for (fs::directory_iterator run(session / "checkpoints", error), end; !error && run != end; run.increment(error)) {
        std::error_code inner;
        for (fs::directory_iterator step(run->path(), inner), last; !inner && step != last; step.increment(inner)) {
            if (fs::exists(step->path() / "DONE", inner)) {
                folders.push_back(step->path());
            }
        }
    }
    std::sort(folders.begin(), folders.end());
    return folders;
}

json list_of(const std::vector<Entry>& entries, Checkpoints checkpoints) {
    json files = json::array();
    for (const Entry& entry : entries) {
        files.push_back({{"path", entry.name}, {"size", entry.size}, {"sha256", entry.sha256}});
    }
    json list = {{"format", kFormat}, {"program", "moescope " MOESCOPE_VERSION}, {"files", std::move(files)}};
    if (checkpoints == Checkpoints::left_out) {
        list["left_out"] = {kCheckpoints};
    }
    return list;
}

void pack_file(Packer& out, const Entry& entry, const std::function<void(std::uint64_t)>& done) {
    const base::InputFile file(entry.path);
    base::Sha256 hash;
    std::vector<char> piece(kPiece);
    const auto header = header_of(entry.name, entry.size);
    out.put(header.data(), header.size());
    for (std::uint64_t at = 0; at < entry.size;) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), entry.size - at));
        file.read(at, std::span(piece).first(count));
        hash.add({piece.data(), count});
        out.put(piece.data(), count);
        at += count;
        done(count);
    }
    out.pad(entry.size);
    if (hash.finish() != entry.sha256) {
        throw Error(say("{} changed while it was packed; do it again", entry.path));
    }
}

struct List {
    std::vector<Entry> entries;
    bool without_checkpoints = false;
};

List read_list(Unpacker& in) {
    const auto header = read_header(in);
    if (!header || header->name != kArchiveList || header->size > kLongestList) {
        throw Error(say("{} is no archive of a session", in.path()));
    }
    std::string text(static_cast<std::size_t>(header->size), '\0');
    in.take(text.data(), text.size());
    std::array<char, kBlock> padding{};
    in.take(padding.data(), static_cast<std::size_t>((kBlock - header->size % kBlock) % kBlock));
    const auto list = base::parse_object(text, kLongestList);
    if (!list || !base::member(*list, "files").is_array()) {
        throw Error(say("{} is no archive of a session", in.path()));
    }
    if (base::count_of(*list, "format") > kFormat) {
        throw Error(say("{} was written by a newer version; update this program to open it", in.path()));
    }
    std::vector<Entry> entries;
    std::set<std::string> names;
    for (const json& file : base::member(*list, "files")) {
        Entry entry{base::text_of(file, "path"), {}, base::count_of(file, "size"), base::text_of(file, "sha256")};
        if (!is_plain_name(entry.name) || !is_of_a_session(entry.name) || !names.insert(entry.name).second ||
            entries.size() >= kMostFiles) {
            throw Error(say("{} names a file that no session has, or one twice", in.path()));
        }
        entries.push_back(std::move(entry));
    }
    const json& left_out = base::member(*list, "left_out");
    const bool without =
        left_out.is_array() && std::find(left_out.begin(), left_out.end(), kCheckpoints) != left_out.end();
    return {std::move(entries), without};
}

void unpack_file(Unpacker& in, const Entry& entry, const fs::path& to, const std::function<void(std::uint64_t)>& done) {
    const auto header = read_header(in);
    if (!header || header->name != entry.name || header->size != entry.size) {
        throw Error(say("{} does not hold what its list says: {}", in.path(), entry.name));
    }
    std::error_code made;
    fs::create_directories(to.parent_path(), made);
    if (made) {  // as where a file of that name came before
        throw Error(say("{} can't be made: {}", to.parent_path(), made));
    }
    const base::Descriptor file(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
        throw Error(say("{} can't be written: {}", to, base::system_sentence(errno)));
    }
    base::Sha256 hash;
    std::vector<char> piece(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, entry.size)));
    for (std::uint64_t at = 0; at < entry.size;) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), entry.size - at));
        in.take(piece.data(), count);
        hash.add({piece.data(), count});
        if (const int error = base::write_all(file.get(), std::as_bytes(std::span(piece).first(count))); error != 0) {
            throw Error(say("{} can't be written: {}", to, base::system_sentence(error)));
        }
        at += count;
        done(count);
    }
    std::array<char, kBlock> padding{};
    in.take(padding.data(), static_cast<std::size_t>((kBlock - entry.size % kBlock) % kBlock));
    if (base::kChecksumsCount && hash.finish() != entry.sha256) {
        throw Error(say("{} is damaged: {} has another hash than its list says", in.path(), entry.name));
    }
    if (::fsync(file.get()) != 0) {
        throw Error(say("{} can't be written: {}", to, base::system_sentence(errno)));
    }
}

/// The names in it, and in the folders below it. Its files are durable already.
void sync_folders(const fs::path& folder) {
    std::vector<fs::path> folders{folder};
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_directory()) {
            folders.push_back(entry.path());
        }
    }
    for (const fs::path& each : folders) {
        if (const int failure = base::FileIo::system().sync_folder(each); failure != 0) {
            throw Error(say("{} can't be written: {}", each, base::system_sentence(failure)));
        }
    }
}

/// Counts bytes for the progress.
class Done {
 public:
    Done(const ArchiveProgress& progress, std::uint64_t total) : progress_(progress), total_(total) {}
    Done(const Done&) = delete;  // a copy would count from where it was taken
    Done& operator=(const Done&) = delete;
    void operator()(std::uint64_t bytes) {
        done_ += bytes;
        if (progress_) {
            progress_(done_, total_);
        }
    }

 private:
    const ArchiveProgress& progress_;
    std::uint64_t done_ = 0;
    const std::uint64_t total_;
};

ArchiveSummary summary_of(const std::vector<Entry>& entries) {
    ArchiveSummary summary;
    summary.files = entries.size();
    for (const Entry& entry : entries) {
        if (__builtin_add_overflow(summary.bytes, entry.size, &summary.bytes)) {
            throw Error(say("the files of this archive have more bytes than can be counted"));
        }
    }
    return summary;
}

/// Throws base::Error where the unpacked folder could not be opened as a session.
void require_session(const fs::path& unpacked, const fs::path& archive) {
    require_known_version(unpacked);
    try {
        (void)Session::open(unpacked, Journal::Mode::read_only);
    } catch (const OpenError&) {  // its sentence names a folder that nobody gets to see
        throw Error(say("{} holds no session: a readable manifest.json is missing in it", archive));
    }
}

}  // namespace

ArchiveSummary write_archive(const fs::path& session, const fs::path& file, const ArchiveProgress& progress,
                             Checkpoints checkpoints) {
    require_known_version(session);
    const base::ScratchFolder scratch;
    std::vector<Entry> entries;
    add_file(entries, session, session / "manifest.json", UINT64_MAX);
    std::error_code error;
    if (fs::exists(session / "session.db", error)) {
        copy_database(session / "session.db", scratch.path() / "session.db");
        add_file(entries, scratch.path(), scratch.path() / "session.db", UINT64_MAX);
    }
    add_folder(entries, session, session / "segments");
    if (checkpoints == Checkpoints::packed) {
        for (const fs::path& checkpoint : whole_checkpoints(session)) {
            add_folder(entries, session, checkpoint);
        }
    }
    add_folder(entries, session, session / "files");
    ArchiveSummary summary = summary_of(entries);
    summary.without_checkpoints = checkpoints == Checkpoints::left_out;
    Done done(progress, summary.bytes);
    Packer out(file);
    const std::string list = base::dump_json(list_of(entries, checkpoints));
    const auto header = header_of(kArchiveList, list.size());
    out.put(header.data(), header.size());
    out.put(list.data(), list.size());
    out.pad(list.size());
    for (const Entry& entry : entries) {
        pack_file(out, entry, std::ref(done));
    }
    out.finish();
    return summary;
}

ArchiveSummary unpack_archive(const fs::path& file, const fs::path& folder, const ArchiveProgress& progress) {
    std::error_code error;
    const fs::path target = fs::absolute(folder);
    if (fs::exists(fs::symlink_status(target, error))) {
        throw Error(say("{} is there already; choose another folder", target));
    }
    Unpacker in(file);
    const auto [entries, without_checkpoints] = read_list(in);
    ArchiveSummary summary = summary_of(entries);
    summary.without_checkpoints = without_checkpoints;
    if (summary.bytes > in.packed() * kRatio + kFree) {
        throw Error(
            say("{} becomes more than {} times its size when it is unpacked; that is no session", file, kRatio));
    }
    base::make_private_folders(target.parent_path());
    if (const auto space = fs::space(target.parent_path(), error); !error && space.available < summary.bytes) {
        throw Error(say("{} needs {} bytes, and {} has {}", file, summary.bytes, target.parent_path(),
                        std::uint64_t{space.available}));
    }
    const base::WorkFolder work(target);
    const fs::path unpacked = work.path() / "session";
    fs::create_directory(unpacked);
    fs::permissions(unpacked, fs::perms::owner_all);
    Done done(progress, summary.bytes);
    for (const Entry& entry : entries) {
        unpack_file(in, entry, unpacked / entry.name, std::ref(done));
    }
    if (read_header(in) || read_header(in)) {
        throw Error(say("{} holds more than its list says", file));
    }
    in.end();
    require_session(unpacked, file);
    sync_folders(unpacked);
    fs::rename(unpacked, target, error);
    if (error) {
        throw Error(say("{} can't be made: {}", target, error));
    }
    if (const int failure = base::FileIo::system().sync_folder(target.parent_path()); failure != 0) {
        throw Error(say("{} can't be made: {}", target, base::system_sentence(failure)));
    }
    return summary;
}

bool looks_like_archive(const fs::path& file) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) {
        return false;
    }
    try {
        Unpacker in(file);
        const auto header = read_header(in);
        return header && header->name == kArchiveList;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace moescope::sessions
