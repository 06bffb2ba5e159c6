#include "engine/comm/mpi_comm.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <thread>
#include <unistd.h>

#include "base/installation.hpp"
#include "base/process_life.hpp"
#include "engine/comm/mpi_plugin.hpp"

namespace moescope::engine::comm {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// The number in a variable; 0 when there is none.
int number_in(const char* variable) {
    const char* text = std::getenv(variable);
    return text == nullptr ? 0 : std::atoi(text);
}

/// Where a rank runs, as all are told.
struct Place {
    char host[256] = "";
    std::int32_t process = 0;
    std::uint64_t began = 0;
};

class MpiComm final : public ExchangeComm {
 public:
    explicit MpiComm(const MpiSettings& settings) : patience_(settings.patience) {
        void* library =
            dlopen(settings.plugin.c_str(), RTLD_NOW | RTLD_GLOBAL);  // for good; MPI opens parts of its own
        const char* problem = library == nullptr ? dlerror() : "";
        const auto entry =
            library == nullptr ? nullptr : reinterpret_cast<MpiPluginEntry>(dlsym(library, kMpiPluginEntry));
        if (entry == nullptr) {
            throw Error(
                say("several ranks need {}, which could not be opened ({}); install Open MPI and build again, "
                    "or start the program without mpirun",
                    settings.plugin, problem));
        }
        plugin_ = entry();
        if (plugin_->version != kMpiPluginVersion) {
            throw Error(say("{} is of another version than the program; build both again", settings.plugin));
        }
        std::int32_t own = 0, all = 0;
        failed_ = true;  // until it has started
        if (plugin_->start(&own, &all, text_, sizeof text_) != 0) {
            throw Error(say("the ranks could not be joined: {}", text_));
        }
        failed_ = false;
        rank_ = own;
        size_ = all;
        meet();
    }

    ~MpiComm() override {
        if (!failed_) {
            plugin_->finish();
        }
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    int neighbours() const override { return neighbours_; }
    void abort() noexcept override { failed_ = true; }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        if (failed_) {
            throw Error(say("the ranks of this run no longer work together; go on from its last checkpoint"));
        }
        failed_ = true;  // until it is done
        copy_own(out, in);
        out_.clear();
        in_.clear();
        for (const Outgoing& part : out) {
            if (part.rank != rank_ && part.bytes > 0) {
                out_.push_back({part.rank, const_cast<void*>(part.data), part.bytes});
            }
        }
        for (const Incoming& part : in) {
            if (part.rank != rank_ && part.bytes > 0) {
                in_.push_back({part.rank, part.data, part.bytes});
            }
        }
        if (!out_.empty() || !in_.empty()) {
            if (plugin_->begin(out_.data(), static_cast<std::int32_t>(out_.size()), in_.data(),
                               static_cast<std::int32_t>(in_.size()), text_, sizeof text_) != 0) {
                throw Error(say("the ranks lost each other: {}; go on from the last checkpoint", text_));
            }
            wait(patience);
        }
        failed_ = false;
    }

    void copy_own(std::span<const Outgoing> out, std::span<const Incoming> in) const {
        std::size_t from = 0;
        for (const Incoming& part : in) {
            if (part.rank != rank_) {
                continue;
            }
            while (out[from].rank != rank_) {
                ++from;
            }
            if (part.bytes > 0 && part.data != out[from].data) {
                std::memmove(part.data, out[from].data, part.bytes);
            }
            ++from;
        }
    }

    /// Who is where; ranks on this machine are looked after, because a launcher takes its time to tell of one that
    /// ended.
    void meet() {
        Place mine;
        gethostname(mine.host, sizeof mine.host - 1);
        mine.process = getpid();
        mine.began = base::process_start(getpid());
        places_.resize(static_cast<std::size_t>(size_));
        all_gather(places_.data(), &mine, sizeof mine);
        neighbours_ = static_cast<int>(std::count_if(places_.begin(), places_.end(), [&](const Place& place) {
            return std::strncmp(place.host, mine.host, sizeof mine.host) == 0;
        }));
        for (Place& place : places_) {
            if (base::process_start(place.process) != place.began) {
                place.process = 0;  // on another machine, or in a container of its own
            }
        }
    }

    /// Throws Error when a rank that can be seen from here has ended.
    void look_after() const {
        for (std::size_t r = 0; r < places_.size(); ++r) {
            if (places_[r].process != 0 && base::process_start(places_[r].process) != places_[r].began) {
                throw Error(say("rank {} has ended (process {}), and the others stop; go on from the last checkpoint",
                                r, places_[r].process));
            }
        }
    }

    void wait(Patience patience) {
        const auto begin = Clock::now();
        auto looked = begin;
        for (int turn = 0;; ++turn) {
            const int done = plugin_->poll(text_, sizeof text_);
            if (done > 0) {
                return;
            }
            if (done < 0) {
                throw Error(say("the ranks lost each other: {}; go on from the last checkpoint", text_));
            }
            if (turn < 64) {
                continue;
            }
            sched_yield();  // there may be more ranks than cores
            const auto now = Clock::now();
            if (now - begin > 20ms) {
                std::this_thread::sleep_for(now - begin > 1s ? 1ms : 100us);
            }
            if (now - looked > 100ms) {
                look_after();
                looked = now;
            }
            if (patience == Patience::step && now - begin > patience_) {
                throw Error(
                    say("the other ranks did not answer for {} seconds; look whether one hangs, and go on from "
                        "the last checkpoint",
                        std::chrono::duration_cast<std::chrono::seconds>(patience_).count()));
            }
        }
    }

    const MpiPlugin* plugin_ = nullptr;
    const std::chrono::milliseconds patience_;
    int rank_ = 0, size_ = 1, neighbours_ = 1;
    std::vector<Place> places_;
    std::vector<MpiTransfer> out_, in_;
    bool failed_ = false;
    char text_[512] = "";
};

}  // namespace

int launched_ranks() {
    int most = 1;
    for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
        most = std::max(most, number_in(variable));
    }
    return most;
}

std::filesystem::path mpi_plugin_here() {
    return base::own_part(kMpiPluginFile);
}

std::unique_ptr<Comm> open_mpi(const MpiSettings& settings) {
    return std::make_unique<MpiComm>(settings);
}

}  // namespace moescope::engine::comm
