#include "engine/runner/llama_quantise.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <gguf.h>
#include <llama.h>
#include <memory>
#include <string_view>
#include <thread>

#include "base/input_file.hpp"
#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/files/gguf.hpp"
#include "engine/files/partial_file.hpp"
#include "engine/runner/llama_log.hpp"

namespace moescope::engine {
namespace {

static_assert(LLAMA_FTYPE_MOSTLY_Q4_K_M == 15 && LLAMA_FTYPE_MOSTLY_BF16 == 32 && LLAMA_FTYPE_MOSTLY_MXFP4_MOE == 38);
static_assert(GGML_TYPE_Q4_K == 12 && GGML_TYPE_Q5_0 == 6 && GGML_TYPE_IQ4_NL == 20 && GGML_TYPE_MXFP4 == 39);

constexpr std::size_t kMostInMemory = std::size_t{256} << 20;  // bytes of a tensor at once
constexpr std::size_t kPiece = std::size_t{4} << 20;

/// What llama_model_quantize says on its way (src/llama-quant.cpp); it has no other way to tell.
class Listener {
 public:
    explicit Listener(const std::function<void(std::uint64_t, std::uint64_t)>& progress) : progress_(progress) {}

    void hear(const std::string& text) {
        unsigned done = 0, total = 0;
        if (std::sscanf(text.c_str(), "[%u/%u]", &done, &total) == 2 && progress_) {
            progress_(done, total);
            return;
        }
        // "warning: NAME   - ncols 24 not divisible by 256 (required for type    q4_K) "
        constexpr std::string_view kWarning = "warning: ", kRows = " - ncols ", kType = "(required for type ";
        const std::size_t rows = text.find(kRows), type = text.find(kType);
        if (!text.starts_with(kWarning) || rows == std::string::npos || type == std::string::npos) {
            return;
        }
        const std::size_t end = std::min(text.find(')', type), text.size());
        const std::size_t at = type + kType.size();
        fell_back.push_back({std::string(base::trimmed(text.substr(kWarning.size(), rows - kWarning.size()))),
                             upper(std::string(base::trimmed(text.substr(at, end - at)))),
                             {}});
    }

    std::vector<Quantised::Fallback> fell_back;

 private:
    static std::string upper(std::string text) {
        for (char& c : text) {
            c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        }
        return text;
    }

    const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
};

/// The values of a tensor in rows of another type.
std::vector<std::byte> in_type(const base::InputFile& file, const GgufTensor& tensor, ggml_type from, ggml_type to) {
    std::vector<std::byte> bytes(tensor.bytes);
    file.read(tensor.offset, bytes);
    std::vector<float> values(tensor.elements);
    if (const auto* traits = ggml_get_type_traits(from); from == GGML_TYPE_F32) {
        std::copy_n(bytes.data(), bytes.size(), reinterpret_cast<std::byte*>(values.data()));
    } else if (traits->to_float != nullptr) {
        traits->to_float(bytes.data(), values.data(), static_cast<std::int64_t>(values.size()));
    } else {
        throw Error(say("tensor \"{}\" of type {} cannot be read", tensor.name, tensor.type));
    }
    const auto width = static_cast<std::int64_t>(tensor.shape.front());
    const std::int64_t rows = static_cast<std::int64_t>(values.size()) / width;
    bytes.resize(static_cast<std::size_t>(rows) * ggml_row_size(to, width));
    ggml_quantize_chunk(to, values.data(), bytes.data(), 0, rows, width, nullptr);
    return bytes;
}

void copy(const base::InputFile& file, const GgufTensor& tensor, std::ofstream& out) {
    std::vector<char> piece;
    for (std::uint64_t at = 0; at < tensor.bytes && out; at += piece.size()) {
        piece.resize(std::min<std::uint64_t>(kPiece, tensor.bytes - at));
        file.read(tensor.offset + at, piece);
        out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    }
}

}  // namespace

std::string gguf_type_name(std::uint32_t type) {
    std::string name = ggml_type_name(static_cast<ggml_type>(type));
    for (char& c : name) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return name;
}

std::uint32_t type_for_rows(const GgufPrecision& precision, std::uint64_t values) {
    for (const std::uint32_t type : {precision.type, precision.narrow}) {
        if (values % static_cast<std::uint64_t>(ggml_blck_size(static_cast<ggml_type>(type))) == 0) {
            return type;
        }
    }
    return GGML_TYPE_F16;
}

std::vector<Quantised::Fallback> quantise_file(const std::filesystem::path& from, const std::filesystem::path& to,
                                               const GgufPrecision& precision, int threads,
                                               const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    start_libllama();
    Listener listener(progress);
    const LogCapture log([&](std::string_view text) { listener.hear(std::string(text)); });
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.nthread = threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    params.ftype = static_cast<llama_ftype>(precision.file_type);
    params.allow_requantize = true;
    params.max_buf_size = kMostInMemory;
    if (llama_model_quantize(from.c_str(), to.c_str(), &params) != 0) {
        throw Error(say("{} cannot be written in another precision: {}", from, log.reason()));
    }
    return std::move(listener.fell_back);
}

void change_types(const std::filesystem::path& from, const std::filesystem::path& to,
                  const std::map<std::string, std::uint32_t>& types) {
    const GgufHeader header = read_gguf(from);
    const base::InputFile file(from);
    const std::unique_ptr<gguf_context, decltype(&gguf_free)> written(
        gguf_init_from_file(from.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr}), gguf_free);
    if (!written) {
        throw Error(say("{} cannot be read again", from));
    }
    std::map<std::string, ggml_type> before;
    for (std::int64_t i = 0; i < gguf_get_n_tensors(written.get()); ++i) {
        before[gguf_get_tensor_name(written.get(), i)] = gguf_get_tensor_type(written.get(), i);
    }
    for (const auto& [name, type] : types) {
        if (before.contains(name)) {
            gguf_set_tensor_type(written.get(), name.c_str(), static_cast<ggml_type>(type));
        }
    }
    const std::uint64_t step = gguf_get_alignment(written.get());
    std::string meta(gguf_get_meta_size(written.get()), '\0');
    gguf_get_meta_data(written.get(), meta.data());
    std::ofstream out(to, std::ios::binary | std::ios::trunc);
    out.write(meta.data(), static_cast<std::streamsize>(meta.size()));
    for (const GgufTensor& tensor : header.tensors) {
        std::uint64_t bytes = tensor.bytes;
        if (const auto change = types.find(tensor.name); change != types.end()) {
            const auto values = in_type(file, tensor, before.at(tensor.name), static_cast<ggml_type>(change->second));
            bytes = values.size();
            out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(bytes));
        } else {
            copy(file, tensor, out);
        }
        const std::string zeros((step - bytes % step) % step, '\0');
        out.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
    }
    errno = out ? 0 : errno;
    out.close();
    if (!out) {
        throw writing_failed(to, errno);
    }
}

}  // namespace moescope::engine
