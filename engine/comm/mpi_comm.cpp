#include "engine/comm/mpi_comm.hpp"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <thread>

#include "base/installation.hpp"
#include "engine/comm/mpi_plugin.hpp"
#include "engine/comm/own_parts.hpp"
#include "engine/comm/rank_places.hpp"

namespace moescope::engine::comm {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// The number in a variable; 0 when there is none.
int number_in(const char* variable) {
    const char* text = std::getenv(variable);
    return text == nullptr ? 0 : std::atoi(text);
}

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
        places_ = RankPlaces(*this);
    }

    ~MpiComm() override {
        if (!failed_) {
            plugin_->finish();
        }
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    int neighbours() const override { return places_.neighbours(); }
    void abort() noexcept override { failed_ = true; }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        if (failed_) {
            throw Error(say("the ranks of this run no longer work together; go on from its last checkpoint"));
        }
        failed_ = true;  // until it is done
        copy_own_parts(memory(), rank_, out, in);
        list_others(out_, rank_, out);
        list_others(in_, rank_, in);
        if (!out_.empty() || !in_.empty()) {
            if (plugin_->begin(out_.data(), static_cast<std::int32_t>(out_.size()), in_.data(),
                               static_cast<std::int32_t>(in_.size()), text_, sizeof text_) != 0) {
                throw Error(say("the ranks lost each other: {}; go on from the last checkpoint", text_));
            }
            wait(patience);
        }
        failed_ = false;
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
                places_.look_after();
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
    int rank_ = 0, size_ = 1;
    RankPlaces places_;
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

int launched_rank() {
    int rank = 0;
    for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        rank = std::max(rank, number_in(variable));
    }
    return rank;
}

std::filesystem::path mpi_plugin_here() {
    return base::own_part(kMpiPluginFile);
}

std::unique_ptr<Comm> open_mpi(const MpiSettings& settings) {
    return std::make_unique<MpiComm>(settings);
}

}  // namespace moescope::engine::comm
