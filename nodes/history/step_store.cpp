#include "nodes/history/step_store.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>

#include "base/base64.hpp"
#include "base/json_fields.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::history {
namespace {

using protocol::RecordType;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : b - a;
}

}  // namespace

void StepStore::clear() {
    *this = StepStore();
}

void StepStore::add(const nlohmann::json& answer, std::uint32_t run, std::uint64_t first, std::uint64_t last,
                    std::uint64_t near) {
    const nlohmann::json& records = base::member(answer, "records");
    const std::optional<std::uint64_t> next = base::as_count(base::member(answer, "next"));
    if (!records.is_array() || last < first || last - first >= kMostAsked) {
        return;
    }
    for (const nlohmann::json& entry : records) {
        const nlohmann::json& body = base::member(entry, "body");
        const auto bytes = body.is_string() ? base::decode_base64(body.get_ref<const std::string&>()) : std::nullopt;
        if (!bytes) {
            continue;
        }
        const auto type = base::as_count(base::member(entry, "type")).value_or(0);
        const auto view = std::as_bytes(std::span(*bytes));
        if (type == static_cast<std::uint64_t>(RecordType::step)) {
            auto record = protocol::decode_step(view);
            if (record && record->run == run && record->step >= first && record->step <= last) {
                Step& step = steps_[record->step];
                bytes_ -= step.bytes;
                step.bytes = record->counts.size() * sizeof(std::uint32_t) + bytes->size() / 8;
                bytes_ += step.bytes;
                step.router_entropy = std::make_shared<const std::vector<float>>(std::move(record->router_entropy));
                step.counts = std::make_shared<const StepCounts>(StepCounts{record->step, std::move(record->counts)});
            }
        } else if (type == static_cast<std::uint64_t>(RecordType::ranks)) {
            auto record = protocol::decode_ranks(view);
            if (record && record->run == run && record->step >= first && record->step <= last) {
                Step& step = steps_[record->step];
                step.bytes += bytes->size();
                bytes_ += bytes->size();
                step.ranks = std::make_shared<const protocol::RankRecord>(std::move(*record));
            }
        }
    }
    for (std::uint64_t step = first; step <= last && step < next.value_or(last + 1); ++step) {
        if (!steps_.contains(step)) {
            absent_.insert(step);
        }
    }
    constexpr std::size_t kMostAbsent = 100'000;
    if (absent_.size() > kMostAbsent) {
        absent_.clear();
    }
    while (bytes_ > kMostBytes && steps_.size() > 1) {
        const auto newest = std::prev(steps_.end());
        const auto gone =
            distance(steps_.begin()->first, near) > distance(newest->first, near) ? steps_.begin() : newest;
        bytes_ -= gone->second.bytes;
        steps_.erase(gone);
    }
}

StepStore::Counts StepStore::counts(std::uint64_t step) const {
    const auto found = steps_.find(step);
    return found == steps_.end() ? nullptr : found->second.counts;
}

StepStore::Ranks StepStore::ranks(std::uint64_t step) const {
    const auto found = steps_.find(step);
    return found == steps_.end() ? nullptr : found->second.ranks;
}

StepStore::Entropies StepStore::router_entropy(std::uint64_t step) const {
    const auto found = steps_.find(step);
    return found == steps_.end() ? nullptr : found->second.router_entropy;
}

StepStore::Counts StepStore::nearest(std::uint64_t step) const {
    const auto after = steps_.lower_bound(step);
    if (steps_.empty()) {
        return nullptr;
    }
    if (after == steps_.begin()) {
        return after->second.counts;
    }
    const auto before = std::prev(after);
    const bool later = after != steps_.end() && after->first - step < step - before->first;
    return later ? after->second.counts : before->second.counts;
}

}  // namespace moescope::history
