// GGUF files in another precision, by llama.cpp's quantiser.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/exchange/gguf_precisions.hpp"

namespace moescope::engine {

struct QuantiseOrder {
    std::filesystem::path from;     ///< a GGUF file of any architecture that libllama knows, or one of its parts
    std::filesystem::path to;       ///< is written over
    std::filesystem::path scratch;  ///< beside `to`, for a copy on the way; whoever gives it removes it
    GgufPrecision precision = kGgufPrecisions.front();
    bool router_too = false;  ///< the routers' matrices in the same precision; else they are F32, whatever they were
    int threads = 0;          ///< 0: as many as the machine has
};

struct Quantised {
    struct Fallback {
        std::string tensor, wanted, type;  ///< its rows did not fit the blocks of the type that was wanted
    };
    std::string architecture;
    std::map<std::string, int> types;  ///< "Q4_K" -> tensors
    std::vector<Fallback> fell_back;
    std::string router;  ///< type of the routers' matrices; empty when there are none
    std::string source;  ///< precision of the file it was made from, when that was quantised already
};

/// `progress`: tensors so far, and all. The whole is a second pass where routers change their type: libllama leaves
/// them as they are. libllama ends the process over some files, so this belongs into one of its own. Throws Error.
Quantised quantise_gguf(const QuantiseOrder& order,
                        const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace moescope::engine
