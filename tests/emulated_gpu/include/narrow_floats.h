// Floats of 16 and 8 bits: kept as bits, computed with as f32 and rounded to nearest after each
// operation, as the device does.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

namespace emulated {

struct HalfBits {
    using Bits = uint16_t;
    static float decode(Bits bits) {
        _Float16 x;
        memcpy(&x, &bits, 2);
        return float(x);
    }
    static Bits encode(float x) {
        const _Float16 narrow = _Float16(x);
        Bits bits;
        memcpy(&bits, &narrow, 2);
        return bits;
    }
};

struct BrainBits {
    using Bits = uint16_t;
    static float decode(Bits bits) {
        const uint32_t wide = uint32_t(bits) << 16;
        float x;
        memcpy(&x, &wide, 4);
        return x;
    }
    static Bits encode(float x) {
        if (isnan(x)) return 0x7FFF;
        uint32_t wide;
        memcpy(&wide, &x, 4);
        return Bits((wide + 0x7FFFu + (wide >> 16 & 1)) >> 16);
    }
};

// Four bits of exponent, three of mantissa, no infinities; what is too large becomes the largest.
struct E4m3Bits {
    using Bits = uint8_t;
    static float decode(Bits bits) {
        const int exponent = bits >> 3 & 15, mantissa = bits & 7;
        const float size = (bits & 0x7F) == 0x7F ? NAN
                           : exponent          ? ldexpf(float(8 + mantissa), exponent - 10)
                                               : ldexpf(float(mantissa), -9);
        return bits & 0x80 ? -size : size;
    }
    static Bits encode(float x) {
        if (isnan(x)) return 0x7F;
        const Bits sign = signbit(x) ? 0x80 : 0;
        const float size = fabsf(x);
        if (size >= 448.0f) return sign | 0x7E;
        int exponent = size > 0.0f ? ilogbf(size) : -7;
        if (exponent < -6) exponent = -6;
        // In units of the last place; rounding up may carry into the exponent.
        const int units = int(nearbyintf(ldexpf(size, 3 - exponent)));
        const int bits = units < 8 ? units : ((exponent + 7) << 3) + units - 8;
        return Bits(sign | bits);
    }
};

template <class Format>
struct Narrow {
    typename Format::Bits __x;

    Narrow() = default;
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
    Narrow(T value) : __x(Format::encode(float(value))) {}
    operator float() const { return Format::decode(__x); }

    template <class T>
    Narrow& operator+=(T other) { return *this = Narrow(float(*this) + float(other)); }
    template <class T>
    Narrow& operator-=(T other) { return *this = Narrow(float(*this) - float(other)); }
    template <class T>
    Narrow& operator*=(T other) { return *this = Narrow(float(*this) * float(other)); }
    template <class T>
    Narrow& operator/=(T other) { return *this = Narrow(float(*this) / float(other)); }
};

template <class F>
Narrow<F> operator+(Narrow<F> a, Narrow<F> b) { return float(a) + float(b); }
template <class F>
Narrow<F> operator-(Narrow<F> a, Narrow<F> b) { return float(a) - float(b); }
template <class F>
Narrow<F> operator*(Narrow<F> a, Narrow<F> b) { return float(a) * float(b); }
template <class F>
Narrow<F> operator/(Narrow<F> a, Narrow<F> b) { return float(a) / float(b); }
template <class F>
Narrow<F> operator-(Narrow<F> a) { return -float(a); }

}  // namespace emulated

using __half = emulated::Narrow<emulated::HalfBits>;
using half = __half;
using __nv_bfloat16 = emulated::Narrow<emulated::BrainBits>;
using __nv_fp8_e4m3 = emulated::Narrow<emulated::E4m3Bits>;
struct __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline uint16_t __half_as_ushort(__half x) { return x.__x; }
inline __half __ushort_as_half(uint16_t bits) {
    __half x;
    x.__x = bits;
    return x;
}
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
enum __nv_fp8_interpretation_t { __NV_E4M3 };
inline __half __nv_cvt_fp8_to_halfraw(uint8_t bits, __nv_fp8_interpretation_t) { return emulated::E4m3Bits::decode(bits); }

template <class F>
bool __hisnan(emulated::Narrow<F> x) { return isnan(float(x)); }
template <class F>
emulated::Narrow<F> __hmax(emulated::Narrow<F> a, emulated::Narrow<F> b) { return fmaxf(a, b); }
template <class F>
emulated::Narrow<F> __hmin(emulated::Narrow<F> a, emulated::Narrow<F> b) { return fminf(a, b); }
template <class F>
emulated::Narrow<F> __hmax_nan(emulated::Narrow<F> a, emulated::Narrow<F> b) { return __hisnan(a) || __hisnan(b) ? NAN : fmaxf(a, b); }
template <class F>
emulated::Narrow<F> __hmin_nan(emulated::Narrow<F> a, emulated::Narrow<F> b) { return __hisnan(a) || __hisnan(b) ? NAN : fminf(a, b); }
template <class F>
emulated::Narrow<F> __habs(emulated::Narrow<F> x) { return fabsf(x); }
template <class F>
emulated::Narrow<F> hexp(emulated::Narrow<F> x) { return expf(x); }
template <class F>
emulated::Narrow<F> hlog(emulated::Narrow<F> x) { return logf(x); }
template <class F>
emulated::Narrow<F> hsin(emulated::Narrow<F> x) { return sinf(x); }
template <class F>
emulated::Narrow<F> hcos(emulated::Narrow<F> x) { return cosf(x); }
template <class F>
emulated::Narrow<F> hsqrt(emulated::Narrow<F> x) { return sqrtf(x); }
inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x + b.x, a.y + b.y}; }
inline __nv_bfloat162 __hsub2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x - b.x, a.y - b.y}; }
inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x * b.x, a.y * b.y}; }
inline __nv_bfloat162 __h2div(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x / b.x, a.y / b.y}; }
