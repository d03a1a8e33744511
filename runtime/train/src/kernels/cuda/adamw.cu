// One AdamW step of many variables in a launch, and the norm of all their gradients together.

#include "common.cuh"

// Variables of a launch; their table is an argument, so it must stay below 4 KiB.
#define VARIABLES 96
// Entries of a block, PIECE / blockDim.x a thread.
#define PIECE 4096

struct Variables {
    float *weights[VARIABLES];
    // First and second moments, one after the other.
    float *moments[VARIABLES];
    const float *gradients[VARIABLES];
    unsigned count[VARIABLES];
    // The block that begins with a variable.
    unsigned first[VARIABLES];
    // What weight decay leaves.
    float kept[VARIABLES];
    unsigned number;
};

// The variable of this block, and its entries `begin .. end`.
__device__ __forceinline__ unsigned piece(const Variables &all, unsigned &begin, unsigned &end) {
    unsigned low = 0, high = all.number;
    while (high - low > 1) {
        const unsigned middle = (low + high) / 2;
        if (all.first[middle] <= blockIdx.x) {
            low = middle;
        } else {
            high = middle;
        }
    }
    begin = (blockIdx.x - all.first[low]) * PIECE;
    end = min(begin + PIECE, all.count[low]);
    return low;
}

// The sum of the squares of each block's gradients, in `sums[before + block]`.
extern "C" __global__ void adamw_squares(Variables all, float *sums, unsigned before) {
    extern __shared__ float shared[];
    unsigned begin, end;
    const float *gradient = all.gradients[piece(all, begin, end)];
    float sum = 0.0f;
    for (unsigned i = begin + threadIdx.x; i < end; i += blockDim.x) {
        sum += gradient[i] * gradient[i];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        sums[before + blockIdx.x] = sum;
    }
}

// The root of their sum. One block.
extern "C" __global__ void adamw_norm(const float *sums, float *norm, unsigned count) {
    extern __shared__ float shared[];
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
        sum += sums[i];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        *norm = sqrtf(sum);
    }
}

// One step. Gradients whose norm is above `limit` are scaled down to it; 0 is no limit. `rate` holds
// the correction of the first moment, `inverse` is that of the second.
extern "C" __global__ void adamw_update(
    Variables all, const float *norm, float limit, float beta1, float beta2, float rate,
    float inverse, float epsilon) {
    unsigned begin, end;
    const unsigned variable = piece(all, begin, end);
    float *weights = all.weights[variable], *first = all.moments[variable];
    float *second = first + all.count[variable];
    const float *gradient = all.gradients[variable];
    const float kept = all.kept[variable];
    const float scale = limit > 0.0f && *norm > limit ? limit / *norm : 1.0f;
    for (unsigned i = begin + threadIdx.x; i < end; i += blockDim.x) {
        const float g = gradient[i] * scale;
        const float m = first[i] * beta1 + g * (1.0f - beta1);
        const float v = second[i] * beta2 + g * g * (1.0f - beta2);
        first[i] = m;
        second[i] = v;
        weights[i] = weights[i] * kept - rate * m / (sqrtf(v * inverse) + epsilon);
    }
}
