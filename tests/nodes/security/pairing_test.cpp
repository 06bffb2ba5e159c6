// Invitations: good once, for a while, on the connection that they are shown on.
#include "nodes/security/pairing.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>

#include "tests/files.hpp"

namespace moescope::security {
namespace {

using protocol::Right;
using test::TemporaryFolder;

constexpr std::int64_t kNow = 1'800'000'000;
const ChannelBinding kChannel{7, 7, 7}, kOther{8};

TEST(Invitation, IsReadBack) {
    for (const char* host : {"node.example.org", "192.168.0.4", "fe80::1", "gpu_1"}) {
        Invitation invitation{host, 7443, KeyHash{1, 2, 3}, Secret{9, 8, 7}};
        const std::string text = to_text(invitation);
        for (const std::string& pasted : {text, " " + text + " \n"}) {
            const auto read = invitation_from(pasted);
            ASSERT_TRUE(read) << text;
            EXPECT_EQ(read->host, host);
            EXPECT_EQ(read->port, 7443);
            EXPECT_EQ(read->node, invitation.node);
            EXPECT_EQ(read->secret, invitation.secret);
        }
        for (std::size_t end = 0; end < text.size(); ++end) {
            EXPECT_FALSE(invitation_from(text.substr(0, end))) << end;
        }
    }
    const std::string key = to_text(KeyHash{1}), secret = url_text(Secret{2});
    EXPECT_TRUE(invitation_from("tls://a:1#" + key + "." + secret));
    for (const std::string& wrong :
         {"tls://-oProxy:1#" + key + "." + secret, "tls://a;b:1#" + key + "." + secret,
          "tls://a:0#" + key + "." + secret, "tls://a:65536#" + key + "." + secret, "tls://a#" + key + "." + secret,
          "tls://a:1#" + key + secret, "tls://fe80::1:1#" + key + "." + secret, "http://a:1#" + key + "." + secret}) {
        EXPECT_FALSE(invitation_from(wrong)) << wrong;
    }
}

TEST(PairingBook, AnInvitationIsGoodOnce) {
    const TemporaryFolder folder;
    PairingBook book(folder / "node");
    EXPECT_FALSE(book.anyone(kNow));
    const Secret secret = book.invite(Right::operator_, kNow);
    EXPECT_TRUE(book.anyone(kNow));
    struct stat status {};
    ASSERT_EQ(::stat((folder / "node/paired.json").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    const KeyHash viewer{5};
    const auto proof = proof_of(secret, kChannel);
    EXPECT_FALSE(book.accept(proof, kOther, viewer, "a", kNow)) << "the proof of another connection";
    EXPECT_FALSE(book.accept(proof_of(Secret{}, kChannel), kChannel, viewer, "a", kNow)) << "another secret";
    EXPECT_FALSE(book.right_of(viewer));
    EXPECT_EQ(book.accept(proof, kChannel, viewer, "a\nb", kNow), Right::operator_);
    EXPECT_EQ(book.right_of(viewer), Right::operator_);
    EXPECT_FALSE(book.accept(proof, kChannel, KeyHash{6}, "b", kNow)) << "used up";
    EXPECT_FALSE(book.right_of(KeyHash{6}));
    EXPECT_TRUE(PairingBook(folder / "node").anyone(kNow + 100'000)) << "who is paired stays";
    ASSERT_EQ(book.viewers().size(), 1u);
    EXPECT_EQ(book.viewers()[0].name.find('\n'), std::string::npos);
}

TEST(PairingBook, AnInvitationEnds) {
    const TemporaryFolder folder;
    PairingBook book(folder / "node");
    const Secret secret = book.invite(Right::admin, kNow, 600);
    EXPECT_TRUE(book.invited(kNow + 599));
    EXPECT_FALSE(book.invited(kNow + 600));
    EXPECT_FALSE(book.accept(proof_of(secret, kChannel), kChannel, KeyHash{1}, "a", kNow + 600));
    EXPECT_FALSE(book.anyone(kNow + 600));
}

TEST(PairingBook, PairingAgainChangesTheRightAndForgettingTakesIt) {
    const TemporaryFolder folder;
    PairingBook book(folder / "node");
    const KeyHash viewer{5};
    for (const Right right : {Right::viewer, Right::admin}) {
        const Secret secret = book.invite(right, kNow);
        EXPECT_EQ(book.accept(proof_of(secret, kChannel), kChannel, viewer, "lab", kNow), right);
    }
    EXPECT_EQ(book.viewers().size(), 1u);
    EXPECT_EQ(book.right_of(viewer), Right::admin);
    EXPECT_EQ(book.forget(""), 0u);
    EXPECT_EQ(book.forget(to_text(viewer).substr(0, 3)), 0u) << "too short to be meant";
    EXPECT_EQ(book.forget(to_text(viewer).substr(0, 12)), 1u);
    EXPECT_FALSE(book.right_of(viewer));
    EXPECT_EQ(book.forget("lab"), 0u);
}

TEST(PairingBook, DamageAndOpenFilesLetNobodyIn) {
    const TemporaryFolder folder;
    PairingBook book(folder / "node");
    const Secret secret = book.invite(Right::admin, kNow);
    ASSERT_TRUE(book.accept(proof_of(secret, kChannel), kChannel, KeyHash{1}, "a", kNow));
    const auto file = folder / "node/paired.json";
    ::chmod(file.c_str(), 0644);
    EXPECT_THROW((void)book.right_of(KeyHash{1}), base::Error);
    ::chmod(file.c_str(), 0600);
    const std::string whole = test::read_text(file);
    for (const char* text : {"", "{}", "[]", "{\"invitations\":[],\"viewers\":[{\"key\":\"x\",\"right\":\"admin\"}]}",
                             "{\"invitations\":[],\"viewers\":[{\"right\":\"king\"}]}"}) {
        test::write_text(file, text);
        EXPECT_THROW((void)book.right_of(KeyHash{1}), base::Error) << text;
        EXPECT_THROW(book.invite(Right::viewer, kNow), base::Error) << text;
    }
    test::write_text(file, whole);
    EXPECT_EQ(book.right_of(KeyHash{1}), Right::admin);
}

TEST(PairingBook, ManyAtOnceLoseNothing) {
    const TemporaryFolder folder;
    std::vector<std::thread> threads;
    for (std::uint8_t i = 0; i < 8; ++i) {
        threads.emplace_back([&folder, i] {
            PairingBook book(folder / "node");
            const Secret secret = book.invite(Right::viewer, kNow);
            EXPECT_TRUE(book.accept(proof_of(secret, kChannel), kChannel, KeyHash{i}, "v", kNow));
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(PairingBook(folder / "node").viewers().size(), 8u);
    EXPECT_FALSE(PairingBook(folder / "node").invited(kNow));
}

}  // namespace
}  // namespace moescope::security
