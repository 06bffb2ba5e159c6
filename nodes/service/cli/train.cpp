// moescope-node train: one training run in a session of its own.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <memory>

#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "base/step_values.hpp"
#include "base/text.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/text/dataset_check.hpp"
#include "engine/train/memory_check.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/remote_jobs.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/replay.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/cli/training_output.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/rank_launch.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RunState;

namespace {

/// Path of the weights to start from; empty when the run starts from random numbers.
fs::path init_path(const TrainOptions& options, const Paths& paths) {
    return options.init.empty() ? fs::path() : PrintedLibrary(paths).resolve(options.init);
}

/// The shape is that of the weights, all but the length of a sequence, which may be shorter.
void take_shape(engine::RunConfig& config, const engine::OpenedWeights& weights, bool has_context) {
    const int context = config.model.context, most = weights.model->config.model.context;
    config.model = weights.model->config.model;
    config.model.context = has_context ? std::min(context, most) : most;
    if (config.name.empty()) {
        config.name = weights.type;
    }
}

/// Under a launcher it says how many processes train, and the options how they share the run.
void take_launch(engine::RunConfig& config, const TrainOptions& options) {
    if (const int launched = engine::comm::launched_ranks(); launched > 1) {
        config.train.processes = launched;
        config.train.expert_parallel = options.expert_parallel;
        config.train.all_to_all = options.all_to_all;
    }
}

engine::RunConfig with_exchange(const engine::RunConfig& config, const std::string& way) {
    json settings = engine::to_json(config);
    settings["train"]["exchange"] = way;
    return engine::parse_run_config(settings, say("the configuration"));
}

engine::RunConfig config_from(const TrainOptions& options, const fs::path& init, const Paths& paths) {
    engine::RunConfig config;
    if (!options.config.empty()) {
        config = read_run_config(options.config);
    } else if (!options.preset.empty()) {
        config = find_preset(options.preset, paths);
    }
    if (!options.init.empty()) {
        take_shape(config, engine::open_weights(init), !options.config.empty() || !options.preset.empty());
    }
    if (options.steps) {
        config.train.steps = *options.steps;
    }
    if (options.seed) {
        config.train.seed = *options.seed;
    }
    if (options.threads) {
        config.train.threads = *options.threads;
    }
    take_launch(config, options);
    if (config.train.threads == 0) {
        config.train.threads = engine::comm::launched_ranks() > 1 ? cores() : threads_of_run(config.train);
    }
    if (options.device) {
        config.train.device = *options.device;
    }
    if (options.exchange) {
        config = with_exchange(std::move(config), *options.exchange);
    }
    // The options are held to the same ranges as the file.
    return engine::parse_run_config(engine::to_json(config), !options.config.empty()   ? options.config
                                                             : !options.preset.empty() ? "preset " + options.preset
                                                                                       : options.init);
}

void take_processes(engine::RunConfig& config, const engine::RunConfig& of) {
    config.train.processes = of.train.processes;
    config.train.expert_parallel = of.train.expert_parallel;
    config.train.all_to_all = of.train.all_to_all;
    config.train.exchange = of.train.exchange;
}

/// The settings that differ, as a configuration names them, with both values.
std::string differences(const json& wanted, const json& of_run) {
    std::string list;
    const auto add = [&list](const std::string& name, const json& here, const json& there) {
        if (here != there) {
            list += fmt::format("{}{} {}, not {}", list.empty() ? "" : "; ", name, there.dump(), here.dump());
        }
    };
    for (const auto& field : engine::config_fields()) {
        add(field.section + "." + field.key,
            base::member(base::member(wanted, field.section.c_str()), field.key.c_str()),
            base::member(base::member(of_run, field.section.c_str()), field.key.c_str()));
    }
    add("name", base::member(wanted, "name"), base::member(of_run, "name"));
    return list;
}

/// --resume must mean the same run: other settings are refused instead of being ignored. It goes on where it was,
/// unless --device says another place, on as many processes as it is given now, and with as many threads as it had
/// unless --threads says otherwise: its numbers do not depend on them.
void check_same_run(const TrainOptions& options, engine::RunConfig wanted, const TrainingRequest& order) {
    wanted.train.device = order.config.train.device;
    take_processes(wanted, order.config);
    if (!options.threads) {
        wanted.train.threads = order.config.train.threads;
    }
    const json now = engine::to_json(wanted), before = engine::to_json(order.config);
    if (now != before) {
        throw CommandError(say(
            "the run in {} was started with other settings ({}); give the same ones to resume it, or another folder "
            "with --out to start anew",
            options.out, differences(now, before)));
    }
    const std::string given = engine::whole_path_of_data(options.data),
                      recorded = engine::whole_path_of_data(order.data);
    std::error_code error;
    // Where the recorded ones are gone, the same may lie elsewhere: their hash is compared.
    if (given != recorded && !fs::equivalent(given, recorded, error) && engine::data_exist(recorded)) {
        throw CommandError(say("the run in {} was trained on {}, not {}; give the same --data to resume it",
                               options.out, order.data, options.data));
    }
}

void check_device(const TrainOptions& options, const TrainingRequest& order, LocalNode& node) {
    try {
        node.devices.check(order.config.train.device);
    } catch (const base::Error& error) {
        if (!options.device) {
            throw CommandError(base::say("{}; give --device to go on on another one", error));
        }
        throw;
    }
}

/// `before`: the run had ended when the command came, and there was nothing left to do.
void print_end(const TrainingResult& result, bool as_json, bool before) {
    if (as_json) {
        json line = final_line(result);
        if (before) {
            line["nothing_left"] = true;
        }
        print_json(line);
    } else if (result.parameters_sha256.empty()) {
        fmt::print("{} before the first step\n", protocol::run_state_name(result.state));
    } else {
        fmt::print("{}{} after {} steps; SHA-256 of the parameters: {}\n", before ? "nothing is left to do: " : "",
                   protocol::run_state_name(result.state), result.steps, result.parameters_sha256);
        if (result.ranks) {
            fmt::print("{}\n", ranks_text(*result.ranks));
        }
    }
}

/// Of a run that a signal stopped. `before`: the checkpoint from which it was to go on, if there was one.
base::Sentence how_far(const TrainingResult& result, const fs::path& before, int planned) {
    const bool began = !result.parameters_sha256.empty();
    const fs::path kept = began ? result.checkpoint : before;
    if (kept.empty()) {
        return base::say("before the first step; nothing was saved, start it again");
    }
    if (!began) {
        return base::say("before it went on; its last checkpoint is still {}, and --resume goes on from there", kept);
    }
    return base::say("at step {} of {}; the checkpoint {} is saved, and --resume goes on from there", result.steps,
                     planned, kept);
}

/// What a finished run printed last, read from its journal.
TrainingResult result_of(sessions::Session& session, std::uint32_t id) {
    const history::Session history = history::read_run(session, id);
    const history::TrainingRun& run = history.trainings().at(id).value;
    TrainingResult result;
    result.state = run.state;
    result.message = run.message;
    result.loss = run.step.empty() ? std::nan("") : run[&base::StepValues::loss][run.step.size() - 1];
    for (const auto& checkpoint : session.checkpoints(id, false)) {
        result.checkpoint = checkpoint.complete ? checkpoint.path : result.checkpoint;
    }
    if (!run.evaluation_step.empty()) {
        result.held_out.emplace();
        result.held_out->loss = {run.evaluation_english.back(), run.evaluation_chinese.back()};
    }
    history::for_each_record(session.journal(), protocol::Channel::events, {}, [&](const sessions::Record& record) {
        if (record.type == static_cast<std::uint16_t>(protocol::RecordType::run_ended)) {
            if (const auto body = protocol::decode_json(record.body); body && base::run_of(*body) == id) {
                result.steps = base::count_of(*body, "step");
                result.parameters_sha256 = base::text_of(*body, "parameters_sha256");
            }
        }
        return true;
    });
    return result;
}

/// `known`: the run that --resume means, if there is one.
TrainingRequest order_from(const TrainOptions& options, engine::RunConfig config, const fs::path& init, LocalNode& node,
                           const std::optional<history::RunHeader>& known, HeldSignals& signals) {
    TrainingRequest order;
    order.config = std::move(config);
    if (known) {
        auto earlier = known->state == RunState::done
                           ? training_order(*known)
                           : order_to_continue(*node.session, *known, [&] { signals.stop_if_taken(); });
        check_same_run(options, order.config, earlier);
        if (known->state != RunState::done && earlier.checkpoint.empty()) {
            print_warnings({base::say("run {} has no checkpoint yet: it begins again with step 1", known->id)});
        }
        if (!earlier.damaged.empty()) {
            print_warnings({damaged_text(earlier)});
        }
        take_processes(earlier.config, order.config);
        earlier.data = engine::whole_path_of_data(options.data);  // which may have moved; its hash is looked at
        if (known->state != RunState::done) {
            move_to_device(earlier, options.device.value_or(earlier.config.train.device));
            check_device(options, earlier, node);
        }
        if (!earlier.earlier_device.empty()) {
            print_warnings(
                {base::say("the run goes on on {} and no longer on {}: its numbers will not be bit-equal to "
                           "those that it would have had",
                           earlier.config.train.device, earlier.earlier_device)});
        }
        return earlier;
    }
    if (options.resume) {
        print_warnings({base::say("there is no run in {} to resume: a new one begins", options.out)});
    }
    order.data = engine::whole_path_of_data(options.data);
    order.init = init;
    order.name = running_name(order.config.name, node.names(protocol::RunKind::train));
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.name);
    return order;
}

/// What the command asks for.
struct Wanted {
    fs::path init;
    engine::RunConfig config;
    RunRoom room;  ///< of a new run of this process alone
};

/// A bad one is found before a session folder is made. `held`: before a device is opened, which starts threads.
Wanted wanted_from(const TrainOptions& options, const Paths& paths, const RankLaunch* ranks,
                   std::optional<HeldSignals>& held) {
    Wanted wanted;
    wanted.init = init_path(options, paths);
    wanted.config = config_from(options, wanted.init, paths);
    if (ranks != nullptr && wanted.config.train.device != kernels::kProcessor) {
        kernels::Devices(device_places(paths)).check(wanted.config.train.device);
    } else if (ranks != nullptr) {
        engine::check_rank_memory(wanted.config, ranks->ranks(), engine::available_memory());
    } else if (!options.resume) {
        require_processes(wanted.config);
        kernels::Devices devices(device_places(paths));
        if (wanted.config.train.device != kernels::kProcessor) {
            held.emplace();
        }
        wanted.room = check_room(devices, wanted.config, engine::available_memory());
    }
    if (!options.resume) {
        TrainingRequest request;
        request.config = wanted.config;
        request.data = options.data;
        request.init = options.init;
        check_request(request);
    }
    return wanted;
}

/// The same of all ranks, or rank 0 says what is wrong; nothing: this rank leaves it to rank 0.
std::optional<Wanted> wanted_by_all(const TrainOptions& options, const Paths& paths, RankLaunch* ranks,
                                    std::optional<HeldSignals>& held) {
    if (ranks == nullptr) {
        return wanted_from(options, paths, nullptr, held);
    }
    Wanted wanted;
    std::exception_ptr problem;
    std::string settings;
    try {
        wanted = wanted_from(options, paths, ranks, held);
        engine::RunConfig compared = wanted.config;
        compared.train.threads = 1;  // machines may differ
        settings = json::array({engine::to_json(compared), options.data, wanted.init.string(), options.resume,
                                options.expert_parallel, options.all_to_all})
                       .dump(-1, ' ', false, json::error_handler_t::replace);
    } catch (const std::exception& error) {
        problem = std::current_exception();
        settings = error.what();
    }
    if (!ranks->agree(settings) || (problem && !ranks->leads())) {
        return std::nullopt;
    }
    if (problem) {
        std::rethrow_exception(problem);
    }
    return wanted;
}

int train_command(const Paths& paths, const TrainOptions& options) {
    std::optional<HeldSignals> held;
    if (engine::comm::launched_ranks() > 1) {
        held.emplace();  // before MPI starts threads of its own
    }
    engine::TrainingRanks sharing;
    sharing.expert_ranks = options.expert_parallel;
    sharing.own_sequences = options.all_to_all;
    const auto ranks = join_ranks(paths, sharing, options.threads);
    auto wanted = wanted_by_all(options, paths, ranks.get(), held);
    if (!wanted) {
        return 1;
    }
    if (ranks && !ranks->leads()) {
        follow_training(paths, *ranks);
        return 0;
    }
    const fs::path init = wanted->init;
    auto config = std::move(wanted->config);
    if (!held) {
        held.emplace();  // until here nothing was begun that would have to end well
    }
    HeldSignals& signals = *held;
    int planned = 0;
    if (options.resume) {
        require_session_to_resume(options.out);
    }
    LocalNode node(paths, options.out, [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        if (type == protocol::RecordType::step) {
            if (const auto step = protocol::decode_step(body); step && options.json) {
                print_json(step_json(*step));
            } else if (step) {
                print_step(*step, planned);
            }
        } else if (type == protocol::RecordType::evaluation && !options.json) {  // the lines are of steps alone
            if (const auto record = protocol::decode_json(body)) {
                print_evaluation(*record);
            }
        }
    });
    node.disk.set_reserve(options.disk_reserve);
    const auto known = options.resume ? latest_run(node.session->journal(), protocol::RunKind::train) : std::nullopt;
    auto order = order_from(options, std::move(config), init, node, known, signals);
    order.ranks = ranks;
    if (known && known->state == RunState::done) {
        print_end(result_of(*node.session, known->id), options.json, true);
        return 0;
    }
    order.faults_end_the_run = true;
    planned = order.config.train.steps;
    const fs::path before = order.checkpoint;
    TrainingResult result;
    {
        TrainingJob job(node.parts, std::move(order), std::move(wanted->room));
        wait_for(job, signals);
        result = job.result();
    }
    finish(node, result);
    print_end(result, options.json, false);
    if (result.state == RunState::stopped) {
        throw Stopped(signals.first(), how_far(result, before, planned));
    }
    return 0;
}

}  // namespace

void add_train(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TrainOptions>();
    auto* train = app.add_subcommand("train", "Train a mixture-of-experts model");
    train->footer(
        "Needs --out, and --preset, --config or --init: train --preset workshop --steps 100 --out S\n"
        "With --node it trains in that node's session; with --replay it takes everything from the session.");
    auto* what = train->add_option_group("what");
    what->add_option("--preset", options->preset, "Name of a preset, such as workshop; any other word lists them")
        ->check(filled());
    what->add_option("--config", options->config, "Configuration file (JSON)")->check(filled());
    what->require_option(0, 1);
    train
        ->add_option("--init", options->init,
                     "Weights to start from: library name, checkpoint, session, Hugging Face folder or GGUF file")
        ->check(filled());
    train->add_option("--replay", options->replay, "Session whose latest training run is run again and compared")
        ->check(filled());
    train
        ->add_option("--data", options->data,
                     "manpages, a text file, a folder of .txt, .jsonl, .ndjson or .json files (also .zst or .gz), or "
                     "token ids in a .npy file")
        ->check(filled())
        ->capture_default_str();
    train->add_option("--steps", options->steps, "Optimizer steps")->check(range_of("steps"));
    train->add_option("--out", options->out, "Session folder; created when missing")->check(filled());
    train->add_option("--seed", options->seed, "Seed of parameters and data order")->check(range_of("seed"));
    train->add_option("--threads", options->threads, "Compute threads; as many as the machine has when left out")
        ->check(range_of("threads"));
    train
        ->add_option("--expert-parallel", options->expert_parallel,
                     "Under mpirun or srun: this many neighbouring processes share the experts")
        ->check(whole_number(1, 1024))
        ->capture_default_str();
    train->add_flag("--all-to-all", options->all_to_all,
                    "With --expert-parallel: each process takes sequences of its own, and tokens go to their experts");
    train
        ->add_option("--device", options->device,
                     "What computes: cpu, or cuda:0 and so on (moescope-node devices); left out: as the configuration "
                     "says, and with --resume or --replay where the run was")
        ->check(filled());
    train
        ->add_option("--exchange", options->exchange,
                     "Under mpirun or srun, with GPUs: how they send each other data, host (through this machine's "
                     "memory, over MPI), nccl (from GPU to GPU) or auto (nccl where all can); changes no number")
        ->check(CLI::IsMember({"auto", "host", "nccl"}));
    train
        ->add_option("--disk-reserve", options->disk_reserve,
                     "Bytes that stay free on the disk of --out: with less the run stops after a checkpoint; left out: "
                     "two checkpoints and a segment of the journal; 0: nobody watches")
        ->check(whole_number(0, std::numeric_limits<std::int64_t>::max()));
    train->add_flag("--resume", options->resume, "Go on from the last complete checkpoint in the session");
    train->add_flag("--json", options->json, "JSON Lines on standard output");
    add_node_option(*train, options->node, options->wait);
    train->callback([&chosen, train, options] {
        const int sources = static_cast<int>(!options->preset.empty()) + static_cast<int>(!options->config.empty()) +
                            static_cast<int>(!options->init.empty());
        if (!options->node.empty()) {
            if (sources != 1 || !options->init.empty() || !options->out.empty() || !options->replay.empty() ||
                options->resume) {
                throw CLI::ValidationError(
                    "train --node needs --preset or --config, and trains in that node's session: "
                    "--out, --init, --resume and --replay do not go with it");
            }
            chosen.command = [options](const Paths& paths) { return train_on_node(paths, *options); };
            return;
        }
        constexpr std::array kNotWithReplay = {"--steps",           "--seed",       "--data",
                                               "--expert-parallel", "--all-to-all", "--disk-reserve"};
        const bool contradicts = sources > 0 || options->resume ||
                                 std::any_of(kNotWithReplay.begin(), kNotWithReplay.end(),
                                             [train](const char* name) { return train->count(name) > 0; });
        if (options->replay.empty() ? sources == 0 || options->out.empty() : contradicts) {
            throw CLI::ValidationError(options->replay.empty()
                                           ? "train needs --out, and --preset, --config or --init"
                                           : "train --replay takes its settings from the session; only --out, "
                                             "--device, --threads and --json go with it");
        }
        if (options->all_to_all && options->expert_parallel < 2) {
            throw CLI::ValidationError(
                "--all-to-all needs --expert-parallel of at least 2: tokens go to the experts "
                "of other processes");
        }
        chosen.shares_work = options->replay.empty();
        chosen.command = [options](const Paths& paths) {
            return options->replay.empty() ? train_command(paths, *options) : replay_command(paths, *options);
        };
    });
}

}  // namespace moescope::node
