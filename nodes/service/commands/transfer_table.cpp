#include "nodes/service/commands/transfer_table.hpp"

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "nodes/service/library/command_error.hpp"

namespace moescope::node {

using protocol::ObjectId;
using protocol::RangeEnd;

namespace {

/// As `std::random_device` has it from the system: nobody guesses it.
ObjectId random_id() {
    std::random_device random;
    ObjectId id{};
    for (auto& byte : id) {
        byte = static_cast<std::uint8_t>(random());
    }
    return id;
}

CommandError forgotten() {
    return CommandError(base::say("this file is not open any more; open it again"));
}

transport::RangeAnswer ended(RangeEnd::State state, const base::Sentence& why = {}) {
    return {{0, state, {}, why}, {}};
}

}  // namespace

void TransferTable::let_go_of_old() {
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(objects_, [&](const auto& entry) { return now - entry.second.used > kKept; });
    while (objects_.size() >= kMost) {
        objects_.erase(std::min_element(objects_.begin(), objects_.end(),
                                        [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
    }
}

ObjectId TransferTable::add(std::shared_ptr<Object> object) {
    const ObjectId id = random_id();
    const std::lock_guard lock(mutex_);
    let_go_of_old();
    objects_[id] = {std::move(object), std::chrono::steady_clock::now()};
    return id;
}

std::shared_ptr<TransferTable::Object> TransferTable::find(const ObjectId& id) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(id);
    if (found == objects_.end()) {
        return nullptr;
    }
    found->second.used = std::chrono::steady_clock::now();
    return found->second.object;
}

std::shared_ptr<TransferTable::Object> TransferTable::find(const std::string& id) {
    const auto named = protocol::object_named(id);
    auto object = named ? find(*named) : nullptr;
    if (!object) {
        throw forgotten();
    }
    return object;
}

void TransferTable::close(const std::string& id) {
    if (const auto named = protocol::object_named(id)) {
        const std::lock_guard lock(mutex_);
        objects_.erase(*named);
    }
}

std::optional<ObjectId> TransferTable::packed_session(const std::string& version) {
    const std::lock_guard lock(mutex_);
    for (auto& [id, kept] : objects_) {
        if (kept.object->packed_session && kept.object->out->what().version == version) {
            kept.used = std::chrono::steady_clock::now();
            return id;
        }
    }
    return std::nullopt;
}

std::set<std::uint64_t> TransferTable::senders(const std::filesystem::path& target, std::uint64_t but) {
    constexpr std::chrono::minutes kForgotten{2};  // it fails then, or waits for its person
    const auto now = std::chrono::steady_clock::now();
    std::set<std::uint64_t> all;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, kept] : objects_) {
        if (kept.object->in && kept.object->in->target() == target && kept.object->viewer != but &&
            now - kept.used < kForgotten) {
            all.insert(kept.object->viewer);
        }
    }
    return all;
}

void TransferTable::close_incoming(const std::filesystem::path& target, std::uint64_t viewer, const Heard& heard) {
    constexpr std::chrono::seconds kSilence{7};  // a viewer that is there sends a PING every 5 s
    const auto since = std::chrono::steady_clock::now();
    for (const std::uint64_t other : senders(target, viewer)) {
        for (auto last = heard(other); last && std::chrono::steady_clock::now() - since < kSilence;
             last = heard(other)) {
            if (*last > since) {
                throw CommandError(
                    base::say("another workbench is sending {} right now; wait until it has come, or choose another "
                              "name",
                              target.filename()));
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }
    constexpr std::chrono::seconds kPatience{10};
    std::vector<std::weak_ptr<Object>> closed;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(objects_, [&](const auto& entry) {
            const auto& object = entry.second.object;
            const bool there = object->in && object->in->target() == target;
            if (there) {
                closed.push_back(object);
            }
            return there;
        });
    }
    const auto until = std::chrono::steady_clock::now() + kPatience;
    for (const auto& object : closed) {
        while (!object.expired() && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
}

transport::RangeAnswer TransferTable::carry_out(const transport::RangeRequest& request) {
    const auto object = find(request.order.object);
    if (!object) {
        return ended(RangeEnd::State::open_again, forgotten().sentence());
    }
    const transfer::Range range{request.order.file, request.order.offset, request.order.length};
    try {
        if (request.pushed) {
            if (!object->in) {
                return ended(RangeEnd::State::failed, base::say("this file was opened to be read"));
            }
            const std::lock_guard lock(object->mutex);
            const bool right = object->in->write(range, request.bytes, request.sha256);
            return ended(right ? RangeEnd::State::whole : RangeEnd::State::differs);
        }
        if (!object->out) {
            return ended(RangeEnd::State::failed, base::say("this file was opened to be written"));
        }
        auto piece = object->out->read(range);
        return {{0, RangeEnd::State::whole, std::move(piece.sha256), {}}, std::move(piece.bytes)};
    } catch (const transfer::SourceChanged& changed) {
        return ended(RangeEnd::State::open_again, changed.sentence());
    } catch (const std::exception& error) {
        return ended(RangeEnd::State::failed, base::sentence_of(error));
    }
}

}  // namespace moescope::node
