// The selective scan of Mamba: a thread a channel and state, 32 channels by up to 16 states a block
// (a tile of the states), frame after frame. `small` holds B_t and C_t of all clips
// ([batch, time, 2 states]), then a_log ([dim, states]), then D ([dim]).

#include "common.cuh"

#define CHANNELS 32
// A row of shared values, one longer than a warp so that columns lie in different banks.
#define ROW (CHANNELS + 1)

struct Scan {
    unsigned batch, time, dim, states, tile;
};

// Its parts as parameters of a kernel.
#define SIZES unsigned batch, unsigned time, unsigned dim, unsigned states, unsigned tile
#define SCAN const Scan s = {batch, time, dim, states, tile}

// Where a thread stands; blocks are [batch, groups of channels] in x and tiles of states in y.
struct Place {
    unsigned clip, group, groups, channel, state;
    bool real;
    __device__ explicit Place(const Scan &s) {
        groups = (s.dim + CHANNELS - 1) / CHANNELS;
        clip = blockIdx.x / groups;
        group = blockIdx.x % groups;
        channel = group * CHANNELS + threadIdx.x;
        state = blockIdx.y * s.tile + threadIdx.y;
        real = channel < s.dim && state < s.states;
    }
};

// Sum of a column of shared values over the states of a tile.
__device__ __forceinline__ float over_states(const float *values, const Scan &s) {
    float sum = 0.0f;
    for (unsigned n = 0; n < s.tile; n++) {
        sum += values[n * ROW + threadIdx.x];
    }
    return sum;
}

__device__ __forceinline__ const float *decays(const float *small, const Scan &s) {
    return small + (size_t)s.batch * s.time * 2 * s.states;
}

// `y` is [tiles, batch, time, dim].
extern "C" __global__ void selective_scan_forward(
    const float *u, const float *delta, const float *small, float *y, SIZES) {
    SCAN;
    extern __shared__ float shared[]; // [2, tile, ROW]
    const Place p(s);
    const float *a_log = decays(small, s), *skips = a_log + (size_t)s.dim * s.states;
    const float a = p.real ? -expf(a_log[(size_t)p.channel * s.states + p.state]) : 0.0f;
    const float skip = p.channel < s.dim ? skips[p.channel] : 0.0f;
    y += (size_t)blockIdx.y * s.batch * s.time * s.dim;
    float h = 0.0f;
    for (unsigned t = 0; t < s.time; t++) {
        const size_t frame = (size_t)p.clip * s.time + t, at = frame * s.dim + p.channel;
        float *values = shared + (t % 2) * s.tile * ROW;
        float value = 0.0f;
        if (p.real) {
            const float step = softplus(delta[at]);
            const float *bc = small + frame * 2 * s.states;
            h = expf(step * a) * h + u[at] * step * bc[p.state];
            value = h * bc[s.states + p.state];
        }
        values[threadIdx.y * ROW + threadIdx.x] = value;
        __syncthreads();
        if (threadIdx.y == 0 && p.channel < s.dim) {
            y[at] = (blockIdx.y == 0 ? u[at] * skip : 0.0f) + over_states(values, s);
        }
    }
}

// The states once more, into `kept` ([batch, time, states, dim]), then back through the frames.
// `along` and `slope` ([tiles, batch, time, dim]) are sums over states of d B and of the slopes of
// the exponents; `da` is [batch, states, dim], `dskip` [batch, dim], `dbc` [groups, batch, time,
// 2 states].
extern "C" __global__ void selective_scan_back(
    const float *u, const float *delta, const float *small, const float *g, float *kept,
    float *along, float *slope, float *da, float *dskip, float *dbc, SIZES) {
    SCAN;
    extern __shared__ float shared[]; // [2, 4, tile, ROW]
    const Place p(s);
    const unsigned plane = s.tile * ROW, mine = threadIdx.y * ROW + threadIdx.x;
    const float *a_log = decays(small, s);
    const float a = p.real ? -expf(a_log[(size_t)p.channel * s.states + p.state]) : 0.0f;
    const size_t results = (size_t)blockIdx.y * s.batch * s.time * s.dim;
    if (p.real) {
        float h = 0.0f;
        for (unsigned t = 0; t < s.time; t++) {
            const size_t frame = (size_t)p.clip * s.time + t, at = frame * s.dim + p.channel;
            const float step = softplus(delta[at]);
            h = expf(step * a) * h + u[at] * step * small[frame * 2 * s.states + p.state];
            kept[(frame * s.states + p.state) * s.dim + p.channel] = h;
        }
    }
    float carried = 0.0f, sum_a = 0.0f, sum_skip = 0.0f;
    for (unsigned back = 0; back < s.time; back++) {
        const unsigned t = s.time - 1 - back;
        const size_t frame = (size_t)p.clip * s.time + t, at = frame * s.dim + p.channel;
        float *values = shared + (back % 2) * 4 * plane;
        float to_b = 0.0f, to_c = 0.0f, along_b = 0.0f, exponents = 0.0f;
        if (p.real) {
            const float step = softplus(delta[at]), gradient = g[at];
            const float *bc = small + frame * 2 * s.states;
            const size_t here = (frame * s.states + p.state) * s.dim + p.channel;
            const float after = kept[here];
            const float before = t > 0 ? kept[here - (size_t)s.states * s.dim] : 0.0f;
            const float d = carried + gradient * bc[s.states + p.state];
            to_c = gradient * after;
            to_b = d * u[at] * step;
            along_b = d * bc[p.state];
            carried = d * expf(step * a);
            const float exponent = carried * before;
            exponents = exponent * a;
            sum_a += exponent * step;
            sum_skip += gradient * u[at];
        }
        values[mine] = along_b;
        values[plane + mine] = exponents;
        values[2 * plane + mine] = to_b;
        values[3 * plane + mine] = to_c;
        __syncthreads();
        if (threadIdx.y == 0 && p.channel < s.dim) {
            along[results + at] = over_states(values, s);
            slope[results + at] = over_states(values + plane, s);
        }
        // A thread for B and one for C of each state sums over the block's channels.
        const unsigned thread = threadIdx.y * CHANNELS + threadIdx.x;
        for (unsigned row = thread; row < 2 * s.tile; row += s.tile * CHANNELS) {
            const unsigned n = row % s.tile, state = blockIdx.y * s.tile + n;
            if (state < s.states) {
                float sum = 0.0f;
                for (unsigned c = 0; c < CHANNELS; c++) {
                    sum += values[2 * plane + row * ROW + c];
                }
                const size_t frames = (size_t)p.group * s.batch * s.time + frame;
                dbc[frames * 2 * s.states + (row / s.tile) * s.states + state] = sum;
            }
        }
    }
    if (p.real) {
        da[((size_t)p.clip * s.states + p.state) * s.dim + p.channel] = sum_a;
        if (p.state == 0) {
            dskip[(size_t)p.clip * s.dim + p.channel] = sum_skip;
        }
    }
}

// The gradients of u and delta, a thread an entry.
extern "C" __global__ void selective_scan_inputs(
    const float *u, const float *delta, const float *small, const float *g, const float *along,
    const float *slope, float *du, float *ddelta, SIZES, unsigned tiles) {
    SCAN;
    const size_t count = (size_t)s.batch * s.time * s.dim;
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) {
        return;
    }
    const float *skips = decays(small, s) + (size_t)s.dim * s.states;
    float along_b = 0.0f, slopes = 0.0f;
    for (unsigned part = 0; part < tiles; part++) {
        along_b += along[part * count + i];
        slopes += slope[part * count + i];
    }
    du[i] = g[i] * skips[i % s.dim] + along_b * softplus(delta[i]);
    ddelta[i] = (slopes + along_b * u[i]) * sigmoid(delta[i]);
}

// The gradient of `small`, a thread an entry.
extern "C" __global__ void selective_scan_weights(
    const float *small, const float *da, const float *dskip, const float *dbc, float *dsmall,
    SIZES, unsigned groups) {
    SCAN;
    const size_t bcs = (size_t)s.batch * s.time * 2 * s.states, logs = (size_t)s.dim * s.states;
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
    if (i < bcs) {
        for (unsigned group = 0; group < groups; group++) {
            sum += dbc[group * bcs + i];
        }
        dsmall[i] = sum;
    } else if (i < bcs + logs) {
        const size_t channel = (i - bcs) / s.states, state = (i - bcs) % s.states;
        for (unsigned clip = 0; clip < s.batch; clip++) {
            sum += da[((size_t)clip * s.states + state) * s.dim + channel];
        }
        dsmall[i] = -expf(small[i]) * sum; // dA / da_log = A
    } else if (i < bcs + logs + s.dim) {
        const size_t channel = i - bcs - logs;
        for (unsigned clip = 0; clip < s.batch; clip++) {
            sum += dskip[(size_t)clip * s.dim + channel];
        }
        dsmall[i] = sum;
    }
}

// The sum of the tiles' results.
extern "C" __global__ void selective_scan_tiles(
    const float *parts, float *y, unsigned count, unsigned tiles) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        float sum = 0.0f;
        for (unsigned part = 0; part < tiles; part++) {
            sum += parts[(size_t)part * count + i];
        }
        y[i] = sum;
    }
}
