// Keys in files: made once, private, refused when damaged or open to others.
#include "nodes/security/identity.hpp"

#include <gtest/gtest.h>
#include <set>
#include <sys/stat.h>

#include "nodes/security/known_nodes.hpp"
#include "tests/files.hpp"

namespace moescope::security {
namespace {

using test::TemporaryFolder;

TEST(Identity, IsMadeOnceAndForTheUserAlone) {
    const TemporaryFolder folder;
    const auto file = folder / "deep" / "identity.pem";
    const Identity first = load_or_make_identity(file);
    struct stat status {};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    ASSERT_EQ(::stat(file.parent_path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    const Identity again = load_or_make_identity(file);
    EXPECT_EQ(first.hash, again.hash);
    EXPECT_EQ(first.key_pem, again.key_pem);
    EXPECT_NE(first.hash, load_or_make_identity(folder / "other.pem").hash);
}

TEST(Identity, FilesOpenToOthersOrDamagedAreRefused) {
    const TemporaryFolder folder;
    const auto file = folder / "identity.pem";
    load_or_make_identity(file);
    ::chmod(file.c_str(), 0640);
    EXPECT_THROW(load_or_make_identity(file), base::Error);
    ::chmod(file.c_str(), 0600);
    const std::string whole = test::read_text(file);
    for (const std::string& damaged :
         {std::string(), std::string("hello"), whole.substr(0, whole.size() / 2), whole.substr(whole.size() / 2)}) {
        test::write_text(file, damaged);
        EXPECT_THROW(load_or_make_identity(file), base::Error) << damaged.size();
    }
    // A key with the certificate of another one.
    load_or_make_identity(folder / "other.pem");
    const std::string other = test::read_text(folder / "other.pem");
    const auto certificate = [](const std::string& pem) { return pem.substr(pem.find("-----BEGIN CERTIFICATE")); };
    test::write_text(file, whole.substr(0, whole.find("-----BEGIN CERTIFICATE")) + certificate(other));
    EXPECT_THROW(load_or_make_identity(file), base::Error);
}

TEST(Identity, TextsOfBytesAreReadBackAndNothingElseIs) {
    std::set<std::string> texts;
    for (std::size_t size = 0; size < 40; ++size) {
        std::vector<std::uint8_t> bytes(size), back(size);
        if (size > 0) {
            fill_random(bytes);
        }
        const std::string text = url_text(bytes);
        EXPECT_TRUE(from_url_text(text, back));
        EXPECT_EQ(bytes, back);
        EXPECT_TRUE(texts.insert(text).second);
        EXPECT_FALSE(from_url_text(text + "A", back));
        if (size > 0) {
            EXPECT_FALSE(from_url_text(text.substr(1), back));
            EXPECT_FALSE(from_url_text("=" + text.substr(1), back));
        }
    }
    std::array<std::uint8_t, 1> one{};
    EXPECT_TRUE(from_url_text("AA", one));
    EXPECT_FALSE(from_url_text("AB", one)) << "two spellings of one value";
    EXPECT_TRUE(key_hash_from(to_text(KeyHash{1, 2, 3})));
}

TEST(KnownNodes, AreRememberedByTheirAddress) {
    const TemporaryFolder folder;
    KnownNodes nodes(folder / "keys" / "known_nodes.json");
    EXPECT_FALSE(nodes.key_of("tls://a:1"));
    nodes.remember("tls://a:1", KeyHash{1});
    nodes.remember("tls://b:1", KeyHash{2});
    nodes.remember("tls://a:1", KeyHash{3});
    EXPECT_EQ(nodes.key_of("tls://a:1"), KeyHash{3});
    nodes.forget("tls://b:1");
    EXPECT_FALSE(nodes.key_of("tls://b:1"));
    test::write_text(folder / "keys" / "known_nodes.json", "{\"tls://a:1\": \"x\"}");
    EXPECT_THROW(nodes.key_of("tls://a:1"), base::Error);
}

}  // namespace
}  // namespace moescope::security
