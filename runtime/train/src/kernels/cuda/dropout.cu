// Dropout whose factors are drawn anew from a key in each direction, instead of being kept.

#include "common.cuh"

// The first word of Philox4x32-10 (Salmon et al. 2011) for the counter (counter, 0, 0, 0).
__device__ __forceinline__ unsigned philox(unsigned counter, unsigned low, unsigned high) {
    unsigned c0 = counter, c1 = 0, c2 = 0, c3 = 0;
    for (unsigned round = 0; round < 10; round++) {
        const unsigned long long a = 0xD2511F53ull * c0, b = 0xCD9E8D57ull * c2;
        c0 = (unsigned)(b >> 32) ^ c1 ^ low;
        c1 = (unsigned)b;
        c2 = (unsigned)(a >> 32) ^ c3 ^ high;
        c3 = (unsigned)a;
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    return c0;
}

// x[i] keep, or 0 where the uniform number of the entry is below the rate.
extern "C" __global__ void dropout_seeded(
    const float *x, float *y, float rate, float keep, unsigned low, unsigned high, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        // The upper 24 bits: all of them are kept by a float.
        const float uniform = (philox(i, low, high) >> 8) * (1.0f / 16777216.0f);
        y[i] = x[i] * (uniform < rate ? 0.0f : keep);
    }
}
