#include "nodes/transport/node_address.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace moescope::transport {
namespace {

using Kind = NodeAddress::Kind;

TEST(NodeAddress, WhatPeopleWrite) {
    const NodeAddress ssh = parse_node_address(" ssh://amina@gpu-3.lab:2222/data/run 1 ");
    EXPECT_EQ(ssh.kind, Kind::ssh);
    EXPECT_EQ(ssh.user, "amina");
    EXPECT_EQ(ssh.host, "gpu-3.lab");
    EXPECT_EQ(ssh.port, 2222);
    EXPECT_EQ(ssh.path, "/data/run 1");
    EXPECT_EQ(to_text(ssh), "ssh://amina@gpu-3.lab:2222/data/run 1");
    const NodeAddress plain = parse_node_address("ssh://localhost");
    EXPECT_EQ(plain.port, 0);
    EXPECT_EQ(plain.user, "");
    EXPECT_EQ(to_text(parse_node_address("ssh://[::1]:22/")), "ssh://[::1]:22");
    const NodeAddress tls = parse_node_address("tls://10.0.0.2:7443");
    EXPECT_EQ(tls.kind, Kind::tls);
    EXPECT_FALSE(tls.invitation);
    EXPECT_EQ(parse_node_address("unix:/run/x.sock").path, "/run/x.sock");
    const std::string invitation =
        security::to_text(security::Invitation{"fe80::1", 7443, security::KeyHash{4}, security::Secret{5}});
    const NodeAddress invited = parse_node_address(invitation);
    ASSERT_TRUE(invited.invitation);
    EXPECT_EQ(invited.invitation->node, security::KeyHash{4});
    EXPECT_EQ(to_text(invited), "tls://[fe80::1]:7443") << "without the secret";
}

TEST(NodeAddress, NothingThatSshOrAShellCouldTakeForSomethingElse) {
    for (const char* wrong : {"",           "localhost",     "ssh://",        "ssh://-oProxyCommand=x",
                              "ssh://a b",  "ssh://a;b",     "ssh://$(x)",    "ssh://a@b@c",
                              "ssh://-l@b", "ssh://a:0",     "ssh://a:65536", "ssh://a:x",
                              "ssh://[::1", "ssh://[a]",     "ssh://::1",     "tls://a",
                              "tls://a:0",  "tls://a:1#x.y", "tls://-a:1",    "http://a:1",
                              "unix:",      "ssh://a/b\nc",  "ssh://`x`"}) {
        EXPECT_THROW(parse_node_address(wrong), base::Error) << wrong;
    }
}

TEST(NodeAddress, TheSecretOfABrokenInvitationIsNotRepeated) {
    try {
        parse_node_address("tls://a:x#verysecret.verysecret");
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_EQ(std::string(error.what()).find("verysecret"), std::string::npos);
    }
}

TEST(ListenAddress, HostAndPort) {
    EXPECT_EQ(parse_listen_address("127.0.0.1:7443").port, 7443);
    EXPECT_EQ(parse_listen_address("[::]:0").host, "::");
    for (const char* wrong : {"", "7443", "127.0.0.1", ":7443", "a:b", "127.0.0.1:70000", "::1:7443"}) {
        EXPECT_THROW(parse_listen_address(wrong), base::Error) << wrong;
    }
}

}  // namespace
}  // namespace moescope::transport
