// Softmax attention and retention by head. A block has a tile of frames of one head of one clip.
//
// `powers` [heads, time] holds the powers of each head's decay; without it the weights are a
// softmax over the first `lengths[clip]` frames, or over all without lengths.

#include "heads.cuh"

// How many frames the clip's frames may see at all.
__device__ __forceinline__ unsigned mixing_valid(const unsigned *lengths, const Head &head) {
    return lengths ? lengths[head.clip] : head.sizes.time;
}

// What frame i has of frame j: nothing of a later one, whatever its value.
__device__ __forceinline__ float mixing_decayed(
    float value, const float *powers, unsigned i, unsigned j) {
    return j <= i ? value * powers[i - j] : 0.0f;
}

// Fills the weights of the block's frames i with frames j < until; a thread later reads back only
// what it wrote itself, as long as it keeps to its own columns.
__device__ __forceinline__ void mixing_weigh(
    Tiles &tiles, const Head &head, const float *powers, unsigned until, float *weights) {
    const Sizes &sizes = head.sizes;
    const unsigned x = threadIdx.x, i = head.first + threadIdx.y;
    const Rows q = {head.q, sizes.stride, sizes.time, sizes.width};
    const Rows k = {head.k, sizes.stride, until, sizes.width};
    const bool inside = i < sizes.time;
    float *row = weights + i * sizes.time;
    for (unsigned j0 = 0; j0 < until; j0 += TILE) {
        const float score = dot(tiles, q, head.first, k, j0) * sizes.scale;
        const unsigned j = j0 + x;
        if (inside && j < until) {
            row[j] = powers ? mixing_decayed(score, powers, i, j) : score;
        }
    }
    if (powers) {
        return;
    }
    float top = -INFINITY;
    for (unsigned j = x; inside && j < until; j += TILE) {
        top = fmaxf(top, row[j]);
    }
    top = row_max(tiles, top);
    float sum = 0.0f;
    for (unsigned j = x; inside && j < until; j += TILE) {
        row[j] = expf(row[j] - top);
        sum += row[j];
    }
    const float inverse = 1.0f / row_sum(tiles, sum);
    for (unsigned j = x; inside && j < until; j += TILE) {
        row[j] *= inverse;
    }
}

// Frames that the block's frames may see end before this one.
__device__ __forceinline__ unsigned mixing_until(
    const Head &head, const float *powers, const unsigned *lengths) {
    return powers ? min(head.first + TILE, head.sizes.time) : mixing_valid(lengths, head);
}

// `weights` is room for [batch, heads, time, time].
extern "C" __global__ void mixing_forward(
    const float *packed, const float *powers, const unsigned *lengths, float *weights, float *y,
    float scale, unsigned time, unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    const Sizes sizes = {time, heads, width, 3 * heads * width, scale};
    const Head head = block_head(packed, sizes);
    powers = powers ? powers + head.head * time : powers;
    weights += head.weights();
    const unsigned until = mixing_until(head, powers, lengths);
    mixing_weigh(tiles, head, powers, until, weights);
    __syncthreads();
    const Rows w = {weights, time, time, until};
    const Rows v = {head.v, sizes.stride, until, width};
    const unsigned i = head.first + threadIdx.y;
    y += head.frames() + i * heads * width;
    for (unsigned w0 = 0; w0 < width; w0 += TILE) {
        const float sum = combine_rows(tiles, w, head.first, v, w0, until);
        if (i < time && w0 + threadIdx.x < width) {
            y[w0 + threadIdx.x] = sum;
        }
    }
}

// The weights again, the gradients of the scores (`dscores`, shaped alike) and those of queries.
extern "C" __global__ void mixing_backward_queries(
    const float *packed, const float *powers, const unsigned *lengths, const float *g,
    float *weights, float *dscores, float *dpacked, float scale, unsigned time, unsigned heads,
    unsigned width) {
    __shared__ Tiles tiles;
    const Sizes sizes = {time, heads, width, 3 * heads * width, scale};
    const Head head = block_head(packed, sizes);
    powers = powers ? powers + head.head * time : powers;
    weights += head.weights();
    dscores += head.weights();
    const unsigned until = mixing_until(head, powers, lengths);
    mixing_weigh(tiles, head, powers, until, weights);
    const unsigned x = threadIdx.x, i = head.first + threadIdx.y;
    const bool inside = i < time;
    const Rows gs = {g + head.frames(), heads * width, time, width};
    const Rows v = {head.v, sizes.stride, until, width};
    const float *weight = weights + i * time;
    float *row = dscores + i * time;
    float along = 0.0f;
    for (unsigned j0 = 0; j0 < until; j0 += TILE) {
        const float dweight = dot(tiles, gs, head.first, v, j0);
        const unsigned j = j0 + x;
        if (inside && j < until) {
            row[j] = powers ? mixing_decayed(dweight, powers, i, j) : dweight;
            along += powers ? 0.0f : dweight * weight[j];
        }
    }
    if (!powers) {
        along = row_sum(tiles, along);
        for (unsigned j = x; inside && j < until; j += TILE) {
            row[j] = weight[j] * (row[j] - along);
        }
    }
    __syncthreads();
    const Rows ds = {dscores, time, time, until};
    const Rows k = {head.k, sizes.stride, until, width};
    dpacked += head.row(i);
    for (unsigned w0 = 0; w0 < width; w0 += TILE) {
        const float sum = combine_rows(tiles, ds, head.first, k, w0, until);
        if (inside && w0 + x < width) {
            dpacked[w0 + x] = sum * scale;
        }
    }
}

// Those of keys and values, from what the kernel before filled.
extern "C" __global__ void mixing_backward_keys(
    const float *packed, const unsigned *lengths, const float *g, const float *weights,
    const float *dscores, float *dpacked, unsigned causal, float scale, unsigned time,
    unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    const Sizes sizes = {time, heads, width, 3 * heads * width, scale};
    const Head head = block_head(packed, sizes);
    // Frames that see the block's: in a causal mixing none before its first, and padded frames are
    // seen by none.
    const unsigned valid = mixing_valid(lengths, head);
    const unsigned from = causal ? head.first : 0, to = head.first < valid ? time : from;
    const Rows w = {weights + head.weights(), time, time, valid};
    const Rows ds = {dscores + head.weights(), time, time, valid};
    const Rows q = {head.q, sizes.stride, time, width};
    const Rows gs = {g + head.frames(), heads * width, time, width};
    const unsigned x = threadIdx.x, j = head.first + threadIdx.y;
    float *row = dpacked + head.row(j);
    for (unsigned w0 = 0; w0 < width; w0 += TILE) {
        const float dk = combine_columns(tiles, ds, head.first, q, w0, from, to);
        const float dv = combine_columns(tiles, w, head.first, gs, w0, from, to);
        if (j < time && w0 + x < width) {
            row[heads * width + w0 + x] = dk * scale;
            row[2 * heads * width + w0 + x] = dv;
        }
    }
}
