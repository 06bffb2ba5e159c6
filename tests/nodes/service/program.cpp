#include "tests/nodes/service/program.hpp"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/paths.hpp"

namespace moescope::test {
namespace fs = std::filesystem;
using nlohmann::json;

Variable::Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) {
        before_ = before;
    }
    setenv(name, value.c_str(), 1);
}

Variable::~Variable() {
    if (before_) {
        setenv(name_, before_->c_str(), 1);
    } else {
        unsetenv(name_);
    }
}

std::vector<json> Output::lines() const {
    std::vector<json> result;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) {
        auto value = json::parse(line, nullptr, false);
        EXPECT_FALSE(value.is_discarded()) << "not a JSON line: " << line;
        result.push_back(std::move(value));
    }
    return result;
}

fs::path node_program() {
    return fs::path(moescope::test::binary_folder()) / "moescope-node";
}

Running::Running(const Arguments& arguments, bool without_rights, const fs::path& standard_output) {
    std::array<int, 2> out{}, error{};
    if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(error.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("no pipe");
    }
    const std::string program = node_program().string();
    std::vector<char*> pointers{const_cast<char*>(program.c_str())};
    for (const auto& argument : arguments) {
        pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    process_ = fork();
    if (process_ == 0) {
        const int file = standard_output.empty() ? out[1] : open(standard_output.c_str(), O_WRONLY | O_CLOEXEC);
        if (dup2(file, 1) < 0) {
            _exit(125);
        }
        dup2(error[1], 2);
        // Root gets at exec what is left here.
        for (const int right : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER}) {
            if (without_rights && prctl(PR_CAPBSET_DROP, right) != 0 && geteuid() == 0) {
                _exit(125);
            }
        }
        execv(program.c_str(), pointers.data());
        _exit(126);
    }
    close(out[1]);
    close(error[1]);
    out_ = out[0];
    error_ = error[0];
}

void Running::close_output() {
    close(std::exchange(out_, -1));
}

Running::~Running() {
    if (process_ > 0) {
        kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
    }
    if (out_ >= 0) {
        close(out_);
    }
    close(error_);
}

void Running::signal(int number) const {
    kill(process_, number);
}

std::optional<std::string> Running::line() {
    for (;;) {
        if (const auto end = buffer_.find('\n'); end != std::string::npos) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end + 1);
            return line;
        }
        std::array<char, 4096> chunk{};
        const ssize_t got = read(out_, chunk.data(), chunk.size());
        if (got <= 0) {
            return std::nullopt;
        }
        buffer_.append(chunk.data(), static_cast<std::size_t>(got));
    }
}

Output Running::finish() {
    Output result;
    result.out = std::move(buffer_);
    std::array<pollfd, 2> open{{{out_, POLLIN, 0}, {error_, POLLIN, 0}}};
    while (open[0].fd >= 0 || open[1].fd >= 0) {
        poll(open.data(), open.size(), -1);
        for (std::size_t i = 0; i < open.size(); ++i) {
            if (open[i].fd < 0 || open[i].revents == 0) {
                continue;
            }
            std::array<char, 65536> chunk{};
            const ssize_t got = read(open[i].fd, chunk.data(), chunk.size());
            if (got <= 0) {
                open[i].fd = -1;
            } else {
                (i == 0 ? result.out : result.error).append(chunk.data(), static_cast<std::size_t>(got));
            }
        }
    }
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

Output run_node(const Arguments& arguments) {
    return Running(arguments).finish();
}

Output run_node_into(const fs::path& file, const Arguments& arguments) {
    return Running(arguments, false, file).finish();
}

Output run_node_without_rights(const Arguments& arguments) {
    return Running(arguments, true).finish();
}

namespace {

/// Set once, before any test runs; the folders live as long as the program.
class PrivateFolders final : public testing::Environment {
 public:
    void SetUp() override {
        signal(SIGPIPE, SIG_IGN);  // as the program itself does: a pipe to a dead process is an error code
        if (const char* cache = std::getenv("MOESCOPE_CACHE")) {
            model_cache_ = cache;
        }
        folder_ = std::make_unique<TemporaryFolder>();
        setenv("MOESCOPE_CACHE", (folder_->path() / "cache").c_str(), 1);
        setenv("XDG_DATA_HOME", (folder_->path() / "data").c_str(), 1);
        setenv("MOESCOPE_ASSETS", moescope::test::source_assets().c_str(), 1);
    }
    void TearDown() override { folder_.reset(); }
    static fs::path model_cache_;

 private:
    std::unique_ptr<TemporaryFolder> folder_;
};
fs::path PrivateFolders::model_cache_;

const auto* const environment = testing::AddGlobalTestEnvironment(new PrivateFolders);

}  // namespace

fs::path model_cache() {
    return PrivateFolders::model_cache_;
}

fs::path write_corpus(const TemporaryFolder& folder) {
    const fs::path corpus = folder / "corpus";
    fs::create_directories(corpus);
    const std::array<const char*, 6> who{"The router", "An expert",   "The reader",
                                         "A token",    "The program", "This file"};
    const std::array<const char*, 5> does{"sends", "returns", "reads", "writes", "opens"};
    const std::array<const char*, 5> what{"the value", "a line", "one number", "every page", "the buffer"};
    const std::array<const char*, 5> zh_who{"函数", "程序", "文件", "进程", "用户"};
    const std::array<const char*, 4> zh_does{"返回", "读取", "写入", "打开"};
    const std::array<const char*, 4> zh_what{"一个值", "文件名", "缓冲区", "目录"};
    unsigned state = 1;
    const auto next = [&](std::size_t n) {
        state = state * 1664525u + 1013904223u;
        return (state >> 16) % n;
    };
    for (int file = 0; file < 24; ++file) {
        const bool chinese = file % 2 == 1;
        std::string text;
        for (int sentence = 0; sentence < 60; ++sentence) {
            if (chinese) {
                text += std::string(zh_who[next(5)]) + zh_does[next(4)] + zh_what[next(4)] + "。";
            } else {
                text += std::string(who[next(6)]) + " " + does[next(5)] + " " + what[next(5)] + ". ";
            }
            if (sentence % 8 == 7) {
                text += "\n";
            }
        }
        write_text(corpus / ((chinese ? "zh-" : "en-") + std::to_string(file) + ".txt"), text + "\n");
    }
    return corpus;
}

json tiny_config(int steps, int checkpoint_every) {
    return {{"name", "tiny"},
            {"model",
             {{"vocabulary", 320},
              {"width", 16},
              {"layers", 2},
              {"heads", 2},
              {"kv_heads", 1},
              {"head_width", 8},
              {"experts", 4},
              {"experts_per_token", 2},
              {"expert_width", 16},
              {"context", 32}}},
            {"train",
             {{"batch", 2},
              {"steps", steps},
              {"warmup_steps", 5},
              {"evaluate_every", 100},
              {"sample_every", 100},
              {"checkpoint_every", checkpoint_every},
              {"threads", 1}}}};
}

fs::path write_config(const TemporaryFolder& folder, const json& config) {
    const fs::path path = folder / "config.json";
    write_text(path, config.dump(2));
    return path;
}

std::vector<std::string> train_tiny_models(const TemporaryFolder& folder) {
    json config = tiny_config(2, 2);
    config["model"]["context"] = 512;
    config["train"]["batch"] = 1;
    const auto corpus = write_corpus(folder), file = write_config(folder, config);
    std::vector<std::string> models;
    for (const char* seed : {"1", "2"}) {
        models.push_back((folder / (std::string("model-") + seed)).string());
        const Output output = run_node(
            {"train", "--config", file.string(), "--data", corpus.string(), "--out", models.back(), "--seed", seed});
        EXPECT_EQ(output.status, 0) << output.error;
    }
    return models;
}

std::vector<pid_t> children_of(pid_t process) {
    std::vector<pid_t> children;
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        const std::string text = read_text(entry.path() / "stat");
        const auto name_end = text.rfind(')');
        if (name_end == std::string::npos) {
            continue;
        }
        std::istringstream fields(text.substr(name_end + 1));
        char state = 0;
        pid_t parent = 0;
        if (fields >> state >> parent && parent == process && state != 'Z') {
            children.push_back(static_cast<pid_t>(std::stol(name)));
        }
    }
    return children;
}

}  // namespace moescope::test
