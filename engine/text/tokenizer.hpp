// SentencePiece with byte fallback: every byte string can be encoded, and decoding gives the same bytes back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moescope::engine {

inline constexpr std::size_t kMaxTokenizerBytes = std::size_t{64} << 20;  ///< of a tokenizer.model

class Tokenizer {
 public:
    /// From the bytes of a SentencePiece model file. Throws Error.
    static std::shared_ptr<const Tokenizer> from_bytes(std::string bytes);
    /// Trains on sentences; deterministic for the same input. Throws Error.
    static std::shared_ptr<const Tokenizer> train(const std::vector<std::string>& sentences, int vocabulary);
    ~Tokenizer();

    std::vector<std::int32_t> encode(std::string_view text) const;
    std::string decode(std::span<const std::int32_t> tokens) const;
    /// The bytes that one token adds to the text; a byte-fallback token gives one byte, control tokens give none.
    std::string piece_bytes(std::int32_t token) const;
    int size() const;
    std::int32_t begin_token() const;
    std::int32_t end_token() const;
    const std::string& model_bytes() const;  ///< to save beside a checkpoint

 private:
    Tokenizer();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace moescope::engine
