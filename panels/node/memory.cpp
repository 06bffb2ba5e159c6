#include "panels/node/memory.hpp"

#include "panels/node/library.hpp"
#include "panels/ui/units.hpp"

namespace moescope::panels {

std::uint64_t memory_of_all(const client::Snapshot& snapshot) {
    std::uint64_t bytes = snapshot.window_memory;
    for (const protocol::ProcessMemory& process : snapshot.node.processes) {
        bytes += process.bytes;
    }
    return snapshot.node.processes.empty() ? bytes + snapshot.node.memory_used : bytes;
}

std::string memory_lines(const ui::Context& ctx) {
    std::string lines = ctx.text("memory.explained");
    const auto add = [&](std::uint64_t bytes, const std::string& name) {
        lines += "\n" + ctx.text.format("memory.process", {{"bytes", ui::bytes_text(ctx.text, bytes)}, {"name", name}});
    };
    add(ctx.snapshot.window_memory, ctx.text("memory.window"));
    for (const protocol::ProcessMemory& process : ctx.snapshot.node.processes) {
        if (process.kind != protocol::ProcessMemory::Kind::model) {
            add(process.bytes, ctx.text("memory.node"));
            continue;
        }
        const std::string name = model_title(ctx, process.name);
        add(process.bytes, process.in_use ? name : ctx.text.format("memory.idle", {{"name", name}}));
    }
    return lines;
}

}  // namespace moescope::panels
