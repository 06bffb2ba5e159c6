#include "nodes/curves/event_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.hpp"
#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/little_endian.hpp"
#include "nodes/curves/masked_checksum.hpp"

namespace moescope::curves {

namespace fs = std::filesystem;
using base::say;
using Bytes = std::span<const std::byte>;

namespace {

constexpr std::size_t kHead = 12, kTail = 4;                   // of a record
constexpr std::uint64_t kMostRecord = std::uint64_t{8} << 20;  // longer ones hold graphs and pictures
constexpr std::size_t kWindow = std::size_t{1} << 20;          // bytes read at once
constexpr std::size_t kMostName = 1000;                        // bytes of a tag
constexpr std::uint32_t kFloat = 1, kDouble = 2;               // DataType of TensorFlow
constexpr std::uint64_t kSessionStart = 1;
constexpr std::string_view kScalars = "scalars";

/// One field of a protobuf message.
struct Field {
    std::uint32_t number = 0;
    enum class Kind : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } kind = Kind::varint;
    std::uint64_t value = 0;  ///< of all but bytes
    Bytes bytes;
};

/// The fields of one message, in order. Allocates nothing.
class Message {
 public:
    explicit Message(Bytes data) : data_(data) {}
    /// The next field; nothing at the end, and when the bytes are none.
    std::optional<Field> next() {
        if (!good_ || data_.empty()) {
            return std::nullopt;
        }
        const std::uint64_t head = varint();
        Field field;
        field.number = static_cast<std::uint32_t>(head >> 3);
        if (!good_ || (head >> 3) == 0 || (head >> 3) > 0x1FFFFFFF) {
            return fail();
        }
        switch (head & 7) {
            case 0:
                field.kind = Field::Kind::varint;
                field.value = varint();
                break;
            case 1:
                field.kind = Field::Kind::fixed64;
                field.value = fixed<std::uint64_t>();
                break;
            case 2: {
                field.kind = Field::Kind::bytes;
                const std::uint64_t size = varint();
                if (!good_ || size > data_.size()) {
                    return fail();
                }
                field.bytes = data_.first(static_cast<std::size_t>(size));
                data_ = data_.subspan(static_cast<std::size_t>(size));
                break;
            }
            case 5:
                field.kind = Field::Kind::fixed32;
                field.value = fixed<std::uint32_t>();
                break;
            default:
                return fail();  // groups: nobody writes them any more
        }
        return good_ ? std::optional(field) : std::nullopt;
    }
    bool good() const { return good_; }

 private:
    std::optional<Field> fail() {
        good_ = false;
        return std::nullopt;
    }
    std::uint64_t varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (data_.empty()) {
                break;
            }
            const auto byte = static_cast<std::uint64_t>(data_.front());
            data_ = data_.subspan(1);
            if (shift == 63 && byte > 1) {
                break;
            }
            value |= (byte & 0x7F) << shift;
            if ((byte & 0x80) == 0) {
                return value;
            }
        }
        good_ = false;
        return 0;
    }
    template <class T>
    std::uint64_t fixed() {
        T value{};
        if (data_.size() < sizeof value) {
            good_ = false;
            return 0;
        }
        std::memcpy(&value, data_.data(), sizeof value);
        data_ = data_.subspan(sizeof value);
        return value;
    }

    Bytes data_;
    bool good_ = true;
};

std::string text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What an Event says that counts here.
struct Event {
    double wall_time = 0;
    std::int64_t step = 0;
    Bytes summary;
    bool restarted = false;
};

bool parse(Bytes record, Event& event) {
    Message message(record);
    while (const auto field = message.next()) {
        if (field->number == 1 && field->kind == Field::Kind::fixed64) {
            event.wall_time = std::bit_cast<double>(field->value);
        } else if (field->number == 2 && field->kind == Field::Kind::varint) {
            event.step = static_cast<std::int64_t>(field->value);
        } else if (field->number == 5 && field->kind == Field::Kind::bytes) {
            event.summary = field->bytes;
        } else if (field->number == 7 && field->kind == Field::Kind::bytes) {
            Message log(field->bytes);
            while (const auto part = log.next()) {
                event.restarted = event.restarted || (part->number == 1 && part->value == kSessionStart);
            }
            if (!log.good()) {
                return false;
            }
        }
    }
    return message.good();
}

/// The number of a tensor of one; nothing when it holds more, less or something else.
std::optional<double> number_in(Bytes tensor, bool& good) {
    std::uint64_t type = 0, count = 1;
    Bytes content;
    std::optional<double> listed;
    std::size_t numbers = 0;
    const auto take = [&](const Field& field, std::size_t width) {
        if (field.kind == Field::Kind::bytes) {  // packed
            good = good && field.bytes.size() % width == 0;
            numbers += field.bytes.size() / width;
            if (field.bytes.size() < width) {
                return;
            }
            base::Reader reader(field.bytes);
            listed = width == sizeof(float) ? static_cast<double>(reader.get<float>()) : reader.get<double>();
        } else {
            ++numbers;
            listed = width == sizeof(float)
                         ? static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(field.value)))
                         : std::bit_cast<double>(field.value);
        }
    };
    Message message(tensor);
    while (const auto field = message.next()) {
        if (field->number == 1) {
            type = field->value;
        } else if (field->number == 2) {
            Message shape(field->bytes);
            while (const auto part = shape.next()) {
                if (part->number != 2) {
                    continue;
                }
                Message dimension(part->bytes);
                while (const auto size = dimension.next()) {
                    count = size->number == 1 && size->value != 1 ? 0 : count;
                }
                good = good && dimension.good();
            }
            good = good && shape.good();
        } else if (field->number == 4) {
            content = field->bytes;
        } else if (field->number == 5 && field->kind != Field::Kind::fixed64) {
            take(*field, sizeof(float));
        } else if (field->number == 6 && field->kind != Field::Kind::fixed32) {
            take(*field, sizeof(double));
        }
    }
    good = good && message.good();
    if (!good || count != 1 || (type != kFloat && type != kDouble)) {
        return std::nullopt;
    }
    if (content.size() == (type == kFloat ? sizeof(float) : sizeof(double))) {
        base::Reader reader(content);
        return type == kFloat ? static_cast<double>(reader.get<float>()) : reader.get<double>();
    }
    return content.empty() && numbers == 1 ? listed : std::nullopt;
}

/// The scalars of the records of one file.
class Scalars {
 public:
    explicit Scalars(Collector& curves) : curves_(curves) {}

    /// False when the bytes are no event.
    bool add(Bytes record) {
        Event event;
        if (!parse(record, event)) {
            return false;
        }
        if (event.restarted) {
            curves_.restart(event.step);
        }
        Message summary(event.summary);
        while (const auto field = summary.next()) {
            if (field->number == 1 && field->kind == Field::Kind::bytes && !add_value(event, field->bytes)) {
                return false;
            }
        }
        return summary.good();
    }
    std::uint64_t others() const { return others_; }  ///< values that are no scalars

 private:
    bool add_value(const Event& event, Bytes bytes) {
        std::string tag;
        std::optional<double> value;
        Bytes tensor;
        bool has_tensor = false, good = true;
        Message message(bytes);
        while (const auto field = message.next()) {
            if (field->number == 1 && field->kind == Field::Kind::bytes) {
                tag = text_of(field->bytes.first(std::min(field->bytes.size(), kMostName + 1)));
            } else if (field->number == 2 && field->kind == Field::Kind::fixed32) {
                value = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(field->value)));
            } else if (field->number == 8 && field->kind == Field::Kind::bytes) {
                tensor = field->bytes;
                has_tensor = true;
            } else if (field->number == 9 && field->kind == Field::Kind::bytes) {
                good = good && learn_plugin(tag, field->bytes);
            }
        }
        if (!message.good() || !good) {
            return false;
        }
        if (has_tensor && !value && !other_plugins_.contains(tag)) {
            value = number_in(tensor, good);
        }
        if (value && !tag.empty() && tag.size() <= kMostName) {
            curves_.add(tag, "", event.step, *value, event.wall_time);
        } else {
            ++others_;
        }
        return good;
    }

    /// Which plugin a tag is of stands in its first value alone.
    bool learn_plugin(const std::string& tag, Bytes metadata) {
        Message message(metadata);
        bool good = true;
        while (const auto field = message.next()) {
            if (field->number != 1 || field->kind != Field::Kind::bytes) {
                continue;
            }
            Message plugin(field->bytes);
            while (const auto part = plugin.next()) {
                if (part->number == 1 && part->kind == Field::Kind::bytes && !part->bytes.empty() &&
                    part->bytes.size() <= kMostName && text_of(part->bytes) != kScalars &&
                    other_plugins_.size() < protocol::kMostCurves) {
                    other_plugins_.insert(tag);
                }
            }
            good = good && plugin.good();
        }
        return good && message.good();
    }

    Collector& curves_;
    std::set<std::string> other_plugins_;
    std::uint64_t others_ = 0;
};

/// A file in pieces that are larger than what is asked for.
class Window {
 public:
    explicit Window(const base::InputFile& file) : file_(file) {}
    std::uint64_t size() const { return file_.size(); }
    /// `size` <= kMostRecord bytes that are there; valid until the next call.
    Bytes at(std::uint64_t offset, std::size_t size) {
        if (offset < begin_ || offset - begin_ > bytes_.size() || size > bytes_.size() - (offset - begin_)) {
            begin_ = offset;
            bytes_.resize(
                static_cast<std::size_t>(std::min<std::uint64_t>(std::max(size, kWindow), file_.size() - offset)));
            file_.read(offset, std::span<std::byte>(bytes_));
        }
        return Bytes(bytes_).subspan(static_cast<std::size_t>(offset - begin_), size);
    }
    std::uint32_t crc_of(std::uint64_t offset, std::uint64_t size, const std::function<void()>& check) {
        std::uint32_t crc = 0;
        while (size > 0) {
            check();
            const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size, kWindow));
            crc = base::crc32c(at(offset, part), crc);
            offset += part;
            size -= part;
        }
        return crc;
    }

 private:
    const base::InputFile& file_;
    std::uint64_t begin_ = 0;
    std::vector<std::byte> bytes_;
};

std::uint32_t crc_at(Bytes bytes) {
    return base::Reader(bytes).get<std::uint32_t>();
}

void read_records(Window& file, Scalars& scalars, std::vector<base::Sentence>& notes, std::uint64_t& skipped,
                  const std::function<void()>& check) {
    std::uint64_t offset = 0, next_check = 0;
    while (offset < file.size()) {
        if (offset >= next_check) {
            check();
            next_check = offset + kWindow;
        }
        const std::uint64_t left = file.size() - offset;
        std::uint64_t length = 0;
        if (left >= kHead) {
            const Bytes head = file.at(offset, kHead);
            length = base::Reader(head).get<std::uint64_t>();
            if (masked(base::crc32c(head.first(sizeof length))) != crc_at(head.subspan(sizeof length))) {
                throw Unfit(say("the length at byte {} has a wrong checksum: the file is damaged", offset));
            }
        }
        if (left < kHead || length > left - kHead || left - kHead - length < kTail) {
            notes.push_back(say("its last record is not whole and is left out, as of a file that is still written"));
            return;
        }
        const std::uint64_t begin = offset + kHead;
        const bool wanted = length <= kMostRecord;
        const std::uint32_t crc =
            wanted ? base::crc32c(file.at(begin, static_cast<std::size_t>(length))) : file.crc_of(begin, length, check);
        if (masked(crc) != crc_at(file.at(begin + length, kTail))) {
            throw Unfit(say("the record at byte {} has a wrong checksum: the file is damaged", offset));
        }
        skipped += wanted ? 0 : 1;
        if (wanted && !scalars.add(file.at(begin, static_cast<std::size_t>(length)))) {
            throw Unfit(say("the record at byte {} is no event", offset));
        }
        offset = begin + length + kTail;
    }
}

}  // namespace

bool is_event_file(const fs::path& path) {
    try {
        const base::InputFile file(path);
        std::array<std::byte, kHead> head{};
        if (file.read_some(0, std::span<std::byte>(head)) != head.size()) {
            return false;
        }
        return masked(base::crc32c(Bytes(head).first(8))) == crc_at(Bytes(head).subspan(8));
    } catch (const base::Error&) {
        return false;
    }
}

bool has_event_name(const fs::path& path) {
    return path.filename().string().find("tfevents") != std::string::npos;
}

void read_event_file(const fs::path& path, Collector& curves, std::vector<base::Sentence>& notes,
                     const std::function<void()>& check) {
    const base::InputFile file(path);
    Window window(file);
    Scalars scalars(curves);
    std::vector<base::Sentence> here;
    std::uint64_t skipped = 0;
    try {
        read_records(window, scalars, here, skipped, check);
    } catch (const Unfit& error) {
        throw base::Error(say("{}: {}", path, error));
    }
    if (scalars.others() > 0) {
        here.push_back(
            say("{} values that are no scalars (pictures, histograms, texts) are left out", scalars.others()));
    }
    if (skipped > 0) {
        here.push_back(say("{} records of more than {} MiB are left out", skipped, kMostRecord >> 20));
    }
    for (const base::Sentence& note : here) {
        notes.push_back(say("{}: {}", path, note));
    }
}

}  // namespace moescope::curves
