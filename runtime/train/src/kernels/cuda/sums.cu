// Sums over rows, [rows, columns] to [columns] (a slice).

#include "common.cuh"

extern "C" __global__ void sums_of_columns(
    const float *x, float *sums, unsigned rows, unsigned columns) {
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const float sum = column_sum(rows, columns, [&](unsigned row) {
        return x[row * columns + column];
    });
    if (threadIdx.y == 0 && column < columns) {
        sums[blockIdx.y * columns + column] = sum;
    }
}
