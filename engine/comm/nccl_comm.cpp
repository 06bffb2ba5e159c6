#include "engine/comm/nccl_comm.hpp"

#include <array>
#include <dlfcn.h>
#include <sched.h>
#include <thread>

#include "base/foreign_text.hpp"
#include "base/installation.hpp"
#include "engine/comm/nccl_plugin.hpp"
#include "engine/comm/own_parts.hpp"
#include "engine/comm/rank_places.hpp"

namespace moescope::engine::comm {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Null with why it can't be opened.
const NcclPlugin* open(const std::filesystem::path& file, std::string& problem) {
    if (std::error_code error; !std::filesystem::exists(file, error)) {
        problem = file.string() + " is not there; ./run --nccl makes it";
        return nullptr;
    }
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // for good, as every driver
    if (library == nullptr) {
        const char* text = dlerror();
        problem = text == nullptr ? file.string() : text;
        return nullptr;
    }
    const auto entry = reinterpret_cast<NcclPluginEntry>(dlsym(library, kNcclPluginEntry));
    const NcclPlugin* plugin = entry == nullptr ? nullptr : entry();
    if (plugin == nullptr || plugin->version != kNcclPluginVersion) {
        problem = file.string() + " is of another version than the program; build both again";
        return nullptr;
    }
    return plugin;
}

class NcclComm final : public ExchangeComm {
 public:
    NcclComm(Comm& world, std::shared_ptr<Memory> memory, const NcclSettings& settings)
        : ExchangeComm(std::move(memory)), world_(world), patience_(settings.patience), places_(world) {
        std::array<char, kNcclId> id{};  // rank 0's is the one
        std::string problem;
        plugin_ = open(settings.plugin, problem);
        if (problem.empty() && (plugin_->check(settings.device, text_, sizeof text_) != 0 ||
                                (world.rank() == 0 && plugin_->make_id(id.data(), text_, sizeof text_) != 0))) {
            problem = text_;
        }
        if (const auto first = first_problem(world, problem)) {
            throw Error(say("NCCL cannot be used: rank {}: {}", first->rank, first->text));
        }
        world.broadcast(id.data(), id.size(), 0);
        handle_ = plugin_->join(id.data(), settings.device, world.rank(), world.size(), text_, sizeof text_);
        if (handle_ == nullptr) {
            fail();
        }
        wait(Patience::step);
        failed_ = false;
    }
    /// The other ranks may still read what this one sent.
    ~NcclComm() override {
        if (!failed_ && plugin_->leave(handle_, text_, sizeof text_) == 0) {
            try {
                wait(Patience::step);
            } catch (const Error&) {
                return;  // a rank that did not come has been said by who waited for it
            }
        }
        release();
    }

    int rank() const override { return world_.rank(); }
    int size() const override { return world_.size(); }
    int neighbours() const override { return places_.neighbours(); }
    void abort() noexcept override { stop(); }

 private:
    void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override {
        if (failed_) {
            throw Error(say("the ranks of this run no longer work together; go on from its last checkpoint"));
        }
        copy_own_parts(memory(), rank(), out, in);
        list_others(out_, rank(), out);
        list_others(in_, rank(), in);
        if (out_.empty() && in_.empty()) {
            return;
        }
        if (plugin_->begin(handle_, out_.data(), static_cast<std::int32_t>(out_.size()), in_.data(),
                           static_cast<std::int32_t>(in_.size()), text_, sizeof text_) != 0) {
            fail();
        }
        wait(patience);
    }

    /// What goes on on the GPU is ended, so that nothing there waits for ranks that will not come.
    void stop() noexcept {
        failed_ = true;
        release();
        world_.abort();
    }
    void release() noexcept {
        if (handle_ != nullptr) {
            plugin_->release(handle_);
            handle_ = nullptr;
        }
    }
    [[noreturn]] void fail() {
        stop();
        throw Error(say("the ranks lost each other: {}; go on from the last checkpoint", text_));
    }

    void wait(Patience patience) {
        const auto begin = Clock::now();
        auto looked = begin;
        for (int turn = 0;; ++turn) {
            const int done = plugin_->poll(handle_, text_, sizeof text_);
            if (done > 0) {
                return;
            }
            if (done < 0) {
                fail();
            }
            if (turn < 64) {
                continue;
            }
            sched_yield();
            const auto now = Clock::now();
            if (now - begin > 20ms) {
                std::this_thread::sleep_for(now - begin > 1s ? 1ms : 100us);
            }
            try {
                if (now - looked > 100ms) {
                    places_.look_after();
                    looked = now;
                }
                if (patience == Patience::step && now - begin > patience_) {
                    throw Error(
                        say("NCCL: the other ranks did not answer for {} seconds; look whether one hangs, and go on "
                            "from the last checkpoint",
                            std::chrono::duration_cast<std::chrono::seconds>(patience_).count()));
                }
            } catch (const Error&) {
                stop();
                throw;
            }
        }
    }

    Comm& world_;
    const std::chrono::milliseconds patience_;
    const RankPlaces places_;
    const NcclPlugin* plugin_ = nullptr;
    NcclRank* handle_ = nullptr;
    std::vector<NcclTransfer> out_, in_;
    bool failed_ = true;  ///< until it has joined
    char text_[512] = "";
};

}  // namespace

std::filesystem::path nccl_plugin_here() {
    return base::own_part(kNcclPluginFile);
}

std::string why_no_nccl(const NcclSettings& settings) {
    std::string problem;
    const NcclPlugin* plugin = open(settings.plugin, problem);
    char text[512] = "";
    return plugin != nullptr && plugin->check(settings.device, text, sizeof text) != 0 ? text : problem;
}

std::unique_ptr<Comm> open_nccl(Comm& world, std::shared_ptr<Memory> memory, const NcclSettings& settings) {
    return std::make_unique<NcclComm>(world, std::move(memory), settings);
}

}  // namespace moescope::engine::comm
