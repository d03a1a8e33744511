// Learned downsampling of time, and repeating frames.

#include "common.cuh"

// Weight of a place in a window: softmax over the `factor` entries of alpha.
__device__ __forceinline__ float share(const float *alpha, unsigned factor, unsigned place) {
    float top = -INFINITY, sum = 0.0f;
    for (unsigned f = 0; f < factor; f++) {
        top = fmaxf(top, alpha[f]);
    }
    for (unsigned f = 0; f < factor; f++) {
        sum += expf(alpha[f] - top);
    }
    return expf(alpha[place] - top) / sum;
}

// [batch, time, dim] -> [batch, windows, dim], a thread an entry; the last of a clip's `counts`
// frames is repeated behind it.
extern "C" __global__ void resample_down(
    const float *x, const float *alpha, const unsigned *counts, float *y, unsigned batch,
    unsigned time, unsigned dim, unsigned windows, unsigned factor) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)batch * windows * dim) {
        return;
    }
    const size_t d = i % dim, window = i / dim % windows, clip = i / dim / windows;
    const unsigned last = counts[clip] - 1;
    float sum = 0.0f;
    for (unsigned f = 0; f < factor; f++) {
        const unsigned t = min((unsigned)window * factor + f, last);
        sum += share(alpha, factor, f) * x[(clip * time + t) * dim + d];
    }
    y[i] = sum;
}

// The gradient of x, a thread an entry: frames behind a clip have none, its last one has theirs too.
extern "C" __global__ void resample_down_frames(
    const float *alpha, const unsigned *counts, const float *g, float *dx, unsigned batch,
    unsigned time, unsigned dim, unsigned windows, unsigned factor) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)batch * time * dim) {
        return;
    }
    const size_t d = i % dim, clip = i / dim / time;
    const unsigned t = i / dim % time, last = counts[clip] - 1;
    const unsigned end = t < last ? t + 1 : (t == last ? windows * factor : t);
    float sum = 0.0f;
    for (unsigned from = t; from < end; from++) {
        sum += share(alpha, factor, from % factor) * g[(clip * windows + from / factor) * dim + d];
    }
    dx[i] = sum;
}

// What each clip says of the weights, into `parts` ([batch, factor]). A block a clip.
extern "C" __global__ void resample_down_parts(
    const float *x, const unsigned *counts, const float *g, float *parts, unsigned time,
    unsigned dim, unsigned windows, unsigned factor) {
    extern __shared__ float shared[];
    const size_t clip = blockIdx.x;
    const unsigned last = counts[clip] - 1;
    for (unsigned f = 0; f < factor; f++) {
        float sum = 0.0f;
        for (size_t i = threadIdx.x; i < (size_t)windows * dim; i += blockDim.x) {
            const unsigned t = min((unsigned)(i / dim) * factor + f, last);
            sum += g[clip * windows * dim + i] * x[(clip * time + t) * dim + i % dim];
        }
        sum = block_sum(sum, shared);
        if (threadIdx.x == 0) {
            parts[clip * factor + f] = sum;
        }
    }
}

// The gradient of alpha, through the softmax. One block; `sums` has `factor` entries.
extern "C" __global__ void resample_down_alpha(
    const float *alpha, const float *parts, float *sums, float *dalpha, unsigned batch,
    unsigned factor) {
    for (unsigned f = threadIdx.x; f < factor; f += blockDim.x) {
        float sum = 0.0f;
        for (unsigned clip = 0; clip < batch; clip++) {
            sum += parts[(size_t)clip * factor + f];
        }
        sums[f] = sum;
    }
    __syncthreads();
    for (unsigned f = threadIdx.x; f < factor; f += blockDim.x) {
        float common = 0.0f;
        for (unsigned other = 0; other < factor; other++) {
            common += share(alpha, factor, other) * sums[other];
        }
        dalpha[f] = share(alpha, factor, f) * (sums[f] - common);
    }
}

// Each frame `factor` times, the first `time` of them: [batch, windows, dim] -> [batch, time, dim].
extern "C" __global__ void resample_up(
    const float *x, float *y, unsigned batch, unsigned windows, unsigned dim, unsigned time,
    unsigned factor) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < (size_t)batch * time * dim) {
        const size_t d = i % dim, t = i / dim % time, clip = i / dim / time;
        y[i] = x[(clip * windows + t / factor) * dim + d];
    }
}

extern "C" __global__ void resample_up_backward(
    const float *g, float *dx, unsigned batch, unsigned windows, unsigned dim, unsigned time,
    unsigned factor) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < (size_t)batch * windows * dim) {
        const size_t d = i % dim, window = i / dim % windows, clip = i / dim / windows;
        const unsigned end = min((unsigned)(window + 1) * factor, time);
        float sum = 0.0f;
        for (unsigned t = window * factor; t < end; t++) {
            sum += g[(clip * time + t) * dim + d];
        }
        dx[i] = sum;
    }
}
