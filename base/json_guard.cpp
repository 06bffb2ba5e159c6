#include "base/json_guard.hpp"

#include <string>
#include <utility>
#include <vector>

namespace moescope::base {

namespace {

using Json = nlohmann::json;

/// Builds the value while it is parsed, so that a level too many ends the parse before it costs anything.
class GuardedBuilder : public nlohmann::json_sax<Json> {
 public:
    Json take() { return std::move(root_); }

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override { return add(value); }
    bool number_float(number_float_t value, const string_t&) override { return add(value); }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool key(string_t& value) override {
        key_ = std::move(value);
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
    Json* place(Json value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        Json& parent = *open_.back();
        if (parent.is_array()) {
            parent.push_back(std::move(value));
            return &parent.back();
        }
        Json& slot = parent[key_];
        slot = std::move(value);
        return &slot;
    }
    bool add(Json value) {
        place(std::move(value));
        return true;
    }
    bool open(Json value) {
        if (open_.size() >= kJsonDepth) {
            return false;
        }
        open_.push_back(place(std::move(value)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    Json root_;
    std::vector<Json*> open_;  // stays valid: only the last element of a container is ever open
    std::string key_;
};

}  // namespace

std::optional<Json> parse_json(std::span<const std::byte> text, std::size_t limit) {
    if (text.empty() || text.size() > limit) {
        return std::nullopt;
    }
    const auto* first = reinterpret_cast<const char*>(text.data());
    GuardedBuilder builder;
    if (!Json::sax_parse(first, first + text.size(), &builder)) {
        return std::nullopt;
    }
    return builder.take();
}

std::optional<nlohmann::json> parse_object(std::span<const std::byte> text, std::size_t limit) {
    auto value = parse_json(text, limit);
    if (!value || !value->is_object()) {
        return std::nullopt;
    }
    return value;
}

std::string dump_json(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moescope::base
