// A session and what jobs need, without a server.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/jobs/job.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/library/device_list.hpp"

namespace moescope::node {

/// A sink that also hands every record to the command line.
class PrintingSink final : public RecordSink {
 public:
    using Print = std::function<void(protocol::RecordType, const std::vector<std::byte>&)>;
    PrintingSink(RecordSink& inner, Print print) : inner_(inner), print_(std::move(print)) {}
    void write(protocol::RecordType type, std::vector<std::byte> body) override {
        print_(type, body);
        inner_.write(type, std::move(body));
    }
    void write_waiting(protocol::RecordType type, std::vector<std::byte> body, const std::atomic<bool>& stop) override {
        print_(type, body);
        inner_.write_waiting(type, std::move(body), stop);
    }
    base::Sentence problem() const override { return inner_.problem(); }

 private:
    RecordSink& inner_;
    const Print print_;
};

/// Throws OpenError where there is no session: who adds to one must not make it at a mistyped path.
void require_session(const std::filesystem::path& folder);
/// The same for --resume, with what else can be done.
void require_session_to_resume(const std::filesystem::path& folder);
/// For writing. Throws base::Error, also for "-", which is no folder.
std::unique_ptr<sessions::Session> open_session(const std::filesystem::path& folder);

/// A session and what jobs need, without a server: the command line writes the same journal as a node does.
struct LocalNode {
    LocalNode(const Paths& paths, const std::filesystem::path& folder, PrintingSink::Print print)
        : session(open_session(folder)),
          journal(session->journal()),
          sink(journal, std::move(print)),
          datasets(paths.cache),
          models(paths),
          workers(paths.program),
          disk(session->folder()),
          devices(device_places(paths)),
          parts{paths, *session, sink, board, datasets, models, workers, threads, turns, holds, disk, devices} {
        print_warnings(session->problems());
        print_warnings(session->notes());
    }

    /// Of the runs of that kind that the session has, by number.
    std::vector<std::string> names(protocol::RunKind kind) const;

    std::unique_ptr<sessions::Session> session;
    JournalWriter journal;
    PrintingSink sink;
    StatusBoard board;
    DatasetStore datasets;
    ModelLibrary models;
    WorkerPool workers;
    ThreadShare threads;
    GenerationQueue turns;
    CheckpointHolds holds;
    DiskGuard disk;
    kernels::Devices devices;
    NodeParts parts;
};

/// Waits for a job; a signal, or that nobody reads the output any more, asks it to stop, a signal that comes later ends
/// the program at once.
void wait_for(Job& job, HeldSignals& signals);

/// The run that --resume goes on with: the latest of its kind in the session.
std::optional<history::RunHeader> latest_run(const sessions::Journal& journal, protocol::RunKind kind);

/// What a finished job wrote is made durable; a journal that could not be written and a job that failed are errors.
template <class Result>
void finish(LocalNode& node, const Result& result) {
    node.journal.flush();
    if (const auto problem = node.journal.problem(); !problem.empty()) {
        throw base::Error(problem);
    }
    node.session->journal().sync();
    if (result.state == protocol::RunState::failed) {
        throw base::Error(result.message);
    }
}

}  // namespace moescope::node
