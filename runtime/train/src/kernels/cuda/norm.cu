// BiasNorm and group norm over the last dimension. A block for each row, or each group of a row, that
// is so many neighbouring values: its threads, a power of two of them, add them up by turns.

#include "common.cuh"

// The sum over the block of what `entry` is for each of `width` places.
template <typename Entry>
__device__ __forceinline__ float total(unsigned width, Entry entry) {
    extern __shared__ float shared[];
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        sum += entry(i);
    }
    return block_sum(sum, shared);
}

// 1 / sqrt(sum / width + epsilon).
__device__ __forceinline__ float rate_of(float sum, unsigned width, float epsilon) {
    return 1.0f / sqrtf(sum * (1.0f / width) + epsilon);
}

// x e^log_scale / sqrt(mean (x - bias)^2 + epsilon).
extern "C" __global__ void norm_bias_forward(
    const float *x, const float *bias, const float *log_scale, float *y, float epsilon,
    unsigned dim) {
    x += blockIdx.x * dim;
    y += blockIdx.x * dim;
    const float square = total(dim, [&](unsigned i) {
        const float centred = x[i] - bias[i];
        return centred * centred;
    });
    const float rate = rate_of(square, dim, epsilon) * expf(log_scale[0]);
    for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
        y[i] = x[i] * rate;
    }
}

// The gradient of x, and what the others need of each row: what pulls it to the bias in rows[0], its
// part of the gradient of log_scale in rows[1]; rows is [2, rows].
extern "C" __global__ void norm_bias_backward(
    const float *x, const float *bias, const float *log_scale, const float *g, float *dx,
    float *rows, float epsilon, unsigned dim) {
    x += blockIdx.x * dim;
    g += blockIdx.x * dim;
    dx += blockIdx.x * dim;
    const float square = total(dim, [&](unsigned i) {
        const float centred = x[i] - bias[i];
        return centred * centred;
    });
    const float along = total(dim, [&](unsigned i) { return g[i] * x[i]; });
    const float scale = expf(log_scale[0]);
    const float rate = rate_of(square, dim, epsilon);
    const float pull = along * scale * rate * rate * rate * (1.0f / dim);
    for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
        dx[i] = g[i] * rate * scale - (x[i] - bias[i]) * pull;
    }
    if (threadIdx.x == 0) {
        rows[blockIdx.x] = pull;
        rows[gridDim.x + blockIdx.x] = along * rate * scale;
    }
}

// The gradients of the bias and, in one more column, of log_scale.
extern "C" __global__ void norm_bias_shared_gradients(
    const float *x, const float *bias, const float *of_rows, float *sums, unsigned rows,
    unsigned columns) {
    const unsigned dim = columns - 1;
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const float own = column < dim ? bias[column] : 0.0f;
    const float sum = column_sum(rows, columns, [&](unsigned row) {
        return column < dim ? (x[row * dim + column] - own) * of_rows[row] : of_rows[rows + row];
    });
    if (threadIdx.y == 0 && column < columns) {
        sums[blockIdx.y * columns + column] = sum;
    }
}

// (x - mean) / sqrt(variance + epsilon) weight + bias in each group.
extern "C" __global__ void norm_group_forward(
    const float *x, const float *weight, const float *bias, float *y, float epsilon,
    unsigned groups, unsigned width) {
    x += blockIdx.x * width;
    y += blockIdx.x * width;
    weight += blockIdx.x % groups * width;
    bias += blockIdx.x % groups * width;
    const float mean = total(width, [&](unsigned i) { return x[i]; }) * (1.0f / width);
    const float square = total(width, [&](unsigned i) { return (x[i] - mean) * (x[i] - mean); });
    const float rate = rate_of(square, width, epsilon);
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        y[i] = (x[i] - mean) * rate * weight[i] + bias[i];
    }
}

// The gradient of x, and the mean and rate of each group of each row: [2, rows, groups].
extern "C" __global__ void norm_group_backward(
    const float *x, const float *weight, const float *g, float *dx, float *of_groups, float epsilon,
    unsigned groups, unsigned width) {
    x += blockIdx.x * width;
    g += blockIdx.x * width;
    dx += blockIdx.x * width;
    weight += blockIdx.x % groups * width;
    const float inverse = 1.0f / width;
    const float mean = total(width, [&](unsigned i) { return x[i]; }) * inverse;
    const float square = total(width, [&](unsigned i) { return (x[i] - mean) * (x[i] - mean); });
    const float sum = total(width, [&](unsigned i) { return g[i] * weight[i]; }) * inverse;
    const float product =
        total(width, [&](unsigned i) { return g[i] * weight[i] * (x[i] - mean); });
    const float rate = rate_of(square, width, epsilon);
    const float along = product * rate * inverse;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        dx[i] = rate * (g[i] * weight[i] - sum - (x[i] - mean) * rate * along);
    }
    if (threadIdx.x == 0) {
        of_groups[blockIdx.x] = mean;
        of_groups[gridDim.x + blockIdx.x] = rate;
    }
}

// The gradients of the weight and, in as many more columns, of the bias.
extern "C" __global__ void norm_group_shared_gradients(
    const float *x, const float *g, const float *of_groups, unsigned groups, float *sums,
    unsigned rows, unsigned columns) {
    const unsigned dim = columns / 2;
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const bool of_weight = column < dim;
    const unsigned channel = of_weight ? column : column - dim;
    const unsigned group = channel / (dim / groups);
    const float sum = column_sum(rows, columns, [&](unsigned row) {
        const unsigned i = row * dim + channel, of = row * groups + group;
        return of_weight ? g[i] * ((x[i] - of_groups[of]) * of_groups[rows * groups + of]) : g[i];
    });
    if (threadIdx.y == 0 && column < columns) {
        sums[blockIdx.y * columns + column] = sum;
    }
}
