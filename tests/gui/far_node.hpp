// A node on another machine, for tests: a listener on loopback with data folders of its own, which asks for pairing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nodes/client/child_process.hpp"

namespace moescope::gui_test {

class FarNode {
 public:
    /// Starts it; its home, keys and session lie below `folder`. Belongs to the thread that makes it.
    explicit FarNode(const std::filesystem::path& folder);
    ~FarNode();  ///< ends it
    /// Lets one window in as an operator: an address with a secret, of use once. Empty when it could not be made.
    std::string invitation() const;
    /// What the window calls it: the address without the secret.
    const std::string& address() const { return address_; }

 private:
    std::vector<std::string> environment() const;

    std::filesystem::path folder_;
    std::string host_, address_;
    client::ChildProcess node_;
};

}  // namespace moescope::gui_test
