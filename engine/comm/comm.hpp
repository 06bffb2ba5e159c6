// Processes ("ranks") that work on one run together: the collective operations that training needs.
//
// Every rank calls the same operations in the same order with fitting sizes. Memory is the host's, or for all
// operations of one Comm that of the device that its rank computes on (staged_comm.hpp, nccl_comm.hpp); data of an
// operation do not overlap but where said. A sum is taken in the order of the ranks and has the same bytes on all of
// them, in either memory and whenever it is repeated. One thread at a time; an operation returns when this rank's part
// is done, and with a device's memory it comes behind what was begun there before. When a rank ends or does not come
// within the patience, the operation throws Error on the others, and no operation succeeds after that: the run has to
// be started again from its last checkpoint.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/error.hpp"

namespace moescope::engine::comm {

enum class Number : std::uint8_t { f32, f64, i32, i64 };
std::uint64_t size_of(Number number);  ///< bytes

template <class T>
constexpr Number kNumberOf = Number::f32;
template <>
inline constexpr Number kNumberOf<double> = Number::f64;
template <>
inline constexpr Number kNumberOf<std::int32_t> = Number::i32;
template <>
inline constexpr Number kNumberOf<std::int64_t> = Number::i64;

/// A part of an exchange: so many bytes to or from another rank.
struct Outgoing {
    int rank = 0;
    const void* data = nullptr;
    std::uint64_t bytes = 0;
};
struct Incoming {
    int rank = 0;
    void* data = nullptr;
    std::uint64_t bytes = 0;
};

/// How long an operation waits for the others: a step's share of time, or as long as the leader has nothing to do.
enum class Patience { step, endless };

/// What this rank has exchanged with others through a Comm and the parts that were split off it. Without lists before
/// the first operation.
struct CommCounters {
    std::vector<std::uint64_t> sent, received;  ///< bytes, to and from each rank of the Comm [size]; own rank 0
    double waiting = 0;  ///< seconds in operations of steps, until the others had come and all bytes were there
    std::uint64_t sent_to_all() const;
};

class Comm {
 public:
    Comm() = default;
    Comm(const Comm&) = delete;
    Comm& operator=(const Comm&) = delete;
    virtual ~Comm() = default;

    virtual int rank() const = 0;
    virtual int size() const = 0;

    /// Parts between the same two ranks arrive in the order in which both list them. Own rank and zero bytes are
    /// allowed.
    virtual void exchange(std::span<const Outgoing> out, std::span<const Incoming> in,
                          Patience patience = Patience::step) = 0;
    virtual void broadcast(void* data, std::uint64_t bytes, int root, Patience patience = Patience::step) = 0;
    /// `into` [size][bytes], in the order of the ranks.
    virtual void all_gather(void* into, const void* from, std::uint64_t bytes) = 0;
    /// What stands for each rank in `from`, and arrives from each in `into`, one after the other; bytes [size].
    virtual void all_to_all_v(void* into, std::span<const std::uint64_t> receive_bytes, const void* from,
                              std::span<const std::uint64_t> send_bytes) = 0;
    virtual void all_reduce(void* values, std::uint64_t count, Number number) = 0;
    /// Rank r gets the sum of the r-th part of `from`, counts[r] numbers.
    virtual void reduce_scatter(void* into, const void* from, std::span<const std::uint64_t> counts, Number number) = 0;
    virtual void barrier() = 0;
    /// No operation of any rank succeeds from now on.
    virtual void abort() noexcept = 0;
    /// The ranks that gave the same colour, in their order here. Every rank calls it. It must not outlive this object.
    virtual std::unique_ptr<Comm> split(int colour) = 0;
    /// Ranks on this rank's machine, itself included.
    virtual int neighbours() const = 0;
    virtual const CommCounters& counters() const = 0;

    template <class T>
    void all_reduce(std::span<T> values) {
        all_reduce(values.data(), values.size(), kNumberOf<T>);
    }
};

/// One rank alone.
std::unique_ptr<Comm> solo();

/// The memory that the data of a Comm lie in, where it takes its sums. Used by the thread that uses the Comm, by one
/// Comm and what is split off it. Operations are done in the order of the calls, perhaps after the call has returned.
class Memory {
 public:
    Memory() = default;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    virtual ~Memory() = default;

    /// So many bytes there for what a Comm has in between; lost with the next call. Throws Error.
    virtual std::byte* scratch(std::uint64_t bytes) = 0;
    /// The most bytes that a sum takes at once; about as many of scratch are asked for. The same on all ranks.
    virtual std::uint64_t piece() const = 0;
    /// No bytes at null are allowed; `to` may be `from`.
    virtual void copy(void* to, const void* from, std::uint64_t bytes) = 0;
    /// sum += values, one by one; integers wrap.
    virtual void add(void* sum, const void* values, std::uint64_t count, Number number) = 0;
    /// From and to the host. What is downloaded is there after settle(), and uploaded data may go when it returns.
    virtual void upload(void* to, const void* host, std::uint64_t bytes) = 0;
    virtual void download(void* host, const void* from, std::uint64_t bytes) = 0;
    /// Waits for all of it, also for what others have begun there before: then data may be read and written from
    /// outside.
    virtual void settle() = 0;
};
/// sum += values in the host's memory.
void add_numbers(void* sum, const void* values, std::uint64_t count, Number number);

/// The other operations made of exchange(), which counts what goes through transfer().
class ExchangeComm : public Comm {
 public:
    /// The host's memory.
    ExchangeComm();
    explicit ExchangeComm(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
    void exchange(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) override;
    void broadcast(void* data, std::uint64_t bytes, int root, Patience patience) override;
    void all_gather(void* into, const void* from, std::uint64_t bytes) override;
    void all_to_all_v(void* into, std::span<const std::uint64_t> receive_bytes, const void* from,
                      std::span<const std::uint64_t> send_bytes) override;
    using Comm::all_reduce;
    void all_reduce(void* values, std::uint64_t count, Number number) override;
    void reduce_scatter(void* into, const void* from, std::span<const std::uint64_t> counts, Number number) override;
    void barrier() override;
    std::unique_ptr<Comm> split(int colour) override;
    const CommCounters& counters() const override { return counters_; }

 protected:
    Memory& memory() { return *memory_; }
    const std::shared_ptr<Memory>& shared_memory() const { return memory_; }

 private:
    /// As exchange(); the memory is settled.
    virtual void transfer(std::span<const Outgoing> out, std::span<const Incoming> in, Patience patience) = 0;

    const std::shared_ptr<Memory> memory_;
    CommCounters counters_;
    std::vector<Outgoing> out_;
    std::vector<Incoming> in_;
};

struct Agreed {
    base::Marked what;  ///< "configuration"
    std::string text;
};
/// Which rank differs from rank 0, and in what. Every rank knows it.
class Disagreement : public Error {
 public:
    using Error::Error;
};
/// Throws Disagreement on every rank when the texts are not the same on all.
void require_same(Comm& world, std::span<const Agreed> texts);

/// What keeps the first rank that has something from going on.
struct Problem {
    int rank = 0;
    std::string text;
};
/// Every rank calls it with what keeps it from going on, empty: nothing. The same on all; 511 bytes of a text are told.
std::optional<Problem> first_problem(Comm& world, const std::string& problem);
/// As first_problem(), and throws Error on every rank when there is one.
void require_all(Comm& world, const std::string& problem);

}  // namespace moescope::engine::comm
