// Documents in JSON: one object with "text" at a time, however many there are and whatever else they hold.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"
#include "engine/text/text_file.hpp"

namespace moescope::engine {

/// Appends to a text that may become as long as `limit`. A long one takes its whole room at once: to move it again and
/// again would take seconds in which nothing can be stopped, and room that is not used costs no memory.
void append_text(std::string& text, std::string_view more, std::uintmax_t limit);

/// Throws Error: there is more text than `limit`.
[[noreturn]] void refuse_size(const std::filesystem::path& path, std::uintmax_t limit);

/// Collects documents by language.
class DocumentCollector {
 public:
    /// At most `limit` bytes of text in all. `path` is for the sentences.
    DocumentCollector(std::filesystem::path path, std::uintmax_t limit) : path_(std::move(path)), limit_(limit) {}
    /// One JSON text of the file, which begins in `line` (counted from 1). Throws Error naming file, line and cause.
    /// `texts_too`: a plain text is a document as well.
    void add(std::string_view json, std::size_t line, bool texts_too);
    std::vector<LabelledText> take();

 private:
    const std::filesystem::path path_;
    const std::uintmax_t limit_;
    std::uintmax_t bytes_ = 0;
    std::array<LabelledText, 3> by_language_ = {LabelledText{{}, -1}, LabelledText{{}, 0}, LabelledText{{}, 1}};
};

/// Takes a file's pieces one after another, then end(). Both throw Error.
class DocumentSplitter {
 public:
    virtual ~DocumentSplitter() = default;
    virtual void piece(std::string_view text) = 0;
    virtual void end() = 0;
};

/// One document a line.
class LineSplitter final : public DocumentSplitter {
 public:
    LineSplitter(std::filesystem::path path, DocumentCollector& into) : path_(std::move(path)), into_(into) {}
    void piece(std::string_view text) override;
    void end() override;

 private:
    void line(std::string_view text);

    const std::filesystem::path path_;
    DocumentCollector& into_;
    std::string begun_;  ///< of a line that goes on in the next piece
    std::size_t number_ = 0;
};

/// A list of documents, or documents one after another, on as many lines as they like.
class ValueSplitter final : public DocumentSplitter {
 public:
    ValueSplitter(std::filesystem::path path, DocumentCollector& into) : path_(std::move(path)), into_(into) {}
    void piece(std::string_view text) override;
    void end() override;

 private:
    enum class Within { nothing, word, text, container };  ///< of the value; a text within a container counts as text

    std::size_t rest_of_text(std::string_view text);
    void take(char c);
    void between(char c);
    void begin_value(char c);
    void finish_value();
    [[noreturn]] void fail(const base::Sentence& what) const;

    const std::filesystem::path path_;
    DocumentCollector& into_;
    std::string value_;
    Within within_ = Within::nothing;
    int depth_ = 0;  ///< of the value's containers
    bool escaped_ = false;
    std::size_t line_ = 1, first_line_ = 1;  ///< the present one, and that in which the value begins
    enum class Place { start, sequence, first_of_list, behind_value, behind_comma, behind_list } place_ = Place::start;
};

/// Does `text`, the beginning of a file, look like documents as ValueSplitter takes them: an object with "text" or,
/// when `texts_too`, a list of texts?
bool looks_like_documents(std::string_view text, bool texts_too);

}  // namespace moescope::engine
