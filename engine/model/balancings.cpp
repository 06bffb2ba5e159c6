#include "engine/model/balancings.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/json_guard.hpp"

namespace moescope::engine {
namespace {

// Choices over the whole batch know no groups, and only tokens that choose take a bias. Expert choice takes capacity 1:
// as many choices per token as the others make, and weights as they are.
constexpr Balancing kBalancings[] = {
    {"none", R"({"balance":"none","selection_bias":false,"router_choice":"token"})", ""},
    {"switch", R"({"balance":"batch","selection_bias":false,"router_choice":"token"})",
     "Switch Transformers, arXiv 2101.03961"},
    {"sequence", R"({"balance":"sequence","selection_bias":false,"router_choice":"token"})",
     "DeepSeek-V3, arXiv 2412.19437"},
    {"global", R"({"balance":"global","selection_bias":false,"router_choice":"token"})", "arXiv 2501.11873"},
    {"loss_free", R"({"balance":"none","selection_bias":true,"router_choice":"token"})",
     "loss-free balancing, arXiv 2408.15664"},
    {"expert_choice",
     R"({"balance":"none","selection_bias":false,"router_choice":"expert","capacity_factor":1.0,)"
     R"("normalise_weights":false,"router_groups":1,"router_groups_kept":1})",
     "expert choice, arXiv 2202.09368"},
    {"sinkhorn",
     R"({"balance":"none","selection_bias":false,"router_choice":"sinkhorn","router_groups":1,"router_groups_kept":1})",
     "Megatron-LM; S-BASE, arXiv 2202.01169"},
    {"quantile",
     R"({"balance":"none","selection_bias":false,"router_choice":"quantile","router_groups":1,"router_groups_kept":1})",
     "arXiv 2502.15451"},
    {"hash",
     R"({"balance":"none","selection_bias":false,"router_choice":"hash","router_groups":1,"router_groups_kept":1})",
     "hash layers, arXiv 2106.04426"},
};

}  // namespace

std::span<const Balancing> balancings() {
    return kBalancings;
}

nlohmann::json balancing_settings(std::string_view name) {
    const std::string_view wanted = name == "batch" ? "switch" : name;
    const auto found = std::find_if(std::begin(kBalancings), std::end(kBalancings),
                                    [&](const Balancing& one) { return wanted == one.name; });
    return found == std::end(kBalancings)
               ? nlohmann::json()
               : base::parse_object(std::string_view(found->settings), 1 << 10).value_or(nlohmann::json());
}

}  // namespace moescope::engine
