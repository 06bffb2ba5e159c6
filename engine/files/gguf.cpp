#include "engine/files/gguf.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string_view>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"

namespace moescope::engine {
namespace {

// Limits far above every real file; they keep a hostile file from costing more than a moment.
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint64_t kMaxKeptStringBytes = 4U << 20;  // a chat template; a longer string is skipped and not kept
constexpr std::uint64_t kMaxValues = 100'000;
constexpr std::uint64_t kMaxTensors = 1'000'000;
constexpr std::uint64_t kMaxTensorNameBytes = 1024;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr int kMaxArrayDepth = 3;
constexpr std::uint64_t kMaxAlignment = 1U << 20;
constexpr std::uint64_t kMaxElements =
    4'000'000;  // texts and lists in all lists; the largest tokenizers have a million
constexpr std::uint64_t kMaxTextBytes = 128ULL << 20;  // of all keys, names and texts that are kept

enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct TensorType {
    std::uint32_t id;
    const char* name;
    std::uint32_t block;  ///< elements
    std::uint32_t bytes;  ///< of one block
};

// Block sizes follow from the layouts: for example Q4_K keeps 256 weights in 2 half floats, 12 bytes of scales and 128
// bytes of quants.
constexpr auto kTensorTypes = std::to_array<TensorType>({
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
});

std::optional<std::uint64_t> scalar_bytes(ValueType type) {
    switch (type) {
        case ValueType::u8:
        case ValueType::i8:
        case ValueType::boolean:
            return 1;
        case ValueType::u16:
        case ValueType::i16:
            return 2;
        case ValueType::u32:
        case ValueType::i32:
        case ValueType::f32:
            return 4;
        case ValueType::u64:
        case ValueType::i64:
        case ValueType::f64:
            return 8;
        default:
            return std::nullopt;
    }
}

std::uint64_t checked_product(std::uint64_t a, std::uint64_t b, const Sentence& what) {
    if (b != 0 && a > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / b) {
        throw Error(say("describes {} whose size overflows", what));
    }
    return a * b;
}

class HeaderReader {
 public:
    explicit HeaderReader(const std::filesystem::path& path) : file_(path) {}
    GgufHeader read();

 private:
    void read_start(std::uint64_t& tensors, std::uint64_t& values);
    void read_value();
    nlohmann::json scalar(ValueType type, const std::string& key);
    ValueType value_type(const std::string& key);
    std::uint64_t skip_array(const std::string& key, int depth);
    std::string string_value();
    void read_tensor();
    std::uint64_t alignment() const;
    void place_tensors();
    /// Called before memory is taken for a text.
    void count_text(std::uint64_t bytes);

    std::uint64_t elements_ = 0, text_bytes_ = 0;
    FileReader file_;
    GgufHeader header_;
    std::set<std::string, std::less<>> names_;
};

void HeaderReader::read_start(std::uint64_t& tensors, std::uint64_t& values) {
    if (file_.text(4, marked("the GGUF mark")) != "GGUF") {
        throw Error(say("does not start with the GGUF mark"));
    }
    header_.version = file_.number<std::uint32_t>(marked("the GGUF version"));
    if ((header_.version & 0xffffU) == 0 && header_.version != 0) {
        throw Error(say("is a big-endian GGUF file; only little-endian ones can be opened"));
    }
    if (header_.version != 2 && header_.version != 3) {
        throw Error(say("has GGUF version {}; versions 2 and 3 can be opened, so convert it again", header_.version));
    }
    tensors = file_.number<std::uint64_t>(marked("the number of tensors"));
    values = file_.number<std::uint64_t>(marked("the number of values"));
    // A value takes at least 13 bytes and a tensor 32, so a count that cannot fit is found before the first is read.
    if (values > kMaxValues || values > file_.left() / 13) {
        throw Error(say("announces {} values, more than can be in it", values));
    }
    if (tensors > kMaxTensors || tensors > file_.left() / 32) {
        throw Error(say("announces {} tensors, more than can be in it", tensors));
    }
}

ValueType HeaderReader::value_type(const std::string& key) {
    const auto type = file_.number<std::uint32_t>(marked("the type of a value"));
    if (type > static_cast<std::uint32_t>(ValueType::f64)) {
        throw Error(say("has a value of the unknown type {} under the key '{}'", type, key));
    }
    return static_cast<ValueType>(type);
}

void HeaderReader::count_text(std::uint64_t bytes) {
    text_bytes_ += bytes;  // each is limited already
    if (text_bytes_ > kMaxTextBytes) {
        throw Error(say("has more than {} bytes of keys, names and texts", kMaxTextBytes));
    }
}

std::string HeaderReader::string_value() {
    const auto length = file_.number<std::uint64_t>(marked("the length of a string"));
    if (length > kMaxKeptStringBytes) {
        file_.skip(length, marked("a string"));
        return {};
    }
    count_text(length);
    return base::to_valid_utf8(file_.text(length, marked("a string")));
}

nlohmann::json HeaderReader::scalar(ValueType type, const std::string& key) {
    constexpr base::Marked kWhat = marked("a value");
    switch (type) {
        case ValueType::u8:
            return file_.number<std::uint8_t>(kWhat);
        case ValueType::i8:
            return file_.number<std::int8_t>(kWhat);
        case ValueType::u16:
            return file_.number<std::uint16_t>(kWhat);
        case ValueType::i16:
            return file_.number<std::int16_t>(kWhat);
        case ValueType::u32:
            return file_.number<std::uint32_t>(kWhat);
        case ValueType::i32:
            return file_.number<std::int32_t>(kWhat);
        case ValueType::f32:
            return file_.number<float>(kWhat);
        case ValueType::u64:
            return file_.number<std::uint64_t>(kWhat);
        case ValueType::i64:
            return file_.number<std::int64_t>(kWhat);
        case ValueType::f64:
            return file_.number<double>(kWhat);
        case ValueType::boolean: {
            const auto value = file_.number<std::uint8_t>(kWhat);
            if (value > 1) {
                throw Error(say("has a truth value of {} under the key '{}'", value, key));
            }
            return value == 1;
        }
        default:
            return string_value();
    }
}

std::uint64_t HeaderReader::skip_array(const std::string& key, int depth) {
    if (depth > kMaxArrayDepth) {
        throw Error(say("has arrays nested more than {} deep under the key '{}'", kMaxArrayDepth, key));
    }
    const ValueType type = value_type(key);
    const auto count = file_.number<std::uint64_t>(marked("the length of an array"));
    if (const auto bytes = scalar_bytes(type)) {
        file_.skip(checked_product(count, *bytes, say("the array '{}'", key)), marked("an array"));
        return count;
    }
    const std::uint64_t least = type == ValueType::string ? 8 : 12;  // a length; a type and a length
    if (count > file_.left() / least) {
        throw Error(say("announces {} elements under the key '{}', more than can be in it", count, key));
    }
    if (count > kMaxElements - elements_) {
        throw Error(
            say("has more than {} texts in its lists, {} of them under the key '{}'", kMaxElements, count, key));
    }
    elements_ += count;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (type == ValueType::string) {
            file_.skip(file_.number<std::uint64_t>(marked("the length of a string")), marked("a string of an array"));
        } else {
            skip_array(key, depth + 1);
        }
    }
    return count;
}

void HeaderReader::read_value() {
    const auto length = file_.number<std::uint64_t>(marked("the length of a key"));
    if (length == 0 || length > kMaxKeyBytes) {
        throw Error(say("has a key of {} bytes at byte {}", length, file_.position()));
    }
    count_text(length);
    const std::string key = base::to_valid_utf8(file_.text(length, marked("a key")));
    if (header_.values.contains(key) || header_.arrays.contains(key)) {
        throw Error(say("has the key '{}' twice", key));
    }
    const ValueType type = value_type(key);
    if (type == ValueType::array) {
        header_.array_offsets[key] = file_.position();
        header_.arrays[key] = skip_array(key, 1);
    } else {
        header_.values[key] = scalar(type, key);
    }
}

void HeaderReader::read_tensor() {
    GgufTensor tensor;
    const auto length = file_.number<std::uint64_t>(marked("the length of a tensor's name"));
    if (length == 0 || length > kMaxTensorNameBytes) {
        throw Error(say("has a tensor with a name of {} bytes", length));
    }
    count_text(length);
    tensor.name = base::to_valid_utf8(file_.text(length, marked("a tensor's name")));
    const Sentence what = say("the tensor '{}'", tensor.name);
    if (!names_.insert(tensor.name).second) {
        throw Error(say("has {} twice", what));
    }
    const auto dimensions = file_.number<std::uint32_t>(marked("the dimensions of a tensor"));
    if (dimensions < 1 || dimensions > kMaxDimensions) {
        throw Error(say("gives {} {} dimensions; 1 to 4 are possible", what, dimensions));
    }
    tensor.elements = 1;
    for (std::uint32_t i = 0; i < dimensions; ++i) {
        const auto size = file_.number<std::uint64_t>(marked("the shape of a tensor"));
        if (size == 0) {
            throw Error(say("gives {} a dimension of 0", what));
        }
        tensor.shape.push_back(size);
        tensor.elements = checked_product(tensor.elements, size, what);
    }
    const auto id = file_.number<std::uint32_t>(marked("the type of a tensor"));
    const auto type =
        std::find_if(kTensorTypes.begin(), kTensorTypes.end(), [&](const TensorType& t) { return t.id == id; });
    if (type == kTensorTypes.end()) {
        throw Error(say("gives {} the unknown type {}", what, id));
    }
    if (tensor.shape[0] % type->block != 0) {
        throw Error(say("gives {} rows of {} weights, which {} cannot hold: it needs a multiple of {}", what,
                        tensor.shape[0], type->name, type->block));
    }
    tensor.type = type->name;
    tensor.bytes = checked_product(tensor.elements / type->block, type->bytes, what);
    tensor.offset = file_.number<std::uint64_t>(marked("the place of a tensor"));
    header_.tensors.push_back(std::move(tensor));
}

std::uint64_t HeaderReader::alignment() const {
    const auto found = header_.values.find("general.alignment");
    if (found == header_.values.end()) {
        return 32;
    }
    const auto value = found->second.is_number_unsigned() ? found->second.get<std::uint64_t>() : 0;
    if (value == 0 || value > kMaxAlignment || (value & (value - 1)) != 0) {
        throw Error(say("has the alignment {}; it must be a power of two", found->second.dump()));
    }
    return value;
}

// Turns offsets into places in the file and checks them: aligned, inside the file, none over another.
void HeaderReader::place_tensors() {
    const std::uint64_t step = alignment();
    header_.data_offset = (file_.position() + step - 1) / step * step;
    std::vector<const GgufTensor*> order;
    for (GgufTensor& tensor : header_.tensors) {
        const Sentence what = say("the tensor '{}'", tensor.name);
        if (tensor.offset % step != 0) {
            throw Error(say("places {} at {}, not on a multiple of {}", what, tensor.offset, step));
        }
        const std::uint64_t room = file_.size() > header_.data_offset ? file_.size() - header_.data_offset : 0;
        if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
            throw Error(say("ends at byte {}, before the end of {}; the download is incomplete or the file is damaged",
                            file_.size(), what));
        }
        tensor.offset += header_.data_offset;
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset) {
            throw Error(say("places the tensor '{}' over the tensor '{}'", order[i]->name, order[i - 1]->name));
        }
    }
}

GgufHeader HeaderReader::read() {
    std::uint64_t tensors = 0, values = 0;
    read_start(tensors, values);
    for (std::uint64_t i = 0; i < values; ++i) {
        read_value();
    }
    for (std::uint64_t i = 0; i < tensors; ++i) {
        read_tensor();
    }
    place_tensors();
    return std::move(header_);
}

}  // namespace

GgufHeader read_gguf(const std::filesystem::path& path) {
    return HeaderReader(path).read();
}

std::string gguf_file_type_name(std::uint64_t file_type) {
    struct Name {
        std::uint64_t id;
        const char* name;
    };
    static constexpr auto kNames = std::to_array<Name>({
        {0, "F32"},     {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},    {7, "Q8_0"},     {8, "Q5_0"},
        {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"},  {12, "Q3_K_M"}, {13, "Q3_K_L"},  {14, "Q4_K_S"},
        {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},  {18, "Q6_K"},   {19, "IQ2_XXS"}, {20, "IQ2_XS"},
        {21, "Q2_K_S"}, {22, "IQ3_XS"}, {23, "IQ3_XXS"}, {24, "IQ1_S"},  {25, "IQ4_NL"},  {26, "IQ3_S"},
        {27, "IQ3_M"},  {28, "IQ2_S"},  {29, "IQ2_M"},   {30, "IQ4_XS"}, {31, "IQ1_M"},   {32, "BF16"},
        {36, "TQ1_0"},  {37, "TQ2_0"},  {38, "MXFP4"},   {39, "NVFP4"},  {40, "Q1_0"},    {41, "Q2_0"},
    });
    const auto found = std::find_if(kNames.begin(), kNames.end(), [&](const Name& n) { return n.id == file_type; });
    return found == kNames.end() ? "" : found->name;
}

}  // namespace moescope::engine
