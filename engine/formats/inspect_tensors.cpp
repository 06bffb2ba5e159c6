// safetensors and NumPy files, and checkpoint folders made of them: what they hold, checked without reading the
// numbers.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "engine/error.hpp"
#include "engine/formats/file_reader.hpp"
#include "engine/formats/inspect_parts.hpp"
#include "engine/text/utf8.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the safetensors format itself
constexpr std::uint64_t kMaxConfigBytes = 1U << 20;

struct TypeBits {
    std::string_view name;
    std::uint32_t bits;
};
constexpr auto kTypes = std::to_array<TypeBits>({
    {"F64", 64},        {"I64", 64},    {"U64", 64},    {"C64", 64},    {"F32", 32},    {"I32", 32},
    {"U32", 32},        {"F16", 16},    {"BF16", 16},   {"I16", 16},    {"U16", 16},    {"I8", 8},
    {"U8", 8},          {"BOOL", 8},    {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
});

std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
    if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) {
        return std::nullopt;
    }
    return a * b;
}

struct Placed {
    std::string name;
    std::uint64_t begin = 0, end = 0, elements = 0;
};

Placed placed_tensor(const std::string& name, const json& value) {
    const std::string what = "the tensor '" + name + "'";
    const auto unsigned_list = [&](const char* key) {
        const bool good =
            value.is_object() && value.contains(key) && value[key].is_array() &&
            std::all_of(value[key].begin(), value[key].end(), [](const json& n) { return n.is_number_unsigned(); });
        if (!good) {
            throw Error("describes " + what + " without a valid '" + key + "'");
        }
        return value[key].get<std::vector<std::uint64_t>>();
    };
    const auto shape = unsigned_list("shape");
    const auto offsets = unsigned_list("data_offsets");
    const std::string type =
        value.contains("dtype") && value["dtype"].is_string() ? value["dtype"].get<std::string>() : "";
    const auto known = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeBits& t) { return t.name == type; });
    if (known == kTypes.end()) {
        throw Error("gives " + what + " the unknown type '" + type + "'");
    }
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
        throw Error("places " + what + " at impossible offsets");
    }
    std::optional<std::uint64_t> elements = 1;
    for (const std::uint64_t size : shape) {
        elements = elements ? product(*elements, size) : elements;
    }
    const auto bits = elements ? product(*elements, known->bits) : std::nullopt;
    if (!bits || *bits % 8 != 0 || *bits / 8 != offsets[1] - offsets[0]) {
        throw Error("gives " + what + " a shape and type that do not match its " +
                    std::to_string(offsets[1] - offsets[0]) + " bytes");
    }
    return {name, offsets[0], offsets[1], *elements};
}

// The header is JSON with unique keys; a repeated key would let two readers see two different files.
json parse_header(const std::string& text) {
    std::vector<std::set<std::string>> keys;
    bool repeated = false;
    const auto callback = [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > 16) {
            throw Error("has a header that is nested too deep");
        }
        if (event == json::parse_event_t::object_start) {
            keys.emplace_back();
        } else if (event == json::parse_event_t::object_end) {
            keys.pop_back();
        } else if (event == json::parse_event_t::key && !keys.empty()) {
            repeated = !keys.back().insert(parsed.get<std::string>()).second || repeated;
        }
        return true;
    };
    json header = json::parse(text, callback, false);
    if (header.is_discarded() || !header.is_object() || repeated) {
        throw Error(repeated ? "has a tensor twice in its header"
                             : "has a header that is no valid JSON object; the file is damaged");
    }
    return header;
}

void check_coverage(std::vector<Placed>& tensors, std::uint64_t data_bytes) {
    std::sort(tensors.begin(), tensors.end(),
              [](const Placed& a, const Placed& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
    std::uint64_t covered = 0;
    for (const Placed& tensor : tensors) {
        if (tensor.begin != covered) {
            throw Error("places the tensor '" + tensor.name + "' at " + std::to_string(tensor.begin) + " where " +
                        std::to_string(covered) + " is due; tensors may not overlap or leave holes");
        }
        covered = tensor.end;
    }
    if (covered != data_bytes) {
        throw Error("describes " + std::to_string(covered) + " bytes of tensors but holds " +
                    std::to_string(data_bytes) + "; the download is incomplete or the file is damaged");
    }
}

std::string quoted_value(const std::string& header, const std::string& key) {
    const std::size_t at = header.find("'" + key + "':");
    if (at == std::string::npos) {
        return {};
    }
    const std::size_t first = header.find_first_not_of(' ', at + key.size() + 3);
    if (first == std::string::npos) {
        return {};
    }
    const char close = header[first] == '(' ? ')' : header[first] == '\'' ? '\'' : ',';
    const std::size_t last = header.find(close, first + 1);
    return last == std::string::npos ? std::string() : header.substr(first, last - first + (close == ',' ? 0 : 1));
}

json read_json(const fs::path& path) {
    FileReader file(path);
    if (file.size() > kMaxConfigBytes) {
        throw Error("has a " + path.filename().string() + " of " + std::to_string(file.size()) +
                    " bytes, which cannot be right");
    }
    json value = json::parse(file.text(file.size(), "its JSON"), nullptr, false);
    if (value.is_discarded() || !value.is_object()) {
        throw Error("has a " + path.filename().string() + " that is no valid JSON");
    }
    return value;
}

}  // namespace

void inspect_safetensors(const fs::path& path, FileReport& report) {
    FileReader file(path);
    const auto length = file.number<std::uint64_t>("the length of its header");
    if (length < 2 || length > kMaxHeaderBytes || length > file.left()) {
        throw Error("announces a header of " + std::to_string(length) + " bytes, which cannot be in a file of " +
                    std::to_string(file.size()) + " bytes");
    }
    json header = parse_header(file.text(length, "its header"));
    header.erase("__metadata__");
    std::vector<Placed> tensors;
    std::set<std::string> types;
    std::uint64_t parameters = 0;
    for (const auto& [name, value] : header.items()) {
        tensors.push_back(placed_tensor(name, value));
        types.insert(value["dtype"].get<std::string>());
        parameters += tensors.back().elements;
    }
    check_coverage(tensors, file.left());
    report.details["tensors"] = tensors.size();
    report.details["parameters"] = parameters;
    report.details["types"] = types;
}

void inspect_npy(const fs::path& path, FileReport& report) {
    FileReader file(path);
    file.skip(6, "the NumPy mark");
    const auto major = file.number<std::uint8_t>("the version");
    file.skip(1, "the version");
    if (major < 1 || major > 3) {
        throw Error("has NumPy format version " + std::to_string(major) + "; versions 1 to 3 can be opened");
    }
    const std::uint64_t length =
        major == 1 ? file.number<std::uint16_t>("the header") : file.number<std::uint32_t>("the header");
    if (length > kMaxConfigBytes) {
        throw Error("announces a header of " + std::to_string(length) + " bytes, which cannot be right");
    }
    const std::string header = to_valid_utf8(file.text(length, "the header"));
    const std::string type = quoted_value(header, "descr"), shape = quoted_value(header, "shape");
    if (type.find('O') != std::string::npos) {
        throw Error(
            "holds Python objects, which are pickles and can run any code when opened; save plain numbers instead");
    }
    std::uint64_t width = 0;
    if (type.size() < 5 || type.front() != '\'' || std::string_view("<|=").find(type[1]) == std::string_view::npos ||
        std::string_view("?biufc").find(type[2]) == std::string_view::npos ||
        std::from_chars(type.data() + 3, type.data() + type.size() - 1, width).ptr != type.data() + type.size() - 1 ||
        width == 0 || width > 32) {
        throw Error("has the element type " + (type.empty() ? "(none)" : type) + "; save it as int32 or float32");
    }
    std::optional<std::uint64_t> bytes = width;
    json sizes = json::array();
    for (std::size_t i = 0; i < shape.size() && bytes;) {
        const std::size_t start = shape.find_first_of("0123456789", i);
        if (start == std::string::npos) {
            break;
        }
        std::uint64_t size = 0;
        const auto [end, code] = std::from_chars(shape.data() + start, shape.data() + shape.size(), size);
        bytes = code == std::errc() ? product(*bytes, size) : std::nullopt;
        sizes.push_back(size);
        i = static_cast<std::size_t>(end - shape.data());
    }
    if (shape.empty() || !bytes || *bytes != file.left()) {
        throw Error("describes an array of shape " + (shape.empty() ? "(none)" : shape) + " but holds " +
                    std::to_string(file.left()) + " bytes; the file is damaged");
    }
    report.details["type"] = type.substr(1, type.size() - 2);
    report.details["shape"] = sizes;
}

void inspect_folder(const fs::path& path, FileReport& report) {
    std::error_code error;
    const bool weights = fs::exists(path / "model.safetensors", error);
    const bool config = fs::exists(path / "config.json", error);
    if (!weights || !config) {
        throw Error("is a folder without " + std::string(config ? "model.safetensors" : "config.json") +
                    "; name a model file or the folder of a checkpoint");
    }
    report.format = "checkpoint";
    if (!fs::exists(path / "DONE", error)) {
        throw Error("is a checkpoint that was not finished (the file DONE is missing); use an earlier one");
    }
    try {
        inspect_safetensors(path / "model.safetensors", report);
    } catch (const Error& problem) {
        throw Error(std::string("is a checkpoint whose model.safetensors ") + problem.what());
    }
    report.details["config"] = read_json(path / "config.json");
    report.details["bytes"] = fs::file_size(path / "model.safetensors", error);
    report.details["tokenizer"] = fs::exists(path / "tokenizer.model", error);
}

}  // namespace moescope::engine
