// silu(z) = z sigmoid(z), alone and as a gate, for every entry.

#include "common.cuh"

__device__ __forceinline__ float silu_slope(float z, float open) {
    return open * (1.0f + z * (1.0f - open));
}

extern "C" __global__ void gate_silu_forward(const float *x, float *y, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        y[i] = x[i] * sigmoid(x[i]);
    }
}

extern "C" __global__ void gate_silu_backward(
    const float *x, const float *g, float *dx, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        dx[i] = g[i] * silu_slope(x[i], sigmoid(x[i]));
    }
}

// x silu(z).
extern "C" __global__ void gate_forward(const float *x, const float *z, float *y, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        y[i] = x[i] * (z[i] * sigmoid(z[i]));
    }
}

extern "C" __global__ void gate_backward(
    const float *x, const float *z, const float *g, float *dx, float *dz, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        const float open = sigmoid(z[i]);
        dx[i] = g[i] * (z[i] * open);
        dz[i] = g[i] * x[i] * silu_slope(z[i], open);
    }
}
