// What the parts of the emulated driver and its libraries share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernel.h"

#define EMULATED_API extern "C" __attribute__((visibility("default")))

namespace emulated {

// --- memory.cpp

enum class Kind { device, pinned };

/// Fresh memory between guard zones, all bits set; null where the machine has no more.
void* allocate(size_t bytes, Kind kind);
/// Checks the guard zones and frees; false where nothing was allocated there.
bool release(void* at, Kind kind);
/// Aborts unless `bytes` bytes from `at` lie within one allocation on the device.
EMULATED_API void emulated_need_device(const void* at, size_t bytes, const char* who);
/// Aborts where `at` lies on the device.
EMULATED_API void emulated_need_host(const void* at, const char* who);
/// Aborts unless `at` lies in (or just behind) an allocation whose guard zones are whole.
void check_argument(const void* at, const char* kernel, uint32_t argument);
/// Aborts where a guard zone of the allocation of `at` was written to.
void check_guards(const void* at, const char* kernel);
/// What this host thread does next is done on a stream.
EMULATED_API void emulated_use_stream(const void* stream);
/// Notes that the stream in use was waited for.
EMULATED_API void emulated_note_waited();
/// Notes that all streams were waited for.
void note_all_waited();

// --- counters.cpp

enum class Count {
    launches, gemms, fills, random_fills,
    to_device, to_device_bytes, to_host, to_host_bytes, on_device, on_device_bytes,
    synchronisations, event_waits, events, allocations, allocated_bytes,
    last
};

EMULATED_API void emulated_count(Count count, uint64_t by);
void count_kernel(const char* name, uint64_t threads);
/// Notes so many bytes as in use on the device.
void count_in_use(uint64_t bytes);

/// Prints the message and aborts.
EMULATED_API void emulated_abort(const char* format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// --- grid.cpp

struct Size {
    uint32_t x, y, z;
};

/// Where the thread that runs now is; `shim.h` gives kernels the same.
struct Position {
    Size thread, block, threads, blocks;
};
const Position& position();

/// Runs all threads of a grid, blocks one after another.
void run_grid(const Module& module, const Kernel& kernel, Size blocks, Size threads, size_t dynamic, void** arguments);
/// The kernel that this host thread runs now, or null.
const char* running_kernel();

// --- fault.cpp

/// Has a fault within a kernel reported by the kernel's name; once for each host thread that launches.
void report_faults();

}  // namespace emulated
