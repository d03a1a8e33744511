// What several kernels need. Every kernel works on contiguous f32 and writes each entry of its
// results exactly once, in an order of additions that does not depend on timing: no atomics, so
// that the same launch gives the same bits.
#pragma once

// 1 / (1 + exp(-x)).
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// log(1 + exp(x)) without overflow.
__device__ __forceinline__ float softplus(float x) {
    return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

// The sum of one value a thread over all threads of a block, a power of two of them, in `shared`
// (blockDim.x floats); every thread gets it. All threads must call it.
__device__ __forceinline__ float block_sum(float value, float *shared) {
    const unsigned t = threadIdx.x;
    shared[t] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (t < half) {
            shared[t] += shared[t + half];
        }
        __syncthreads();
    }
    const float sum = shared[0];
    __syncthreads();
    return sum;
}

// The sum of `entry(row)` over a slice of the rows of a matrix, for one column a thread. Kernels that
// `Gpu::column_sums` launches: blocks of 32 × 32 threads, those of a row of them for neighbouring
// columns, those of a column of them for the rows by turns; blockIdx.y is the slice. Every thread of
// a column gets its sum; all threads must call it, and once.
template <typename Entry>
__device__ __forceinline__ float column_sum(unsigned rows, unsigned columns, Entry entry) {
    __shared__ float parts[32][32];
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const unsigned each = (rows + gridDim.y - 1) / gridDim.y;
    const unsigned first = blockIdx.y * each;
    const unsigned last = first + each < rows ? first + each : rows;
    float sum = 0.0f;
    if (column < columns) {
        for (unsigned row = first + threadIdx.y; row < last; row += 32) {
            sum += entry(row);
        }
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = 16; half > 0; half /= 2) {
        if (threadIdx.y < half) {
            parts[threadIdx.y][threadIdx.x] += parts[threadIdx.y + half][threadIdx.x];
        }
        __syncthreads();
    }
    return parts[0][threadIdx.x];
}
