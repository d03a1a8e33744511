// Device memory on the host: between guard zones, unset until written.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "emulated.h"

namespace emulated {
namespace {

// The alignment that the driver promises.
constexpr size_t ALIGNMENT = 256;
constexpr size_t GUARD = 256;
constexpr unsigned char PATTERN = 0xA5;

struct Allocation {
    size_t bytes;
    Kind kind;
    char* block;
    size_t block_bytes;
    /// The stream that used it last, and how often that had been waited for.
    const void* user = nullptr;
    uint64_t waits = 0;
};

std::mutex lock;
uint64_t in_use = 0;

// Never destroyed: the program's own statics may be freed after this library's.
std::map<uintptr_t, Allocation>& allocations() {
    static auto* all = new std::map<uintptr_t, Allocation>;
    return *all;
}

// How often each stream was waited for. The per-thread stream of a host thread goes by the address of
// something of that thread's, since that of another thread is another stream.
std::map<const void*, uint64_t>& waits() {
    static auto* all = new std::map<const void*, uint64_t>;
    return *all;
}
thread_local char own_stream;
thread_local const void* stream_in_use = nullptr;

/// With `ORZE_GPU_PAGES=1` each allocation ends at a page that must not be touched, so that reads
/// behind it are seen too.
bool by_pages() {
    static const bool set = [] {
        const char* value = getenv("ORZE_GPU_PAGES");
        return value && *value && strcmp(value, "0") != 0;
    }();
    return set;
}

std::map<uintptr_t, Allocation>::iterator holding(const void* at) {
    auto& all = allocations();
    auto next = all.upper_bound(uintptr_t(at));
    if (next == all.begin()) return all.end();
    --next;
    return uintptr_t(at) <= next->first + next->second.bytes ? next : all.end();
}

void check(uintptr_t base, const Allocation& found, const char* who) {
    const auto* data = reinterpret_cast<const unsigned char*>(base);
    const auto* begin = reinterpret_cast<const unsigned char*>(found.block);
    const unsigned char* end = begin + found.block_bytes;
    for (const unsigned char* at = data - 1; at >= begin && at >= data - GUARD; --at)
        if (*at != PATTERN)
            emulated_abort("%s: %td bytes before an allocation of %zu bytes were written to", who, data - at, found.bytes);
    for (const unsigned char* at = data + found.bytes; at < end; ++at)
        if (*at != PATTERN)
            emulated_abort("%s: byte %td of an allocation of %zu bytes was written to", who, at - data, found.bytes);
}

void note_use(Allocation& found, const char* who) {
    if (found.kind != Kind::device) return;
    // Without a wait in between, two streams are not ordered.
    if (found.user && found.user != stream_in_use && waits()[found.user] == found.waits)
        emulated_abort("%s: an allocation of %zu bytes was used by another stream, which was not waited for", who, found.bytes);
    found.user = stream_in_use;
    found.waits = waits()[stream_in_use];
}

}  // namespace

void* allocate(size_t bytes, Kind kind) {
    Allocation made{bytes, kind, nullptr, 0};
    char* data;
    if (by_pages()) {
        const size_t page = size_t(sysconf(_SC_PAGESIZE));
        const size_t body = (bytes + GUARD + page - 1) / page * page;
        char* block = static_cast<char*>(mmap(nullptr, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (block == MAP_FAILED) return nullptr;
        if (mprotect(block + body, page, PROT_NONE) != 0) emulated_abort("mprotect failed");
        // Vectors of four floats must stay aligned.
        data = block + (body - bytes) / 16 * 16;
        made.block = block;
        made.block_bytes = body;
    } else {
        const size_t size = (bytes + 2 * GUARD + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        char* block = static_cast<char*>(aligned_alloc(ALIGNMENT, size));
        if (!block) return nullptr;
        data = block + GUARD;
        made.block = block;
        made.block_bytes = size;
    }
    char* front = data - GUARD < made.block ? made.block : data - GUARD;
    memset(front, PATTERN, size_t(data - front));
    memset(data, 0xFF, bytes);
    memset(data + bytes, PATTERN, size_t(made.block + made.block_bytes - data) - bytes);
    std::lock_guard held(lock);
    allocations()[uintptr_t(data)] = made;
    if (kind == Kind::device) {
        in_use += bytes;
        emulated_count(Count::allocations, 1);
        emulated_count(Count::allocated_bytes, bytes);
        count_in_use(in_use);
    }
    return data;
}

bool release(void* at, Kind kind) {
    Allocation found;
    {
        std::lock_guard held(lock);
        auto entry = allocations().find(uintptr_t(at));
        if (entry == allocations().end() || entry->second.kind != kind) return false;
        found = entry->second;
        check(entry->first, found, "freed memory");
        if (kind == Kind::device) in_use -= found.bytes;
        allocations().erase(entry);
    }
    if (by_pages()) {
        munmap(found.block, found.block_bytes + size_t(sysconf(_SC_PAGESIZE)));
    } else {
        free(found.block);
    }
    return true;
}

EMULATED_API void emulated_need_device(const void* at, size_t bytes, const char* who) {
    std::lock_guard held(lock);
    auto found = holding(at);
    if (found == allocations().end() || found->second.kind != Kind::device)
        emulated_abort("%s: %p is not on the device", who, at);
    if (uintptr_t(at) + bytes > found->first + found->second.bytes)
        emulated_abort("%s: %zu bytes from byte %zu of an allocation of %zu bytes", who, bytes,
                       size_t(uintptr_t(at) - found->first), found->second.bytes);
    note_use(found->second, who);
}

EMULATED_API void emulated_need_host(const void* at, const char* who) {
    std::lock_guard held(lock);
    auto found = holding(at);
    if (found != allocations().end() && found->second.kind == Kind::device && uintptr_t(at) < found->first + found->second.bytes)
        emulated_abort("%s: %p is on the device, not on the host", who, at);
}

void check_argument(const void* at, const char* kernel, uint32_t argument) {
    std::lock_guard held(lock);
    auto found = holding(at);
    if (found == allocations().end())
        emulated_abort("kernel %s: argument %u, %p, points to nothing on the device", kernel, argument, at);
    check(found->first, found->second, kernel);
    note_use(found->second, kernel);
}

void check_guards(const void* at, const char* kernel) {
    std::lock_guard held(lock);
    auto found = holding(at);
    if (found != allocations().end()) check(found->first, found->second, kernel);
}

EMULATED_API void emulated_use_stream(const void* stream) {
    constexpr uintptr_t PER_THREAD = 2;
    stream_in_use = uintptr_t(stream) == PER_THREAD ? &own_stream : stream;
}

EMULATED_API void emulated_note_waited() {
    std::lock_guard held(lock);
    ++waits()[stream_in_use];
}

void note_all_waited() {
    std::lock_guard held(lock);
    for (auto& [stream, count] : waits()) ++count;
}

namespace {

// Before the counters are written at exit: memory that was never freed is checked too.
__attribute__((destructor)) void check_all() {
    std::lock_guard held(lock);
    for (const auto& [base, found] : allocations()) check(base, found, "memory at exit");
}

}  // namespace
}  // namespace emulated
