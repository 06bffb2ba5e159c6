#include "nodes/servers/server.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace moescope::servers {
namespace {

using nlohmann::json;

Server some_server(const std::string& address = "http://127.0.0.1:8000#m") {
    Server server;
    server.address = parse_address(address);
    return server;
}

std::string refusal(const Server& server) {
    try {
        check(server);
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

TEST(Server, AsJsonAndBack) {
    Server server = some_server();
    server.key_variable = "MY_KEY";
    server.dialect = Dialect::sglang;
    server.silence = 7;
    server.shape = {"m", 4, 8, 2, 1, {1, 2, 3}};
    const json value = to_json(server);
    EXPECT_EQ(value.dump().find("127.0.0.1"), std::string::npos) << "the address stands beside it";
    const Server back = server_from_json(server.address, value);
    EXPECT_EQ(to_json(back), value);
    EXPECT_EQ(back.shape.model, "m");
    EXPECT_EQ(to_json(server_from_json(server.address, json())), to_json(some_server())) << "nothing is known of it";
}

TEST(Server, WhatCantBeIsRefused) {
    const Address address = parse_address("http://127.0.0.1#m");
    for (const json& value :
         {json{{"key_variable", ""}}, json{{"key_variable", 3}}, json{{"key_variable", "A=B"}},
          json{{"key_variable", "1A"}}, json{{"key_variable", std::string(101, 'A')}}, json{{"dialect", "http3"}},
          json{{"dialect", 1}}, json{{"silence", 0}}, json{{"silence", 3601}}, json{{"silence", -1}},
          json{{"silence", "long"}}, json{{"shape", {{"layers", 5000}}}}, json{{"shape", {{"layers", -1}}}},
          json{{"shape", {{"layers", 2}, {"routed_layers", {0, 2}}}}},
          json{{"shape", {{"layers", 2}, {"routed_layers", {1, 0}}}}}}) {
        EXPECT_THROW(server_from_json(address, value), base::Error) << value;
    }
}

TEST(Server, DialectsHaveNames) {
    for (int i = 0; i < kDialects; ++i) {
        const auto dialect = static_cast<Dialect>(i);
        EXPECT_EQ(dialect_named(dialect_name(dialect)), dialect);
    }
    EXPECT_THROW(dialect_named("http3"), base::Error);
}

TEST(Server, AnotherMachineNeedsAWord) {
    EXPECT_NE(refusal(some_server("http://10.0.0.1#m")).find("unencrypted"), std::string::npos);
    EXPECT_NE(refusal(some_server("https://models.example.org#m")).find("not this machine"), std::string::npos);
    Server server = some_server("http://10.0.0.1#m");
    server.remote = true;
    EXPECT_EQ(refusal(server), "");
    // A list that somebody else wrote: only true is true.
    EXPECT_THROW(server_from_json(server.address, {{"remote", "yes"}}), base::Error);
    EXPECT_THROW(server_from_json(server.address, {{"remote", 1}}), base::Error);
    EXPECT_NO_THROW(server_from_json(server.address, {{"remote", true}}));
}

TEST(Server, TheKeyComesFromTheEnvironment) {
    Server server = some_server();
    server.key_variable = "MOESCOPE_TEST_SERVER_KEY";
    ::unsetenv("MOESCOPE_TEST_SERVER_KEY");
    EXPECT_EQ(key_from_environment(server), "");
    ::setenv("MOESCOPE_TEST_SERVER_KEY", "sk-1234", 1);
    EXPECT_EQ(key_from_environment(server), "sk-1234");
    for (const char* bad : {"a b", "a\r\nHost: elsewhere", "\xc3\xa4", "a\x7f"}) {
        ::setenv("MOESCOPE_TEST_SERVER_KEY", bad, 1);
        try {
            key_from_environment(server);
            ADD_FAILURE() << bad;
        } catch (const base::Error& error) {
            EXPECT_NE(std::string(error.what()).find("MOESCOPE_TEST_SERVER_KEY"), std::string::npos);
            EXPECT_EQ(std::string(error.what()).find("elsewhere"), std::string::npos);
        }
    }
    ::unsetenv("MOESCOPE_TEST_SERVER_KEY");
}

}  // namespace
}  // namespace moescope::servers
