// The matrix memory of the mLSTM in its parallel form. A block has a tile of frames of one head of
// one clip; frames hear those up to themselves.

#include "common.cuh"
#include "heads.cuh"

constexpr unsigned LINE = TILE * TILE;

// The sum of one value a thread over the threads up to this one, of which there are LINE, counted
// row by row. The caller waits for all threads before `shared` is written again.
__device__ __forceinline__ float matrix_memory_cumulate(float *shared, float value) {
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    shared[thread] = value;
    __syncthreads();
    for (unsigned step = 1; step < LINE; step *= 2) {
        const float before = thread >= step ? shared[thread - step] : 0.0f;
        __syncthreads();
        shared[thread] += before;
        __syncthreads();
    }
    return shared[thread];
}

// The exponents F_i - F_j + input_j of one head of one clip.
struct Gates {
    // Those of frame 0, before their activations.
    const float *input, *forget;
    unsigned stride;
    // F, the sums of log sigmoid(forget).
    const float *sums;

    __device__ __forceinline__ float exponent(unsigned i, unsigned j) const {
        return sums[i] - sums[j] + input[j * stride];
    }
};

// Where a frame's input gate of this head is in the packed rows; the forget gate is `heads` on.
__device__ __forceinline__ size_t matrix_memory_gate(const Head &head, unsigned frame) {
    const Sizes &sizes = head.sizes;
    const size_t row = size_t(head.clip) * sizes.time + frame;
    return row * sizes.stride + 3 * sizes.heads * sizes.width + head.head;
}

// The gates, and their sums over frames before `until`, to a line of `sums` for each block: filled
// by each for itself, which is less than another launch.
__device__ __forceinline__ Gates matrix_memory_gates(
    float *shared, const float *packed, const Head &head, unsigned until, float *sums) {
    const Sizes &sizes = head.sizes;
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    const float *input = packed + matrix_memory_gate(head, 0), *forget = input + sizes.heads;
    float before = 0.0f;
    for (unsigned t0 = 0; t0 < until; t0 += LINE) {
        const unsigned t = t0 + thread;
        const float kept = t < until ? -softplus(-forget[t * sizes.stride]) : 0.0f;
        const float sum = before + matrix_memory_cumulate(shared, kept);
        if (t < until) {
            sums[t] = sum;
        }
        before += shared[LINE - 1];
        __syncthreads();
    }
    return {input, forget, sizes.stride, sums};
}

// What a frame's weights are divided by.
struct Denominator {
    // The largest exponent of the frame.
    float top;
    float inverse;
    // Of the sum of the weights, where it is that which they are divided by; else 0.
    float sign;
};

// Fills the weights of the block's frames i with frames j < until, before they are divided.
__device__ __forceinline__ Denominator matrix_memory_weigh(
    Tiles &tiles, const Head &head, const Gates &gates, unsigned until, float *weights) {
    const Sizes &sizes = head.sizes;
    const unsigned x = threadIdx.x, i = head.first + threadIdx.y;
    const Rows q = {head.q, sizes.stride, sizes.time, sizes.width};
    const Rows k = {head.k, sizes.stride, until, sizes.width};
    float top = -INFINITY;
    for (unsigned j = x; i < sizes.time && j <= i; j += TILE) {
        top = fmaxf(top, gates.exponent(i, j));
    }
    top = row_max(tiles, top);
    float *row = weights + i * sizes.time;
    float total = 0.0f;
    for (unsigned j0 = 0; j0 < until; j0 += TILE) {
        const float score = dot(tiles, q, head.first, k, j0) * sizes.scale;
        const unsigned j = j0 + x;
        if (i < sizes.time && j < until) {
            const float weight = j <= i ? score * expf(gates.exponent(i, j) - top) : 0.0f;
            row[j] = weight;
            total += weight;
        }
    }
    total = row_sum(tiles, total);
    const float floor = expf(-top);
    if (fabsf(total) > floor) {
        return {top, 1.0f / fabsf(total), total > 0.0f ? 1.0f : -1.0f};
    }
    return {top, 1.0f / floor, 0.0f};
}

// `sums` is room for a line of `time` a block, `weights` for [batch, heads, time, time].
extern "C" __global__ void matrix_memory_forward(
    const float *packed, float *sums, float *weights, float *y, float scale, unsigned time,
    unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    __shared__ float line[LINE];
    const Sizes sizes = {time, heads, width, 3 * heads * width + 2 * heads, scale};
    const Head head = block_head(packed, sizes);
    const unsigned until = min(head.first + TILE, time);
    sums += size_t(blockIdx.x) * time;
    weights += head.weights();
    const Gates gates = matrix_memory_gates(line, packed, head, until, sums);
    const Denominator by = matrix_memory_weigh(tiles, head, gates, until, weights);
    __syncthreads();
    const Rows w = {weights, time, time, until};
    const Rows v = {head.v, sizes.stride, until, width};
    const unsigned i = head.first + threadIdx.y;
    y += head.frames() + i * heads * width;
    for (unsigned w0 = 0; w0 < width; w0 += TILE) {
        const float sum = combine_rows(tiles, w, head.first, v, w0, until);
        if (i < time && w0 + threadIdx.x < width) {
            y[w0 + threadIdx.x] = sum * by.inverse;
        }
    }
}

// The weights again, here divided, the gradients of the scores (`dscores`, shaped alike), those of
// queries, and each frame's share of the gradients of F as the row of a weight, [batch, heads, time].
extern "C" __global__ void matrix_memory_backward_queries(
    const float *packed, const float *y, const float *g, float *sums, float *weights,
    float *dscores, float *dsums, float *dpacked, float scale, unsigned time, unsigned heads,
    unsigned width) {
    __shared__ Tiles tiles;
    __shared__ float line[LINE];
    const Sizes sizes = {time, heads, width, 3 * heads * width + 2 * heads, scale};
    const Head head = block_head(packed, sizes);
    const unsigned until = min(head.first + TILE, time);
    sums += size_t(blockIdx.x) * time;
    weights += head.weights();
    dscores += head.weights();
    const Gates gates = matrix_memory_gates(line, packed, head, until, sums);
    const Denominator by = matrix_memory_weigh(tiles, head, gates, until, weights);

    const unsigned x = threadIdx.x, i = head.first + threadIdx.y;
    const bool inside = i < time;
    const Rows gs = {g + head.frames(), heads * width, time, width};
    const Rows ys = {y + head.frames(), heads * width, time, width};
    const Rows v = {head.v, sizes.stride, until, width};
    float along = 0.0f;
    for (unsigned w = x; w < width; w += TILE) {
        along += gs(i, w) * ys(i, w);
    }
    along = row_sum(tiles, along);
    // Of the denominator.
    const float common = by.sign != 0.0f ? along * by.inverse * by.sign : 0.0f;
    float *weight = weights + i * time, *row = dscores + i * time;
    float dsum = 0.0f;
    for (unsigned j0 = 0; j0 < until; j0 += TILE) {
        const float dweight = dot(tiles, gs, head.first, v, j0) * by.inverse - common;
        const unsigned j = j0 + x;
        if (inside && j < until) {
            dsum += j <= i ? dweight * weight[j] : 0.0f;
            row[j] = j <= i ? dweight * expf(gates.exponent(i, j) - by.top) : 0.0f;
            weight[j] *= by.inverse;
        }
    }
    dsum = row_sum(tiles, dsum);
    if (inside && x == 0) {
        dsums[(size_t(head.clip) * heads + head.head) * time + i] = dsum;
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

// Those of keys, values and input gates. An input gate scales the weights of its column as a key
// does, so that the sum of dweight * weight down a column is the key times its gradient.
extern "C" __global__ void matrix_memory_backward_keys(
    const float *packed, const float *g, const float *weights, const float *dscores,
    float *dpacked, float scale, unsigned time, unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    const Sizes sizes = {time, heads, width, 3 * heads * width + 2 * heads, scale};
    const Head head = block_head(packed, sizes);
    const Rows w = {weights + head.weights(), time, time, time};
    const Rows ds = {dscores + head.weights(), time, time, time};
    const Rows q = {head.q, sizes.stride, time, width};
    const Rows k = {head.k, sizes.stride, time, width};
    const Rows gs = {g + head.frames(), heads * width, time, width};
    const unsigned x = threadIdx.x, j = head.first + threadIdx.y;
    float *row = dpacked + head.row(j);
    float dinput = 0.0f;
    for (unsigned w0 = 0; w0 < width; w0 += TILE) {
        const float dk = scale * combine_columns(tiles, ds, head.first, q, w0, head.first, time);
        const float dv = combine_columns(tiles, w, head.first, gs, w0, head.first, time);
        dinput += dk * k(j, w0 + x);
        if (j < time && w0 + x < width) {
            row[heads * width + w0 + x] = dk;
            row[2 * heads * width + w0 + x] = dv;
        }
    }
    dinput = row_sum(tiles, dinput);
    if (j < time && x == 0) {
        dpacked[matrix_memory_gate(head, j)] = dinput;
    }
}

// Those of forget gates: F_i is in the weights of row i, its opposite in those of column i, and a
// gate is in all F from its frame on. A block of LINE threads has one head of one clip.
extern "C" __global__ void matrix_memory_backward_gates(
    const float *packed, const float *dsums, float *dpacked, unsigned time, unsigned heads,
    unsigned width) {
    __shared__ float line[LINE];
    const Sizes sizes = {time, heads, width, 3 * heads * width + 2 * heads, 0.0f};
    const Head head = {packed, packed, packed, sizes, blockIdx.x / heads, blockIdx.x % heads, 0};
    dsums += size_t(blockIdx.x) * time;
    float after = 0.0f;
    for (unsigned t0 = 0; t0 < time; t0 += LINE) {
        // From the last frame to the first.
        const bool inside = t0 + threadIdx.x < time;
        const unsigned t = inside ? time - 1 - t0 - threadIdx.x : 0;
        const size_t input = matrix_memory_gate(head, t), forget = input + heads;
        const float value = inside ? dsums[t] - dpacked[input] : 0.0f;
        const float sum = after + matrix_memory_cumulate(line, value);
        if (inside) {
            dpacked[forget] = sum * sigmoid(-packed[forget]);
        }
        after += line[LINE - 1];
        __syncthreads();
    }
}
