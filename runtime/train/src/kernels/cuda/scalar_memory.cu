// The scalar memory of the sLSTM. Gates of a frame are [4, heads, width]: input, forget, cell
// input, output; recurrent weights are [4, heads, width, width], from the last to the one before.
//
// Frames follow one another, so a block has one head of one clip and goes from frame to frame; its
// threads are (unit, gate), of so many units at a time as the block is wide.

#include "common.cuh"
#include "tiles.cuh"

constexpr unsigned GATES = 4, UNITS = 256;

struct Cell {
    float input, forget, z, output, c, n, m;
};

// The cell of one unit from its gates before their activations and its c, n and m before.
__device__ __forceinline__ Cell scalar_memory_step(
    float input, float forget, float z, float output, float c, float n, float m) {
    const float kept = m - softplus(-forget);
    Cell cell;
    cell.m = kept > input ? kept : input;
    cell.input = expf(input - cell.m);
    cell.forget = expf(kept - cell.m);
    cell.z = tanhf(z);
    cell.output = sigmoid(output);
    cell.c = cell.forget * c + cell.input * cell.z;
    cell.n = cell.forget * n + cell.input;
    return cell;
}

// [4, heads, width, width] -> [heads, width, 4, width]: what a hidden unit is heard by lies
// together. A block of 16 x 16 threads has a tile of the weights of one gate of one head.
extern "C" __global__ void scalar_memory_turn(
    const float *recurrent, float *turned, unsigned heads, unsigned width) {
    __shared__ float tile[TILE][TILE + 1];
    const unsigned side = (width + TILE - 1) / TILE, part = blockIdx.x / (side * side);
    const unsigned gate = part / heads, head = part % heads;
    const unsigned k0 = blockIdx.x / side % side * TILE, w0 = blockIdx.x % side * TILE;
    const unsigned x = threadIdx.x, y = threadIdx.y;
    if (k0 + y < width && w0 + x < width) {
        tile[y][x] = recurrent[(size_t(part) * width + k0 + y) * width + w0 + x];
    }
    __syncthreads();
    if (w0 + y < width && k0 + x < width) {
        turned[((size_t(head) * width + w0 + y) * GATES + gate) * width + k0 + x] = tile[x][y];
    }
}

// `state` is room for [3, batch, heads, width].
extern "C" __global__ void __launch_bounds__(GATES * UNITS) scalar_memory_forward(
    const float *gates, const float *turned, float *state, float *hidden, unsigned time,
    unsigned heads, unsigned width) {
    __shared__ float opened[GATES][UNITS];
    const unsigned x = threadIdx.x, gate = threadIdx.y, dim = heads * width;
    const unsigned head = blockIdx.x % heads, first = head * width;
    const size_t states = size_t(gridDim.x) * width;
    float *cs = state + size_t(blockIdx.x) * width, *ns = cs + states, *ms = ns + states;
    size_t frame = size_t(blockIdx.x / heads) * time;
    turned += size_t(first) * GATES * width;
    for (unsigned t = 0; t < time; ++t, ++frame) {
        const float *before = hidden + (t > 0 ? frame - 1 : 0) * dim + first;
        for (unsigned k0 = 0; k0 < width; k0 += blockDim.x) {
            const unsigned k = k0 + x;
            if (k < width) {
                float heard = 0.0f;
                const float *weights = turned + gate * width + k;
#pragma unroll 8
                for (unsigned w = 0; w < (t > 0 ? width : 0); ++w) {
                    heard += before[w] * weights[size_t(w) * GATES * width];
                }
                opened[gate][x] = gates[(frame * GATES + gate) * dim + first + k] + heard;
            }
            __syncthreads();
            if (k < width && gate == 0) {
                const Cell cell = scalar_memory_step(
                    opened[0][x], opened[1][x], opened[2][x], opened[3][x], t > 0 ? cs[k] : 0.0f,
                    t > 0 ? ns[k] : 0.0f, t > 0 ? ms[k] : -INFINITY);
                cs[k] = cell.c;
                ns[k] = cell.n;
                ms[k] = cell.m;
                hidden[frame * dim + first + k] = cell.output * cell.c / cell.n;
            }
            __syncthreads();
        }
    }
}

// The gates with what they heard of the hidden state before, which is known on the way back. A
// block of 16 x 16 threads has a tile of frames, of all clips, and of units of one gate of a head.
extern "C" __global__ void scalar_memory_hear(
    const float *gates, const float *recurrent, const float *hidden, float *opened,
    unsigned frames, unsigned time, unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    const unsigned across = (width + TILE - 1) / TILE, down = (frames + TILE - 1) / TILE;
    const unsigned part = blockIdx.x / across / down, head = part % heads;
    const unsigned f0 = blockIdx.x / across % down * TILE, k0 = blockIdx.x % across * TILE;
    const float *weights = recurrent + size_t(part) * width * width;
    const unsigned dim = heads * width;
    const float heard = tile_product<SUMMED, SUMMED>(
        tiles, 0, width,
        [&](unsigned row, unsigned w) {
            const unsigned frame = f0 + row;
            const bool any = frame < frames && frame % time > 0 && w < width;
            return any ? hidden[size_t(frame - 1) * dim + head * width + w] : 0.0f;
        },
        [&](unsigned column, unsigned w) {
            const unsigned k = k0 + column;
            return k < width && w < width ? weights[size_t(k) * width + w] : 0.0f;
        });
    const unsigned frame = f0 + threadIdx.y, k = k0 + threadIdx.x;
    if (frame < frames && k < width) {
        const size_t at = size_t(frame) * GATES * dim + part * width + k;
        opened[at] = gates[at] + heard;
    }
}

// In `dgates` the gates as they were heard become, frame by frame on the way back, their
// gradients. `kept` is room for [3, batch, time, heads, width].
extern "C" __global__ void __launch_bounds__(GATES * UNITS) scalar_memory_backward_gates(
    const float *recurrent, const float *dhidden, float *dgates, float *kept, unsigned time,
    unsigned heads, unsigned width) {
    __shared__ float parts[GATES][UNITS];
    const unsigned x = threadIdx.x, gate = threadIdx.y, dim = heads * width;
    const unsigned first = blockIdx.x % heads * width;
    const size_t start = size_t(blockIdx.x / heads) * time * dim + first;
    const size_t all = size_t(gridDim.x) * time * width;
    float *closing = kept + start, *cs = closing + all, *ns = cs + all;
    dhidden += start;
    dgates += size_t(blockIdx.x / heads) * time * GATES * dim + first;

    // The way there once more. Gates are left as they are after their activations.
    for (unsigned k = gate * blockDim.x + x; k < width; k += GATES * blockDim.x) {
        float c = 0.0f, n = 0.0f, m = -INFINITY;
        for (unsigned t = 0; t < time; ++t) {
            float *gates = dgates + size_t(t) * GATES * dim + k;
            const size_t at = size_t(t) * dim + k;
            closing[at] = sigmoid(-gates[dim]);
            const Cell cell = scalar_memory_step(
                gates[0], gates[dim], gates[2 * dim], gates[3 * dim], c, n, m);
            gates[0] = cell.input;
            gates[dim] = cell.forget;
            gates[2 * dim] = cell.z;
            gates[3 * dim] = cell.output;
            cs[at] = c = cell.c;
            ns[at] = n = cell.n;
            m = cell.m;
        }
    }
    __syncthreads();

    const float *weights = recurrent + (size_t(gate) * dim + first) * width;
    for (unsigned t = time; t-- > 0;) {
        float *gates = dgates + size_t(t) * GATES * dim;
        const float *later = gates + (GATES + gate) * dim;
        for (unsigned k0 = 0; k0 < width; k0 += blockDim.x) {
            const unsigned k = k0 + x;
            float part = 0.0f;
#pragma unroll 8
            for (unsigned j = 0; j < (k < width && t + 1 < time ? width : 0); ++j) {
                part += later[j] * weights[size_t(j) * width + k];
            }
            parts[gate][x] = part;
            __syncthreads();
            if (k < width && gate == 0) {
                const size_t at = size_t(t) * dim + k;
                const float heard = parts[0][x] + parts[1][x] + parts[2][x] + parts[3][x];
                const float dh = dhidden[at] + heard;
                const float input = gates[k], forget = gates[dim + k];
                const float z = gates[2 * dim + k], output = gates[3 * dim + k];
                const float ratio = cs[at] / ns[at], pull = dh * output / ns[at];
                // What frame t + 1 passed on lies where its own c and n were.
                const float dc = (t + 1 < time ? cs[at + dim] : 0.0f) + pull;
                const float dn = (t + 1 < time ? ns[at + dim] : 0.0f) - pull * ratio;
                const float c = t > 0 ? cs[at - dim] : 0.0f, n = t > 0 ? ns[at - dim] : 0.0f;
                const float along = dc * c + dn * n;
                gates[k] = (dc * z + dn) * input;
                gates[dim + k] = along * forget * closing[at];
                gates[2 * dim + k] = dc * input * (1.0f - z * z);
                gates[3 * dim + k] = dh * ratio * output * (1.0f - output);
                cs[at] = dc * forget;
                ns[at] = dn * forget;
            }
            __syncthreads();
        }
    }
}

// The gradients of the recurrent weights. A block of 16 x 16 threads has a tile of those of one
// gate of one head.
extern "C" __global__ void scalar_memory_backward_recurrent(
    const float *dgates, const float *hidden, float *drecurrent, unsigned frames, unsigned time,
    unsigned heads, unsigned width) {
    __shared__ Tiles tiles;
    const unsigned side = (width + TILE - 1) / TILE, part = blockIdx.x / (side * side);
    const unsigned head = part % heads, dim = heads * width;
    const unsigned k0 = blockIdx.x / side % side * TILE, w0 = blockIdx.x % side * TILE;
    const float sum = tile_product<KEPT, KEPT>(
        tiles, 0, frames,
        [&](unsigned row, unsigned frame) {
            const unsigned k = k0 + row;
            const bool any = k < width && frame < frames;
            return any ? dgates[size_t(frame) * GATES * dim + part * width + k] : 0.0f;
        },
        [&](unsigned column, unsigned frame) {
            const unsigned w = w0 + column;
            const bool any = w < width && frame < frames && frame % time > 0;
            return any ? hidden[size_t(frame - 1) * dim + head * width + w] : 0.0f;
        });
    const unsigned k = k0 + threadIdx.y, w = w0 + threadIdx.x;
    if (k < width && w < width) {
        drecurrent[(size_t(part) * width + k) * width + w] = sum;
    }
}
