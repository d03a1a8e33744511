// The mean loss of a batch and its slope for each logit.

#include "common.cuh"

// Focal loss with its exponent and the weight of the positive class, or cross-entropy on smoothed
// targets.
struct Objective {
    bool focal;
    float gamma, alpha, smoothing;
};

// The loss of a clip and its derivative by the logit.
__device__ __forceinline__ float clip_loss(
    const Objective &of, float logit, float target, float &slope) {
    const float p = sigmoid(logit), q = sigmoid(-logit);
    const float positive = softplus(-logit), negative = softplus(logit); // -log p, -log q
    if (!of.focal) {
        const float t = target * (1.0f - of.smoothing) + of.smoothing / 2.0f;
        slope = (1.0f - t) * p - t * q;
        return t * positive + (1.0f - t) * negative;
    }
    const float on = target * of.alpha * expf(-of.gamma * negative); // q^gamma
    const float off = (1.0f - target) * (1.0f - of.alpha) * expf(-of.gamma * positive); // p^gamma
    slope = off * (p + of.gamma * q * negative) - on * (q + of.gamma * p * positive);
    return on * positive + off * negative;
}

// One block.
extern "C" __global__ void loss_forward(
    const float *logits, const float *targets, float *mean, unsigned focal, float gamma,
    float alpha, float smoothing, unsigned count) {
    extern __shared__ float shared[];
    const Objective of = {focal != 0, gamma, alpha, smoothing};
    float sum = 0.0f, slope;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
        sum += clip_loss(of, logits[i], targets[i], slope);
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        *mean = sum / (float)count;
    }
}

extern "C" __global__ void loss_backward(
    const float *logits, const float *targets, const float *g, float *dlogits, unsigned focal,
    float gamma, float alpha, float smoothing, unsigned count) {
    const Objective of = {focal != 0, gamma, alpha, smoothing};
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        float slope;
        clip_loss(of, logits[i], targets[i], slope);
        dlogits[i] = *g * slope / (float)count;
    }
}
