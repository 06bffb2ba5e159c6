#include "nodes/history/step_finder.hpp"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/json_fields.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::history {
namespace {

using protocol::Channel;
using protocol::RecordType;

constexpr auto kMetrics = static_cast<std::uint8_t>(Channel::metrics);
constexpr std::size_t kAtOnce = 64;  ///< records
constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;
constexpr std::size_t kBehind = 16;  ///< records within which that of the ranks follows its step

sessions::Position before(protocol::StreamPosition at) {
    return {at.epoch, at.sequence - 1};
}

/// What is read of the journal, from one place on: the steps that are asked for mostly stand behind each other.
class Window {
 public:
    explicit Window(const sessions::Journal& journal) : journal_(journal) {}

    /// The record there, null when it is missing; what follows it is records().
    const sessions::Record* at(protocol::StreamPosition position) {
        const sessions::Position wanted{position.epoch, position.sequence};
        // What belongs to the step stands closely behind it: not beyond what was read.
        if (const sessions::Record* found = find(wanted); found != nullptr && rest().size() >= kBehind) {
            return found;
        }
        records_ = journal_.read(kMetrics, before(position), kAtOnce, kBytesAtOnce);
        return find(wanted);
    }
    /// The records behind the one that at() gave last, as far as they are read.
    std::span<const sessions::Record> rest() const { return std::span(records_).subspan(next_); }

 private:
    const sessions::Record* find(sessions::Position wanted) {
        const auto found = std::lower_bound(records_.begin(), records_.end(), wanted,
                                            [](const sessions::Record& record, sessions::Position position) {
                                                return sessions::Position{record.epoch, record.sequence} < position;
                                            });
        if (found == records_.end() || sessions::Position{found->epoch, found->sequence} != wanted) {
            return nullptr;
        }
        next_ = static_cast<std::size_t>(found - records_.begin()) + 1;
        return &*found;
    }

    const sessions::Journal& journal_;
    std::vector<sessions::Record> records_;
    std::size_t next_ = 0;
};

}  // namespace

StepFinder::Index StepFinder::make_index(std::uint32_t run, const std::function<void()>& check) const {
    Index index;
    index.run = run;
    index.journal = journal_.last();
    index.events_to = index.journal;
    const Session history = read_session(journal_, {.channels = {Channel::events, Channel::metrics},
                                                    .keep = {.counts = 0, .values = false, .run = run},
                                                    .check = check});
    const auto found = history.trainings().find(run);
    if (found == history.trainings().end()) {
        return index;
    }
    const Session::Training& training = found->second;
    index.rows.reserve(training.step_rows.size());
    for (std::size_t i = 0; i < training.step_rows.size() && i < training.value.step.size(); ++i) {
        if (!training.step_rows[i].hole) {
            index.rows.push_back({static_cast<std::uint64_t>(training.value.step[i]), training.step_rows[i].from});
        }
    }
    return index;
}

/// Whether the run has gone back to a checkpoint since: then some of its steps are others.
bool StepFinder::went_back(Index& index) const {
    bool back = false;
    for_each_record(journal_, Channel::events, index.events_to, [&](const sessions::Record& record) {
        index.events_to = {record.epoch, record.sequence};
        if (static_cast<RecordType>(record.type) != RecordType::event) {
            return true;
        }
        const auto body = protocol::decode_json(record.body);
        back = body && base::count_of(*body, "run") == index.run && base::text_of(*body, "kind") == "rewind";
        return !back;
    });
    return back;
}

const StepFinder::Index& StepFinder::index_of(std::uint32_t run, std::uint64_t last,
                                              const std::function<void()>& check) {
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Index& index) { return index.run == run; });
    if (found != kept_.end()) {
        const bool grown = (found->rows.empty() || found->rows.back().step < last) && found->journal < journal_.last();
        if (!grown && !went_back(*found)) {
            kept_.splice(kept_.begin(), kept_, found);
            return kept_.front();
        }
        kept_.erase(found);
    }
    ++indexed_;
    kept_.push_front(make_index(run, check));
    while (kept_.size() > kKept) {
        kept_.pop_back();
    }
    return kept_.front();
}

FoundSteps StepFinder::find(std::uint32_t run, std::uint64_t first, std::uint64_t last, std::size_t most_bytes,
                            const std::function<void()>& check) {
    FoundSteps result;
    const Index& index = index_of(run, last, check);
    const auto begin = std::lower_bound(index.rows.begin(), index.rows.end(), first,
                                        [](const Row& row, std::uint64_t step) { return row.step < step; });
    Window window(journal_);
    std::size_t bytes = 0;
    for (auto row = begin; row != index.rows.end() && row->step <= last; ++row) {
        if (check) {
            check();
        }
        const sessions::Record* record = window.at(row->at);
        if (record == nullptr || static_cast<RecordType>(record->type) != RecordType::step) {
            continue;
        }
        std::vector<FoundRecord> found;
        found.push_back({RecordType::step, row->step, record->body});
        // Behind it stands what the run's processes did in it, where there are several.
        for (const sessions::Record& next : window.rest()) {
            const auto type = static_cast<RecordType>(next.type);
            if (type == RecordType::step) {
                break;
            }
            if (type != RecordType::ranks) {
                continue;
            }
            if (const auto ranks = protocol::decode_ranks(next.body); ranks && ranks->run == run) {
                found.push_back({RecordType::ranks, ranks->step, next.body});
                break;
            }
        }
        std::size_t size = 0;
        for (const FoundRecord& one : found) {
            size += one.body.size();
        }
        if (!result.records.empty() && bytes + size > most_bytes) {
            result.next = row->step;
            return result;
        }
        bytes += size;
        std::move(found.begin(), found.end(), std::back_inserter(result.records));
    }
    return result;
}

}  // namespace moescope::history
