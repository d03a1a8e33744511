// x + clamp(scale) branch, the scale per channel; [rows, dim].

#include "common.cuh"

// Not by fminf and fmaxf, which would hide a NaN.
__device__ __forceinline__ float clamped(float scale, float low, float high) {
    return scale < low ? low : scale > high ? high : scale;
}

extern "C" __global__ void bypass_forward(
    const float *x, const float *branch, const float *scale, float *y, float low, float high,
    unsigned dim, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        y[i] = x[i] + clamped(scale[i % dim], low, high) * branch[i];
    }
}

// The gradient of the branch on the way to the scale's.
extern "C" __global__ void bypass_backward(
    const float *branch, const float *scale, const float *g, float *dbranch, float low, float high,
    float *dscale, unsigned rows, unsigned dim) {
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const float own = column < dim ? scale[column] : 0.0f;
    const float share = clamped(own, low, high);
    const float sum = column_sum(rows, dim, [&](unsigned row) {
        const unsigned i = row * dim + column;
        dbranch[i] = g[i] * share;
        return branch[i] * g[i];
    });
    if (threadIdx.y == 0 && column < dim) {
        dscale[blockIdx.y * dim + column] = own == share ? sum : 0.0f;
    }
}
