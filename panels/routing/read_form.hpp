// Where a person has a text read, or the built-in corpus, with its routing recorded: model, text, how much of each
// decision is kept. Also what the empty panels of this room show. GUI thread.
#pragma once

#include <string>
#include <utility>

#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

/// The model that a person would look at: what was trained here, of the run of that number or the newest, else a
/// mixture of experts of the library; empty when there is none.
std::string first_routed_model(const client::Snapshot& snapshot, std::uint32_t training_run);

class ReadForm {
 public:
    /// Fields and buttons over the width that is there. True when something was sent.
    bool draw(ui::Context& ctx);
    void set_model(const std::string& model) { model_ = model; }
    /// As its buttons do: reads `text`, or about `tokens` of the built-in corpus, with the chosen model.
    void read(ui::Context& ctx, const std::string& text) const;
    void read_corpus(ui::Context& ctx, int tokens) const;
    void take_over(const ReadForm& before) {
        tokens_ = before.tokens_;
        scores_ = before.scores_;
    }

 private:
    std::string model(const ui::Context& ctx) const;
    void watch(ui::Context& ctx);
    /// "scores" or "weights": how much a reading of so many tokens of the built-in text records, and a sentence on what
    /// that takes; none without the wish for scores.
    std::pair<const char*, std::string> corpus_detail(const ui::Context& ctx, int tokens) const;

    ui::FieldWatch watch_;
    std::string model_, text_;
    bool scores_ = true;
    bool chat_ = false;
    int tokens_ = 20'000;  ///< of the corpus
};

/// Room, sentence and form of a panel that has nothing to show yet. `key`: of the sentence.
void draw_empty_routing(ui::Context& ctx, const char* icon, const char* key, ReadForm& form);

}  // namespace moescope::panels
