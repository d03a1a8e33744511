// Depthwise convolution over time with zero padding; [batch, time, dim], a row being a frame of a
// clip. Blocks of CHANNELS × ROWS threads, which share as many taps of their channels as fit.

#include "common.cuh"

constexpr unsigned CHANNELS = 32, ROWS = 8, TAPS = 32;

struct Shape {
    unsigned rows, time, dim, kernel, before;
};

// y[frame] = sum over the taps k of weight[channel, k] x[frame + direction (k - before)], and the
// bias where there is one, for a frame and channel a thread.
template <int direction>
__device__ __forceinline__ void filter(
    const float *x, const float *weight, const float *bias, float *y, Shape shape) {
    const unsigned rows = shape.rows, time = shape.time, dim = shape.dim, kernel = shape.kernel;
    // One column more, so that threads that write a column meet no other in its bank.
    __shared__ float taps[TAPS][CHANNELS + 1];
    const unsigned across = (dim + CHANNELS - 1) / CHANNELS;
    const unsigned base = blockIdx.x % across * CHANNELS;
    const unsigned channel = base + threadIdx.x;
    const unsigned row = blockIdx.x / across * ROWS + threadIdx.y;
    const bool real = channel < dim && row < rows;
    const int frame = row % time;
    float sum = 0.0f;
    for (unsigned first = 0; first < kernel; first += TAPS) {
        __syncthreads();
        for (unsigned i = threadIdx.y * CHANNELS + threadIdx.x; i < TAPS * CHANNELS;
             i += ROWS * CHANNELS) {
            const unsigned c = i / TAPS, k = i % TAPS;
            const bool there = base + c < dim && first + k < kernel;
            taps[k][c] = there ? weight[(base + c) * kernel + first + k] : 0.0f;
        }
        __syncthreads();
        const unsigned last = kernel - first < TAPS ? kernel - first : TAPS;
        for (unsigned k = 0; real && k < last; k++) {
            const int away = direction * ((int)(first + k) - (int)shape.before);
            if (frame + away >= 0 && frame + away < (int)time) {
                sum += taps[k][threadIdx.x] * x[(row + away) * dim + channel];
            }
        }
    }
    if (real) {
        y[row * dim + channel] = bias ? sum + bias[channel] : sum;
    }
}

extern "C" __global__ void convolution_forward(
    const float *x, const float *weight, const float *bias, float *y, unsigned rows, unsigned time,
    unsigned dim, unsigned kernel, unsigned before) {
    filter<1>(x, weight, bias, y, {rows, time, dim, kernel, before});
}

// Of the frames that see a frame, tap k is that of the frame before - k later.
extern "C" __global__ void convolution_backward(
    const float *g, const float *weight, float *dx, unsigned rows, unsigned time, unsigned dim,
    unsigned kernel, unsigned before) {
    filter<-1>(g, weight, nullptr, dx, {rows, time, dim, kernel, before});
}

// The gradients of the weight, [dim, kernel], and behind it of the bias, [dim]: sums over the rows for
// each tap and channel, neighbouring threads having neighbouring channels, and one more tap that sees
// ones.
extern "C" __global__ void convolution_shared_gradients(
    const float *x, const float *g, unsigned time, unsigned dim, unsigned kernel, unsigned before,
    float *sums, unsigned rows, unsigned columns) {
    const unsigned column = blockIdx.x * 32 + threadIdx.x;
    const unsigned tap = column / dim, channel = column % dim;
    const int away = (int)tap - (int)before;
    const float sum = column_sum(rows, columns, [&](unsigned row) {
        const float own = g[row * dim + channel];
        if (tap == kernel) {
            return own;
        }
        const int frame = (int)(row % time) + away;
        const bool there = frame >= 0 && frame < (int)time;
        return there ? own * x[(row + away) * dim + channel] : 0.0f;
    });
    if (threadIdx.y == 0 && column < columns) {
        const unsigned place = tap == kernel ? column : channel * kernel + tap;
        sums[blockIdx.y * columns + place] = sum;
    }
}
