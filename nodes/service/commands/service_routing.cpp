// The route.* and interventions.* commands.
#include <array>
#include <fmt/format.h>

#include "base/json_fields.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/service/library/trace_export.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunKind;

namespace {

constexpr std::size_t kMostRoutes = 32;  // at the same time, most of them waiting

/// A trace with one doubt more.
class Doubted final : public routing::TraceSource {
 public:
    Doubted(std::shared_ptr<const routing::TraceSource> source, Sentence doubt)
        : source_(std::move(source)), spec_(source_->spec()) {
        spec_.doubts.push_back(std::move(doubt));
    }
    const routing::RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override { return source_->chunks(); }
    void refresh() const override { source_->refresh(); }
    std::shared_ptr<const routing::Chunk> chunk(std::size_t number, unsigned wanted) const override {
        return source_->chunk(number, wanted);
    }
    std::size_t damaged_places() const override { return source_->damaged_places(); }
    std::vector<Sentence> problems(std::size_t damaged_chunks) const override {
        return source_->problems(damaged_chunks);
    }

 private:
    const std::shared_ptr<const routing::TraceSource> source_;
    routing::RouterSpec spec_;
};

/// Why the trace of a run is a part of what was to be read; empty when it is not.
Sentence why_incomplete(const history::RunHeader& run, std::uint64_t tokens) {
    const bool reads = run.kind == RunKind::route || run.kind == RunKind::generate;
    if (!reads || !protocol::ended(run.state) || run.state == protocol::RunState::done) {
        return {};
    }
    const std::uint64_t wanted = base::count_of(run.manifest, "tokens");
    const Sentence count = wanted > 0 ? say("{} of {} tokens", tokens, wanted) : say("{} tokens", tokens);
    return run.message.empty() ? say("the trace is incomplete: its run was stopped after {}", count)
                               : say("the trace is incomplete: its run ended after {}: {}", count, run.message);
}

/// Gives the number of pieces that are damaged and left out.
std::size_t write_trace(const std::string& format, const fs::path& path, const history::RunRouting& routing,
                        const Sentence& incomplete, const std::function<void()>& check) {
    routing::LoadedTrace trace{routing.trace, routing.interventions};
    if (!incomplete.empty()) {
        trace.source = std::make_shared<const Doubted>(routing.trace, incomplete);
    }
    if (format == "text") {
        return write_trace_lines(path, trace, check, [&](std::uint64_t token) { return routing.trace->scores(token); });
    }
    if (format == "columns") {
        return write_trace_columns(path, trace, check);
    }
    return format == "safetensors" ? write_trace_safetensors(path, trace, check) : write_trace_csv(path, trace, check);
}

std::string format_of(const Parameters& parameters) {
    constexpr std::array kFormats = {"text", "columns", "safetensors", "csv"};
    const std::string format = parameters.text("format");
    if (std::find(kFormats.begin(), kFormats.end(), format) == kFormats.end()) {
        throw CommandError(
            say("a trace can't be written as '{}'; text, columns, safetensors and csv are the forms", format));
    }
    return format;
}

}  // namespace

void Service::run_route(RouteRequest order, const Reply& reply) {
    std::unique_lock lock(jobs_mutex_);
    if (closing_) {
        throw CommandError(say("the node is about to end and starts nothing new"));
    }
    std::size_t active = 0;
    for (const auto& [run, job] : routes_) {
        active += job->finished() ? 0 : 1;
    }
    if (active >= kMostRoutes) {
        throw CommandError(say("{} texts are being read or wait for their turn; wait for some or cancel them", active));
    }
    const auto new_run = [&] { return session_->new_run(protocol::run_kind_name(RunKind::route), order.title); };
    json answer = json::object();
    if (order.what == RouteRequest::What::effect) {
        answer["base"] = order.base = new_run();
    }
    const std::uint32_t run = order.run = new_run();
    answer["run"] = run;
    routes_[run] = std::make_shared<RouteJob>(parts(), std::move(order));
    lock.unlock();
    journal_->flush();  // who is told of the run finds it, also when the node dies now
    reply({std::move(answer), {}});
}

void Service::start_route(RouteRequest order, const Reply& reply) {
    std::shared_ptr<const history::Session> answered;
    if (order.from) {
        journal_->flush();
        answered = std::make_shared<const history::Session>(history::read_run(*session_, order.from->run));
    }
    if (order.tokens_of) {
        refuse_while_it_goes_on(order.tokens_of->run);
    }
    with_models({order.model}, reply, [this, order, answered, reply](const std::vector<ProbeModel>& models) mutable {
        const ProbeModel& model = models.front();
        if (model.path.is_server()) {
            throw CommandError(needs_file(model.name));
        }
        order.model = model.name;
        order.path = model.path;
        order.model_sha256 = model.sha256;
        order.model_title = model.title;
        order.hold = model.hold;
        take_set(order.routing, model);
        if (order.what == RouteRequest::What::effect) {
            check_effect(order);
        } else if (order.what == RouteRequest::What::sweep && order.routing.changes()) {
            throw CommandError(say("a sweep changes the model as it is; name {} without its set",
                                   history::model_sentence(model.name)));
        }
        if (answered) {
            take_answer(order, *answered);
        }
        run_route(std::move(order), reply);
    });
}

void Service::route_start(const json& value, Reply reply) {
    start_route(parse_read(value), reply);
}

void Service::route_effect(const json& value, Reply reply) {
    start_route(parse_effect(value), reply);
}

void Service::route_sweep(const json& value, Reply reply) {
    start_route(parse_sweep(value), reply);
}

void Service::route_import(const json& value, Reply reply) {
    run_route(parse_import(value), reply);
}

void Service::route_cancel(const json& value, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    require_kind(run, RunKind::route);
    {
        const std::lock_guard lock(jobs_mutex_);
        for (const auto& [number, job] : routes_) {
            if (number == run || job->base() == run) {
                job->request_stop();
            }
        }
    }
    reply({});
}

void Service::route_export(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "path", "format", "replace"});
    const std::uint32_t run = parameters.run();
    const std::string format = format_of(parameters);
    const fs::path path = output_place(fs::absolute(parameters.path("path")));
    refuse_while_it_goes_on(run);
    sessions::OutputFile output(path, existing_as(parameters));
    std::uint64_t lost = 0;
    std::size_t damaged = 0;
    Sentence incomplete;
    {
        const BoardTask task(board_, fmt::format("export-{}", ++outputs_), protocol::TaskKind::route,
                             path.filename().string());
        const auto check = [&] {
            if (is_to_end(task)) {
                throw_export_cancelled();
            }
        };
        const history::Session history = history::read_routing(session_->journal(), run);
        const auto found = history.routing().find(run);
        if (found == history.routing().end() || found->second.value.trace->chunks() == 0) {
            throw CommandError(say("run {} has no routing that could be written", run));
        }
        lost = found->second.value.lost;
        incomplete = why_incomplete(known_run(run), found->second.value.trace->tokens());
        damaged = write_trace(format, output.temporary(), found->second.value, incomplete, check);
        output.commit();
    }
    reply({{{"path", path.string()}, {"lost", lost}, {"damaged", damaged}, {"incomplete", !incomplete.empty()}}, {}});
}

void Service::interventions_save(const json& value, Reply reply) {
    const Parameters parameters(value, {"name", "items"});
    const std::string name = parameters.text("name");
    if (!history::is_set_name(name)) {
        throw CommandError(say("'{}' can't be the name of a set: it has 1 to 60 bytes on one line, and no '|'", name));
    }
    const json& given = parameters.list("items");
    if (given.empty()) {
        throw CommandError(say("'items' must be a list of at least one change"));
    }
    const json items = checked_interventions(given);
    {
        const std::lock_guard lock(sets_mutex_);
        if (!sets_.contains(name) && sets_.size() >= kMostSets) {
            throw CommandError(say("this session has {} sets of changes; remove one first", sets_.size()));
        }
        journal_->write_now(RecordType::intervention_set, {{"name", name}, {"items", items}});
        sets_[name] = items;
    }
    reply({});
}

void Service::interventions_remove(const json& value, Reply reply) {
    const std::string name = Parameters(value, {"name"}).text("name");
    {
        const std::lock_guard lock(sets_mutex_);
        if (!sets_.contains(name)) {
            throw CommandError(say("there is no set of changes '{}' in this session", name));
        }
        journal_->write_now(RecordType::intervention_set, {{"name", name}, {"items", nullptr}});
        sets_.erase(name);
    }
    reply({});
}

}  // namespace moescope::node
