// moescope-node pull and push: files from a node on another machine, and to it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "engine/model/machine_memory.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/remote_jobs.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using base::say;
using nlohmann::json;

namespace {

constexpr const char* kSession = "session";  // as a name: the whole session, packed

struct TransferCommand {
    std::string node, name, out;
    Wait wait;
    std::vector<std::string> files;
    bool list = false, force = false, add = false, json = false;
};

/// "12.3 MB of 1.0 GB, 45.6 MB/s, 22 s left".
std::string text_of(const client::Transfer& transfer) {
    using Phase = client::Transfer::Phase;
    switch (transfer.phase) {
        case Phase::waiting:
            return "waiting for the node";
        case Phase::opening:
            return "opening";
        case Phase::checking:
            return fmt::format("{}, comparing", engine::memory_text(transfer.bytes));
        case Phase::moving:
            break;
    }
    std::string text = fmt::format("{} of {}", engine::memory_text(transfer.done), engine::memory_text(transfer.bytes));
    if (transfer.bytes_per_second > 0) {
        text += fmt::format(", {}/s, {:.0f} s left",
                            engine::memory_text(static_cast<std::uint64_t>(transfer.bytes_per_second)),
                            static_cast<double>(transfer.bytes - transfer.done) / transfer.bytes_per_second);
    }
    return text;
}

}  // namespace

json carry_out(RemoteNode& node, HeldSignals& signals, const std::string& command, const json& parameters,
               const std::string& kept) {
    using State = client::CommandResult::State;
    const client::CommandId id = node.client().send(command, parameters);
    ProgressLine line;
    client::Transfer latest;
    const auto look = [&](const client::Snapshot& now) {
        for (const client::Transfer& transfer : now.transfers) {
            if (transfer.command == id) {
                latest = transfer;
                line.show(text_of(transfer));
            }
        }
        const auto result = now.results.find(id);
        return result != now.results.end() && result->second.state != State::pending;
    };
    std::shared_ptr<const client::Snapshot> end;
    try {
        end = node.wait(signals, look);
    } catch (const Stopped&) {
        throw Stopped(signals.first(),
                      say("after {} of {} bytes; they are kept {}, and the same command goes on from there",
                          latest.done, latest.bytes, kept));
    }
    const client::CommandResult& result = end->results.at(id);
    if (result.state != State::done) {
        throw base::Error(with_option(result.error, "--force"));
    }
    return result.value;
}

namespace {

int list_command(const client::Snapshot& now, const json& files, bool as_json) {
    json list = json::array();
    for (const client::ModelEntry& model : now.models) {
        if (model.available && !model.server) {
            list.push_back({{"name", model.name},
                            {"kind", model.trained_here ? "checkpoint" : "model"},
                            {"title", model.title},
                            {"bytes", model.bytes}});
        }
    }
    for (const json& file : base::member(files, "files")) {
        list.push_back(
            {{"name", base::text_of(file, "path")}, {"kind", "file"}, {"bytes", base::count_of(file, "bytes")}});
    }
    list.push_back({{"name", kSession}, {"kind", kSession}});
    for (const json& entry : list) {
        if (as_json) {
            print_json(entry);
            continue;
        }
        const bool known = entry.contains("bytes");
        fmt::print("{:<11} {:>12}  {}\n", entry["kind"].get<std::string>(),
                   known ? engine::memory_text(entry["bytes"].get<std::uint64_t>()) : "",
                   base::one_line(entry["name"].get<std::string>()));
    }
    if (const auto left_out = base::count_of(files, "left_out"); left_out > 0) {
        print_warnings({say("{} more files are not listed", left_out)});
    }
    return 0;
}

bool is_over_network(const std::string& address) {
    return transport::parse_node_address(address).kind == transport::NodeAddress::Kind::tls;
}

/// A name of the session's files begins with ./ where it could be taken for a model.
bool is_model(const client::Snapshot& now, const std::string& name) {
    return history::is_checkpoint_name(name) ||
           std::any_of(now.models.begin(), now.models.end(), [&](const auto& model) { return model.name == name; });
}

/// Where it goes to, when that was not said, or a folder was.
fs::path place_for(const TransferCommand& options, const std::string& session, bool model) {
    std::string name = fs::path(options.name).filename().string();
    if (options.name == kSession) {
        name = fs::path(session).filename().string() + ".moescope";
    } else if (model) {
        name = options.name;
        std::replace_if(
            name.begin(), name.end(), [](char c) { return c == ':' || c == '/'; }, '-');
    }
    const fs::path out = options.out;
    std::error_code error;
    return out.empty() ? fs::path(name) : fs::is_directory(out, error) ? out / name : out;
}

int pull_command(const Paths& paths, const TransferCommand& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
    const auto now = node.greeted(signals);
    if (options.list) {
        return list_command(*now, node.ask(signals, "files.list", json::object()), options.json);
    }
    const bool model = is_model(*now, options.name);
    const fs::path place = fs::absolute(place_for(options, now->node.session, model));
    json wanted = {{"to", place.string()}, {"replace", options.force}};
    if (options.name == kSession) {
        wanted["session"] = true;
    } else if (model) {
        wanted["model"] = options.name;
    } else {
        // Names are those below the node's folder for files; its own user may name any other file by its whole path.
        const bool whole = is_over_network(options.node) || fs::path(options.name).is_absolute();
        wanted["path"] = whole ? options.name : (fs::path(now->node.session) / "files" / options.name).string();
    }
    const json done = carry_out(node, signals, "transfer.pull", wanted, "in " + place.string() + ".part");
    if (options.json) {
        print_json(done);
    } else {
        fmt::print("{}: {} bytes in {} files\n", base::one_line(base::text_of(done, "path")),
                   base::count_of(done, "bytes"), base::count_of(done, "files"));
    }
    return 0;
}

/// Before anything is sent, of which that command would be refused. It names nothing, so whoever has the right is told
/// that alone; no file comes near it.
void require_right_to_add(RemoteNode& node, HeldSignals& signals) {
    const auto refused = say("'{}' needs the right of the role {}, and this workbench was paired as {}", "", "", "");
    try {
        (void)node.ask(signals, "models.add", json::object());
    } catch (const Stopped&) {
        throw;
    } catch (const base::Error& error) {
        if (error.sentence().id() == refused.id()) {
            throw;
        }
    }
}

int push_command(const Paths& paths, const TransferCommand& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait, RemoteNode::Follow::no);
    node.greeted(signals);
    const bool over_network = is_over_network(options.node);
    if (options.add && over_network) {
        require_right_to_add(node, signals);
    }
    for (const std::string& file : options.files) {
        json wanted = {{"from", fs::absolute(file).string()}, {"replace", options.force}};
        if (!options.name.empty()) {
            wanted["name"] = options.name;
        }
        json done = carry_out(node, signals, "transfer.push", wanted, "there");
        // Whoever comes over the network names files below the node's folder; the node's own user names them anywhere.
        const std::string named = over_network ? base::text_of(done, "name") : base::text_of(done, "path");
        done["use"] = over_network && named.find_first_of("/.~") == std::string::npos ? "./" + named : named;
        if (options.add) {
            done["model"] = base::text_of(node.ask(signals, "models.add", {{"path", named}}), "name");
        }
        if (options.json) {
            print_json(done);
        } else if (options.add) {
            fmt::print("{} is the model '{}' of the node\n", file, base::one_line(base::text_of(done, "model")));
        } else {
            fmt::print("{} is {} there\n", file, base::one_line(base::text_of(done, "use")));
        }
    }
    return 0;
}

}  // namespace

void add_pull(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TransferCommand>();
    auto* pull = app.add_subcommand("pull", "Fetch a file, a checkpoint, a model or the session from a node");
    auto* name =
        pull->add_option("name", options->name,
                         "As --list has it: a file of the node, checkpoint:RUN[:STEP], a model, or 'session' for "
                         "the whole session in one file")
            ->check(filled());
    pull->add_option("--out", options->out, "File or new folder to write; its name there when left out")
        ->check(filled());
    pull->add_flag("--list", options->list, "What can be fetched")->excludes(name);
    pull->add_flag("--force", options->force, "Replace a file that is there");
    pull->add_flag("--json", options->json, "JSON on standard output");
    add_node_option(*pull, options->node, options->wait, "The node that it comes from")->required();
    pull->callback([&chosen, options] {
        if (!options->list && options->name.empty()) {
            throw CLI::RequiredError("name");
        }
        chosen.command = [options](const Paths& paths) { return pull_command(paths, *options); };
    });
}

void add_push(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TransferCommand>();
    auto* push = app.add_subcommand("push", "Send files or folders to a node, into the folder 'files' of its session");
    push->add_option("files", options->files, "Files or folders")->required()->check(filled());
    push->add_option("--name", options->name, "Name there, when it is one file")->check(filled());
    push->add_flag("--add-model", options->add, "Add it to the node's models (needs the role admin)");
    push->add_flag("--force", options->force, "Replace a file that is there");
    push->add_flag("--json", options->json, "JSON on standard output");
    add_node_option(*push, options->node, options->wait, "The node that it goes to")->required();
    push->callback([&chosen, options] {
        if (!options->name.empty() && options->files.size() > 1) {
            throw CLI::ValidationError("push --name goes with one file");
        }
        chosen.command = [options](const Paths& paths) { return push_command(paths, *options); };
    });
}

}  // namespace moescope::node
