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
    if (damaged_ == 0) {
        return {};
    }
    return {say("{} of {} pieces of the trace are damaged and left out", damaged_, end_)};
}

}  // namespace moescope::routing
