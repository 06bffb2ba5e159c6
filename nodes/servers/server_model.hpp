// A model that another program computes and that answers over HTTP. It answers like a model of our own (text token by
// token, log-probabilities, stop reason), but what it is shown, its tokens, logits and routers are the server's: no
// function here gives them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "base/stop_reason.hpp"
#include "nodes/servers/answer_reader.hpp"
#include "nodes/servers/http_client.hpp"
#include "nodes/servers/server.hpp"
#include "routing/chunk.hpp"

namespace moescope::servers {

/// What a server says of a model in its list.
struct ServedModel {
    std::string name;
    int context = 0;                               ///< tokens; 0: not said
    std::uint64_t parameters = 0, vocabulary = 0;  ///< 0: not said
};
struct Served {
    Dialect dialect = Dialect::openai;  ///< by its own words
    std::vector<ServedModel> models;    ///< empty: it has no list
    std::vector<base::Sentence> notes;  ///< what of its list is left out, and why
};

struct Question {
    std::string prompt;
    std::optional<std::string> system;
    bool chat = true;  ///< a conversation, in the server's own template; else the text is continued as it is
    int max_tokens = 256, alternatives = 0;
    double temperature = 0, top_p = 0.95, min_p = 0.05;
    int top_k = 40;  ///< 0: all
    std::uint64_t seed = 1;
};

/// Where the routing of an answer goes: its router once, then its pieces in order. They come after the last token, and
/// only when all of it was found right.
struct OnRouting {
    std::function<void(const routing::RouterSpec&)> router;
    std::function<void(std::shared_ptr<const routing::Chunk>)> piece;
    explicit operator bool() const { return router && piece; }
};

struct Answered {
    base::StopReason stop = base::StopReason::cancelled;
    int prompt_tokens = 0, tokens = 0;      ///< as the server counts them
    double prompt_ms = 0, generate_ms = 0;  ///< until the first token, and from it
    std::vector<base::Sentence> notes;      ///< what was otherwise than asked
};

/// The body of a question as the server of `dialect` takes it. `routing`: ask for the experts of each token.
nlohmann::json question_json(const Server& server, Dialect dialect, const Question& question, bool routing);

/// One thread.
class ServerModel {
 public:
    /// Takes the key from the environment. Connects to nothing. Throws Error.
    explicit ServerModel(Server server);

    const Server& server() const { return server_; }
    Dialect dialect() const { return dialect_; }
    const ServedModel& info() const { return info_; }  ///< once it is open

    /// Asks for the list of models. Nothing when `cancel` turned true. Throws Error; not where the server has none.
    std::optional<Served> list(const std::atomic<bool>& cancel);
    /// The same, to learn who answers and what is said of this model. False when cancelled.
    bool open(const std::atomic<bool>& cancel);
    /// Asks, and gives token by token what comes. A cancel closes the connection within a tenth of a second, which ends
    /// the work of the server, too. The routing is asked for when `on_routing` is set and the server is one that has
    /// it; what can't be right of it is refused with a note, and the answer stays. Throws Error.
    Answered answer(const Question& question, const OnToken& on_token, const OnRouting& on_routing,
                    const std::atomic<bool>& cancel);

 private:
    [[noreturn]] void refuse(unsigned status, const std::string& body) const;
    std::vector<base::Sentence> notes_on(const Question& question) const;
    void take_routing(const AnswerReader& reader, const OnRouting& on_routing, Answered& answered) const;

    const Server server_;
    const std::string key_;
    HttpClient client_;
    Dialect dialect_;
    ServedModel info_;
};

}  // namespace moescope::servers
