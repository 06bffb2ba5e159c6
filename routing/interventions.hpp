// Changes to what routers choose, as data: written on a command line, saved in a session, sent to whoever computes the
// model. What each means for a router is in choice.hpp; which of them a model can be given, in intervention_plan.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace moescope::routing {

/// A bias is between minus this and this. Scores are at most 1, or logits of some tens, so that it puts an expert
/// behind or before all others; added to a larger one the scores of a float would lose what they are told apart by.
/// Here a step is 8e-6.
inline constexpr int kLargestBias = 100;
inline constexpr int kEvery = -1;  ///< in the place of a layer: every routed one; of an expert: all of the layer

struct ExpertPlace {
    int layer = kEvery, expert = kEvery;
    bool operator==(const ExpertPlace&) const = default;
};
struct AddedBias {
    ExpertPlace place;
    float value = 0;  ///< added to the selection score; the weight is made of the score without it
    bool operator==(const AddedBias&) const = default;
};
struct ChosenLimit {
    int layer = kEvery;
    int experts = 1;  ///< at most so many are chosen per token
    bool operator==(const ChosenLimit&) const = default;
};

/// The router that the choices of a replay were made by; `experts` 0: not known. Imported: the recording may know less
/// of it than there is.
struct ReplayedRouter {
    int experts = 0, experts_per_token = 0;
    std::vector<int> layers;  ///< those with a router, ascending
    bool imported = false;
    bool operator==(const ReplayedRouter&) const = default;
};

/// The choices of another run: (position in the text, layer) -> ids, best first. Positions that are missing are routed
/// as usual.
struct Replay {
    std::string source;  ///< the trace it was read from; for people
    std::map<std::pair<int, int>, std::vector<std::int32_t>> ids;
    ReplayedRouter router;
    bool operator==(const Replay&) const = default;
};

struct Interventions {
    std::string name;                      ///< of a saved set; empty: none
    std::vector<ExpertPlace> knocked_out;  ///< never chosen; the next best takes the place
    std::vector<ExpertPlace> forced;       ///< always chosen; the last of the others gives up the place
    std::vector<AddedBias> biases;
    std::vector<ChosenLimit> limits;
    std::vector<ExpertPlace> zeroed;  ///< chosen and weighed as usual, then multiplied by zero: nothing is rerouted
    Replay replay;

    bool empty() const {
        return knocked_out.empty() && forced.empty() && biases.empty() && limits.empty() && zeroed.empty() &&
               replay.source.empty() && replay.ids.empty();
    }
    bool operator==(const Interventions&) const = default;
};

/// "3:5,3:7" (layer:expert), with ranges "3:0-4" and "0-5:7", and * for every: "*:5", "3:*". Throws Error that names
/// the part which is none.
std::vector<ExpertPlace> parse_places(std::string_view text);
/// "3:5=-0.5,*:7=2". Refuses those beyond kLargestBias, too.
std::vector<AddedBias> parse_biases(std::string_view text);
/// "1" in every layer, or "3:1,4-5:2" (layer:experts).
std::vector<ChosenLimit> parse_limits(std::string_view text);

/// [{"kind":"knock_out","layer":3,"expert":5}, ...]; without "layer" or "expert" it stands for every one. Kinds:
/// knock_out, force, zero, bias (with "value"), limit_k (with "experts"), replay (with "source"; its ids are in that
/// trace, not here).
nlohmann::json items_to_json(const Interventions& interventions);
/// {"name":..., "items":[...]}.
nlohmann::json to_json(const Interventions& interventions);
/// The reverse of either. Throws Error; keys and kinds that are not known are refused. Takes biases that are larger
/// than kLargestBias, as sessions and traces have that were made before there was one: whoever makes a plan of them
/// refuses them.
Interventions interventions_from_json(const nlohmann::json& value);
/// The changes of a trace. Throws Error unless they are a list of items as above.
void check_changes(const nlohmann::json& items);

}  // namespace moescope::routing
