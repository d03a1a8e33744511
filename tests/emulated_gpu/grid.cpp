// Runs a launch: blocks one after another, the threads of a block in turns between barriers.
//
// Threads that never wait share one fiber and are plain calls. A thread that waits keeps its fiber; once
// no thread can run, the warps and then the block are let go on whose live threads all wait.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "emulated.h"
#include "fiber.h"

// As much as a block can ask for on compute capability 9.0, and room to notice writes behind it.
constexpr size_t DYNAMIC = 232448, BEHIND = 4096;
extern "C" {
__attribute__((visibility("default"))) emulated::Position emulated_position{};
alignas(1024) __attribute__((visibility("default"))) char emulated_dynamic_shared[DYNAMIC + BEHIND]{};
}

namespace emulated {
namespace {

constexpr unsigned char UNSET = 0xFF, PATTERN = 0xA5;
constexpr uint32_t WARP = 32;

enum class State : uint8_t { fresh, running, barrier, shuffle, ballot, done };

struct Thread {
    State state;
    Fiber* fiber;
    // Where it waits and with what.
    const char* file;
    int line;
    uint32_t mask;
    uint64_t value;
    int source;
};

struct Run {
    const Kernel* kernel;
    void** arguments;
    std::vector<Thread> threads;
    std::vector<Size> positions;
    // The orders in which threads are resumed, one after another.
    std::vector<std::vector<uint32_t>> orders;
    size_t next_order;
    // Threads of the current order that have not begun, from here on.
    const std::vector<uint32_t>* order;
    size_t unstarted;
    uint32_t current;
    // Of the block that runs: threads that ended, threads at a barrier, and whether at the same one.
    uint32_t done, at_barrier;
    bool same_barrier;
    Fiber scheduler;
    std::vector<Fiber*> idle;
    size_t fibers;
};

// One launch runs at a time in a process: the driver holds a lock.
Run run;
thread_local const char* running = nullptr;

unsigned seed() {
    static const unsigned value = [] {
        const char* set = getenv("ORZE_GPU_ORDER");
        return set ? unsigned(strtoul(set, nullptr, 10)) : 0u;
    }();
    return value;
}

// Ascending for seed 0, descending for 1, shuffled for others.
std::vector<uint32_t> order_of(uint32_t count, uint32_t number) {
    std::vector<uint32_t> order(count);
    for (uint32_t i = 0; i < count; ++i) order[i] = seed() == 1 ? count - 1 - i : i;
    if (seed() > 1) {
        std::mt19937 random(seed() * 1000003u + number);
        std::shuffle(order.begin(), order.end(), random);
    }
    return order;
}

void resume_as(uint32_t thread) {
    run.current = thread;
    emulated_position.thread = run.positions[thread];
}

// Runs threads that have not begun until there are none; then is idle until the next block.
void fiber_main() {
    for (;;) {
        while (run.unstarted < run.order->size()) {
            const uint32_t thread = (*run.order)[run.unstarted++];
            resume_as(thread);
            run.threads[thread].state = State::running;
            run.kernel->thread(run.arguments);
            run.threads[run.current].state = State::done;
            ++run.done;
            // It may have waited, and have been resumed out of the order of those that never began.
            if (run.threads[run.current].fiber) break;
        }
        auto& own = run.threads[run.current];
        Fiber* fiber = own.fiber;
        if (!fiber) fiber = run.idle.back();
        else run.idle.push_back(fiber);
        own.fiber = nullptr;
        switch_to(*fiber, run.scheduler);
    }
}

void wait(State state, const char* file, int line) {
    auto& own = run.threads[run.current];
    if (!own.fiber) {
        own.fiber = run.idle.back();
        run.idle.pop_back();
    }
    own.state = state;
    own.file = file;
    own.line = line;
    if (state == State::barrier) {
        static const Thread* first;
        if (run.at_barrier++ == 0) {
            first = &own;
            run.same_barrier = true;
        }
        run.same_barrier &= first->line == line && first->file == file;
    }
    switch_to(*own.fiber, run.scheduler);
}

void start_threads() {
    while (run.unstarted < run.order->size()) {
        if (run.idle.empty()) run.idle.push_back(&fiber(run.fibers++, fiber_main));
        switch_to(run.scheduler, *run.idle.back());
    }
}

// The lanes of a warp that wait for each other in an operation and are all there, else 0.
uint32_t complete(uint32_t first, uint32_t lane, uint32_t lanes) {
    const auto& own = run.threads[first + lane];
    uint32_t there = 0;
    for (uint32_t other = 0; other < lanes; ++other) {
        if (!(own.mask >> other & 1)) continue;
        const auto& thread = run.threads[first + other];
        if (thread.state == State::done) continue;
        if (thread.state != own.state || thread.mask != own.mask || thread.line != own.line || thread.file != own.file) return 0;
        there |= 1u << other;
    }
    return there;
}

void finish(uint32_t first, uint32_t there) {
    uint64_t values[WARP];
    uint64_t ballot = 0;
    for (uint32_t lane = 0; lane < WARP; ++lane) {
        if (!(there >> lane & 1)) continue;
        values[lane] = run.threads[first + lane].value;
        if (values[lane]) ballot |= 1ull << lane;
    }
    for (uint32_t lane = 0; lane < WARP; ++lane) {
        if (!(there >> lane & 1)) continue;
        auto& thread = run.threads[first + lane];
        if (thread.state == State::ballot) {
            thread.value = ballot;
        } else {
            const uint32_t source = uint32_t(thread.source);
            thread.value = source < WARP && (there >> source & 1) ? values[source] : ~0ull;
        }
        thread.state = State::running;
    }
}

bool finish_warps() {
    bool any = false;
    const uint32_t count = uint32_t(run.threads.size());
    for (uint32_t first = 0; first < count; first += WARP) {
        const uint32_t lanes = std::min(WARP, count - first);
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            const auto& thread = run.threads[first + lane];
            if (thread.state != State::shuffle && thread.state != State::ballot) continue;
            if (!(thread.mask >> lane & 1))
                emulated_abort("kernel %s: %s:%d: lane %u is not in its own mask", run.kernel->name, thread.file, thread.line, lane);
            if (const uint32_t there = complete(first, lane, lanes)) {
                finish(first, there);
                any = true;
            }
        }
    }
    return any;
}

// Two threads that wait for different things, when no thread can go on.
[[noreturn]] void stuck() {
    const Thread *first = nullptr, *other = nullptr;
    for (const auto& thread : run.threads) {
        if (thread.state == State::done) continue;
        if (!first) first = &thread;
        if (thread.state != first->state || thread.line != first->line || thread.file != first->file) other = &thread;
    }
    if (!other) other = first;
    emulated_abort("kernel %s, block (%u, %u, %u): thread %td waits at %s:%d and thread %td at %s:%d; neither can go on", run.kernel->name,
                   emulated_position.block.x, emulated_position.block.y, emulated_position.block.z, first - run.threads.data(),
                   first->file, first->line, other - run.threads.data(), other->file, other->line);
}

void run_block() {
    const uint32_t count = uint32_t(run.threads.size());
    for (auto& thread : run.threads) {
        thread.state = State::fresh;
        thread.fiber = nullptr;
    }
    run.done = run.at_barrier = 0;
    run.order = &run.orders[run.next_order++ % run.orders.size()];
    run.unstarted = 0;
    start_threads();
    while (run.done < count) {
        const bool all = run.at_barrier == count - run.done && run.same_barrier;
        if (all) {
            run.at_barrier = 0;
        } else if (!finish_warps()) {
            stuck();
        }
        for (uint32_t next : run.orders[run.next_order++ % run.orders.size()]) {
            auto& thread = run.threads[next];
            if (thread.state != State::running && !(all && thread.state == State::barrier)) continue;
            thread.state = State::running;
            resume_as(next);
            switch_to(run.scheduler, *thread.fiber);
        }
    }
}

// Static shared memory, set to NaN before each block; after the first one only where it was written.
class Shared {
public:
    explicit Shared(const Module& module) : begin_(module.shared), bytes_(size_t(module.shared_end - module.shared)) {
        memset(begin_, UNSET, bytes_);
    }
    void unset() {
        if (first_) {
            first_ = false;
            return;
        }
        if (!known_) {
            known_ = true;
            for (size_t at = 0; at < bytes_; at += CHUNK) {
                const size_t end = std::min(at + CHUNK, bytes_);
                if (std::any_of(begin_ + at, begin_ + end, [](char c) { return static_cast<unsigned char>(c) != UNSET; }))
                    written_.push_back(at);
            }
        }
        for (size_t at : written_) memset(begin_ + at, UNSET, std::min(CHUNK, bytes_ - at));
    }

private:
    static constexpr size_t CHUNK = 1024;
    char* begin_;
    size_t bytes_;
    bool first_ = true, known_ = false;
    std::vector<size_t> written_;
};

}  // namespace

const char* running_kernel() { return running; }

const Position& position() { return emulated_position; }

void run_grid(const Module& module, const Kernel& kernel, Size blocks, Size threads, size_t dynamic, void** arguments) {
    report_faults();
    running = kernel.name;
    run.kernel = &kernel;
    run.arguments = arguments;
    const uint32_t count = threads.x * threads.y * threads.z;
    if (run.threads.size() != count || emulated_position.threads.x != threads.x || emulated_position.threads.y != threads.y) {
        run.threads.resize(count);
        run.positions.clear();
        for (uint32_t i = 0; i < count; ++i)
            run.positions.push_back({i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y});
        run.orders.clear();
        for (uint32_t number = 0; number < (seed() > 1 ? 7u : 1u); ++number) run.orders.push_back(order_of(count, number));
    }
    emulated_position.threads = threads;
    emulated_position.blocks = blocks;
    Shared shared(module);
    memset(emulated_dynamic_shared + dynamic, PATTERN, BEHIND);
    const uint64_t total = uint64_t(blocks.x) * blocks.y * blocks.z;
    const auto order = seed() ? order_of(uint32_t(total), 0) : std::vector<uint32_t>{};
    for (uint64_t i = 0; i < total; ++i) {
        const uint64_t block = order.empty() ? i : order[i];
        emulated_position.block = {uint32_t(block % blocks.x), uint32_t(block / blocks.x % blocks.y), uint32_t(block / blocks.x / blocks.y)};
        shared.unset();
        memset(emulated_dynamic_shared, UNSET, dynamic);
        run_block();
        for (size_t at = 0; at < BEHIND; ++at)
            if (static_cast<unsigned char>(emulated_dynamic_shared[dynamic + at]) != PATTERN)
                emulated_abort("kernel %s: byte %zu of %zu bytes of dynamic shared memory was written to", kernel.name, dynamic + at, dynamic);
    }
    running = nullptr;
}

}  // namespace emulated

using namespace emulated;

EMULATED_API void emulated_barrier(const char* file, int line) { wait(State::barrier, file, line); }

EMULATED_API uint64_t emulated_shuffle(const char* file, int line, unsigned mask, uint64_t value, int source) {
    auto& own = run.threads[run.current];
    own.mask = mask;
    own.value = value;
    own.source = source;
    const uint32_t thread = run.current;
    wait(State::shuffle, file, line);
    return run.threads[thread].value;
}

EMULATED_API unsigned emulated_ballot(const char* file, int line, unsigned mask, bool predicate) {
    auto& own = run.threads[run.current];
    own.mask = mask;
    own.value = predicate;
    const uint32_t thread = run.current;
    wait(State::ballot, file, line);
    return unsigned(run.threads[thread].value);
}
