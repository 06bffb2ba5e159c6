#include "routing/source_stream.hpp"

#include <utility>

namespace moescope::routing {

SourceStream::SourceStream(std::shared_ptr<const TraceSource> source, nlohmann::json interventions, unsigned wanted)
    : source_(std::move(source)), interventions_(std::move(interventions)), wanted_(wanted), end_(source_->chunks()) {}

std::shared_ptr<const Chunk> SourceStream::next() {
    while (at_ < end_) {
        if (auto chunk = source_->chunk(at_++, wanted_)) {
            return chunk;
        }
        ++damaged_;
    }
    return nullptr;
}

std::vector<Sentence> SourceStream::problems() const {
    return source_->problems(damaged_);
}

}  // namespace moescope::routing
