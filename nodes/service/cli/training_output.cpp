#include "nodes/service/cli/training_output.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <limits>

#include "base/json_fields.hpp"
#include "base/step_values.hpp"
#include "base/text.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RunState;

namespace {

/// "English 4.1234, Chinese 5.0123"; a language without held-out text is left out.
std::string held_out_text(double english, double chinese) {
    std::string text;
    for (const auto& [name, loss] : {std::pair{"English", english}, std::pair{"Chinese", chinese}}) {
        if (std::isfinite(loss)) {
            base::append_to_list(text, fmt::format("{} {:.4f}", name, loss));
        }
    }
    return text.empty() ? "none" : text;
}

double steps_of(const protocol::RankRecord& sums) {
    return static_cast<double>(std::max<std::uint32_t>(1, sums.steps));
}

/// Means of a step.
json ranks_json(const protocol::RankRecord& sums) {
    const std::size_t N = sums.compute_ms.size();
    const double steps = steps_of(sums);
    json work = json::array(), waiting = json::array(), sent = json::array(), rows = json::array();
    for (std::size_t rank = 0; rank < N; ++rank) {
        work.push_back(static_cast<double>(sums.compute_ms[rank]) / steps);
        waiting.push_back(static_cast<double>(sums.waiting_ms[rank]) / steps);
        double bytes = 0, of_experts = 0;
        for (std::size_t to = 0; to < N; ++to) {
            bytes += static_cast<double>(sums.bytes[rank * N + to]);
            of_experts += to == rank ? 0.0 : static_cast<double>(sums.rows_between(rank, to, std::nullopt));
        }
        sent.push_back(bytes / steps);
        rows.push_back(of_experts / steps);
    }
    return {{"work_ms", work},
            {"waiting_ms", waiting},
            {"sent_bytes", sent},
            {"sent_rows", rows},
            {"row_bytes", sums.row_bytes}};
}

}  // namespace

json step_json(const protocol::StepRecord& step) {
    json line = {{"step", step.step}, {"tokens_total", step.tokens_total}};
    for (const base::StepValue& row : base::kStepValues) {
        const std::string_view key = row.key, name = base::short_key(row);
        json& place =
            name == key ? line[row.key] : line[std::string(key.substr(0, key.size() - name.size() - 1))][name];
        place = number_or_null(value_of(step, row));
    }
    if (!step.expert_errors.empty()) {
        constexpr std::array kNames = {"output", "input_gradient", "weight_gradient"};
        static_assert(kNames.size() == protocol::kExpertErrors);
        json& layers = line["expert_errors"] = json::object();
        for (std::size_t i = 0; i < step.expert_errors.size(); ++i) {
            layers[kNames[i % kNames.size()]].push_back(number_or_null(step.expert_errors[i]));
        }
    }
    return line;
}

void print_step(const protocol::StepRecord& step, int planned) {
    if (step.step % 10 == 0 || step.step == 1 || step.step == static_cast<std::uint64_t>(planned)) {
        fmt::print("step {:>6} / {}   cross-entropy {:.4f}   total loss {:.4f}   {:.0f} tok/s   {:.0f} ms/step\n",
                   step.step, planned, step.cross_entropy, step.loss, step.tokens_per_second, step.step_ms);
        std::fflush(stdout);
    }
}

void print_evaluation(const json& record) {
    const json& loss = base::member(record, "loss");
    fmt::print("step {:>6}   held-out cross-entropy: {}\n", base::count_of(record, "step"),
               held_out_text(base::number_of(loss, "en"), base::number_of(loss, "zh")));
    std::fflush(stdout);
}

json final_line(const TrainingResult& result) {
    json line = {{"done", result.state == RunState::done},
                 {"state", protocol::run_state_name(result.state)},
                 {"steps", result.steps},
                 {"loss", number_or_null(result.loss)},
                 {"cross_entropy", number_or_null(result.cross_entropy)},
                 {"parameters_sha256", result.parameters_sha256.empty() ? json() : json(result.parameters_sha256)},
                 {"checkpoint", result.checkpoint.string()},
                 {"seconds", result.seconds}};
    if (result.held_out) {
        line["held_out_loss"] = {{"en", number_or_null(result.held_out->loss[0])},
                                 {"zh", number_or_null(result.held_out->loss[1])}};
    }
    if (!result.exchange.empty()) {
        line["exchange"] = result.exchange;
    }
    if (result.ranks) {
        line["ranks"] = ranks_json(*result.ranks);
    }
    return line;
}

std::string ranks_text(const protocol::RankRecord& sums) {
    const auto [least, most] = std::minmax_element(sums.compute_ms.begin(), sums.compute_ms.end());
    const auto slowest = most - sums.compute_ms.begin(), fastest = least - sums.compute_ms.begin();
    const auto of_step = [steps = steps_of(sums)](double value) { return value / steps; };
    return fmt::format("rank {} has the most work, {:.1f} ms of a step; rank {} has {:.1f} ms and waits {:.1f} ms",
                       slowest, of_step(*most), fastest, of_step(*least),
                       of_step(sums.waiting_ms[static_cast<std::size_t>(fastest)]));
}

CLI::Validator range_of(const std::string& key) {
    for (const auto& field : engine::config_fields()) {
        if (field.section == "train" && field.key == key) {
            const bool all = field.high >= 0x1p64;
            return whole_number(static_cast<std::int64_t>(field.low), all ? std::numeric_limits<std::uint64_t>::max()
                                                                          : static_cast<std::uint64_t>(field.high));
        }
    }
    return {};
}

}  // namespace moescope::node
