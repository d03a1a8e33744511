// Counts of what the program asked the device to do, written as JSON at exit.
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "emulated.h"

namespace emulated {
namespace {

constexpr const char* NAMES[] = {
    "launches", "gemms", "memsets", "random_fills",
    "to_device", "to_device_bytes", "to_host", "to_host_bytes", "on_device", "on_device_bytes",
    "synchronisations", "event_waits", "events", "allocations", "allocated_bytes",
};
static_assert(sizeof NAMES / sizeof *NAMES == size_t(Count::last));

struct OfKernel {
    uint64_t launches = 0, threads = 0;
};

struct Counters {
    std::mutex lock;
    std::array<uint64_t, size_t(Count::last)> totals{};
    std::map<std::string, OfKernel> kernels;
    uint64_t peak = 0;
};

// Never destroyed, as memory may be freed late.
Counters& counters() {
    static auto* all = new Counters;
    return *all;
}

__attribute__((destructor)) void write_counts() {
    const char* path = getenv("ORZE_GPU_COUNTS");
    if (!path || !*path) return;
    // Test programs run side by side: one line each, appended at once.
    std::string line = "{\"pid\":" + std::to_string(getpid());
    auto& all = counters();
    std::lock_guard held(all.lock);
    for (size_t i = 0; i < all.totals.size(); ++i)
        line += std::string(",\"") + NAMES[i] + "\":" + std::to_string(all.totals[i]);
    line += ",\"peak_bytes\":" + std::to_string(all.peak) + ",\"kernels\":{";
    const char* comma = "";
    for (const auto& [name, count] : all.kernels) {
        line += comma + ("\"" + name + "\":{\"launches\":" + std::to_string(count.launches)) +
                ",\"threads\":" + std::to_string(count.threads) + "}";
        comma = ",";
    }
    line += "}}\n";
    FILE* file = fopen(path, "a");
    if (!file || fwrite(line.data(), 1, line.size(), file) != line.size() || fclose(file) != 0)
        fprintf(stderr, "emulated GPU: cannot write %s\n", path);
}

}  // namespace

EMULATED_API void emulated_count(Count count, uint64_t by) {
    auto& all = counters();
    std::lock_guard held(all.lock);
    all.totals[size_t(count)] += by;
}

void count_kernel(const char* name, uint64_t threads) {
    auto& all = counters();
    std::lock_guard held(all.lock);
    ++all.totals[size_t(Count::launches)];
    auto& of = all.kernels[name];
    ++of.launches;
    of.threads += threads;
}

void count_in_use(uint64_t bytes) {
    auto& all = counters();
    std::lock_guard held(all.lock);
    if (bytes > all.peak) all.peak = bytes;
}

/// How often something was counted since the start or the last reset, in the order of `Count`; returns
/// how many counts there are.
EMULATED_API size_t orze_gpu_counts(uint64_t* to, size_t room) {
    auto& all = counters();
    std::lock_guard held(all.lock);
    for (size_t i = 0; i < all.totals.size() && i < room; ++i) to[i] = all.totals[i];
    return all.totals.size();
}

/// Sets all counts to 0, those of kernels too.
EMULATED_API void orze_gpu_reset_counts() {
    auto& all = counters();
    std::lock_guard held(all.lock);
    all.totals.fill(0);
    all.kernels.clear();
    all.peak = 0;
}

EMULATED_API void emulated_abort(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("emulated GPU: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    fflush(stderr);
    abort();
}

}  // namespace emulated
