// moescope-node copied to the machine that the window could not use for want of it, on a thread of its own. GUI thread
// only.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "nodes/client/node_copy.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

class NodeCopy {
 public:
    NodeCopy() = default;
    ~NodeCopy();  ///< stops a copy that is under way and waits for its end
    NodeCopy(const NodeCopy&) = delete;
    NodeCopy& operator=(const NodeCopy&) = delete;

    /// Once per frame: takes note of a copy that has ended, and connects again when it went well. Looks for something
    /// to copy as soon as `ctx` shows a machine that lacks it.
    void update(ui::Context& ctx);
    /// Bytes of what could be copied to the machine on show; 0: nothing, or it would not help.
    std::uint64_t offered(const ui::Context& ctx) const;
    void start(const std::string& address);
    void stop();
    /// The machine that a copy is under way to; empty: none.
    const std::string& under_way() const { return to_; }
    const client::CopyProgress& progress() const { return *progress_; }
    /// Why the latest copy to that machine failed; empty when it did not.
    base::Sentence problem(const std::string& address) const;

 private:
    enum class Looked { no, asked, done };
    Looked looked_ = Looked::no;
    std::shared_ptr<std::optional<client::NodeBundle>> bundle_ = std::make_shared<std::optional<client::NodeBundle>>();
    std::shared_ptr<client::CopyProgress> progress_ = std::make_shared<client::CopyProgress>();
    std::future<base::Sentence> copied_;  ///< why it failed, or empty
    std::string to_, failed_to_;
    base::Sentence problem_;
};

}  // namespace moescope::app
