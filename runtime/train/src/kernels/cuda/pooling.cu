// Attention pooling: the frames of a clip, weighted by the softmax of their products with a probe.
// A block a clip.

#include "common.cuh"

// The products of all frames of a clip with a vector, into `products`.
__device__ void along_frames(
    const float *x, const float *vector, float *products, unsigned time, unsigned dim,
    float *shared) {
    for (unsigned t = 0; t < time; t++) {
        float sum = 0.0f;
        for (unsigned d = threadIdx.x; d < dim; d += blockDim.x) {
            sum += x[(size_t)t * dim + d] * vector[d];
        }
        sum = block_sum(sum, shared);
        if (threadIdx.x == 0) {
            products[t] = sum;
        }
    }
    __syncthreads();
}

// The weights of a clip's frames. `penalty` is added to the scores where `masked`.
__device__ void weigh(
    const float *x, const float *probe, const float *penalty, bool masked, float *weights,
    unsigned time, unsigned dim, float *shared) {
    along_frames(x, probe, weights, time, dim, shared);
    // Every thread for itself: there are few frames.
    float top = -INFINITY, sum = 0.0f;
    for (unsigned t = 0; t < time; t++) {
        top = fmaxf(top, weights[t] + (masked ? penalty[t] : 0.0f));
    }
    for (unsigned t = 0; t < time; t++) {
        sum += expf(weights[t] + (masked ? penalty[t] : 0.0f) - top);
    }
    __syncthreads();
    for (unsigned t = threadIdx.x; t < time; t += blockDim.x) {
        weights[t] = expf(weights[t] + (masked ? penalty[t] : 0.0f) - top) / sum;
    }
    __syncthreads();
}

// `weights` is [batch, time].
extern "C" __global__ void pooling_forward(
    const float *x, const float *probe, const float *penalty, float *weights, float *y,
    unsigned masked, unsigned time, unsigned dim) {
    extern __shared__ float shared[];
    const size_t clip = blockIdx.x;
    x += clip * time * dim;
    weights += clip * time;
    weigh(x, probe, penalty + clip * time, masked != 0, weights, time, dim, shared);
    for (unsigned d = threadIdx.x; d < dim; d += blockDim.x) {
        float sum = 0.0f;
        for (unsigned t = 0; t < time; t++) {
            sum += weights[t] * x[(size_t)t * dim + d];
        }
        y[clip * dim + d] = sum;
    }
}

// `slopes`, like `weights`, is [batch, time]; `parts` is [batch, dim].
extern "C" __global__ void pooling_backward(
    const float *x, const float *probe, const float *penalty, const float *g, float *weights,
    float *slopes, float *dx, float *parts, unsigned masked, unsigned time, unsigned dim) {
    extern __shared__ float shared[];
    const size_t clip = blockIdx.x;
    x += clip * time * dim;
    dx += clip * time * dim;
    g += clip * dim;
    weights += clip * time;
    slopes += clip * time;
    weigh(x, probe, penalty + clip * time, masked != 0, weights, time, dim, shared);
    along_frames(x, g, slopes, time, dim, shared);
    float common = 0.0f;
    for (unsigned t = 0; t < time; t++) {
        common += weights[t] * slopes[t];
    }
    for (unsigned d = threadIdx.x; d < dim; d += blockDim.x) {
        float sum = 0.0f;
        for (unsigned t = 0; t < time; t++) {
            const float slope = weights[t] * (slopes[t] - common);
            sum += slope * x[(size_t)t * dim + d];
            dx[(size_t)t * dim + d] = weights[t] * g[d] + slope * probe[d];
        }
        parts[clip * dim + d] = sum;
    }
}

// The sum of the clips' parts, a thread a channel.
extern "C" __global__ void pooling_probe(
    const float *parts, float *dprobe, unsigned batch, unsigned dim) {
    const unsigned d = blockIdx.x * blockDim.x + threadIdx.x;
    if (d < dim) {
        float sum = 0.0f;
        for (unsigned clip = 0; clip < batch; clip++) {
            sum += parts[(size_t)clip * dim + d];
        }
        dprobe[d] = sum;
    }
}
