// A trace that can be read at any place, read from its beginning as a trace of either form is: what works on streams
// works on what a journal or the wire brought, too.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "routing/trace_reader.hpp"

namespace moescope::routing {

/// The pieces that are there when it is made; of a trace that grows, no later ones. One thread.
class SourceStream final : public TraceStream {
 public:
    /// `wanted`: the columns (Columns) that the reader needs.
    explicit SourceStream(std::shared_ptr<const TraceSource> source, nlohmann::json interventions = nullptr,
                          unsigned wanted = kAllColumns);

    const RouterSpec& spec() const override { return source_->spec(); }
    const nlohmann::json& interventions() const override { return interventions_; }
    /// Damaged pieces are left out. Throws Error when the trace can't be read.
    std::shared_ptr<const Chunk> next() override;
    std::vector<Sentence> problems() const override;
    std::size_t damaged() const override { return damaged_ + source_->damaged_places(); }
    std::size_t done() const { return at_; }  ///< pieces, damaged ones included
    std::size_t of() const { return end_; }

 private:
    const std::shared_ptr<const TraceSource> source_;
    const nlohmann::json interventions_;
    const unsigned wanted_;
    const std::size_t end_;
    std::size_t at_ = 0, damaged_ = 0;
};

}  // namespace moescope::routing
