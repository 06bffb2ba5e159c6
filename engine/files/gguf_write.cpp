#include "engine/files/gguf_write.hpp"

#include <bit>
#include <fstream>

#include "base/half_floats.hpp"
#include "engine/error.hpp"
#include "engine/files/partial_file.hpp"

namespace moescope::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they stand in memory");

constexpr std::uint64_t kAlignment = 32;
constexpr std::uint32_t kVersion = 3;
constexpr std::uint32_t kArray = 9;

template <class Value>
constexpr std::uint32_t type_id() {
    if constexpr (std::is_same_v<Value, std::uint8_t>) {
        return 0;
    } else if constexpr (std::is_same_v<Value, std::uint16_t>) {
        return 2;
    } else if constexpr (std::is_same_v<Value, std::uint32_t>) {
        return 4;
    } else if constexpr (std::is_same_v<Value, std::int32_t>) {
        return 5;
    } else if constexpr (std::is_same_v<Value, float>) {
        return 6;
    } else if constexpr (std::is_same_v<Value, bool>) {
        return 7;
    } else {
        static_assert(std::is_same_v<Value, std::string>);
        return 8;
    }
}

class Bytes {
 public:
    template <class Value>
    void number(Value value) {
        text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void text(const std::string& value) {
        number<std::uint64_t>(value.size());
        text_ += value;
    }
    void value(const GgufValue& any) {
        std::visit([this](const auto& value) { add(value); }, any);
    }
    const std::string& str() const { return text_; }

 private:
    template <class Value>
    void add(const Value& value) {
        number(type_id<Value>());
        element(value);
    }
    template <class Value>
    void add(const std::vector<Value>& values) {
        number(kArray);
        number(type_id<Value>());
        number<std::uint64_t>(values.size());
        for (const Value& value : values) {
            element(value);
        }
    }
    template <class Value>
    void element(const Value& value) {
        if constexpr (std::is_same_v<Value, std::string>) {
            text(value);
        } else {
            number(value);
        }
    }

    std::string text_;
};

std::uint64_t elements_of(const GgufOutput& tensor) {
    std::uint64_t count = 1;
    bool sound = !tensor.shape.empty() && tensor.shape.size() <= 4;
    for (const std::uint64_t size : tensor.shape) {
        sound = sound && size > 0 && !__builtin_mul_overflow(count, size, &count);
    }
    if (!sound || count > (std::uint64_t{1} << 60)) {
        throw Error(say("tensor \"{}\" has a shape that GGUF cannot hold", tensor.name));
    }
    return count;
}

std::uint64_t bytes_of(const GgufOutput& tensor) {
    return elements_of(tensor) * (tensor.type == GgufFloat::f32 ? 4 : 2);
}

std::uint64_t aligned(std::uint64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::string header_of(const GgufValues& values, const std::vector<GgufOutput>& tensors) {
    constexpr std::uint32_t kTypes[] = {0, 1, 30};
    Bytes bytes;
    bytes.number(kVersion);
    bytes.number<std::uint64_t>(tensors.size());
    bytes.number<std::uint64_t>(values.size());
    for (const auto& [key, value] : values) {
        bytes.text(key);
        bytes.value(value);
    }
    std::uint64_t at = 0;
    for (const GgufOutput& tensor : tensors) {
        bytes.text(tensor.name);
        bytes.number(static_cast<std::uint32_t>(tensor.shape.size()));
        for (std::size_t i = tensor.shape.size(); i-- > 0;) {
            bytes.number(tensor.shape[i]);
        }
        bytes.number(kTypes[static_cast<std::size_t>(tensor.type)]);
        bytes.number(at);
        at = aligned(at + bytes_of(tensor));
    }
    return "GGUF" + bytes.str();
}

void write_values(std::ofstream& file, const GgufOutput& tensor, std::vector<float>& values,
                  std::vector<std::uint16_t>& halves) {
    values.resize(elements_of(tensor));
    tensor.fill(values);
    if (tensor.type == GgufFloat::f32) {
        file.write(reinterpret_cast<const char*>(values.data()),
                   static_cast<std::streamsize>(values.size() * sizeof(float)));
        return;
    }
    halves.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        halves[i] = tensor.type == GgufFloat::f16 ? base::float_to_f16(values[i]) : base::float_to_bf16(values[i]);
    }
    file.write(reinterpret_cast<const char*>(halves.data()), static_cast<std::streamsize>(halves.size() * 2));
}

void pad(std::ofstream& file, std::uint64_t written) {
    constexpr char kZeros[kAlignment] = {};
    file.write(kZeros, static_cast<std::streamsize>(aligned(written) - written));
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const GgufValues& values, const std::vector<GgufOutput>& tensors) {
    const std::string header = header_of(values, tensors);
    PartialFile output(path);
    std::ofstream& file = output.stream();
    file.write(header.data(), static_cast<std::streamsize>(header.size()));
    pad(file, header.size());
    std::vector<float> floats;
    std::vector<std::uint16_t> halves;
    for (std::size_t i = 0; i < tensors.size() && file; ++i) {
        write_values(file, tensors[i], floats, halves);
        pad(file, bytes_of(tensors[i]));
    }
    output.commit();
}

}  // namespace moescope::engine
