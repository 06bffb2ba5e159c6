#include "kernels/cuda/emulation.hpp"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <exception>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include "kernels/random.hpp"

namespace simt {
namespace {

namespace context = boost::context;

constexpr std::size_t kStackBytes = std::size_t{128} << 10;
constexpr std::uint64_t kMostThreads = 1024;                 // of a block
constexpr std::size_t kMostShared = std::size_t{227} << 10;  // of a block: sm_90

/// A stack as AddressSanitizer knows it: it must be told of every change.
struct KnownStack {
    const void* bottom = nullptr;
    std::size_t size = 0;
};

#if defined(__SANITIZE_ADDRESS__)
/// Around a change of stacks that comes back here.
class StackSwitch {
 public:
    explicit StackSwitch(const KnownStack& to) { __sanitizer_start_switch_fiber(&fake_, to.bottom, to.size); }
    ~StackSwitch() { __sanitizer_finish_switch_fiber(fake_, nullptr, nullptr); }
    StackSwitch(const StackSwitch&) = delete;
    StackSwitch& operator=(const StackSwitch&) = delete;

 private:
    void* fake_ = nullptr;
};
/// On a new stack: where the control came from.
KnownStack arrived() {
    KnownStack from;
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
    return from;
}
void leave_for_good(const KnownStack& to) {
    __sanitizer_start_switch_fiber(nullptr, to.bottom, to.size);
}
void clear_stack(const std::byte* bottom, std::size_t size) {
    __asan_unpoison_memory_region(bottom, size);
}
#else
class StackSwitch {
 public:
    explicit StackSwitch(const KnownStack& /*to*/) {}
    ~StackSwitch() {}
};
KnownStack arrived() {
    return {};
}
void leave_for_good(const KnownStack& /*to*/) {}
void clear_stack(const std::byte* /*bottom*/, std::size_t /*size*/) {}
#endif

/// Ends a thread whose block has failed.
struct Abandoned {};

/// Stacks are used again by the next block: making one costs more than running a short thread.
class Stacks {
 public:
    struct Allocator {
        Stacks* stacks;
        void deallocate(context::stack_context& stack) { stacks->free_.push_back(stack); }
    };
    Stacks() = default;
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;

    context::stack_context take() {
        if (free_.empty()) {
            memory_.push_back(std::make_unique_for_overwrite<std::byte[]>(kStackBytes));
            context::stack_context stack;
            stack.size = kStackBytes;
            stack.sp = memory_.back().get() + kStackBytes;
            free_.push_back(stack);
        }
        context::stack_context stack = free_.back();
        free_.pop_back();
        clear_stack(static_cast<std::byte*>(stack.sp) - stack.size, stack.size);
        return stack;
    }

 private:
    std::vector<std::unique_ptr<std::byte[]>> memory_;
    std::vector<context::stack_context> free_;
};

std::string text_of(const Place& place) {
    const std::string_view file = place.file_name();
    return std::string(file.substr(file.find_last_of('/') + 1)) + ":" + std::to_string(place.line());
}

bool same(const Place& a, const Place& b) {
    return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}

struct Thread {
    enum class State { ready, at_barrier, at_warp, ended };
    context::fiber fiber;      ///< while it does not run
    context::fiber scheduler;  ///< while it runs
    KnownStack stack;
    unsigned id = 0;
    State state = State::ended;
    Place place;                ///< where it waits
    unsigned mask = 0;          ///< of the warp operation that it waits for or has left
    bool orders = false;        ///< and whether memory is ordered by it
    std::uint64_t brought = 0;  ///< what it gives there
    std::size_t exchange = 0;   ///< where the values of the one that it left stand
    std::exception_ptr fault;
};

struct Warp {
    // Of the exchanges. A thread reads its values when it runs next, and between two rounds of the threads no more than
    // kWarp exchanges end, so twice as many are enough.
    static constexpr std::size_t kExchanges = std::size_t{2} * kWarp;
    std::uint64_t values[kExchanges][kWarp] = {};
    std::size_t next = 0;
    std::uint64_t epoch = 0;
};

struct Random {
    std::uint64_t seed = 0x5eed, taken = 0;
    std::uint64_t next() { return moescope::kernels::random_bits(seed, 0, taken++); }
    template <class Value>
    void shuffle(std::vector<Value>& values) {
        for (std::size_t left = values.size(); left > 1; --left) {
            std::swap(values[left - 1], values[next() % left]);
        }
    }
};

/// What becomes of what a thread starts.
struct Submission {
    Captured* into = nullptr;
    std::uint64_t count = 0;

    static Submission& of_this_thread() {
        static thread_local Submission submission;
        return submission;
    }
};

class Machine {
 public:
    static Machine& of_this_thread() {
        static thread_local Machine machine;
        return machine;
    }

    void set_seed(std::uint64_t value) {
        seed_ = value;
        random_ = {value, 0};
    }
    std::uint64_t seed() const { return seed_; }

    void run(const char* kernel, const Dim3& grid, const Dim3& block, std::size_t shared_bytes, detail::Body body,
             void* arguments) {
        kernel_ = kernel;
        if (current_ != nullptr) {
            fail("a kernel starts another");
        }
        if (block.size() == 0 || block.size() > kMostThreads || grid.size() == 0 || shared_bytes > kMostShared) {
            fail("a launch of " + std::to_string(grid.size()) + " blocks of " + std::to_string(block.size()) +
                 " threads with " + std::to_string(shared_bytes) + " bytes of shared memory");
        }
        grid_ = grid;
        block_ = block;
        dynamic_bytes_ = shared_bytes;
        body_ = body;
        arguments_ = arguments;
        std::vector<std::uint64_t> order(grid.size());
        for (std::size_t i = 0; i < order.size(); ++i) {
            order[i] = i;
        }
        random_.shuffle(order);
        for (const std::uint64_t index : order) {
            block_index_ = Dim3(static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                                static_cast<unsigned>(index / grid.x / grid.y));
            run_block();
        }
    }

    Dim3 thread_index() const {
        const unsigned id = current_->id;
        return {id % block_.x, id / block_.x % block_.y, id / block_.x / block_.y};
    }
    Dim3 block_index() const { return block_index_; }
    Dim3 block_size() const { return block_; }
    Dim3 grid_size() const { return grid_; }

    [[noreturn]] void fail(const std::string& what) const {
        std::string message = "kernel " + kernel_ + ", block " + std::to_string(block_index_.x) + "," +
                              std::to_string(block_index_.y) + "," + std::to_string(block_index_.z);
        if (current_ != nullptr) {
            message += ", thread " + std::to_string(current_->id);
        }
        throw Fault(message + ": " + what + " (seed " + std::to_string(seed_) + ")");
    }

    void barrier(const Place& place) { wait(Thread::State::at_barrier, place); }

    void exchange(unsigned mask, std::uint64_t value, bool orders, const Place& place) {
        Thread& thread = *current_;
        thread.mask = mask & lanes_of_warp(thread.id / kWarp);
        if ((thread.mask >> lane() & 1u) == 0) {
            fail("an operation of the warp at " + text_of(place) + " whose mask leaves out its caller");
        }
        thread.brought = value;
        thread.orders = orders;
        wait(Thread::State::at_warp, place);
    }
    std::uint64_t brought_by(unsigned lane) const {
        if (lane >= kWarp || (current_->mask >> lane & 1u) == 0) {
            fail("at " + text_of(current_->place) + " it wants the value of lane " + std::to_string(lane) +
                 ", which does not take part");
        }
        return warps_[current_->id / kWarp].values[current_->exchange][lane];
    }
    unsigned lane() const { return current_->id % kWarp; }
    unsigned mask() const { return current_->mask; }

    detail::Array& array_of(const char* name, const Place& place, std::size_t count, std::size_t size) {
        if (current_ == nullptr) {
            throw Fault(std::string("shared memory (") + name + ") outside of a kernel");
        }
        const auto key = std::pair(std::string(text_of(place)) + ":" + std::to_string(place.column()), name);
        const auto found = arrays_.find(key);
        if (found != arrays_.end()) {
            return found->second.array;
        }
        shared_used_ += count * size;
        if (shared_used_ > kMostShared) {
            fail("more than " + std::to_string(kMostShared) + " bytes of shared memory");
        }
        Memory& memory = arrays_[key];
        memory.bytes.assign(count * size, std::byte{0xff});
        memory.elements.resize(count);
        memory.array = {memory.bytes.data(), memory.elements.data(), count, size, name};
        return memory.array;
    }
    detail::Array& dynamic_array(const char* name, const Place& place, std::size_t size) {
        return array_of(name, place, dynamic_bytes_ / size, size);
    }

    void check_access(detail::Array& array, std::ptrdiff_t index, bool write) {
        detail::Element& element = element_of(array, index);
        if (!ordered(element.write) || !ordered(element.atomic) || (write && !ordered(element.read))) {
            fail(std::string("threads of the block ") + (write ? "write " : "read ") + array.name + "[" +
                 std::to_string(index) + "] while another " +
                 (ordered(element.write) && ordered(element.atomic) ? "reads" : "writes") +
                 " it, with no barrier between");
        }
        note(write ? element.write : element.read);
    }
    void check_atomic(detail::Array& array, std::ptrdiff_t index) {
        detail::Element& element = element_of(array, index);
        if (!ordered(element.write) || !ordered(element.read)) {
            fail(std::string("an atomic operation on ") + array.name + "[" + std::to_string(index) +
                 "] and another thread's access, with no barrier between");
        }
        note(element.atomic);
    }

 private:
    struct Memory {
        std::vector<std::byte> bytes;
        std::vector<detail::Element> elements;
        detail::Array array;
    };

    /// Lanes that the block has, one bit each.
    unsigned lanes_of_warp(unsigned warp) const {
        const auto left = static_cast<unsigned>(threads_.size()) - warp * kWarp;
        return left >= kWarp ? 0xffffffffu : (1u << left) - 1;
    }

    detail::Element& element_of(detail::Array& array, std::ptrdiff_t index) const {
        if (index < 0 || static_cast<std::size_t>(index) >= array.count) {
            fail(std::string("index ") + std::to_string(index) + " of shared " + array.name + "[" +
                 std::to_string(array.count) + "]");
        }
        return array.elements[index];
    }
    /// Whether what is noted happened before what the current thread does now.
    bool ordered(const detail::Access& access) const {
        const Thread& thread = *current_;
        const unsigned warp = thread.id / kWarp;
        return access.thread == detail::Access::kNobody || access.thread == thread.id ||
               access.block_epoch < block_epoch_ || (access.warp == warp && access.warp_epoch < warps_[warp].epoch);
    }
    void note(detail::Access& access) const {
        const std::uint32_t thread = current_->id, warp = thread / kWarp;
        const bool alone = ordered(access);
        access.thread = alone || access.thread == thread ? thread : detail::Access::kMany;
        access.warp = alone || access.warp == warp ? warp : detail::Access::kMany;
        access.block_epoch = block_epoch_;
        access.warp_epoch = warps_[warp].epoch;
    }

    void wait(Thread::State state, const Place& place) {
        Thread& thread = *current_;
        thread.state = state;
        thread.place = place;
        {
            const StackSwitch leaving(scheduler_stack_);
            thread.scheduler = std::move(thread.scheduler).resume();
        }
        if (abandoned_) {
            throw Abandoned{};
        }
    }

    void start(unsigned id) {
        Thread& thread = threads_[id];
        thread.id = id;
        thread.state = Thread::State::ready;
        thread.fault = nullptr;
        context::stack_context stack = stacks_.take();
        thread.stack = {static_cast<std::byte*>(stack.sp) - stack.size, stack.size};
        thread.fiber = context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                                      Stacks::Allocator{&stacks_}, Entry{this, &thread});
    }
    /// The first function of a thread's stack.
    struct Entry {
        Machine* machine;
        Thread* thread;
        context::fiber operator()(context::fiber&& scheduler) const {
            machine->scheduler_stack_ = arrived();
            thread->scheduler = std::move(scheduler);
            if (!machine->abandoned_) {
                try {
                    machine->body_(machine->arguments_);
                } catch (const Abandoned&) {  // its block has failed in another thread
                } catch (const std::exception&) {
                    thread->fault = std::current_exception();
                }
            }
            thread->state = Thread::State::ended;
            leave_for_good(machine->scheduler_stack_);
            return std::move(thread->scheduler);
        }
    };

    void resume(Thread& thread) {
        current_ = &thread;
        {
            const StackSwitch entering(thread.stack);
            thread.fiber = std::move(thread.fiber).resume();
        }
        current_ = nullptr;
    }

    void run_block() {
        threads_.resize(block_.size());
        warps_.resize((block_.size() + kWarp - 1) / kWarp);
        for (Warp& warp : warps_) {
            warp.epoch = 0;
        }
        block_epoch_ = 0;
        shared_used_ = 0;
        arrays_.clear();
        order_.resize(threads_.size());
        for (unsigned id = 0; id < order_.size(); ++id) {
            order_[id] = id;
            start(id);
        }
        abandoned_ = false;
        try {
            while (run_ready()) {
                if (!release_warps()) {
                    release_barrier();
                }
            }
        } catch (...) {
            abandoned_ = true;
            for (Thread& thread : threads_) {
                if (thread.state != Thread::State::ended) {
                    resume(thread);
                }
            }
            throw;
        }
    }

    /// Lets every thread that may run go on to its next operation. False when all have ended.
    bool run_ready() {
        random_.shuffle(order_);
        std::size_t ended = 0;
        for (const unsigned id : order_) {
            Thread& thread = threads_[id];
            if (thread.state == Thread::State::ready) {
                resume(thread);
                if (thread.fault != nullptr) {
                    std::rethrow_exception(thread.fault);
                }
            }
            ended += thread.state == Thread::State::ended ? 1 : 0;
        }
        return ended < threads_.size();
    }

    /// Ends the operations of warps whose threads are all there. Whether there was one.
    bool release_warps() {
        bool any = false;
        for (Thread& thread : threads_) {
            any = (thread.state == Thread::State::at_warp && release_operation(thread)) || any;
        }
        return any;
    }
    bool release_operation(const Thread& first) {
        const unsigned warp = first.id / kWarp;
        Thread* const lanes = threads_.data() + std::size_t{warp} * kWarp;
        for (unsigned left = first.mask; left != 0; left &= left - 1) {
            const Thread& other = lanes[std::countr_zero(left)];
            if (other.state == Thread::State::ended) {
                fail("thread " + std::to_string(first.id) + " waits at " + text_of(first.place) + " for thread " +
                     std::to_string(other.id) + ", which has ended");
            }
            if (other.state != Thread::State::at_warp || other.mask != first.mask || !same(other.place, first.place)) {
                return false;
            }
        }
        Warp& state = warps_[warp];
        const std::size_t at = state.next++ % Warp::kExchanges;
        if (first.orders && first.mask == lanes_of_warp(warp)) {
            ++state.epoch;
        }
        for (unsigned left = first.mask; left != 0; left &= left - 1) {
            const int lane = std::countr_zero(left);
            state.values[at][lane] = lanes[lane].brought;
            lanes[lane].exchange = at;
            lanes[lane].state = Thread::State::ready;
        }
        return true;
    }

    /// No thread can go on: the barrier ends, or this is a fault.
    void release_barrier() {
        const Thread& first = *std::find_if(threads_.begin(), threads_.end(),
                                            [](const Thread& thread) { return thread.state != Thread::State::ended; });
        for (const Thread& thread : threads_) {
            if (thread.state == Thread::State::ended) {
                fail("thread " + std::to_string(first.id) + " waits at " + text_of(first.place) + ", but thread " +
                     std::to_string(thread.id) + " has ended without");
            }
            if (thread.state != first.state || !same(thread.place, first.place)) {
                fail("thread " + std::to_string(first.id) + " waits at " + text_of(first.place) + ", but thread " +
                     std::to_string(thread.id) + " at " + text_of(thread.place));
            }
        }
        if (first.state != Thread::State::at_barrier) {
            fail("warps wait at " + text_of(first.place) + " with masks that do not fit");
        }
        ++block_epoch_;
        for (Thread& thread : threads_) {
            thread.state = Thread::State::ready;
        }
    }

    std::uint64_t seed_ = 0x5eed;
    Random random_;
    Stacks stacks_;
    KnownStack scheduler_stack_;
    Dim3 grid_, block_, block_index_;
    std::size_t dynamic_bytes_ = 0, shared_used_ = 0;
    detail::Body body_ = nullptr;
    void* arguments_ = nullptr;
    std::string kernel_;
    std::vector<Thread> threads_;
    std::vector<unsigned> order_;
    std::vector<Warp> warps_;
    std::uint64_t block_epoch_ = 0;
    bool abandoned_ = false;
    std::map<std::pair<std::string, std::string>, Memory> arrays_;
    Thread* current_ = nullptr;
};

}  // namespace

void capture(Captured* into) {
    Submission::of_this_thread().into = into;
}
void submit(std::function<void()> work) {
    Submission& submission = Submission::of_this_thread();
    if (submission.into != nullptr) {
        submission.into->push_back(std::move(work));
        return;
    }
    ++submission.count;
    work();
}
std::uint64_t submitted() {
    return Submission::of_this_thread().count;
}

void set_seed(std::uint64_t seed) {
    Machine::of_this_thread().set_seed(seed);
}
std::uint64_t seed() {
    return Machine::of_this_thread().seed();
}
Dim3 thread_index() {
    return Machine::of_this_thread().thread_index();
}
Dim3 block_index() {
    return Machine::of_this_thread().block_index();
}
Dim3 block_size() {
    return Machine::of_this_thread().block_size();
}
Dim3 grid_size() {
    return Machine::of_this_thread().grid_size();
}

namespace detail {

Array& array_of(const char* name, const Place& place, std::size_t count, std::size_t size) {
    return Machine::of_this_thread().array_of(name, place, count, size);
}
Array& dynamic_array(const char* name, const Place& place, std::size_t size) {
    return Machine::of_this_thread().dynamic_array(name, place, size);
}
void check_access(Array& array, std::ptrdiff_t index, bool write) {
    Machine::of_this_thread().check_access(array, index, write);
}
void check_atomic(Array& array, std::ptrdiff_t index) {
    Machine::of_this_thread().check_atomic(array, index);
}
void exchange(unsigned mask, std::uint64_t value, bool orders, const Place& place) {
    Machine::of_this_thread().exchange(mask, value, orders, place);
}
std::uint64_t brought_by(unsigned lane) {
    return Machine::of_this_thread().brought_by(lane);
}
unsigned lane() {
    return Machine::of_this_thread().lane();
}
unsigned mask() {
    return Machine::of_this_thread().mask();
}
void run(const char* kernel, const Dim3& grid, const Dim3& block, std::size_t shared_bytes, Body body,
         void* arguments) {
    Machine::of_this_thread().run(kernel, grid, block, shared_bytes, body, arguments);
}

}  // namespace detail
}  // namespace simt

void __syncthreads(simt::Place place) {
    simt::Machine::of_this_thread().barrier(place);
}
unsigned __ballot_sync(unsigned mask, bool value, simt::Place place) {
    simt::detail::exchange(mask, value ? 1 : 0, false, place);
    unsigned bits = 0;
    for (unsigned left = simt::detail::mask(); left != 0; left &= left - 1) {
        const auto lane = static_cast<unsigned>(std::countr_zero(left));
        bits |= static_cast<unsigned>(simt::detail::brought_by(lane)) << lane;
    }
    return bits;
}
