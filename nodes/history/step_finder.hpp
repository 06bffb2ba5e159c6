// The records of single steps of a training run, found again in the journal: for who keeps the counts of the latest
// steps only and wants to see an earlier one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <vector>

#include "nodes/history/session.hpp"
#include "sessions/journal.hpp"

namespace moescope::history {

/// One record as the journal has it.
struct FoundRecord {
    protocol::RecordType type{};  ///< step or ranks
    std::uint64_t step = 0;
    std::vector<std::byte> body;
};

/// What was found, in the order of the steps.
struct FoundSteps {
    std::vector<FoundRecord> records;
    /// The step to go on with where not all fitted; 0 when all did.
    std::uint64_t next = 0;
};

/// Knows where the steps of the latest few runs stand: the first question about a run reads the heads of all its
/// records (a day at ten steps a second in about two seconds), the others read what is asked for. One thread.
class StepFinder {
 public:
    /// Must outlive this.
    explicit StepFinder(const sessions::Journal& journal) : journal_(journal) {}

    /// The records of the steps `first` to `last` of the run, both included, of the newest attempt where the run went
    /// back to a checkpoint: as many steps as fit into `most_bytes` (of bodies), at least one where there is one. A
    /// step that is missing or damaged is left out. `check` is called now and then and may throw to stop.
    FoundSteps find(std::uint32_t run, std::uint64_t first, std::uint64_t last, std::size_t most_bytes,
                    const std::function<void()>& check = {});
    std::size_t indexed() const { return indexed_; }  ///< runs whose records were gone through so far (tests watch it)

 private:
    struct Row {
        std::uint64_t step = 0;
        protocol::StreamPosition at;
    };
    struct Index {
        std::uint32_t run = 0;
        std::vector<Row> rows;         ///< rising
        sessions::Position journal;    ///< its end when this was made
        sessions::Position events_to;  ///< of the events looked at for a rewind
    };
    static constexpr std::size_t kKept = 4;

    const Index& index_of(std::uint32_t run, std::uint64_t last, const std::function<void()>& check);
    Index make_index(std::uint32_t run, const std::function<void()>& check) const;
    bool went_back(Index& index) const;

    const sessions::Journal& journal_;
    std::list<Index> kept_;  ///< the latest used first
    std::size_t indexed_ = 0;
};

}  // namespace moescope::history
