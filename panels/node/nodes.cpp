// The nodes behind the window: all that are open in a table, and of the one in front its state, machine, what its
// devices do, link, and the work it is doing.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string>

#include "base/text.hpp"
#include "nodes/protocol/hello.hpp"
#include "panels/node/device_choice.hpp"
#include "panels/node/link_look.hpp"
#include "panels/node/memory.hpp"
#include "panels/node/tasks.hpp"
#include "panels/panels.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/where.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using client::Link;

class NodesPanel : public ui::Panel {
 public:
    void draw(ui::Context& context) override;
    /// node.restart.
    bool act(const std::string& action, ui::Context& context) override;

 private:
    void draw_head(ui::Context& ctx);
    void draw_open(ui::Context& ctx);
    void draw_link(ui::Context& ctx);
    void draw_use(ui::Context& ctx);
    static std::string device_text(const ui::Context& ctx, const protocol::DeviceEntry& device);
    void draw_devices(ui::Context& ctx);
    /// Where models of our own engine are computed.
    void draw_device_of_models(ui::Context& ctx);
    void draw_machine(ui::Context& ctx);
    void draw_tasks(ui::Context& ctx);
};

/// "1.2 kB/s in, 80 B/s out"
std::string traffic_text(const ui::Context& ctx, const Link& link) {
    const auto rate = [&](double bytes) {
        return ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::max(0.0, bytes))) + "/s";
    };
    return ctx.text.format("nodes.traffic",
                           {{"in", rate(link.bytes_per_second)}, {"out", rate(link.sent_bytes_per_second)}});
}

/// A list that can be broken into lines.
std::string spaced(const std::string& list) {
    std::string text;
    for (const char c : list) {
        text += c;
        text += c == ',' ? " " : "";
    }
    return text;
}

bool can_start(Link::State state) {
    return state == Link::State::crashed || state == Link::State::refused || state == Link::State::unopened;
}

}  // namespace

/// Every node that a tab is connected to; a click on one brings its tab to the front.
void NodesPanel::draw_open(ui::Context& ctx) {
    if (ctx.sessions.open.size() < 2) {
        return;
    }
    ui::section(ctx, ctx.text("nodes.open"));
    if (!ui::begin_table(ctx, "open",
                         {{"nodes.open.session", 3},
                          {"nodes.state", 2},
                          {"nodes.tasks", 1},
                          {"nodes.round_trip", 1.5f},
                          {"nodes.open.traffic", 2.5f},
                          {"nodes.age", 1.5f},
                          {"nodes.version", 1.5f}})) {
        return;
    }
    const auto cell = [&](const std::string& text) {
        ImGui::TableNextColumn();
        ui::text_elided(text, ImGui::GetContentRegionAvail().x);
    };
    for (const ui::OpenedSession& session : ctx.sessions.open) {
        const client::Snapshot& snapshot = *session.snapshot;
        const Link& link = snapshot.link;
        const LinkLook look = link_look(link, ctx.now);
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ImGui::PushID(static_cast<int>(session.id));
        const ImVec2 at = ImGui::GetCursorPos();
        if (ImGui::Selectable("###open", session.front, ImGuiSelectableFlags_SpanAllColumns) && !session.front) {
            ctx.sessions.show(session.id);
        }
        ui::tooltip(session.place);
        ImGui::PopID();
        ImGui::SetCursorPos(at);
        ui::text_elided(session.machine.empty() ? session.name : ui::session_title(ctx, session),
                        ImGui::GetContentRegionAvail().x);
        cell(std::string(look.mark) + " " + ctx.text(look.key));
        cell(ctx.text.number(std::uint64_t{snapshot.tasks.size()}));
        cell(link.round_trip_ms > 0 ? ctx.text.number(link.round_trip_ms, 3) + " ms" : "\u2013");
        cell(traffic_text(ctx, link));
        const double age = data_age(link, ctx.now);
        cell(age < 0 ? "\u2013" : ctx.text.format("nodes.age_value", {{"n", ctx.text.number(age, 2)}}));
        cell(link.build.empty() ? "\u2013" : link.build);
    }
    ImGui::EndTable();
}

void NodesPanel::draw_head(ui::Context& ctx) {
    const Link& link = ctx.snapshot.link;
    const LinkLook look = link_look(link, ctx.now);
    ImGui::PushFont(ctx.bold, 0);
    const std::string& name = ctx.snapshot.node.name;
    ImGui::TextUnformatted(name.empty() ? ctx.text("nodes.local") : name.c_str());
    ImGui::PopFont();
    ImGui::SameLine();
    ui::badge(ctx, look.mark, ctx.text(look.key), look.tone);
    const bool stopped = can_start(link.state);
    const char *restart = ctx.text.label("nodes.restart"), *log = ctx.text.label("nodes.log");
    ImGui::SameLine();
    ui::align_right(ui::button_width(log) + ImGui::GetStyle().ItemSpacing.x + ui::button_width(restart));
    if (ImGui::Button(log)) {
        ctx.show_panel("log");
    }
    ui::tooltip(ctx.text("nodes.log.help"));
    ui::flow(ui::button_width(restart));
    if (ui::button(restart, stopped, ctx.text("nodes.restart_why_not"))) {
        ctx.run("node.restart");
    }
    if (stopped) {
        ui::command_tooltip(ctx, ctx.text("command.node.restart"), "node.restart");
    }
    if (!link.message.empty()) {
        ui::banner(ctx, look.tone, ctx.text.message(link.message));
    }
    std::string problems;
    for (const base::Sentence& problem : ctx.snapshot.node.problems) {
        problems += (problems.empty() ? "" : "\n") + ctx.text.message(problem);
    }
    if (!problems.empty()) {
        ui::banner(ctx, ui::Tone::error, problems);
    }
}

void NodesPanel::draw(ui::Context& ctx) {
    draw_head(ctx);
    draw_open(ctx);
    if (ImGui::GetContentRegionAvail().x > 52 * ctx.em &&
        ImGui::BeginTable("###nodes.halves", 2, ImGuiTableFlags_SizingStretchSame)) {
        ImGui::TableNextColumn();
        draw_machine(ctx);
        ImGui::TableNextColumn();
        draw_link(ctx);
        draw_devices(ctx);
        ImGui::EndTable();
    } else {
        draw_machine(ctx);
        draw_devices(ctx);
        draw_link(ctx);
    }
    draw_tasks(ctx);
}

void NodesPanel::draw_machine(ui::Context& ctx) {
    const client::NodeInfo& node = ctx.snapshot.node;
    ui::section(ctx, ctx.text("nodes.machine"));
    if (ui::begin_properties("machine")) {
        const auto row = [&](const char* key, const std::string& value) {
            ui::property(ctx, ctx.text(key), value.empty() ? ctx.text("nodes.not_known") : value.c_str());
        };
        const std::string state_key = "nodes.state." + node.state.english();
        row("nodes.state", ctx.text.has(state_key) ? ctx.text(state_key) : ctx.text.message(node.state));
        row("nodes.cpu", node.cpu);
        row("nodes.cores", node.cores > 0 ? std::to_string(node.cores) : std::string());
        row("nodes.version", node.version);
        row("nodes.process", node.process > 0 ? std::to_string(node.process) : std::string());
        row("nodes.session", node.session);
        row("nodes.journal", ui::bytes_text(ctx.text, node.journal_bytes));
        ui::end_properties();
    }
    if (node.memory_total > 0) {
        const std::uint64_t used = memory_of_all(ctx.snapshot);
        const double share = static_cast<double>(used) / static_cast<double>(node.memory_total);
        ui::meter(ctx, share,
                  ctx.text.format("nodes.memory_value", {{"used", ui::bytes_text(ctx.text, used)},
                                                         {"total", ui::bytes_text(ctx.text, node.memory_total)}}));
        if (ui::tooltip_due()) {
            ui::tooltip(memory_lines(ctx));
        }
    }
}

/// What is known of a device, a line each.
std::string NodesPanel::device_text(const ui::Context& ctx, const protocol::DeviceEntry& device) {
    std::string text = device.title;
    const auto line = [&](const std::string& more) { text += (text.empty() ? "" : "\n") + more; };
    // The processor's memory stands above, with what is in use.
    if (device.memory_total > 0 && !device.capability.empty()) {
        line(ctx.text.format("nodes.device.memory", {{"total", ui::bytes_text(ctx.text, device.memory_total)},
                                                     {"free", ui::bytes_text(ctx.text, device.memory_free)}}));
    }
    if (!device.capability.empty()) {
        line(
            ctx.text.format("nodes.device.capability",
                            {{"capability", device.capability},
                             {"n", ctx.text.number(static_cast<std::uint64_t>(std::max(0, device.multiprocessors)))}}));
    }
    if (!device.driver_cuda.empty()) {
        line(ctx.text.format("nodes.device.driver",
                             {{"driver", device.driver.empty() ? ctx.text("nodes.not_known") : device.driver},
                              {"cuda", device.driver_cuda},
                              {"toolkit", device.toolkit}}));
    }
    if (!device.usable()) {
        line(std::string(ui::icon::warning) + " " +
             ctx.text.format("nodes.device.unusable", {{"why", ctx.text.message(device.why_not)}}));
    } else if (!device.capability.empty()) {
        line(device.gguf_why_not.empty()
                 ? ctx.text("nodes.device.gguf")
                 : ctx.text.format("nodes.device.no_gguf", {{"why", ctx.text.message(device.gguf_why_not)}}));
    }
    return text;
}

void NodesPanel::draw_devices(ui::Context& ctx) {
    const auto& devices = ctx.snapshot.node.devices;
    ui::section(ctx, ctx.text("nodes.devices"));
    if (devices.empty()) {
        ui::text_dim(ctx, ctx.text("nodes.no_devices"));
        return;
    }
    if (!ui::begin_properties("devices")) {
        return;
    }
    for (const protocol::DeviceEntry& device : devices) {
        ui::property(ctx, device.name, device_text(ctx, device));
    }
    ui::end_properties();
    draw_device_of_models(ctx);
    draw_use(ctx);
}

/// What the system tells of the devices, and nothing where it does not.
void NodesPanel::draw_use(ui::Context& ctx) {
    for (const protocol::DeviceUse& use : ctx.snapshot.node.device_use) {
        const std::string name = use.title.empty() ? use.name : use.name + " \u2013 " + use.title;
        ui::text_wrapped(name, ctx.theme.text_dim);
        if (use.use) {
            ui::meter(ctx, *use.use,
                      ctx.text.format("nodes.use.share", {{"share", ui::percent_text(ctx.text, *use.use)}}));
        }
        if (use.memory_used && use.memory_total && *use.memory_total > 0) {
            ui::meter(ctx, static_cast<double>(*use.memory_used) / static_cast<double>(*use.memory_total),
                      ctx.text.format("nodes.memory_value", {{"used", ui::bytes_text(ctx.text, *use.memory_used)},
                                                             {"total", ui::bytes_text(ctx.text, *use.memory_total)}}));
            ui::tooltip(ctx.text("nodes.use.memory.help"));
        }
        std::string more;
        if (use.temperature) {
            more = ctx.text.format("nodes.use.temperature", {{"n", ctx.text.number(std::round(*use.temperature))}});
        }
        if (use.power) {
            const std::string watts = ctx.text.number(std::round(*use.power));
            base::append_to_list(
                more,
                use.power_limit
                    ? ctx.text.format("nodes.use.power_of",
                                      {{"n", watts}, {"limit", ctx.text.number(std::round(*use.power_limit))}})
                    : ctx.text.format("nodes.use.power", {{"n", watts}}),
                ctx.text("common.comma"));
        }
        if (!more.empty()) {
            ui::text_wrapped(more);
        }
    }
}

void NodesPanel::draw_device_of_models(ui::Context& ctx) {
    const auto& current = ctx.snapshot.node.models_device;
    if (!current) {
        return;
    }
    ImGui::AlignTextToFramePadding();
    ui::text_dim(ctx, ctx.text("nodes.models_device"));
    ui::tooltip(ctx.text("nodes.models_device.help"));
    ui::flow(12 * ctx.em);
    ui::next_field(18 * ctx.em);
    std::string device = *current;
    ImGui::BeginDisabled(ctx.snapshot.node.read_only || !ctx.connected());
    if (device_combo(ctx, "###nodes.models_device", device, ctx.text("nodes.models_device.trained"))) {
        ctx.client.send("models.device", {{"device", device}});
    }
    ImGui::EndDisabled();
}

void NodesPanel::draw_link(ui::Context& ctx) {
    const Link& link = ctx.snapshot.link;
    ui::section(ctx, ctx.text("nodes.link"));
    if (!ui::begin_properties("link")) {
        return;
    }
    const auto row = [&](const char* key, const std::string& value) {
        ui::property(ctx, ctx.text(key), value.empty() ? ctx.text("nodes.not_known") : value.c_str());
    };
    row("nodes.address", link.address.empty() ? ctx.snapshot.node.address : link.address);
    row("nodes.round_trip", link.round_trip_ms > 0 ? ctx.text.number(link.round_trip_ms, 3) + " ms" : std::string());
    row("nodes.rate", traffic_text(ctx, link));
    row("nodes.records", ctx.text.number(link.records));
    row("nodes.epoch", ctx.text.number(link.epoch));
    row("nodes.protocol",
        link.protocol_major == 0
            ? std::string()
            : ctx.text.format("nodes.protocol.value",
                              {{"theirs", fmt::format("{}.{}", link.protocol_major, link.protocol_minor)},
                               {"ours", fmt::format("{}.{}", protocol::kMajor, protocol::kMinor)}}));
    row("nodes.versions", link.build.empty() ? std::string()
                                             : ctx.text.format("nodes.protocol.value",
                                                               {{"theirs", link.build}, {"ours", MOESCOPE_VERSION}}));
    row("nodes.features", spaced(link.features));
    const double age = data_age(link, ctx.now);
    row("nodes.age", age < 0 ? std::string() : ctx.text.format("nodes.age_value", {{"n", ctx.text.number(age, 2)}}));
    ui::end_properties();
}

void NodesPanel::draw_tasks(ui::Context& ctx) {
    ui::section(ctx, ctx.text("nodes.tasks"));
    if (ctx.snapshot.tasks.empty()) {
        ui::text_dim(ctx, ctx.text("nodes.no_tasks"));
        return;
    }
    if (!ui::begin_table(ctx, "tasks", {{"nodes.task", 2}, {"nodes.progress", 2}, {"nodes.left"}, {"nodes.action"}})) {
        return;
    }
    for (const client::Task& task : ctx.snapshot.tasks) {
        ImGui::PushID(task.id.c_str());
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ImGui::AlignTextToFramePadding();
        const std::string kind = task.kind ? ctx.text(protocol::task_kind_name(*task.kind)) : "";
        ui::text_elided(task.title.empty() ? kind : kind + ctx.text("common.colon") + task_title(ctx, task),
                        ImGui::GetContentRegionAvail().x);
        ImGui::TableNextColumn();
        const std::string detail = ctx.text.message(task.detail);
        const double fraction = task_fraction(ctx, task);
        const std::string shown =
            fraction < 0 ? detail : ui::percent_text(ctx.text, fraction) + (detail.empty() ? "" : "  " + detail);
        ui::meter(ctx, fraction, shown);
        ui::tooltip(shown);
        ImGui::TableNextColumn();
        ImGui::AlignTextToFramePadding();
        const std::string left = task_paused(ctx, task) ? std::string(ctx.text("state.paused"))
                                                        : ui::duration_text(ctx.text, task.seconds_left);
        ImGui::TextUnformatted(left.c_str());
        ImGui::TableNextColumn();
        if (!task.cancel_command.empty() && ui::button(ctx.text.label("nodes.cancel"))) {
            cancel_task(ctx, task);
        }
        ImGui::PopID();
    }
    ImGui::EndTable();
}

bool NodesPanel::act(const std::string& action, ui::Context& ctx) {
    if (action != "node.restart") {
        return false;
    }
    ctx.client.restart_node();
    return true;
}

ui::PanelDescription describe_nodes() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {
        .key = "nodes",
        .make = ui::make_panel<NodesPanel>,
        .stands = {{"training", Place::lower, 2, Show::open}, {"compare", Place::whole, 7}, {"probe", Place::whole, 7}},
        .commands = {{.key = "node.restart", .menu = {"menu.run", 2}, .available = [](const ui::Context& ctx) {
                          return can_start(ctx.snapshot.link.state);
                      }}}};
}

}  // namespace moescope::panels
