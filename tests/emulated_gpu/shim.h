// CUDA C++ as g++ reads it; force-included before each `.cu` file. `build.sh` replaces the words
// that begin with `__emulated_` after preprocessing.
#pragma once
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cfloat>
#include <climits>
#include <cmath>
#include <type_traits>

#include "kernel.h"

#define __CUDACC__ 1
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define CUDA_VERSION 13000

#define __global__ __emulated_kernel__
#define __shared__ __emulated_shared__
#define __launch_bounds__(...) __emulated_bounds__(__VA_ARGS__)
#define __device__
#define __host__
#define __constant__ static const
#define __managed__
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

/// Where the thread that runs now is; the scheduler sets it before it resumes one.
struct EmulatedPosition {
    uint3 thread, block;
    dim3 threads, blocks;
};
extern "C" EmulatedPosition emulated_position;
extern "C" char emulated_dynamic_shared[];

#define threadIdx (emulated_position.thread)
#define blockIdx (emulated_position.block)
#define blockDim (emulated_position.threads)
#define gridDim (emulated_position.blocks)
#define warpSize 32

/// Waits for the live threads of the block.
extern "C" void emulated_barrier(const char* file, int line);
/// Waits for the live lanes of `mask`; the value of lane `source`, whose bits are all set where that
/// lane takes no part.
extern "C" uint64_t emulated_shuffle(const char* file, int line, unsigned mask, uint64_t value, int source);
/// Waits for the live lanes of `mask`; the lanes whose predicate holds.
extern "C" unsigned emulated_ballot(const char* file, int line, unsigned mask, bool predicate);
/// The lane of the thread that runs now.
inline int emulated_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

#define __syncthreads() emulated_barrier(__FILE__, __LINE__)
#define __syncwarp(...) ((void)emulated_ballot(__FILE__, __LINE__, emulated_mask(__VA_ARGS__), false))
#define __ballot_sync(mask, p) emulated_ballot(__FILE__, __LINE__, (mask), (p))
#define __any_sync(mask, p) (emulated_ballot(__FILE__, __LINE__, (mask), (p)) != 0)
#define __all_sync(mask, p) (emulated_ballot(__FILE__, __LINE__, (mask), !(p)) == 0)
#define __shfl_xor_sync(...) emulated_shuffle_xor(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emulated_shuffle_down(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emulated_shuffle_up(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_sync(...) emulated_shuffle_from(__FILE__, __LINE__, __VA_ARGS__)
inline void __threadfence() {}
inline void __threadfence_block() {}

inline unsigned emulated_mask(unsigned mask = 0xffffffffu) { return mask; }

template <class T>
T emulated_exchange(const char* file, int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = emulated_shuffle(file, line, mask, bits, source);
    memcpy(&value, &bits, sizeof(T));
    return value;
}
template <class T>
T emulated_shuffle_xor(const char* file, int line, unsigned mask, T value, int by, int width = 32) {
    const int lane = emulated_lane(), source = lane ^ by;
    return emulated_exchange(file, line, mask, value, source < (lane & ~(width - 1)) + width ? source : lane);
}
template <class T>
T emulated_shuffle_down(const char* file, int line, unsigned mask, T value, unsigned by, int width = 32) {
    const int lane = emulated_lane(), source = lane + int(by);
    return emulated_exchange(file, line, mask, value, source < (lane & ~(width - 1)) + width ? source : lane);
}
template <class T>
T emulated_shuffle_up(const char* file, int line, unsigned mask, T value, unsigned by, int width = 32) {
    const int lane = emulated_lane(), source = lane - int(by);
    return emulated_exchange(file, line, mask, value, source >= (lane & ~(width - 1)) ? source : lane);
}
template <class T>
T emulated_shuffle_from(const char* file, int line, unsigned mask, T value, int from, int width = 32) {
    const int lane = emulated_lane();
    return emulated_exchange(file, line, mask, value, (lane & ~(width - 1)) + (from & (width - 1)));
}

// Threads run one at a time, so that a plain read and write is atomic.
template <class T, class U>
T atomicAdd(T* at, U value) {
    T old = *at;
    *at = old + T(value);
    return old;
}
template <class T, class U>
T atomicMax(T* at, U value) {
    T old = *at;
    if (T(value) > old) *at = T(value);
    return old;
}
template <class T, class U>
T atomicMin(T* at, U value) {
    T old = *at;
    if (T(value) < old) *at = T(value);
    return old;
}
template <class T, class U>
T atomicExch(T* at, U value) {
    T old = *at;
    *at = T(value);
    return old;
}
template <class T, class U, class V>
T atomicCAS(T* at, U compare, V value) {
    T old = *at;
    if (old == T(compare)) *at = T(value);
    return old;
}
template <class T>
T __ldg(const T* at) { return *at; }
template <class T>
T __ldcs(const T* at) { return *at; }
template <class T>
void __stcs(T* at, T value) { *at = value; }

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> min(A a, B b) {
    using C = std::common_type_t<A, B>;
    return C(b) < C(a) ? C(b) : C(a);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> max(A a, B b) {
    using C = std::common_type_t<A, B>;
    return C(a) < C(b) ? C(b) : C(a);
}
using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanhf(float x) { return tanhf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline uint64_t __umul64hi(uint64_t a, uint64_t b) { return uint64_t(((unsigned __int128)a * b) >> 64); }

template <class To, class From>
To emulated_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return emulated_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulated_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulated_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulated_bits<double>(x); }
