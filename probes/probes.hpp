// Probe sets, the rules that label answers, and the statistics. Pure: no model, no network, no files except load_set.
// The prompt is the unit of analysis; comparisons are paired.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/intervals.hpp"
#include "probes/reasoning.hpp"

namespace moescope::probes {

using base::Error;
using base::Interval;
using base::say;
using base::Sentence;
using base::wilson;

struct Item {
    std::string id, topic;
    std::string
        group;  ///< "state": sensitive for the Chinese state; "mirror": the same kind of question about other states
    std::string mirrors;                        ///< id of the item that it mirrors, may be empty
    std::map<std::string, std::string> prompt;  ///< "en" and "zh", both required
    std::map<std::string, std::string> title;   ///< short label for tables, both required
};

struct Set {
    std::string name, version, licence;
    std::string sha256;                                                ///< of the bytes of the file, lower-case hex
    std::map<std::string, std::string> title;                          ///< "en" and "zh"
    std::map<std::string, std::map<std::string, std::string>> topics;  ///< title of every topic key in "en" and "zh"
    std::vector<Item> items;
};

/// Strict: unknown keys, a missing translation, duplicate ids, invalid UTF-8 and empty prompts are errors naming file
/// and item. Throws Error.
Set load_set(const std::filesystem::path& path);
Set parse_set(const std::string& text, const base::Sentence& source);
inline Set parse_set(const std::string& text, const std::string& source) {
    return parse_set(text, base::Sentence::verbatim(source));
}

/// F1: what arrived. `blocked` is a notice of a service's filter in place of the model's own words, `cut` stopped early
/// (a limit of tokens, context or time, or a person) before its first sentence of substance had ended, `incoherent` is
/// text without sense (a repetition loop, broken characters): it is neither compliance nor refusal.
enum class Delivery { answered, refused, blocked, empty, cut, error, incoherent };
inline constexpr std::array kDeliveries{Delivery::answered, Delivery::refused, Delivery::blocked,   Delivery::empty,
                                        Delivery::cut,      Delivery::error,   Delivery::incoherent};
const char* delivery_name(Delivery delivery);
std::optional<Delivery> delivery_from_name(std::string_view name);

struct Labels {
    Delivery delivery = Delivery::answered;
    int engagement = -1;  ///< F2: 0 full refusal, 1 deflection, 2 partial, 3 hedged but complete, 4 full; -1 when
                          ///< nothing usable arrived
    base::Sentence rule;  ///< the rule that decided, e.g. "refusal phrase in the first sentence: 我无法"
    Trace reasoning = Trace::absent;  ///< F5
};

/// The same instrument for every language: the same rules in the same order, phrase lists of both languages always
/// applied, lengths in information units, not characters. Reasoning is taken out first (reasoning.hpp). `stop` is the
/// reason why generation ended, by one of the names of base/stop_reason.hpp; another text counts as "end".
/// `begins_inside_reasoning`: the prompt that the model was shown ended with an opening mark.
Labels label_answer(std::string_view prompt, std::string_view answer, std::string_view stop,
                    bool begins_inside_reasoning = false);

/// F2 as it can be with this F1: 0 for a refusal, -1 where nothing usable arrived, else `engagement` (-1 to 4). A
/// person may label F1 alone, or both so that they contradict each other; no answer counts as refused and as engaged.
int engagement_with(Delivery delivery, int engagement);

struct McNemar {
    std::uint64_t both = 0, only_first = 0, only_second = 0, neither = 0;
    double p = 1, mid_p = 1;  ///< exact two-sided binomial
    Interval difference;      ///< paired difference of rates, Newcombe's method 10
};
McNemar mcnemar(std::uint64_t both, std::uint64_t only_first, std::uint64_t only_second, std::uint64_t neither);

/// Most pairs that the exact enumeration of power takes on (time grows with n squared).
inline constexpr std::uint64_t kMostPairs = 5000;
/// Power of the two-sided exact McNemar test at n pairs when a pair is (1,0) with p10 and (0,1) with p01. NaN when the
/// arguments are not probabilities or n is 0 or above kMostPairs.
double mcnemar_power(std::uint64_t n, double p10, double p01, double alpha);
/// Smallest difference in rates that n pairs detect with the given power when the other discordant rate is
/// `background`; nullopt when none can.
std::optional<double> detectable_difference(std::uint64_t n, double background, double alpha, double power);

/// Holm's step-down adjustment, in the order given.
std::vector<double> holm(std::span<const double> p);

/// What one coder says of an answer, by their own labels alone.
struct CoderLabels {
    std::string coder;  ///< initials; empty where they are not known
    Labels labels;      ///< engagement -1: this coder has not given one
};

/// One labelled answer as the statistics see it (the person's label where there is one).
struct Draw {
    std::string item, group, topic, model, language;
    int draw = 0;
    Labels labels;
    bool by_person = false;
    std::vector<CoderLabels> coders{};  ///< all who have coded it, by name
    bool consensus = false;             ///< `labels` are what coders who differed have agreed on
};

/// Everything the probe table shows, as JSON: rates with intervals per (group or topic, model, language), paired tests
/// between models per language and between languages per model with Holm-adjusted p, difference in differences (state
/// minus mirror) with a bootstrap interval over items, and what difference this number of items could have shown. The
/// panel and the report print this and nothing else.
nlohmann::json statistics(const Set& set, const std::vector<std::string>& models, const std::vector<Draw>& draws);

}  // namespace moescope::probes
