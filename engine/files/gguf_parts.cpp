// Models in several GGUF files. The first holds the metadata; its name tells the others'.
#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <regex>
#include <set>
#include <utility>

#include "base/input_file.hpp"
#include "engine/error.hpp"
#include "engine/files/gguf.hpp"

namespace moescope::engine {
namespace {

constexpr std::uint64_t kMostParts = 9999;

/// What a name says of parts: "NAME-00002-of-00003.gguf" is the second of three.
GgufPart part_named(const std::string& name) {
    static const std::regex kPart(".*-([0-9]{5})-of-([0-9]{5})\\.gguf");
    std::smatch found;
    constexpr std::size_t kLongestName = 255;
    if (name.size() > kLongestName || !std::regex_match(name, found, kPart)) {
        return {};
    }
    GgufPart part;
    std::from_chars(&*found[1].first, &*found[1].first + found[1].length(), part.number);
    std::from_chars(&*found[2].first, &*found[2].first + found[2].length(), part.count);
    return part;
}

std::string ending_of(std::uint64_t number, std::uint64_t count) {
    return fmt::format("-{:05}-of-{:05}.gguf", number, count);
}

GgufHeader read_part(const std::filesystem::path& part, std::uint64_t number, std::uint64_t count) {
    if (!base::is_there(part)) {
        throw Error(say("is one part of a model in {} files, but {} is missing; put all parts into one folder", count,
                        part.filename()));
    }
    GgufHeader header;
    try {
        header = read_gguf(part);
    } catch (const Error& problem) {
        throw Error(say("is one part of a model in {} files, of which {} {}", count, part.filename(), problem));
    }
    const GgufPart got = part_of(header);
    if (got.number != number || got.count != count) {
        throw Error(say("is one part of a model in {} files, but {} says that it is part {} of {}; get the files again",
                        count, part.filename(), got.number, got.count));
    }
    return header;
}

}  // namespace

std::uint64_t count_of(const GgufHeader& header, const std::string& key) {
    const auto found = header.values.find(key);
    if (found == header.values.end() || !found->second.is_number_integer()) {
        return 0;
    }
    return found->second.is_number_unsigned()
               ? found->second.get<std::uint64_t>()
               : static_cast<std::uint64_t>(std::max<std::int64_t>(0, found->second.get<std::int64_t>()));
}

GgufPart part_of(const GgufHeader& header) {
    for (const char* key : {"split.count", "split.no"}) {
        const auto found = header.values.find(key);
        const bool counts = found == header.values.end() || count_of(header, key) > 0 || found->second == 0;
        if (!counts || header.arrays.contains(key)) {
            throw Error(say("does not say which part of a model it is: its {} is no whole number; get it again", key));
        }
    }
    const std::uint64_t count = count_of(header, "split.count");
    return count > 1 ? GgufPart{count_of(header, "split.no") + 1, count} : GgufPart{};
}

std::vector<std::filesystem::path> gguf_parts(const std::filesystem::path& path, const GgufPart& part) {
    const std::string name = path.filename().string();
    if (part.count == 1) {
        if (const GgufPart named = part_named(name); named.count > 1) {
            throw Error(
                say("has the name of part {} of {} of a model, but does not say itself that it is one; give it another "
                    "name if it is a whole model, else get it again",
                    named.number, named.count));
        }
        return {path};
    }
    const std::string ending = ending_of(part.number, part.count);
    if (part.count > kMostParts || part.number > part.count || !name.ends_with(ending)) {
        throw Error(
            say("is part {} of {} of a model, but its name does not end with {}, which tells the names of the "
                "others; give the parts their own names again",
                part.number, part.count, ending));
    }
    const std::string stem = name.substr(0, name.size() - ending.size());
    std::vector<std::filesystem::path> parts;
    for (std::uint64_t number = 1; number <= part.count; ++number) {
        parts.push_back(path.parent_path() / (stem + ending_of(number, part.count)));
    }
    return parts;
}

GgufModel read_gguf_model(const std::filesystem::path& path) {
    GgufHeader own = read_gguf(path);
    const GgufPart part = part_of(own);
    GgufModel model;
    model.parts = gguf_parts(path, part);
    if (part.count == 1) {
        model.header = std::move(own);
        return model;
    }
    std::set<std::string> names;
    std::vector<GgufTensor> tensors;
    for (std::size_t i = 0; i < model.parts.size(); ++i) {
        GgufHeader header =
            i + 1 == part.number ? std::exchange(own, {}) : read_part(model.parts[i], i + 1, part.count);
        for (GgufTensor& tensor : header.tensors) {
            if (!names.insert(tensor.name).second) {
                throw Error(say("is one part of a model in {} files, two of which hold the tensor '{}'", part.count,
                                tensor.name));
            }
            tensor.part = i;
            tensors.push_back(std::move(tensor));
        }
        if (i == 0) {
            model.header = std::move(header);
        }
    }
    if (const std::uint64_t said = count_of(model.header, "split.tensors.count"); said > 0 && said != tensors.size()) {
        throw Error(
            say("is one part of a model in {} files that is said to have {} tensors, but they hold {}; get the "
                "files again",
                part.count, said, tensors.size()));
    }
    model.header.tensors = std::move(tensors);
    return model;
}

}  // namespace moescope::engine
