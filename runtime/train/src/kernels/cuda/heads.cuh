// One head of one clip, and a tile of its frames, for a block of 16 x 16 threads. Rows of `stride`
// entries begin with queries, keys and values, heads in order in each.
#pragma once

#include "tiles.cuh"

// As sizes are passed to a kernel.
struct Sizes {
    unsigned time, heads, width, stride;
    // 1 / sqrt(width).
    float scale;
};

struct Head {
    // Those of frame 0.
    const float *q, *k, *v;
    Sizes sizes;
    // The block's.
    unsigned clip, head;
    // The block's first frame.
    unsigned first;

    // Where this clip and head begin in [batch, heads, time, time].
    __device__ __forceinline__ size_t weights() const {
        return (size_t(clip) * sizes.heads + head) * sizes.time * sizes.time;
    }

    // Where this head's part of frame 0 is in [batch, time, heads * width].
    __device__ __forceinline__ size_t frames() const {
        return (size_t(clip) * sizes.time * sizes.heads + head) * sizes.width;
    }

    // Where this head's queries of a frame are in the packed rows.
    __device__ __forceinline__ size_t row(unsigned frame) const {
        return (size_t(clip) * sizes.time + frame) * sizes.stride + head * sizes.width;
    }
};

// Blocks are numbered by clip, head and tile of frames.
__device__ __forceinline__ Head block_head(const float *packed, const Sizes &sizes) {
    const unsigned tiles = (sizes.time + TILE - 1) / TILE;
    const unsigned each = blockIdx.x / tiles;
    const unsigned clip = each / sizes.heads, head = each % sizes.heads;
    const unsigned dim = sizes.heads * sizes.width;
    Head block = {packed, packed, packed, sizes, clip, head, blockIdx.x % tiles * TILE};
    block.q += block.row(0);
    block.k += block.row(0) + dim;
    block.v += block.row(0) + 2 * dim;
    return block;
}

// Rows of `stride` entries: entry (frame, column), and 0 from frame `until` and column `width` on.
struct Rows {
    const float *values;
    unsigned stride, until, width;

    __device__ __forceinline__ float operator()(unsigned frame, unsigned column) const {
        return frame < until && column < width ? values[frame * stride + column] : 0.0f;
    }
};

// Of this thread's frame and frame j0 + x: row(frame) . other(j0 + x).
__device__ __forceinline__ float dot(
    Tiles &tiles, const Rows &rows, unsigned i0, const Rows &others, unsigned j0) {
    return tile_product<SUMMED, SUMMED>(
        tiles, 0, rows.width,
        [&](unsigned row, unsigned w) { return rows(i0 + row, w); },
        [&](unsigned column, unsigned w) { return others(j0 + column, w); });
}

// Entry w0 + x of the sum of weights[i0 + y][j] * others[j] over j < until.
__device__ __forceinline__ float combine_rows(
    Tiles &tiles, const Rows &weights, unsigned i0, const Rows &others, unsigned w0,
    unsigned until) {
    return tile_product<SUMMED, KEPT>(
        tiles, 0, until,
        [&](unsigned row, unsigned j) { return weights(i0 + row, j); },
        [&](unsigned column, unsigned j) { return others(j, w0 + column); });
}

// Entry w0 + x of the sum of weights[i][j0 + y] * others[i] over from <= i < to.
__device__ __forceinline__ float combine_columns(
    Tiles &tiles, const Rows &weights, unsigned j0, const Rows &others, unsigned w0,
    unsigned from, unsigned to) {
    return tile_product<KEPT, KEPT>(
        tiles, from, to,
        [&](unsigned column, unsigned i) { return weights(i, j0 + column); },
        [&](unsigned column, unsigned i) { return others(i, w0 + column); });
}
