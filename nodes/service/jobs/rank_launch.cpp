#include "nodes/service/jobs/rank_launch.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "engine/comm/rank_places.hpp"
#include "engine/train/memory_check.hpp"
#include "nodes/service/jobs/dataset_store.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {
namespace {

constexpr std::size_t kMostOrder = std::size_t{1} << 20;

/// The plugin beside this program; MOESCOPE_NCCL_PLUGIN is for tests.
engine::comm::NcclSettings nccl_settings() {
    engine::comm::NcclSettings settings;
    const char* other = std::getenv("MOESCOPE_NCCL_PLUGIN");
    settings.plugin = other != nullptr ? std::filesystem::path(other) : engine::comm::nccl_plugin_here();
    settings.patience = mpi_settings().patience;
    return settings;
}

/// A launcher that binds its ranks to cores gives each its own; else those of a machine share all of it.
int threads_of_rank(const engine::comm::Comm& world) {
    return cores() < sysconf(_SC_NPROCESSORS_ONLN) ? cores() : std::max(1, cores() / world.neighbours());
}

}  // namespace

engine::comm::MpiSettings mpi_settings() {
    engine::comm::MpiSettings settings;
    settings.plugin = engine::comm::mpi_plugin_here();
    if (const char* text = std::getenv("MOESCOPE_RANK_PATIENCE"); text != nullptr) {
        constexpr int kDay = 24 * 60 * 60;
        int seconds = 0;
        const char* end = text + std::strlen(text);
        const auto read = std::from_chars(text, end, seconds);
        if (read.ec != std::errc() || read.ptr != end || seconds < 1 || seconds > kDay) {
            throw CommandError(say("MOESCOPE_RANK_PATIENCE is \"{}\", but must be seconds from 1 to {}", text, kDay));
        }
        settings.patience = std::chrono::seconds(seconds);
    }
    return settings;
}

RankLaunch::RankLaunch(const Paths& paths, std::shared_ptr<engine::comm::Comm> world,
                       const engine::TrainingRanks& sharing, std::optional<int> threads)
    : program_(paths.program), nccl_(nccl_settings()), devices_(device_places(paths)), ranks_(sharing) {
    ranks_.world = std::move(world);
    ranks_.threads = threads.value_or(threads_of_rank(*ranks_.world));
}

RankLaunch::~RankLaunch() {
    if (leads() && !begun_) {
        try {
            begin(nullptr);
        } catch (const std::exception&) {
            ranks_.world->abort();  // who is lost need not be told
        }
    }
}

void RankLaunch::share(const engine::TrainConfig& train, int threads) {
    ranks_.expert_ranks = train.expert_parallel;
    ranks_.own_sequences = train.all_to_all;
    ranks_.threads = threads > 0 ? threads : ranks_.threads;
}

std::unique_ptr<kernels::Ops> RankLaunch::open_device(const engine::RunConfig& config) {
    ranks_.device = config.train.device;
    if (ranks_.device == kernels::kProcessor) {
        return nullptr;
    }
    engine::comm::Comm& world = *ranks_.world;
    const engine::comm::RankPlaces places(world);
    std::unique_ptr<kernels::Ops> ops;
    std::string problem;
    try {
        ops =
            devices_.open(kernels::device_of_neighbour(ranks_.device, places.neighbour()), std::max(1, ranks_.threads));
        ops->enter();
        engine::check_rank_memory(config, engine::shape_of(ranks_, config), *ops);
    } catch (const std::exception& error) {
        problem = error.what();
    }
    engine::comm::require_all(world, problem);
    choose_exchange(config.train.exchange, kernels::gpu_number(ops->device()));
    return ops;
}

void RankLaunch::choose_exchange(engine::Exchange wanted, int gpu) {
    engine::comm::Comm& world = *ranks_.world;
    ranks_.open_direct = {};
    if (wanted == engine::Exchange::host) {
        exchange_ = {"host",
                     say("the GPUs exchange data through the machine's memory and MPI, as train.exchange says")};
        return;
    }
    engine::comm::NcclSettings settings = nccl_;
    settings.device = gpu;
    const auto problem =
        engine::comm::first_problem(world, gpu < 0 ? "its device is no GPU" : engine::comm::why_no_nccl(settings));
    if (problem && wanted == engine::Exchange::nccl) {
        throw base::Error(
            say("NCCL cannot be used: rank {}: {}; with train.exchange host the data go through the "
                "machine's memory",
                problem->rank, problem->text));
    }
    if (problem) {
        exchange_ = {"host", say("the GPUs exchange data through the machine's memory and MPI; NCCL cannot be used: "
                                 "rank {}: {}",
                                 problem->rank, problem->text)};
        return;
    }
    exchange_ = {"nccl", say("the GPUs exchange data from memory to memory, by NCCL")};
    ranks_.open_direct = [settings](engine::comm::Comm& ranks, std::shared_ptr<engine::comm::Memory> memory) {
        return engine::comm::open_nccl(ranks, std::move(memory), settings);
    };
}

bool RankLaunch::agree(const std::string& settings) {
    const std::array<engine::comm::Agreed, 2> texts = {
        {{base::marked("program"), base::sha256_of_file(program_)}, {base::marked("command"), settings}}};
    try {
        engine::comm::require_same(*ranks_.world, texts);
    } catch (const engine::comm::Disagreement&) {
        begun_ = true;  // nobody waits for more
        if (leads()) {
            throw;
        }
        return false;
    }
    return true;
}

void RankLaunch::begin(nlohmann::json order, int threads) {
    begun_ = true;
    if (threads > 0) {
        order["threads"] = threads;
    }
    std::string text = order.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::uint64_t bytes = text.size();
    ranks_.world->broadcast(&bytes, sizeof bytes, 0, engine::comm::Patience::endless);
    ranks_.world->broadcast(text.data(), bytes, 0, engine::comm::Patience::endless);
}

std::optional<nlohmann::json> RankLaunch::wait() {
    begun_ = true;
    std::uint64_t bytes = 0;
    ranks_.world->broadcast(&bytes, sizeof bytes, 0, engine::comm::Patience::endless);
    std::string text(std::min<std::uint64_t>(bytes, kMostOrder), '\0');
    ranks_.world->broadcast(text.data(), text.size(), 0, engine::comm::Patience::endless);
    return base::parse_object(text, kMostOrder);
}

std::shared_ptr<RankLaunch> join_ranks(const Paths& paths, const engine::TrainingRanks& sharing,
                                       std::optional<int> threads) {
    if (engine::comm::launched_ranks() == 1) {
        if (sharing.expert_ranks > 1) {
            throw CommandError(say("--expert-parallel {} needs as many processes: start them with mpirun -n {}",
                                   sharing.expert_ranks, sharing.expert_ranks));
        }
        return nullptr;
    }
    std::shared_ptr<engine::comm::Comm> world = engine::comm::open_mpi(mpi_settings());
    return std::make_shared<RankLaunch>(paths, std::move(world), sharing, threads);
}

void follow_training(const Paths& paths, RankLaunch& launch) {
    const auto order = launch.wait();
    if (!order) {
        return;
    }
    const TrainingRequest request = request_of_ranks(*order);
    launch.share(request.config.train, base::integer_of(*order, "threads"));
    DatasetStore datasets(paths.cache);
    const Beginning beginning = open_beginning(request);
    const auto data = datasets.load(request.data, request.config.model.vocabulary, beginning.tokenizer,
                                    [](double, const Sentence&) { return true; });
    auto ops = launch.open_device(request.config);
    make_trainer(request, data, beginning, {}, std::move(ops), launch.ranks())->follow();
}

}  // namespace moescope::node
