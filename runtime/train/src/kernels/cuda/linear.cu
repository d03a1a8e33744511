// What an affine map needs beside its products.

#include "common.cuh"

// y[row, column] += bias[column].
extern "C" __global__ void linear_add_bias(
    float *y, const float *bias, unsigned dim, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        y[i] += bias[i % dim];
    }
}
