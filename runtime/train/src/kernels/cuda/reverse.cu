// The valid frames of each clip in reverse order, padding where it was; [batch, time, dim].

#include "common.cuh"

// For the entry i of a clip with so many valid frames.
__device__ __forceinline__ void reversed(
    const float *x, float *y, unsigned i, unsigned valid, unsigned time, unsigned dim) {
    const unsigned frame = i / dim % time;
    const unsigned from = frame < valid ? valid - 1 - frame : frame;
    // What the difference wraps around, the sum wraps back.
    y[i] = x[i + (from - frame) * dim];
}

extern "C" __global__ void reverse_all(
    const float *x, float *y, unsigned time, unsigned dim, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        reversed(x, y, i, time, time, dim);
    }
}

extern "C" __global__ void reverse_valid(
    const float *x, float *y, const unsigned *lengths, unsigned time, unsigned dim,
    unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        reversed(x, y, i, lengths[i / dim / time], time, dim);
    }
}
