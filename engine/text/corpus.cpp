#include "engine/text/corpus.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <unordered_set>

#include "base/input_file.hpp"
#include "base/installation.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/text/byte_source.hpp"
#include "engine/text/dataset.hpp"
#include "engine/text/dataset_check.hpp"
#include "engine/text/pieces.hpp"
#include "engine/text/text_file.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxTextBytes = 1U << 30;  // a larger text needs a data set that is not kept in memory
constexpr std::size_t kPlainDocumentBytes = 4096;  // a text without form feeds is cut into documents of about this size
constexpr std::size_t kPartBytes = 16384;  // longer documents come in parts, so that no language disappears for long
constexpr std::uint64_t kHeldOutOf = 20;
constexpr double kChineseShare = 0.1;
constexpr const char* kManpages = "manpages";
constexpr std::size_t kLanguageSample = std::size_t{1} << 20;       // bytes of a document that tell its language
constexpr std::size_t kPieceDocuments = 1024;                       // handled between two checks for a stop
constexpr std::size_t kMaxDescriptionBytes = std::size_t{1} << 20;  // of the built-in corpus

void add_to(base::Sha256& hash, std::string_view text, const StopCheck& check) {
    in_pieces(std::span(text), check, [&](std::span<const char> piece) { hash.add({piece.data(), piece.size()}); });
}

std::uint64_t hash_of(std::string_view text, const StopCheck& check) {  // FNV-1a, 64 bits: the same on every machine
    std::uint64_t hash = 0xcbf29ce484222325U;
    in_pieces(std::span(text), check, [&](std::span<const char> piece) {
        for (const char c : piece) {
            hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3U;
        }
    });
    return hash ^ (hash >> 29);
}

std::string sha256_of(std::string_view text, const StopCheck& check) {
    base::Sha256 hash;
    add_to(hash, text, check);
    return hash.finish();
}

struct Cut {
    std::size_t end = 0, next = 0;  ///< where the first part ends, and where the next one starts
};

// Cuts off a first part of about `size` bytes: at the end of a paragraph, else of a line, else between two characters.
Cut cut_part(std::string_view text, std::size_t size) {
    if (text.size() <= size) {
        return {text.size(), text.size()};
    }
    for (const std::string_view mark : {"\n\n", "\n"}) {
        // Not further than a mark counts: a search through the whole rest would make a long text cost its square.
        const std::size_t end = text.substr(0, 2 * size + mark.size() - 1).find(mark, size);
        if (end != std::string_view::npos) {
            return {end, end + mark.size()};
        }
    }
    const std::size_t end = base::character_boundary(text, size);
    return {end, end};
}

Cut cut_document(std::string_view text, bool form_feeds) {
    if (!form_feeds) {
        return cut_part(text, kPlainDocumentBytes);
    }
    const std::size_t end = text.find('\f');
    return end == std::string_view::npos ? Cut{text.size(), text.size()} : Cut{end, end + 1};
}

std::string_view trimmed(std::string_view text) {
    return base::trimmed(text, " \t\r\n\f");  // a form feed stands between documents
}

int language_of(std::string_view document) {
    const std::string_view sample = document.substr(0, base::character_boundary(document, kLanguageSample));
    return base::han_share(sample) >= kChineseShare ? 1 : 0;
}

// `language` < 0: told from each document's text. `file`: its place among the files.
void append_documents(std::string_view text, int language, std::size_t file, const StopCheck& check,
                      std::vector<TextDocument>& documents) {
    const bool form_feeds = text.find('\f') != std::string_view::npos;
    while (!text.empty()) {
        if (documents.size() % kPieceDocuments == 0) {
            check_stop(check);
        }
        const auto [end, next] = cut_document(text, form_feeds);
        const std::string_view body = trimmed(text.substr(0, end));
        text.remove_prefix(next);
        if (!body.empty()) {
            const int own = language >= 0 ? language : language_of(body);
            documents.push_back({body, static_cast<std::uint8_t>(own), false, static_cast<std::uint32_t>(file)});
        }
    }
}

bool is_hidden(const fs::path& path) {  // "._en.txt" is what macOS writes beside "en.txt", not a text
    return path.filename().string().starts_with('.');
}

/// The texts of a folder and its subfolders; what is hidden counts as absent.
std::vector<fs::path> files_of_folder(const fs::path& path, const StopCheck& check, std::vector<Sentence>& notes) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
        check_stop(check);
        std::error_code gone;
        if (is_hidden(entry->path())) {
            entry.disable_recursion_pending();
        } else if (is_text_file(entry->path()) && entry->is_regular_file(gone)) {
            if (is_other_json(entry->path())) {
                notes.push_back(say("{} was left out: it does not begin with a document", entry->path()));
            } else {
                files.push_back(entry->path());
            }
        }
    }
    if (error || files.empty()) {
        throw Error(error ? say("the folder {} cannot be read: {}", path, error)
                          : say("the folder {} holds no .txt, .jsonl, .ndjson or .json files with text, also not with "
                                ".zst or .gz",
                                path));
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::vector<fs::path> text_files(const fs::path& path, const StopCheck& check, std::vector<Sentence>& notes) {
    check_exists(path.string());
    std::error_code error;
    const bool folder = fs::is_directory(path, error);
    if (!folder && lower_extension(path) == ".bin") {
        throw Error(
            say("{} is a bare list of numbers that does not say how wide they are; make a .npy of it, for "
                "example numpy.save('train.npy', numpy.fromfile('train.bin', 'uint16'))",
                path));
    }
    return folder ? files_of_folder(path, check, notes) : std::vector<fs::path>{path};
}

// What the texts of a file are called together, see Corpus::groups.
std::string group_of(const fs::path& file, const fs::path& named) {
    const fs::path below = file == named ? fs::path() : file.lexically_relative(named).parent_path();
    const std::string name = below.empty() ? file.filename().string() : below.generic_string();
    return below.empty() ? name.substr(0, name.find('.')) : name;
}

// Reads the files and fills everything but the order of the documents. `languages` names the language of each file, or
// is empty.
Corpus read_files(const std::vector<fs::path>& files, const std::vector<int>& languages, std::string name,
                  const StopCheck& check) {
    Corpus corpus;
    corpus.name = std::move(name);
    base::Sha256 hash;
    std::uintmax_t room = kMaxTextBytes;
    std::vector<int> known;
    for (std::size_t i = 0; i < files.size(); ++i) {
        for (LabelledText& labelled : read_text_file(files[i], room, check)) {
            known.push_back(languages.empty() ? labelled.language : languages[i]);
            corpus.files.push_back(std::move(labelled.text));
            corpus.groups.push_back(corpus.name == kManpages ? kManpages : group_of(files[i], corpus.name));
            const std::string& text = corpus.files.back();
            room -= std::min<std::uintmax_t>(room, text.size());
            hash.add(files[i].filename().string() + ' ' + std::to_string(text.size()) + '\n');
            add_to(hash, text, check);
        }
    }
    corpus.sha256 = hash.finish();
    for (std::size_t i = 0; i < corpus.files.size(); ++i) {
        append_documents(corpus.files[i], known[i], i, check, corpus.documents);
    }
    return corpus;
}

// The built-in corpus is checked against the description that was written with it: a damaged file is found here, not as
// a strange loss.
Corpus read_manpages(const fs::path& folder, const StopCheck& check) {
    std::error_code error;
    const fs::path description = folder / "corpus.json";
    if (!fs::exists(description, error) || !fs::exists(folder / "en.txt", error) ||
        !fs::exists(folder / "zh.txt", error)) {
        throw Error(say("the built-in text is missing in {}; start ./run once, which builds it", folder));
    }
    Corpus corpus = read_files({folder / "en.txt", folder / "zh.txt"}, {0, 1}, kManpages, check);
    const auto text = base::try_read_file(description, kMaxDescriptionBytes);
    const nlohmann::json json =
        base::parse_object(text.value_or(""), kMaxDescriptionBytes).value_or(nlohmann::json::object());
    for (std::size_t i = 0; i < corpus.files.size(); ++i) {
        const char* name = i == 0 ? "en.txt" : "zh.txt";
        const std::string known = base::text_of(base::member(base::member(json, "files"), name), "sha256");
        if (known != sha256_of(corpus.files[i], check)) {
            throw Error(say("{} is not what {} describes; delete the folder and start ./run, which builds it again",
                            (folder / name), description));
        }
    }
    return corpus;
}

// Marks the held-out documents of one language and gives the order of its documents, long ones in parts.
std::vector<TextDocument> arrange_language(const std::vector<TextDocument>& all, std::uint8_t language,
                                           const StopCheck& check) {
    std::vector<std::pair<std::uint64_t, TextDocument>> hashed;
    std::unordered_set<std::uint64_t> seen;
    for (const TextDocument& document : all) {
        if (document.language != language) {
            continue;
        }
        const std::uint64_t hash = hash_of(document.text, check);
        if (seen.insert(hash).second) {  // a copy would leak held-out text into training
            hashed.emplace_back(hash, document);
        }
    }
    std::sort(hashed.begin(), hashed.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : a.second.text < b.second.text;
    });
    bool any = false;
    for (auto& [hash, document] : hashed) {
        document.held_out = (hash >> 32) % kHeldOutOf == 0;
        any = any || document.held_out;
    }
    const bool all_out = std::all_of(hashed.begin(), hashed.end(), [](const auto& d) { return d.second.held_out; });
    if (hashed.size() > 1 &&
        (!any || all_out)) {  // a small text still gets one held-out document and something to train on
        for (auto& [hash, document] : hashed) {
            document.held_out = false;
        }
        hashed.front().second.held_out = true;
    } else if (hashed.size() == 1) {
        hashed.front().second.held_out = false;
    }
    std::vector<TextDocument> result;
    for (const auto& [hash, document] : hashed) {
        std::string_view rest = document.text;
        if (result.size() % kPieceDocuments == 0) {
            check_stop(check);
        }
        while (!rest.empty()) {
            const auto [end, next] = cut_part(rest, kPartBytes);
            const std::string_view part = trimmed(rest.substr(0, end));
            if (!part.empty()) {
                result.push_back({part, language, document.held_out, document.file});
            }
            rest.remove_prefix(next);
        }
    }
    return result;
}

// Merges the languages so that each has used up the same share of its own text at every point.
std::vector<TextDocument> interleave(const std::array<std::vector<TextDocument>, kLanguages>& languages) {
    struct Placed {
        double at;  // middle of the document as a share of its language's text
        TextDocument document;
    };
    std::vector<Placed> placed;
    for (const auto& documents : languages) {
        double total = 0, before = 0;
        for (const TextDocument& document : documents) {
            total += static_cast<double>(document.text.size());
        }
        for (const TextDocument& document : documents) {
            const double size = static_cast<double>(document.text.size());
            placed.push_back({(before + size / 2) / total, document});
            before += size;
        }
    }
    std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return a.at < b.at; });
    std::vector<TextDocument> result;
    for (const Placed& p : placed) {
        result.push_back(p.document);
    }
    return result;
}

}  // namespace

std::string whole_path_of_data(const std::string& data) {
    if (data == kManpages || data.empty()) {
        return data;
    }
    const fs::path path = fs::absolute(data);
    // Behind a link `..` is another folder than the one that the name says; else links stay as they are called.
    std::error_code error;
    const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
    const fs::path plain = climbs ? fs::weakly_canonical(path, error) : path.lexically_normal();
    if (error) {
        return path.string();
    }
    return (plain.has_filename() ? plain : plain.parent_path()).string();
}

bool data_exist(const std::string& data) {
    return data == kManpages || base::is_there(data);
}

void check_exists(const std::string& data) {
    if (!data_exist(data)) {
        throw Error(
            say("the text {} does not exist; name a UTF-8 text (.txt, .jsonl, .ndjson or .json, each also with "
                ".zst or .gz), a folder of such files, a token file (.npy), or manpages",
                fs::path(data)));
    }
    std::error_code error;
    if (data != kManpages && !fs::is_directory(data, error)) {
        const base::InputFile file(data);  // throws for what is no file
        if (file.size() == 0) {
            throw Error(say("the text {} is empty; there is nothing to train on", data));
        }
    }
}

Corpus read_corpus(const std::string& data, const fs::path& cache, const StopCheck& check) {
    std::vector<Sentence> notes;
    const fs::path made = cache / "corpus", brought = base::own_assets() / "corpus";  // by ./run, by a bundle
    const bool bundled = !base::is_there(made) && base::is_there(brought);
    Corpus corpus = data == kManpages ? read_manpages(bundled ? brought : made, check)
                                      : read_files(text_files(data, check, notes), {}, data, check);
    corpus.notes = std::move(notes);
    if (corpus.documents.empty()) {
        throw Error(say("the text {} is empty; there is nothing to train on", data));
    }
    std::array<std::vector<TextDocument>, kLanguages> languages;
    for (std::uint8_t language = 0; language < kLanguages; ++language) {
        languages[language] = arrange_language(corpus.documents, language, check);
    }
    corpus.documents = interleave(languages);
    return corpus;
}

}  // namespace moescope::engine
