// JSON from outside: parsed through a handler that stops at a depth and at a number of values, so that no text can
// exhaust the stack or cost much more memory than its length, and that finds the cause when it is refused. A key that
// stands twice in one object is such a cause: the library would keep one of them without a word, and nobody knows which
// one was meant. Files are read with base::read_json_file (base/input_file.hpp).
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::base {

inline constexpr int kJsonDepth = 16;
inline constexpr std::size_t kJsonValues = 1'000'000;

struct JsonRules {
    int depth = kJsonDepth;            ///< levels of arrays and objects
    std::size_t values = kJsonValues;  ///< texts, numbers, arrays and objects in all
};

struct ParsedJson {
    std::optional<nlohmann::json> value;
    Sentence problem;  ///< the cause when there is no value, without a subject: "is nested deeper than 16 levels"
};

/// One value of at most `limit` bytes.
ParsedJson read_json(std::string_view text, std::size_t limit, const JsonRules& rules = {});
/// The same where nobody asks for the cause: nothing when it is longer than `limit` bytes, no valid JSON (UTF-8
/// included), or nested deeper than kJsonDepth.
std::optional<nlohmann::json> parse_json(std::span<const std::byte> text, std::size_t limit);
/// The same for text that has to be an object.
std::optional<nlohmann::json> parse_object(std::span<const std::byte> text, std::size_t limit);
inline std::optional<nlohmann::json> parse_object(std::string_view text, std::size_t limit) {
    return parse_object(std::as_bytes(std::span(text)), limit);
}
/// UTF-8 text; invalid bytes in strings become U+FFFD.
std::string dump_json(const nlohmann::json& value);

/// For readers that keep only a part of a JSON text: override what is wanted and call walk(). Depth and number of
/// values are watched here. Keys that stand twice are not, as that needs all of them in memory: who keeps the value of
/// a key calls refuse_twice() when it comes again.
class JsonWalker : private nlohmann::json_sax<nlohmann::json> {
 public:
    explicit JsonWalker(const JsonRules& rules = {}) : rules_(rules) {}
    ~JsonWalker() override = default;
    /// False when `text` is not one JSON value or something was refused; problem() then says why. Call once.
    bool walk(std::string_view text);
    const Sentence& problem() const { return problem_; }

 protected:
    int depth() const { return depth_; }  ///< of the container that is open; 0 outside
    /// Ends the walk; for the functions below.
    bool refuse(Sentence problem);
    bool refuse_twice(std::string_view key);

    virtual bool on_scalar(nlohmann::json /*value*/) { return true; }
    virtual bool on_key(std::string& /*key*/) { return true; }
    virtual bool on_open(bool /*object*/) { return true; }
    virtual bool on_close() { return true; }

 private:
    bool null() override { return scalar(nullptr); }
    bool boolean(bool value) override { return scalar(value); }
    bool number_integer(number_integer_t value) override { return scalar(value); }
    bool number_unsigned(number_unsigned_t value) override { return scalar(value); }
    bool number_float(number_float_t value, const string_t& /*text*/) override { return scalar(value); }
    bool string(string_t& value) override { return scalar(std::move(value)); }
    bool binary(binary_t& /*value*/) override { return false; }
    bool start_object(std::size_t /*size*/) override { return open(true); }
    bool key(string_t& value) override { return on_key(value); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*size*/) override { return open(false); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t position, const std::string& last_token,
                     const nlohmann::detail::exception& error) override;

    bool scalar(nlohmann::json value) { return counted() && on_scalar(std::move(value)); }
    bool open(bool object);
    bool close();
    bool counted();

    const JsonRules rules_;
    std::string_view text_;
    Sentence problem_;
    std::size_t values_ = 0;
    int depth_ = 0;
};

}  // namespace moescope::base
