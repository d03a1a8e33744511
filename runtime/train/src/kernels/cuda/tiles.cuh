// Products of matrices by a block of 16 x 16 threads, which hold a tile of each factor in shared
// memory: thread (x, y) computes the entry in row y and column x of a tile of the result.
#pragma once

constexpr unsigned TILE = 16;

// Summands of an entry that are loaded at a time.
constexpr unsigned DEPTH = 2 * TILE;

// A column more than is used: threads that read down a column then touch different banks.
struct Tiles {
    float left[TILE][DEPTH + 1];
    float right[TILE][DEPTH + 1];
};

// Which index of a factor neighbouring entries of memory differ in: the one that is summed over,
// or the one that the result keeps.
enum Along { SUMMED, KEPT };

template <Along ALONG, class Factor>
__device__ __forceinline__ void load_tile(
    float (*tile)[DEPTH + 1], unsigned from, const Factor &factor) {
    const unsigned kept = ALONG == SUMMED ? threadIdx.y : threadIdx.x;
    const unsigned summed = ALONG == SUMMED ? threadIdx.x : threadIdx.y;
    for (unsigned n = summed; n < DEPTH; n += TILE) {
        tile[kept][n] = factor(kept, from + n);
    }
}

// The sum of left(y, l) * right(x, l) over from <= l < to. Both are asked for l up to DEPTH beyond
// `to` and must be 0 there. All threads must call it, with the same bounds.
template <Along LEFT, Along RIGHT, class Left, class Right>
__device__ __forceinline__ float tile_product(
    Tiles &tiles, unsigned from, unsigned to, const Left &left, const Right &right) {
    const unsigned x = threadIdx.x, y = threadIdx.y;
    float sum = 0.0f;
    for (unsigned l = from; l < to; l += DEPTH) {
        load_tile<LEFT>(tiles.left, l, left);
        load_tile<RIGHT>(tiles.right, l, right);
        __syncthreads();
        for (unsigned n = 0; n < DEPTH; ++n) {
            sum += tiles.left[y][n] * tiles.right[x][n];
        }
        __syncthreads();
    }
    return sum;
}

// The sum of one value a thread over the threads of each row; all of the row get it. All threads
// must call it.
__device__ __forceinline__ float row_sum(Tiles &tiles, float value) {
    tiles.left[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned n = 0; n < TILE; ++n) {
        sum += tiles.left[threadIdx.y][n];
    }
    __syncthreads();
    return sum;
}

// Likewise the largest value; one that is not a number counts only where all are.
__device__ __forceinline__ float row_max(Tiles &tiles, float value) {
    tiles.left[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    float top = tiles.left[threadIdx.y][0];
    for (unsigned n = 1; n < TILE; ++n) {
        top = fmaxf(top, tiles.left[threadIdx.y][n]);
    }
    __syncthreads();
    return top;
}
