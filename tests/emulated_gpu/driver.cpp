// The driver API as candle and cudarc use it: one device, memory on the host, every call done at once.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>

#include "emulated.h"
#include "modules.h"

using namespace emulated;

namespace {

// `CUresult`, as far as it is returned here.
enum Result {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, OUT_OF_RESOURCES = 701,
};

constexpr size_t MEMORY = size_t(16) << 30;
constexpr uint32_t MOST_THREADS = 1024;
// Dynamic shared memory without and with `cuFuncSetAttribute`.
constexpr size_t SHARED = 48 * 1024, MOST_SHARED = 232448;

struct Event {
    std::chrono::steady_clock::time_point at;
    void* stream;
    bool recorded;
};

std::mutex lock;
bool initialised = false;
char context_of_device;
thread_local void* current = nullptr;

template <class T>
std::set<T*>& handles() {
    static auto* all = new std::set<T*>;
    return *all;
}
struct Stream {};

bool known(void* stream) {
    // The default stream, the legacy one and that of the host thread.
    if (uintptr_t(stream) <= 2) return true;
    std::lock_guard held(lock);
    return handles<Stream>().count(static_cast<Stream*>(stream)) > 0;
}

int ready(void* stream) {
    if (!initialised) return NOT_INITIALIZED;
    if (!current) return INVALID_CONTEXT;
    emulated_use_stream(stream);
    return known(stream) ? OK : INVALID_HANDLE;
}

int copy(void* to, const void* from, size_t bytes, Count count, Count of_bytes) {
    memmove(to, from, bytes);
    emulated_count(count, 1);
    emulated_count(of_bytes, bytes);
    return OK;
}

int to_device(uint64_t to, const void* from, size_t bytes, void* stream) {
    if (int error = ready(stream)) return error;
    if (!bytes) return OK;
    emulated_need_device(reinterpret_cast<void*>(to), bytes, "copy to the device: target");
    emulated_need_host(from, "copy to the device: source");
    return copy(reinterpret_cast<void*>(to), from, bytes, Count::to_device, Count::to_device_bytes);
}

int to_host(void* to, uint64_t from, size_t bytes, void* stream) {
    if (int error = ready(stream)) return error;
    if (!bytes) return OK;
    emulated_need_device(reinterpret_cast<void*>(from), bytes, "copy to the host: source");
    emulated_need_host(to, "copy to the host: target");
    // To memory that is not pinned the copy is waited for.
    emulated_note_waited();
    return copy(to, reinterpret_cast<void*>(from), bytes, Count::to_host, Count::to_host_bytes);
}

int on_device(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    if (int error = ready(stream)) return error;
    if (!bytes) return OK;
    emulated_need_device(reinterpret_cast<void*>(from), bytes, "copy on the device: source");
    emulated_need_device(reinterpret_cast<void*>(to), bytes, "copy on the device: target");
    return copy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes, Count::on_device, Count::on_device_bytes);
}

int fill(uint64_t to, unsigned char value, size_t bytes, void* stream) {
    if (int error = ready(stream)) return error;
    if (!bytes) return OK;
    emulated_need_device(reinterpret_cast<void*>(to), bytes, "memset");
    memset(reinterpret_cast<void*>(to), value, bytes);
    emulated_count(Count::fills, 1);
    return OK;
}

int make(uint64_t* at, size_t bytes, void* stream) {
    if (int error = ready(stream)) return error;
    void* made = allocate(bytes, Kind::device);
    if (!made) return OUT_OF_MEMORY;
    *at = uint64_t(made);
    return OK;
}

int unmake(uint64_t at, void* stream) {
    if (int error = ready(stream)) return error;
    if (!at) return OK;
    return release(reinterpret_cast<void*>(at), Kind::device) ? OK : INVALID_VALUE;
}

int wait_for(void* stream) {
    if (int error = ready(stream)) return error;
    emulated_count(Count::synchronisations, 1);
    emulated_note_waited();
    return OK;
}

}  // namespace

// --- the device and its context

EMULATED_API int cuInit(unsigned) {
    initialised = true;
    return OK;
}
EMULATED_API int cuDriverGetVersion(int* version) {
    *version = 13000;
    return OK;
}
EMULATED_API int cuDeviceGetCount(int* count) {
    *count = 1;
    return initialised ? OK : NOT_INITIALIZED;
}
EMULATED_API int cuDeviceGet(int* device, int ordinal) {
    if (!initialised) return NOT_INITIALIZED;
    *device = ordinal;
    return ordinal == 0 ? OK : INVALID_DEVICE;
}
EMULATED_API int cuDeviceGetName(char* name, int length, int) {
    strncpy(name, "Emulated GPU", size_t(length));
    if (length > 0) name[length - 1] = 0;
    return OK;
}
EMULATED_API int cuDeviceGetUuid_v2(char* uuid, int) {
    memset(uuid, 0, 16);
    return OK;
}
EMULATED_API int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = MEMORY;
    return OK;
}
EMULATED_API int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 1: *value = int(MOST_THREADS); break;
        case 2: case 3: *value = int(MOST_THREADS); break;  // widths of a block
        case 4: *value = 64; break;                         // its depth
        case 5: *value = 0x7fffffff; break;                 // widths of a grid
        case 6: case 7: *value = 65535; break;
        case 8: *value = int(SHARED); break;
        case 10: *value = 32; break;        // threads of a warp
        case 12: *value = 65536; break;     // registers of a block
        case 16: *value = 132; break;       // multiprocessors
        case 39: *value = 2048; break;      // threads of a multiprocessor
        case 41: *value = 1; break;         // unified addresses
        case 75: *value = 9; break;         // compute capability
        case 76: *value = 0; break;
        case 81: *value = 233472; break;    // shared memory of a multiprocessor
        case 97: *value = int(MOST_SHARED); break;
        case 115: *value = 1; break;        // memory pools
        default: emulated_abort("cuDeviceGetAttribute: attribute %d is not known here", attribute);
    }
    return OK;
}
EMULATED_API int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = &context_of_device;
    return OK;
}
EMULATED_API int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
EMULATED_API int cuCtxGetCurrent(void** context) {
    *context = current;
    return OK;
}
EMULATED_API int cuCtxSetCurrent(void* context) {
    current = context;
    return OK;
}
EMULATED_API int cuCtxGetDevice(int* device) {
    *device = 0;
    return current ? OK : INVALID_CONTEXT;
}
EMULATED_API int cuCtxSynchronize() {
    note_all_waited();
    return wait_for(nullptr);
}
EMULATED_API int cuGetErrorName(int error, const char** name) {
    switch (error) {
        case OK: *name = "CUDA_SUCCESS"; break;
        case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
        case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
        case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; break;
        case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
        case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
        case INVALID_HANDLE: *name = "CUDA_ERROR_INVALID_HANDLE"; break;
        case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
        case OUT_OF_RESOURCES: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; break;
        default: *name = "CUDA_ERROR_UNKNOWN";
    }
    return OK;
}
EMULATED_API int cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

// --- memory

// Nothing can be had from a pool, as candle does for the dimensions of scalars, but not without one.
EMULATED_API int cuMemAlloc_v2(uint64_t* at, size_t bytes) { return bytes ? make(at, bytes, nullptr) : INVALID_VALUE; }
EMULATED_API int cuMemAllocAsync(uint64_t* at, size_t bytes, void* stream) {
    *at = 0;
    return bytes ? make(at, bytes, stream) : ready(stream);
}
EMULATED_API int cuMemFree_v2(uint64_t at) { return unmake(at, nullptr); }
EMULATED_API int cuMemFreeAsync(uint64_t at, void* stream) { return unmake(at, stream); }
EMULATED_API int cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    if (!bytes) return INVALID_VALUE;
    *at = allocate(bytes, Kind::pinned);
    return *at ? OK : OUT_OF_MEMORY;
}
EMULATED_API int cuMemFreeHost(void* at) { return release(at, Kind::pinned) ? OK : INVALID_VALUE; }
EMULATED_API int cuMemGetInfo_v2(size_t* unused, size_t* total) {
    *unused = *total = MEMORY;
    return OK;
}
EMULATED_API int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) { return to_device(to, from, bytes, nullptr); }
EMULATED_API int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) { return to_device(to, from, bytes, stream); }
EMULATED_API int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) { return to_host(to, from, bytes, nullptr); }
EMULATED_API int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) { return to_host(to, from, bytes, stream); }
EMULATED_API int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) { return on_device(to, from, bytes, nullptr); }
EMULATED_API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) { return on_device(to, from, bytes, stream); }
EMULATED_API int cuMemsetD8_v2(uint64_t to, unsigned char value, size_t bytes) { return fill(to, value, bytes, nullptr); }
EMULATED_API int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* stream) { return fill(to, value, bytes, stream); }

// --- pools: there is one, and what it keeps is its own business

EMULATED_API int cuDeviceGetDefaultMemPool(void** pool, int) {
    *pool = &context_of_device;
    return OK;
}
EMULATED_API int cuDeviceGetMemPool(void** pool, int) {
    *pool = &context_of_device;
    return OK;
}
EMULATED_API int cuMemPoolSetAttribute(void* pool, int, void*) { return pool == &context_of_device ? OK : INVALID_VALUE; }
EMULATED_API int cuMemPoolTrimTo(void* pool, size_t) { return pool == &context_of_device ? OK : INVALID_VALUE; }

// --- streams and events

EMULATED_API int cuStreamCreate(void** stream, unsigned) {
    auto* made = new Stream;
    std::lock_guard held(lock);
    handles<Stream>().insert(made);
    *stream = made;
    return OK;
}
EMULATED_API int cuStreamCreateWithPriority(void** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
EMULATED_API int cuStreamDestroy_v2(void* stream) {
    std::lock_guard held(lock);
    auto* gone = static_cast<Stream*>(stream);
    if (!handles<Stream>().erase(gone)) return INVALID_HANDLE;
    delete gone;
    return OK;
}
EMULATED_API int cuStreamSynchronize(void* stream) { return wait_for(stream); }
EMULATED_API int cuStreamQuery(void* stream) { return ready(stream); }
EMULATED_API int cuStreamIsCapturing(void* stream, int* status) {
    *status = 0;
    return ready(stream);
}
EMULATED_API int cuEventCreate(void** event, unsigned) {
    if (!current) return INVALID_CONTEXT;
    auto* made = new Event{};
    std::lock_guard held(lock);
    handles<Event>().insert(made);
    *event = made;
    emulated_count(Count::events, 1);
    return OK;
}
EMULATED_API int cuEventDestroy_v2(void* event) {
    std::lock_guard held(lock);
    auto* gone = static_cast<Event*>(event);
    if (!handles<Event>().erase(gone)) return INVALID_HANDLE;
    delete gone;
    return OK;
}
EMULATED_API int cuEventRecord(void* event, void* stream) {
    if (int error = ready(stream)) return error;
    std::lock_guard held(lock);
    if (!handles<Event>().count(static_cast<Event*>(event))) return INVALID_HANDLE;
    *static_cast<Event*>(event) = {std::chrono::steady_clock::now(), stream, true};
    return OK;
}
EMULATED_API int cuEventQuery(void* event) {
    std::lock_guard held(lock);
    return handles<Event>().count(static_cast<Event*>(event)) ? OK : INVALID_HANDLE;
}
// Whatever was given to the event's stream counts as waited for, also what came after the event.
static int wait_for_event(void* event, void* then) {
    if (int error = cuEventQuery(event)) return error;
    emulated_count(Count::event_waits, 1);
    if (static_cast<Event*>(event)->recorded) {
        emulated_use_stream(static_cast<Event*>(event)->stream);
        emulated_note_waited();
        emulated_use_stream(then);
    }
    return OK;
}
EMULATED_API int cuEventSynchronize(void* event) { return wait_for_event(event, nullptr); }
EMULATED_API int cuStreamWaitEvent(void* stream, void* event, unsigned) {
    if (int error = ready(stream)) return error;
    return wait_for_event(event, stream);
}
EMULATED_API int cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
    std::lock_guard held(lock);
    const auto *from = static_cast<Event*>(start), *to = static_cast<Event*>(end);
    if (!from->recorded || !to->recorded) return INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return OK;
}

// --- modules and launches

EMULATED_API int cuModuleLoadData(void** module, const void* image) {
    if (!current) return INVALID_CONTEXT;
    *module = new Loaded(find_modules(static_cast<const char*>(image)));
    return OK;
}
EMULATED_API int cuModuleUnload(void* module) {
    delete static_cast<Loaded*>(module);
    return OK;
}
EMULATED_API int cuModuleGetFunction(void** function, void* module, const char* name) {
    Function* found = static_cast<Loaded*>(module)->function(name);
    if (!found) return NOT_FOUND;
    *function = found;
    return OK;
}
EMULATED_API int cuFuncSetAttribute(void* function, int attribute, int value) {
    // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    if (attribute == 8) {
        if (value < 0 || size_t(value) > MOST_SHARED) return INVALID_VALUE;
        static_cast<Function*>(function)->most_dynamic = size_t(value);
    }
    return OK;
}
EMULATED_API int cuFuncGetAttribute(int* value, int attribute, void* function) {
    const auto* of = static_cast<Function*>(function);
    switch (attribute) {
        case 0: *value = int(of->kernel->most_threads ? of->kernel->most_threads : MOST_THREADS); return OK;
        case 8: *value = int(of->most_dynamic); return OK;
        default: emulated_abort("cuFuncGetAttribute: attribute %d is not known here", attribute);
    }
}

EMULATED_API int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                unsigned block_y, unsigned block_z, unsigned dynamic, void* stream, void** arguments,
                                void** extra) {
    if (int error = ready(stream)) return error;
    auto* of = static_cast<Function*>(function);
    const char* name = of->kernel->name;
    if (extra) emulated_abort("kernel %s: arguments in `extra` are not emulated", name);
    const uint64_t threads = uint64_t(block_x) * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || !threads || grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535 ||
        block_x > MOST_THREADS || block_y > MOST_THREADS || block_z > 64 || threads > MOST_THREADS || dynamic > of->most_dynamic) {
        fprintf(stderr, "emulated GPU: kernel %s: a device refuses a grid of (%u, %u, %u) blocks of (%u, %u, %u) threads with %u bytes of shared memory\n",
                name, grid_x, grid_y, grid_z, block_x, block_y, block_z, dynamic);
        return INVALID_VALUE;
    }
    if (of->kernel->most_threads && threads > of->kernel->most_threads) {
        fprintf(stderr, "emulated GPU: kernel %s: %lu threads, launch bounds %u\n", name, threads, of->kernel->most_threads);
        return OUT_OF_RESOURCES;
    }
    static std::mutex one_launch;
    std::lock_guard held(one_launch);
    for (uint32_t i = 0; i < of->kernel->count; ++i)
        if (of->kernel->pointer[i])
            if (const void* at = *static_cast<void**>(arguments[i])) check_argument(at, name, i);
    run_grid(*of->module, *of->kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, dynamic, arguments);
    for (uint32_t i = 0; i < of->kernel->count; ++i)
        if (of->kernel->pointer[i])
            if (const void* at = *static_cast<void**>(arguments[i])) check_guards(at, name);
    count_kernel(name, threads * grid_x * grid_y * grid_z);
    return OK;
}
