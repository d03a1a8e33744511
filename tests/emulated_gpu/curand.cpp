// Random numbers on the device: other ones than the real generator's, of the same distributions.
#include <cmath>
#include <random>

#include "emulated.h"

using namespace emulated;

namespace {

enum Status { OK = 0, NOT_INITIALIZED = 101, LENGTH_NOT_MULTIPLE = 105 };

struct Generator {
    std::mt19937_64 random;
    uint64_t seed = 0;
    void* stream = nullptr;
};

// In (0, 1], as of the real one.
template <class T>
T uniform(Generator& from) {
    return T(double((from.random() >> 40) + 1) / double(1ull << 24));
}

template <class T>
int uniforms(void* generator, T* to, size_t count) {
    if (!generator) return NOT_INITIALIZED;
    emulated_count(Count::random_fills, 1);
    emulated_use_stream(static_cast<Generator*>(generator)->stream);
    emulated_need_device(to, count * sizeof(T), "curand");
    for (size_t i = 0; i < count; ++i) to[i] = uniform<T>(*static_cast<Generator*>(generator));
    return OK;
}

template <class T>
int normals(void* generator, T* to, size_t count, T mean, T deviation) {
    if (!generator) return NOT_INITIALIZED;
    // Normal numbers come in pairs.
    if (count % 2) return LENGTH_NOT_MULTIPLE;
    emulated_count(Count::random_fills, 1);
    emulated_use_stream(static_cast<Generator*>(generator)->stream);
    emulated_need_device(to, count * sizeof(T), "curand");
    auto& from = *static_cast<Generator*>(generator);
    for (size_t i = 0; i < count; i += 2) {
        const double radius = std::sqrt(-2.0 * std::log(uniform<double>(from))), angle = 2.0 * M_PI * uniform<double>(from);
        to[i] = T(mean + deviation * radius * std::cos(angle));
        to[i + 1] = T(mean + deviation * radius * std::sin(angle));
    }
    return OK;
}

}  // namespace

EMULATED_API int curandCreateGenerator(void** generator, int) {
    *generator = new Generator;
    return OK;
}
EMULATED_API int curandDestroyGenerator(void* generator) {
    delete static_cast<Generator*>(generator);
    return OK;
}
EMULATED_API int curandSetStream(void* generator, void* stream) {
    if (!generator) return NOT_INITIALIZED;
    static_cast<Generator*>(generator)->stream = stream;
    return OK;
}
EMULATED_API int curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) {
    auto* own = static_cast<Generator*>(generator);
    own->seed = seed;
    own->random.seed(seed);
    return OK;
}
EMULATED_API int curandSetGeneratorOffset(void* generator, unsigned long long offset) {
    auto* own = static_cast<Generator*>(generator);
    own->random.seed(own->seed);
    own->random.discard(offset);
    return OK;
}
EMULATED_API int curandGenerateUniform(void* generator, float* to, size_t count) { return uniforms(generator, to, count); }
EMULATED_API int curandGenerateUniformDouble(void* generator, double* to, size_t count) { return uniforms(generator, to, count); }
EMULATED_API int curandGenerateNormal(void* generator, float* to, size_t count, float mean, float deviation) {
    return normals(generator, to, count, mean, deviation);
}
EMULATED_API int curandGenerateNormalDouble(void* generator, double* to, size_t count, double mean, double deviation) {
    return normals(generator, to, count, mean, deviation);
}
