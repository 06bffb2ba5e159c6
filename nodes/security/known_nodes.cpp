#include "nodes/security/known_nodes.hpp"

#include <nlohmann/json.hpp>

#include "base/atomic_files.hpp"
#include "base/input_file.hpp"
#include "base/json_guard.hpp"

namespace moescope::security {

namespace {

constexpr std::uint64_t kLongestFile = 1 << 20;

}  // namespace

std::map<std::string, KeyHash> KnownNodes::read() const {
    std::error_code error;
    if (!std::filesystem::exists(std::filesystem::symlink_status(file_, error))) {
        return {};
    }
    const nlohmann::json text = base::read_json_file(file_, kLongestFile);
    std::map<std::string, KeyHash> nodes;
    if (!text.is_object()) {
        throw base::Error(base::say("the list of known nodes in {} is damaged; remove it and pair them again", file_));
    }
    for (const auto& [address, key] : text.items()) {
        const auto hash = key.is_string() ? key_hash_from(key.get_ref<const std::string&>()) : std::nullopt;
        if (!hash) {
            throw base::Error(
                base::say("the list of known nodes in {} is damaged; remove it and pair them again", file_));
        }
        nodes[address] = *hash;
    }
    return nodes;
}

void KnownNodes::write(const std::map<std::string, KeyHash>& nodes) const {
    nlohmann::json text = nlohmann::json::object();
    for (const auto& [address, key] : nodes) {
        text[address] = to_text(key);
    }
    base::make_private_folders(file_.parent_path());
    base::write_file_atomically(file_, base::dump_json(text) + "\n");
}

std::optional<KeyHash> KnownNodes::key_of(const std::string& address) const {
    const auto nodes = read();
    const auto found = nodes.find(address);
    return found == nodes.end() ? std::nullopt : std::optional(found->second);
}

void KnownNodes::remember(const std::string& address, const KeyHash& key) {
    auto nodes = read();
    nodes[address] = key;
    write(nodes);
}

void KnownNodes::forget(const std::string& address) {
    auto nodes = read();
    if (nodes.erase(address) > 0) {
        write(nodes);
    }
}

}  // namespace moescope::security
