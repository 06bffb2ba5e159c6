// The node's end: starts the processes, asks rank 0, notices when one ends.
#include "nodes/service/jobs/rank_group.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/file_io.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/process_memory.hpp"
#include "base/scratch_folder.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/step_records.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_wire.hpp"

extern char** environ;

namespace moescope::node {

using base::say;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

constexpr int kLook = 50;             // ms between looks whether the processes still live
constexpr auto kToMeet = 2min;        // until rank 0 has joined the node
constexpr auto kToLeave = 5s;         // after the node has let them go
constexpr auto kToObey = 3s;          // after they were told to end
constexpr std::size_t kTail = 16384;  // bytes of what the launcher has printed
constexpr std::size_t kLongestWords = 200;

/// The launcher of MPI; empty when there is none.
fs::path find_launcher() {
    if (const char* named = std::getenv("MOESCOPE_MPIRUN"); named != nullptr) {
        return access(named, X_OK) == 0 ? fs::path(named) : fs::path();
    }
    const char* path = std::getenv("PATH");
    std::istringstream folders(path == nullptr ? "" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const fs::path file = fs::path(folder) / "mpirun";
        if (!folder.empty() && access(file.c_str(), X_OK) == 0) {
            return file;
        }
    }
    return {};
}

bool begins_with_any(const std::string& text, std::initializer_list<const char*> beginnings) {
    return std::any_of(beginnings.begin(), beginnings.end(), [&](const char* one) { return text.starts_with(one); });
}

/// The environment of the launcher. Settings of Open MPI 4 and 5; other launchers don't know them, and need none.
std::vector<std::string> environment(bool crowded) {
    std::vector<std::pair<std::string, std::string>> ours = {
        // There may be more ranks than cores, and each has threads of its own: the system places them.
        {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
        {"OMPI_MCA_hwloc_base_binding_policy", "none"},
        {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
        {"PRTE_MCA_hwloc_default_binding_policy", "none"}};
    if (geteuid() == 0) {  // whoever runs the node as root has decided that already
        ours.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
        ours.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
    if (crowded) {
        ours.emplace_back("OMP_WAIT_POLICY", "passive");
    }
    std::vector<std::string> all;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        const std::string text = *variable;
        const std::string name = text.substr(0, text.find('='));
        // A node that was itself started by a launcher is none of these ranks.
        const bool of_launch = begins_with_any(name, {"OMPI_COMM_WORLD_", "PMIX_", "PMI_"});
        if (!of_launch && std::none_of(ours.begin(), ours.end(), [&](const auto& own) { return own.first == name; })) {
            all.push_back(text);
        }
    }
    for (const auto& [name, value] : ours) {
        all.push_back(name + "=" + value);
    }
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) {
        list.push_back(text.data());
    }
    list.push_back(nullptr);
    return list;
}

/// Between fork and exec only async-signal-safe calls are allowed.
[[noreturn]] void become_launcher(char* const* arguments, char* const* variables, int output, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // which it hands on to the ranks
    if (getppid() != parent) {
        _exit(127);
    }
    setpgid(0, 0);  // a Ctrl+C is for the node, which saves a checkpoint first
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int nothing = open("/dev/null", O_RDONLY);
    if (dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) {
        _exit(127);
    }
    close_range(3, ~0U, 0);
    execve(arguments[0], arguments, variables);
    _exit(127);
}

/// mpirun, and what it has printed.
class Launcher {
 public:
    Launcher(const fs::path& program, std::vector<std::string> arguments, bool crowded) {
        output_ = base::Descriptor(memfd_create("moescope-ranks", MFD_CLOEXEC));
        std::vector<std::string> variables = environment(crowded);
        arguments.insert(arguments.begin(), program.string());
        const auto argument_list = pointers_to(arguments), variable_list = pointers_to(variables);
        const pid_t parent = getpid();
        process_ = fork();
        if (process_ < 0) {
            throw base::Error(say("cannot start {}: {}", program, base::system_sentence(errno)));
        }
        if (process_ == 0) {
            become_launcher(argument_list.data(), variable_list.data(), output_.get(), parent);
        }
    }
    /// Ends what is left of it.
    ~Launcher() {
        if (!ends_within(kToLeave)) {
            kill(process_, SIGTERM);
            if (!ends_within(kToObey)) {
                kill(process_, SIGKILL);
                waitpid(process_, nullptr, 0);
            }
        }
    }
    Launcher(const Launcher&) = delete;
    Launcher& operator=(const Launcher&) = delete;

    pid_t process() const { return process_; }
    bool ended() {
        ended_ = ended_ || waitpid(process_, nullptr, WNOHANG) != 0;
        return ended_;
    }
    bool ends_within(Clock::duration time) {
        const auto deadline = Clock::now() + time;
        while (!ended() && Clock::now() < deadline) {
            std::this_thread::sleep_for(5ms);
        }
        return ended_;
    }
    /// The line that says why it ended, as far as one does.
    std::string last_words() const {
        struct stat status {};
        if (fstat(output_.get(), &status) != 0 || status.st_size == 0) {
            return {};
        }
        std::string text(kTail, '\0');
        const off_t start = std::max<off_t>(0, status.st_size - static_cast<off_t>(text.size()));
        const ssize_t got = pread(output_.get(), text.data(), text.size(), start);
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        std::string first, said, noticed;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            const bool empty = line.find_first_not_of(" \t\r-") == std::string::npos;
            first = first.empty() && !empty ? line : first;
            said = said.empty() && line.starts_with("moescope-node: ") ? line.substr(15) : said;
            noticed = line.find(" noticed that process rank ") != std::string::npos ? line : noticed;
        }
        return base::one_line(!noticed.empty() ? noticed : !said.empty() ? said : first, kLongestWords);
    }

 private:
    pid_t process_ = -1;
    base::Descriptor output_;
    bool ended_ = false;
};

/// Where rank 0 joins the node: a folder of this user alone.
class Door {
 public:
    Door() : path_((folder_.path() / "ranks").string()) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path_.size() >= sizeof address.sun_path) {
            throw base::Error(say("the socket path {} is longer than the system allows", path_));
        }
        std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
        listening_ = base::Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!listening_ || bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            listen(listening_.get(), 1) != 0) {
            throw base::Error(
                say("no socket for the processes of a run can be made: {}", base::system_sentence(errno)));
        }
    }
    const std::string& path() const { return path_; }
    /// Who came, of this user; nothing within so many milliseconds.
    base::Descriptor open(int milliseconds) {
        pollfd waiting{listening_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, milliseconds) <= 0) {
            return {};
        }
        base::Descriptor who(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ucred credentials{};
        socklen_t size = sizeof credentials;
        if (!who || getsockopt(who.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 ||
            credentials.uid != geteuid()) {
            return {};
        }
        return who;
    }

 private:
    base::ScratchFolder folder_;
    const std::string path_;
    base::Descriptor listening_;
};

class RankGroup final : public RunTrainer {
 public:
    RankGroup(const Paths& paths, const TrainingRequest& order, const engine::StopCheck& check)
        : config_(order.config), launcher_(find_launcher(), arguments(paths), crowded()) {
        meet(check);
        const json ready = ask({{"op", "train"}, {"order", order_of_ranks(order)}}, check);
        take_config(ready);
        exchange_ = {base::text_of(ready, "exchange"), base::sentence_in(ready, "exchange_text")};
        memory_ = base::count_of(ready, "memory_bytes") * static_cast<std::uint64_t>(config_.train.processes);
    }
    ~RankGroup() override {
        // Rank 0 leaves when its end of the socket is closed, and lets the others go.
        rank0_ = {};
    }

    pid_t launcher() const { return launcher_.process(); }

    const engine::StepStats& step() override {
        ranks_ = {};
        const json answer = ask({{"op", "step"}});
        stats_.ranks = std::move(ranks_);
        stats_.tokens = base::count_of(answer, "tokens");
        stats_.fault = base::sentence_in(answer, "fault");
        why_not_recorded_ = base::text_of(answer, "why_not_recorded");
        attention_by_ = base::text_of(answer, "attention_by");
        return stats_;
    }
    engine::HeldOutLoss evaluate() override {
        const json answer = ask({{"op", "evaluate"}});
        engine::HeldOutLoss loss;
        for (std::size_t language = 0; language < loss.loss.size(); ++language) {
            const json &value = base::member(answer, "loss"), &tokens = base::member(answer, "tokens");
            const bool whole =
                value.is_array() && value.size() > language && tokens.is_array() && tokens.size() > language;
            loss.loss[language] = whole ? base::as_number(value[language]).value_or(std::nan("")) : std::nan("");
            loss.tokens[language] = whole ? base::as_count(tokens[language]).value_or(0) : 0;
        }
        return loss;
    }
    std::string sample(const std::string& prompt, int max_tokens) override {
        return base::text_of(ask({{"op", "sample"}, {"prompt", prompt}, {"max_tokens", max_tokens}}), "text");
    }
    void set(const engine::LiveValues& values) override { take_config(ask({{"op", "set"}, {"values", values}})); }
    void set_expert_disabled(int layer, int expert, bool disabled) override {
        ask({{"op", "disable"}, {"layer", layer}, {"expert", expert}, {"on", disabled}});
    }
    void set_expert_frozen(int layer, int expert, bool frozen) override {
        ask({{"op", "freeze"}, {"layer", layer}, {"expert", expert}, {"on", frozen}});
    }
    void reset_expert(int layer, int expert) override { ask({{"op", "reset"}, {"layer", layer}, {"expert", expert}}); }
    void save(const fs::path& folder) override { ask({{"op", "save"}, {"folder", fs::absolute(folder).string()}}); }
    std::string parameters_sha256() override { return base::text_of(ask({{"op", "sha256"}}), "sha256"); }
    const engine::RunConfig& config() const override { return config_; }
    std::uint64_t steps_done() const override { return steps_; }
    std::uint64_t memory_bytes() const override { return memory_; }
    std::string why_not_recorded() const override { return why_not_recorded_; }  ///< of rank 0's device
    std::string attention_by() const override { return attention_by_; }          ///< the same
    const RankExchange& exchange() const override { return exchange_; }

 private:
    std::vector<std::string> arguments(const Paths& paths) const {
        return {"-n", std::to_string(config_.train.processes), paths.program.string(), "rank", door_.path()};
    }
    bool crowded() const { return config_.train.processes * std::max(1, config_.train.threads) > cores(); }

    void meet(const engine::StopCheck& check) {
        const auto deadline = Clock::now() + kToMeet;
        while (!rank0_) {
            engine::check_stop(check);
            rank0_ = door_.open(kLook);
            if (!rank0_ && launcher_.ended()) {
                throw_ended(say("could not be started"));
            }
            if (!rank0_ && Clock::now() > deadline) {
                throw base::Error(say("the processes of this run did not come up within {} seconds",
                                      std::chrono::duration_cast<std::chrono::seconds>(kToMeet).count()));
            }
        }
        writer_ = std::make_unique<WorkerWriter>(rank0_.get());
        reader_ = std::make_unique<WorkerReader>(rank0_.get());
    }

    /// The answer of rank 0.
    json ask(const json& request, const engine::StopCheck& check = {}) {
        if (!writer_->write(request)) {
            throw_ended(say("have ended"));
        }
        WorkerMessage message;
        for (;;) {
            engine::check_stop(check);
            const WorkerReader::Status status = reader_->read(message, kLook);
            if (status == WorkerReader::Status::message) {
                if (const auto answer = take(message)) {
                    return *answer;
                }
            } else if (status == WorkerReader::Status::ended) {
                throw_ended(say("have ended"));
            }  // else: as long as rank 0 has the socket open it works
        }
    }

    void take_config(const json& answer) {
        config_ = engine::parse_run_config(base::member(answer, "config"), say("the configuration"));
    }

    /// Nothing: more will come.
    std::optional<json> take(const WorkerMessage& message) {
        if (message.kind == WorkerMessageKind::step) {
            if (const auto record = protocol::decode_step(message.body)) {
                stats_ = step_stats(*record);
            }
            return std::nullopt;
        }
        if (message.kind == WorkerMessageKind::ranks) {
            if (const auto record = protocol::decode_ranks(message.body)) {
                ranks_ = rank_step(*record);
            }
            return std::nullopt;
        }
        const auto answer =
            message.kind == WorkerMessageKind::json ? protocol::decode_json(message.body) : std::nullopt;
        if (!answer) {
            return std::nullopt;
        }
        if (base::text_of(*answer, "op") != "ended") {
            throw base::Error(base::sentence_in(*answer, "message"));
        }
        steps_ = base::count_of(*answer, "steps");
        return answer;
    }

    [[noreturn]] void throw_ended(const base::Sentence& what) {
        rank0_ = {};
        launcher_.ends_within(kToObey);
        const std::string words = launcher_.last_words();
        const base::Sentence told = words.empty() ? say("the processes of this run {}", what)
                                                  : say("the processes of this run {} ({})", what, words);
        throw base::Error(say("{}; go on from the last checkpoint", told));
    }

    engine::RunConfig config_;
    Door door_;
    Launcher launcher_;
    base::Descriptor rank0_;
    std::unique_ptr<WorkerWriter> writer_;
    std::unique_ptr<WorkerReader> reader_;
    engine::StepStats stats_;
    engine::RankStep ranks_;
    std::uint64_t steps_ = 0, memory_ = 0;
    std::string why_not_recorded_, attention_by_;
    RankExchange exchange_;
};

}  // namespace

base::Sentence why_no_processes() {
    if (std::error_code error; !fs::exists(engine::comm::mpi_plugin_here(), error)) {
        return say("this build has no {}: install Open MPI (Debian: libopenmpi-dev, openmpi-bin) and build again",
                   engine::comm::mpi_plugin_here().filename());
    }
    if (find_launcher().empty()) {
        return say("mpirun was not found: install Open MPI (Debian: openmpi-bin)");
    }
    return {};
}

void require_processes(const engine::RunConfig& config) {
    if (config.train.processes == 1) {
        return;
    }
    if (const base::Sentence why = why_no_processes(); !why.empty()) {
        throw CommandError(say("several processes can't be started here: {}", why));
    }
}

int threads_of_run(const engine::TrainConfig& train) {
    return std::max(1, cores() / train.processes);
}

std::uint64_t memory_of_ranks(pid_t launcher) {
    if (launcher < 0) {
        return 0;
    }
    std::uint64_t bytes = base::process_memory(launcher);
    std::istringstream children = base::system_file(fmt::format("/proc/{}/task/{}/children", launcher, launcher));
    for (std::int64_t child = 0; children >> child;) {
        bytes += base::process_memory(child);
    }
    return bytes;
}

StartedRanks start_ranks(const Paths& paths, const TrainingRequest& order, const engine::StopCheck& check) {
    require_processes(order.config);
    auto group = std::make_unique<RankGroup>(paths, order, check);
    const pid_t launcher = group->launcher();
    return {std::move(group), launcher};
}

}  // namespace moescope::node
