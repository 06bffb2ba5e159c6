#include "nodes/servers/address.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace moescope::servers {
namespace {

std::string refusal(const std::string& text) {
    try {
        parse_address(text);
    } catch (const base::Error& error) {
        return error.what();
    }
    ADD_FAILURE() << text << " was taken";
    return {};
}

TEST(Address, IsTakenApartAndPutTogether) {
    const Address address = parse_address("http://127.0.0.1:8000/v1#Qwen/Qwen3-30B-A3B");
    EXPECT_FALSE(address.tls);
    EXPECT_EQ(address.host, "127.0.0.1");
    EXPECT_EQ(address.port, 8000);
    EXPECT_EQ(address.prefix, "/v1");
    EXPECT_EQ(address.model, "Qwen/Qwen3-30B-A3B");
    EXPECT_EQ(address.authority(), "127.0.0.1:8000");
    EXPECT_EQ(address.server(), "http://127.0.0.1:8000/v1");
    EXPECT_EQ(address.text(), "http://127.0.0.1:8000/v1#Qwen/Qwen3-30B-A3B");
    EXPECT_EQ(parse_address(address.text()), address);
}

TEST(Address, WhatIsLeftOutIsUsual) {
    EXPECT_EQ(parse_address("http://localhost").text(), "http://localhost:80/v1");
    EXPECT_EQ(parse_address("HTTPS://Models.Example.org/").text(), "https://models.example.org:443/v1");
    EXPECT_EQ(parse_address("http://localhost:9/api/v2/").text(), "http://localhost:9/api/v2");
    EXPECT_EQ(parse_address("http://[::1]:8000#m@x?y").text(), "http://[::1]:8000/v1#m@x?y");
    EXPECT_EQ(parse_address("http://[::1]").port, 80);
    EXPECT_TRUE(is_address("Http://x"));
    EXPECT_FALSE(is_address("/models/http://x.gguf"));
    EXPECT_FALSE(is_address("http:/x"));
}

TEST(Address, WhatIsNoneIsRefused) {
    for (const char* text : {"ftp://127.0.0.1",      "http://",
                             "http:///v1",           "http://:80",
                             "http://a b",           "http://-x",
                             "http://127.0.0.1:0",   "http://127.0.0.1:65536",
                             "http://127.0.0.1:8x",  "http://127.0.0.1:",
                             "http://[::1",          "http://[127.0.0.1]",
                             "http://[::1]8000",     "http://x/a/../b",
                             "http://x//v1",         "http://x/a%2e",
                             "http://x/\r\nHost: y", "http://x#",
                             "http://x#a|b",         "http://x#a\nb",
                             "http://x#\xff",        "http://x#a\xe2\x80\xaez"}) {
        EXPECT_FALSE(refusal(text).empty()) << text;
    }
    EXPECT_FALSE(refusal("http://x#" + std::string(201, 'm')).empty());
    EXPECT_FALSE(refusal("http://" + std::string(254, 'h')).empty());
}

TEST(Address, SecretsInItAreNotRepeated) {
    for (const char* text : {"http://me:hunter2@127.0.0.1/v1", "http://127.0.0.1/v1?key=hunter2",
                             "http://me:hunter2@127.0.0.1:99999/#|", "http://127.0.0.1?hunter2#a|"}) {
        const std::string message = refusal(text);
        EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
        EXPECT_NE(message.find("variable of the environment"), std::string::npos) << message;
    }
}

TEST(Address, ThisMachineByItsName) {
    for (const char* text : {"http://localhost:1", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]",
                             "http://[::ffff:127.0.0.1]", "http://LOCALHOST"}) {
        EXPECT_TRUE(names_this_machine(parse_address(text))) << text;
    }
    // What else may lead here is not known before it is looked up.
    for (const char* text : {"http://localhost.example.org", "http://127.0.0.1.example.org", "http://10.0.0.1",
                             "http://0.0.0.0", "http://[::]", "http://[::ffff:10.0.0.1]", "http://127.1"}) {
        EXPECT_FALSE(names_this_machine(parse_address(text))) << text;
    }
}

}  // namespace
}  // namespace moescope::servers
