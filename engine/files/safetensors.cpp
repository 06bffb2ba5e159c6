#include "engine/files/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/half_floats.hpp"
#include "engine/error.hpp"
#include "engine/files/partial_file.hpp"

namespace moescope::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they stand in memory");

struct Dtype {
    const char* name;
    std::uint64_t bits;
};
constexpr Dtype kDtypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};

std::optional<std::uint64_t> bits_of(const std::string& dtype) {
    for (const Dtype& known : kDtypes) {
        if (dtype == known.name) {
            return known.bits;
        }
    }
    return std::nullopt;
}

/// Reads the header by events, so that only the one allowed structure is ever built: no depth, no duplicate keys, no
/// other types.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
    SafetensorsHeader header;
    Sentence problem;

    bool null() override {
        // Some writers say so that there is no metadata; the safetensors library reads it.
        return (place_ == Place::top && name_ == "__metadata__") || refuse(say("has a null"));
    }
    bool boolean(bool) override { return refuse(say("has a true or false")); }
    bool number_integer(number_integer_t) override { return refuse(say("has a negative number")); }
    bool number_float(number_float_t, const string_t&) override {
        return refuse(say("has a number that is not a whole one"));
    }
    bool binary(binary_t&) override { return refuse(say("has binary data")); }
    bool number_unsigned(number_unsigned_t value) override {
        if (place_ == Place::shape) {
            tensor_.shape.push_back(value);
            return tensor_.shape.size() <= kMaxDimensions || refuse(say("has a tensor of more than 64 dimensions"));
        }
        if (place_ == Place::offsets) {
            offsets_.push_back(value);
            return offsets_.size() <= 2 || refuse(say("has more than two data_offsets"));
        }
        return refuse(say("has a number where none belongs"));
    }
    bool string(string_t& value) override {
        if (place_ == Place::metadata) {
            header.metadata[key_] = value;
            return true;
        }
        if (place_ == Place::tensor && key_ == "dtype") {
            tensor_.dtype = value;
            return true;
        }
        return refuse(say("has a text where none belongs"));
    }
    bool start_object(std::size_t) override {
        if (place_ == Place::start) {
            place_ = Place::top;
            return true;
        }
        if (place_ != Place::top) {
            return refuse(say("has an object inside {}", name_));
        }
        place_ = name_ == "__metadata__" ? Place::metadata : Place::tensor;
        tensor_ = {};
        offsets_.clear();
        inner_.clear();
        return true;
    }
    bool key(string_t& value) override {
        std::set<std::string>& seen = place_ == Place::top ? names_ : inner_;
        if (!seen.insert(value).second) {
            return refuse(say("has the key \"{}\" twice", value));
        }
        (place_ == Place::top ? name_ : key_) = value;
        if (place_ == Place::tensor && value != "dtype" && value != "shape" && value != "data_offsets") {
            return refuse(say("has the unknown key \"{}\" in tensor \"{}\"", value, name_));
        }
        return true;
    }
    bool end_object() override {
        if (place_ == Place::tensor) {
            if (inner_.size() != 3 || offsets_.size() != 2) {
                return refuse(say("does not give dtype, shape and two data_offsets for tensor \"{}\"", name_));
            }
            tensor_.begin = offsets_[0];
            tensor_.end = offsets_[1];
            header.tensors.emplace(name_, std::move(tensor_));
        }
        place_ = place_ == Place::top ? Place::done : Place::top;
        return true;
    }
    bool start_array(std::size_t) override {
        if (place_ == Place::tensor && (key_ == "shape" || key_ == "data_offsets")) {
            place_ = key_ == "shape" ? Place::shape : Place::offsets;
            return true;
        }
        return refuse(say("has a list where none belongs"));
    }
    bool end_array() override {
        place_ = Place::tensor;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        return refuse(say("is not valid JSON at byte {}", position));
    }

 private:
    enum class Place { start, top, metadata, tensor, shape, offsets, done };
    static constexpr std::size_t kMaxDimensions = 64;

    bool refuse(Sentence what) {
        problem = std::move(what);
        return false;
    }

    Place place_ = Place::start;
    std::string name_, key_;
    std::set<std::string> names_, inner_;
    SafetensorsTensor tensor_;
    std::vector<std::uint64_t> offsets_;
};

[[noreturn]] void damaged(const std::string& source, const Sentence& what) {
    throw Error(say("{}: not a sound safetensors file, {}; get the file again", source, what));
}

/// Bytes of a tensor, or nothing when the product overflows or a sub-byte type ends inside a byte.
std::optional<std::uint64_t> bytes_of(const SafetensorsTensor& tensor, std::uint64_t bits) {
    std::uint64_t count = 1;
    for (const std::uint64_t size : tensor.shape) {
        if (__builtin_mul_overflow(count, size, &count)) {
            return std::nullopt;
        }
    }
    if (__builtin_mul_overflow(count, bits, &count) || count % 8 != 0) {
        return std::nullopt;
    }
    return count / 8;
}

void check_tensors(const SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& source) {
    std::vector<const SafetensorsTensor*> order;
    for (const auto& [name, tensor] : header.tensors) {
        const auto bits = bits_of(tensor.dtype);
        if (!bits) {
            damaged(source, say("tensor \"{}\" has the unknown type \"{}\"", name, tensor.dtype));
        }
        const auto bytes = bytes_of(tensor, *bits);
        if (!bytes) {
            damaged(source, say("the shape of tensor \"{}\" overflows or does not fill whole bytes", name));
        }
        if (tensor.begin > tensor.end || tensor.end > data_bytes || tensor.end - tensor.begin != *bytes) {
            damaged(source, say("the data_offsets of tensor \"{}\" do not fit its shape and the file", name));
        }
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const SafetensorsTensor* a, const SafetensorsTensor* b) {
        return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::uint64_t at = 0;
    for (const SafetensorsTensor* tensor : order) {
        if (tensor->begin != at) {
            damaged(source, say("its tensors overlap or leave a hole at byte {}", at));
        }
        at = tensor->end;
    }
    if (at != data_bytes) {
        damaged(source, say("its tensors end at byte {} of {}", at, data_bytes));
    }
}

std::uint64_t header_bytes(std::span<const std::byte> prefix, std::uint64_t file_bytes, const std::string& source) {
    if (prefix.size() < 8 || file_bytes < 8) {
        damaged(source, say("it has fewer than 8 bytes"));
    }
    std::uint64_t n = 0;
    std::memcpy(&n, prefix.data(), 8);
    if (n > kSafetensorsMaxHeader) {
        damaged(source, say("its header would be {} bytes long", n));
    }
    if (n > file_bytes - 8) {
        damaged(source, say("its header of {} bytes is longer than the file", n));
    }
    return n;
}

/// Values of a 2- or 8-byte type as floats.
void narrow_or_widen(std::span<const std::byte> bytes, const std::string& dtype, float* into) {
    if (dtype == "F64") {
        for (std::size_t i = 0; i < bytes.size() / 8; ++i) {
            double value = 0;
            std::memcpy(&value, bytes.data() + i * 8, 8);
            into[i] = static_cast<float>(value);
        }
        return;
    }
    for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
        std::uint16_t value = 0;
        std::memcpy(&value, bytes.data() + i * 2, 2);
        into[i] = dtype == "F16" ? base::f16_to_float(value) : base::bf16_to_float(value);
    }
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> prefix, std::uint64_t file_bytes,
                                    const std::string& source) {
    const std::uint64_t n = header_bytes(prefix, file_bytes, source);
    if (n > prefix.size() - 8) {
        damaged(source, say("its header is cut"));
    }
    const char* text = reinterpret_cast<const char*>(prefix.data()) + 8;
    if (n == 0 || text[0] != '{') {
        damaged(source, say("its header does not begin with '{{'"));
    }
    // The parser would take a zero byte for the end of the text.
    if (const void* zero = std::memchr(text, 0, n); zero != nullptr) {
        damaged(source, say("its header {}", say("has a zero byte at byte {}", static_cast<const char*>(zero) - text)));
    }
    HeaderReader reader;
    if (!nlohmann::json::sax_parse(text, text + n, &reader)) {
        damaged(source, say("its header {}", reader.problem.empty() ? say("cannot be read") : reader.problem));
    }
    reader.header.data_begin = 8 + n;
    check_tensors(reader.header, file_bytes - 8 - n, source);
    return std::move(reader.header);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
    const std::uint64_t size = file_.size();
    std::vector<std::byte> prefix(std::min<std::uint64_t>(size, 8));
    file_.read(0, prefix);
    const std::uint64_t n = header_bytes(prefix, size, path.string());
    prefix.resize(8 + n);
    file_.read(8, std::span(prefix).subspan(8));
    header_ = parse_safetensors(prefix, size, path.string());
}

const SafetensorsTensor& SafetensorsFile::find(const std::string& name) const {
    const auto found = header_.tensors.find(name);
    if (found == header_.tensors.end()) {
        throw Error(say("{}: tensor \"{}\" is missing; the file belongs to another model", file_.path(), name));
    }
    return found->second;
}

void SafetensorsFile::read_bytes(std::uint64_t begin, std::span<std::byte> into) const {
    file_.read(header_.data_begin + begin, into);
}

void SafetensorsFile::read_f32(const std::string& name, std::span<float> into) const {
    const SafetensorsTensor& tensor = find(name);
    if (tensor.dtype != "F32" || tensor.end - tensor.begin != into.size_bytes()) {
        throw Error(
            say("{}: tensor \"{}\" is {} of {} bytes, but F32 of {} bytes is needed; the file belongs to another model",
                file_.path(), name, tensor.dtype, tensor.end - tensor.begin, into.size_bytes()));
    }
    read_bytes(tensor.begin, std::as_writable_bytes(into));
}

bool is_float_type(const std::string& dtype) {
    return dtype == "F32" || dtype == "F16" || dtype == "BF16" || dtype == "F64";
}

void SafetensorsFile::read_floats(const std::string& name, std::span<float> into) const {
    const SafetensorsTensor& tensor = find(name);
    const std::uint64_t bytes = tensor.end - tensor.begin;
    const std::uint64_t width = tensor.dtype == "F64" ? 8 : tensor.dtype == "F32" ? 4 : 2;
    if (!is_float_type(tensor.dtype) || bytes / width != into.size()) {
        throw Error(
            say("{}: tensor \"{}\" is {} of {} bytes, but {} values of F32, F16, BF16 or F64 are needed; convert the "
                "file or get another",
                file_.path(), name, tensor.dtype, bytes, into.size()));
    }
    if (width == 4) {
        return read_bytes(tensor.begin, std::as_writable_bytes(into));
    }
    std::vector<std::byte> part(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 20));
    for (std::uint64_t at = 0; at < bytes; at += part.size()) {
        const std::span<std::byte> now = std::span(part).first(std::min<std::uint64_t>(part.size(), bytes - at));
        read_bytes(tensor.begin + at, now);
        narrow_or_widen(now, tensor.dtype, into.data() + at / width);
    }
}

namespace {

/// Bytes of each tensor, with the header's entries.
std::vector<std::uint64_t> place_tensors(const std::filesystem::path& path, nlohmann::json& header,
                                         const std::vector<SafetensorsOutput>& tensors) {
    std::vector<std::uint64_t> sizes;
    std::uint64_t at = 0;
    for (const SafetensorsOutput& tensor : tensors) {
        const std::uint64_t bits = bits_of(tensor.dtype).value_or(0);
        std::uint64_t bytes = bits / 8, end = 0;
        if (bits < 8) {
            throw Error(say("{}: tensor \"{}\" has the unknown type \"{}\"", path, tensor.name, tensor.dtype));
        }
        for (const std::uint64_t size : tensor.shape) {
            if (__builtin_mul_overflow(bytes, size, &bytes)) {
                throw Error(say("{}: the size of tensor \"{}\" overflows", path, tensor.name));
            }
        }
        if (__builtin_add_overflow(at, bytes, &end)) {
            throw Error(say("{}: the tensors are too large together", path));
        }
        header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
        sizes.push_back(bytes);
        at = end;
    }
    return sizes;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::vector<SafetensorsOutput> tensors,
                       const std::map<std::string, std::string>& metadata) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    nlohmann::json header = {{"__metadata__", metadata}};
    header["__metadata__"]["format"] = "pt";
    const std::vector<std::uint64_t> sizes = place_tensors(path, header, tensors);
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    PartialFile output(path);
    std::ofstream& file = output.stream();
    const std::uint64_t length = text.size();
    file.write(reinterpret_cast<const char*>(&length), 8);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    std::vector<float> made;
    for (std::size_t i = 0; i < tensors.size() && file; ++i) {
        const float* data = tensors[i].data;
        if (tensors[i].write) {
            const auto before = file.tellp();
            tensors[i].write(file);
            if (file && static_cast<std::uint64_t>(file.tellp() - before) != sizes[i]) {
                throw Error(
                    say("{}: tensor \"{}\" was written with another size than its shape has", path, tensors[i].name));
            }
            continue;
        }
        if (data == nullptr && tensors[i].fill) {
            made.resize(sizes[i] / sizeof(float));
            tensors[i].fill(made);
            data = made.data();
        }
        file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(sizes[i]));
    }
    output.commit();
}

}  // namespace moescope::engine
