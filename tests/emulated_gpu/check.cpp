// Checks the emulated device itself: right kernels give right results in every order of threads, and each
// fault is seen. Run by `check.sh`; every case is a process of its own, since most must abort.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(uint64_t*, size_t);
int cuMemFree_v2(uint64_t);
int cuMemcpyHtoD_v2(uint64_t, const void*, size_t);
int cuMemcpyDtoH_v2(void*, uint64_t, size_t);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuMemPoolCreate(void*, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuMemsetD8Async(uint64_t, unsigned char, size_t, void*);
}

namespace {

constexpr int N = 64;
struct Scales {
    float by;
    int offset;
};

void need(bool holds, const char* what) {
    if (holds) return;
    fprintf(stderr, "check: %s\n", what);
    exit(1);
}

uint64_t floats(const std::vector<float>& values) {
    uint64_t at = 0;
    need(cuMemAlloc_v2(&at, values.size() * 4) == 0, "allocation");
    need(cuMemcpyHtoD_v2(at, values.data(), values.size() * 4) == 0, "copy");
    return at;
}
uint64_t unset(size_t count) {
    uint64_t at = 0;
    need(cuMemAlloc_v2(&at, count * 4) == 0, "allocation");
    return at;
}
std::vector<float> read(uint64_t at, size_t count) {
    std::vector<float> values(count);
    need(cuMemcpyDtoH_v2(values.data(), at, count * 4) == 0, "copy");
    return values;
}

void* function(const char* name) {
    void *module, *found = nullptr;
    need(cuModuleLoadData(&module, "// emulated: faults+faults\n") == 0, "module");
    need(cuModuleGetFunction(&found, module, name) == 0, name);
    return found;
}

template <class... Argument>
int launch(const char* name, unsigned blocks, unsigned threads, unsigned shared, Argument... arguments) {
    void* pointers[] = {&arguments..., nullptr};
    return cuLaunchKernel(function(name), blocks, 1, 1, threads, 1, 1, shared, nullptr, pointers, nullptr);
}

std::vector<float> counting(int n) {
    std::vector<float> values;
    for (int i = 0; i < n; ++i) values.push_back(float(i));
    return values;
}

void right_kernels() {
    const auto x = floats(counting(4 * N));
    const auto scaled = unset(4 * N);
    need(launch("scale", 3, 32, 0, x, scaled, 4 * N, Scales{2.0f, 1}) == 0, "scale");
    const auto values = read(scaled, 4 * N);
    for (int i = 0; i < 4 * N; ++i) need(values[size_t(i)] == 2.0f * float(i) + 1.0f, "scale: values");
    const auto sums = unset(8);
    need(launch("block_sum", 4, N, N * 4, x, sums) == 0, "block_sum");
    const auto sum = read(sums, 8);
    for (int block = 0; block < 4; ++block) {
        const float expected = float(N * block * N + N * (N - 1) / 2);
        need(sum[size_t(2 * block)] == expected && sum[size_t(2 * block + 1)] == expected, "block_sum: values");
    }
    const auto left = unset(40);
    need(launch("early_exit", 1, N, 0, left) == 0, "early_exit");
    const auto slots = read(left, 40);
    for (int i = 0; i < 40; ++i) need(slots[size_t(i)] == float(39 - i), "early_exit: values");
    for (auto at : {x, scaled, sums, left}) need(cuMemFree_v2(at) == 0, "free");
}

void nan_from(const char* kernel, unsigned blocks, unsigned threads) {
    const auto out = unset(size_t(blocks) * threads);
    need(launch(kernel, blocks, threads, 0, out) == 0, kernel);
    bool any = false;
    for (float value : read(out, size_t(blocks) * threads)) any |= std::isnan(value);
    need(any, "no NaN came of it");
}

void refused() {
    const auto out = unset(2048);
    need(launch("early_exit", 0, N, 0, out) != 0, "an empty grid was taken");
    need(launch("early_exit", 1, 1025, 0, out) != 0, "1025 threads were taken");
    need(launch("early_exit", 1, N, 64 * 1024, out) != 0, "64 KB of shared memory were taken");
    need(cuFuncSetAttribute(function("early_exit"), 8, 300 * 1024) != 0, "300 KB of shared memory were granted");
    need(launch("block_sum", 1, 128, 512, out, out) != 0, "more threads than the launch bounds were taken");
    uint64_t none;
    need(cuMemAlloc_v2(&none, 0) != 0, "an allocation of nothing was made");
    void *module, *found;
    need(cuModuleLoadData(&module, "// emulated: faults+faults\n") == 0, "module");
    need(cuModuleGetFunction(&found, module, "affine_f32") == 500, "a kernel of another file was found");
}

// A buffer filled by one stream and then by another, which is or is not told to wait.
void two_streams(bool waits) {
    void *first, *second;
    need(cuStreamCreate(&first, 0) == 0 && cuStreamCreate(&second, 0) == 0, "streams");
    const auto at = unset(4);
    need(cuMemsetD8Async(at, 1, 16, first) == 0, "fill");
    if (waits) need(cuStreamSynchronize(first) == 0, "wait");
    need(cuMemsetD8Async(at, 2, 16, second) == 0, "fill");
}

struct Case {
    const char* name;
    void (*run)();
    /// What it must abort with; null where it must not.
    const char* message;
    const char* pages;
};

const Case CASES[] = {
    {"right kernels", right_kernels, nullptr, "0"},
    {"right kernels, by pages", right_kernels, nullptr, "1"},
    {"missing barrier", [] { nan_from("missing_barrier", 1, N); }, nullptr, "0"},
    {"shared memory of the last block", [] { nan_from("left_from_last_block", 2, N); }, nullptr, "0"},
    {"lane that left", [] { nan_from("lane_that_left", 1, 32); }, nullptr, "0"},
    {"memory never written", [] { need(std::isnan(read(unset(1), 1)[0]), "fresh memory has a value"); }, nullptr, "0"},
    {"refused launches", refused, nullptr, "0"},
    {"parted barriers", [] { launch("parted_barriers", 1, N, 0, unset(N)); }, "kernel parted_barriers, block (0, 0, 0): thread", "0"},
    {"lonely shuffle", [] { launch("lonely_shuffle", 1, 32, 0, unset(32)); }, "kernel lonely_shuffle, block", "0"},
    {"write behind", [] { launch("writes_behind", 2, N, 0, unset(100), 100); }, "writes_behind: byte 400 of an allocation of 400 bytes", "0"},
    {"read behind", [] { launch("reads_behind", 1, N, 0, unset(100), unset(N), N); }, "kernel reads_behind: block (0, 0, 0), thread", "1"},
    {"shared memory too small", [] { launch("shared_too_small", 1, N, 128, unset(N)); }, "kernel shared_too_small: byte 128 of 128", "0"},
#ifdef SANITIZED
    {"array of shared memory too small", [] { launch("shared_array_overrun", 1, 65, 0, unset(65)); }, "out of bounds for type 'float [64]'", "0"},
#endif
    {"host memory", [] { float host[N]; launch("early_exit", 1, N, 0, &host[0]); }, "kernel early_exit: argument 0", "0"},
    {"freed memory", [] { auto at = unset(N); cuMemFree_v2(at); launch("early_exit", 1, N, 0, at); }, "kernel early_exit: argument 0", "0"},
    {"copy too long", [] { read(unset(4), 5); }, "20 bytes from byte 0 of an allocation of 16 bytes", "0"},
    {"device memory as the host's", [] { auto at = unset(4); cuMemcpyHtoD_v2(at, reinterpret_cast<void*>(at), 16); }, "is on the device, not on the host", "0"},
    {"streams in order", [] { two_streams(true); }, nullptr, "0"},
    {"streams in no order", [] { two_streams(false); }, "memset: an allocation of 16 bytes was used by another stream", "0"},
    {"a call that is not emulated", [] { cuMemPoolCreate(nullptr, nullptr); }, "cuMemPoolCreate is not emulated", "0"},
};

bool passes(const Case& of, const char* order) {
    int ends[2];
    if (pipe(ends) != 0) return false;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        setenv("ORZE_GPU_PAGES", of.pages, 1);
        setenv("ORZE_GPU_ORDER", order, 1);
        void* context;
        need(cuInit(0) == 0 && cuDevicePrimaryCtxRetain(&context, 0) == 0 && cuCtxSetCurrent(context) == 0, "device");
        of.run();
        exit(0);
    }
    close(ends[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, size_t(count));
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    // The sanitiser ends a process by an exit.
    const bool aborted = WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) != 0;
    const bool passed = of.message ? aborted && said.find(of.message) != std::string::npos : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!passed) printf("FAILED: %s (order %s): status %d, said:\n%s", of.name, order, status, said.c_str());
    return passed;
}

}  // namespace

int main() {
    int failed = 0, run = 0;
    for (const auto& of : CASES)
        for (const char* order : {"0", "1", "2", "3"}) {
            ++run;
            failed += !passes(of, order);
        }
    printf("emulated GPU: %d checks, %d failed\n", run, failed);
    return failed != 0;
}
