// Kernels that are right and kernels with one fault each; `check.cpp` says what must come of them.

struct Scales {
    float by;
    int offset;
};

// --- right ones

extern "C" __global__ void scale(const float *x, float *out, int n, Scales scales) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
        out[i] = scales.by * x[i] + scales.offset;
}

// A block's sum of 64 threads, by dynamic shared memory and by shuffles.
extern "C" __global__ void __launch_bounds__(64) block_sum(const float *x, float *out) {
    extern __shared__ float partial[];
    __shared__ float of_warps[2];
    const int i = threadIdx.x;
    partial[i] = x[blockIdx.x * blockDim.x + i];
    __syncthreads();
    for (int step = blockDim.x / 2; step > 0; step /= 2) {
        if (i < step) partial[i] += partial[i + step];
        __syncthreads();
    }
    float sum = x[blockIdx.x * blockDim.x + i];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffff, sum, by);
    if (i % 32 == 0) of_warps[i / 32] = sum;
    __syncthreads();
    if (i == 0) {
        out[2 * blockIdx.x] = partial[0];
        out[2 * blockIdx.x + 1] = of_warps[0] + of_warps[1];
    }
}

// Threads that left no longer take part in barriers, as on the device.
extern "C" __global__ void early_exit(float *out) {
    __shared__ float slots[64];
    if (threadIdx.x >= 40) return;
    slots[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = slots[39 - threadIdx.x];
}

// --- faulty ones

extern "C" __global__ void missing_barrier(float *out) {
    __shared__ float slots[64];
    slots[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = slots[63 - threadIdx.x];
}

extern "C" __global__ void left_from_last_block(float *out) {
    __shared__ float slots[64];
    if (blockIdx.x == 0) slots[threadIdx.x] = 1.0f;
    __syncthreads();
    out[blockIdx.x * 64 + threadIdx.x] = slots[threadIdx.x];
}

extern "C" __global__ void parted_barriers(float *out) {
    if (threadIdx.x < 32) {
        __syncthreads();
        out[threadIdx.x] = 0.0f;
    } else {
        out[threadIdx.x] = 1.0f;
        __syncthreads();
    }
}

extern "C" __global__ void lonely_shuffle(float *out) {
    float x = threadIdx.x;
    if (threadIdx.x < 16) {
        x = __shfl_xor_sync(0xffffffff, x, 1);
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = x;
}

extern "C" __global__ void lane_that_left(float *out) {
    if (threadIdx.x >= 16) return;
    out[threadIdx.x] = __shfl_down_sync(0xffffffff, float(threadIdx.x), 8);
}

extern "C" __global__ void writes_behind(float *out, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) out[i] = 0.0f;
}

extern "C" __global__ void reads_behind(const float *x, float *out, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i + 100];
}

extern "C" __global__ void shared_too_small(float *out) {
    extern __shared__ float slots[];
    slots[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = slots[threadIdx.x];
}

// Seen in a sanitised build.
extern "C" __global__ void shared_array_overrun(float *out) {
    __shared__ float slots[64];
    slots[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = slots[threadIdx.x];
}
