// What a model's process opens: a file or a folder, or a server. It goes wherever a path of a model goes.
#pragma once

#include <concepts>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace moescope::node {

struct ModelSource {
    ModelSource() = default;
    template <class File>
    requires(!std::same_as<std::remove_cvref_t<File>, ModelSource> &&
             std::constructible_from<std::filesystem::path, File>) ModelSource(File&& file)
        : path(std::forward<File>(file)) {}
    ModelSource(std::string address, nlohmann::json known) : path(std::move(address)), server(std::move(known)) {}

    std::filesystem::path path;         ///< of a server its address, with the model's name
    nlohmann::json server;              ///< what the library knows of it (servers::to_json); null: no server
    std::string device;                 ///< of a model of our own engine: engine::ModelDevice::name
    std::filesystem::path output = {};  ///< a folder that its process may write into; empty: none

    bool is_server() const { return !server.is_null(); }
    std::string string() const { return path.string(); }
    /// For whoever deals with files alone.
    operator const std::filesystem::path&() const { return path; }
    bool operator==(const ModelSource&) const = default;
};

}  // namespace moescope::node
