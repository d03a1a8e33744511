//! The arithmetic of kernels, in f32 and f64.
//!
//! `exp` and `log(1 + x)` of an f32 are short polynomials without branches, so that loops over them
//! vectorise (the library's are calls, one value each) and give the same bits on every machine.
//! Those of an f64 are the library's: only the reference vectors compute in f64.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use candle_core::{CpuStorage, WithDType};

/// The arithmetic that kernels need of f32 and f64.
pub(crate) trait Real:
    WithDType
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + SubAssign
    + PartialOrd
{
    /// `eˣ`.
    fn exp(self) -> Self;
    /// `log(1 + x)` for `x` in `[0, 1]`.
    fn ln_1p_unit(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn of(value: f64) -> Self;
    /// The values of a storage of this type.
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;

    /// `1 / (1 + e^{−x})`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::one() / (Self::one() + (-self).exp())
    }

    /// `log(1 + eˣ)` without overflow.
    #[inline(always)]
    fn softplus(self) -> Self {
        let positive = if self > Self::zero() {
            self
        } else {
            Self::zero()
        };
        positive + (-self.abs()).exp().ln_1p_unit()
    }

    /// `tanh x`, with an absolute error of a rounding.
    #[inline(always)]
    fn tanh(self) -> Self {
        let two = Self::of(2.0);
        two * (two * self).sigmoid() - Self::one()
    }
}

impl Real for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }
    #[inline(always)]
    fn ln_1p_unit(self) -> Self {
        ln_1p_unit(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self::abs(self)
    }
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn of(value: f64) -> Self {
        value as Self
    }
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F32(values) => Some(values),
            _ => None,
        }
    }
}

impl Real for f64 {
    fn exp(self) -> Self {
        Self::exp(self)
    }
    fn ln_1p_unit(self) -> Self {
        self.ln_1p()
    }
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }
    fn abs(self) -> Self {
        Self::abs(self)
    }
    fn of(value: f64) -> Self {
        value
    }
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F64(values) => Some(values),
            _ => None,
        }
    }
}

/// Below it `eˣ` is 0, above its opposite infinite; a little inside the range of f32.
const LIMIT: f32 = 88.3;

/// Within 2 units in the last place for `|x| ≤ 88.3`: `2ⁿ e^r` with a whole `n` and
/// `|r| ≤ ½ log 2`, the power by its bits and `e^r` by a polynomial.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 1.5 · 2²³: adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // log 2 in two parts, the first exact in products with a small whole number.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -0.000_212_194_44;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * HIGH - n * LOW;
    // (e^r − 1 − r) / r², near-minimax at Chebyshev nodes; in pairs, as each step of a chain waits
    // for the one before it.
    let square = r * r;
    let high = 1.989_099_1e-4 * r + 1.393_365e-3;
    let middle = 8.333_310_5e-3 * r + 4.166_646_7e-2;
    let low = 0.166_666_67 * r + 0.5;
    let p = (high * square + middle) * square + low;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = (p * square + r + 1.0) * power;
    // Beyond the limits the value is without meaning; one that is not a number stays so.
    if x < -LIMIT + 1.0 {
        0.0
    } else if x > LIMIT {
        f32::INFINITY
    } else {
        value
    }
}

/// Within 4 units in the last place for `x` in `[0, 1]`: `2 artanh(x / (2 + x))`.
#[inline(always)]
fn ln_1p_unit(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let w = s * s;
    // (artanh √w / √w − 1) / w, near-minimax at Chebyshev nodes.
    let p = 0.116_121_64;
    let p = p * w + 0.108_532_88;
    let p = p * w + 0.142_961_8;
    let p = p * w + 0.199_998_53;
    let p = p * w + 0.333_333_34;
    2.0 * (s + s * w * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_within_two_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        for step in -870_000..883_000_i32 {
            let x = step as f32 * 1e-4;
            let expected = f64::from(x).exp();
            worst = worst.max((f64::from(Real::exp(x)) / expected - 1.0).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst}");
        assert_eq!(Real::exp(0.0_f32), 1.0);
        assert_eq!(Real::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(Real::exp(-1e9_f32), 0.0);
        assert_eq!(Real::exp(f32::INFINITY), f32::INFINITY);
        assert!(Real::exp(f32::NAN).is_nan(), "a divergence must be seen");
    }

    #[test]
    fn logarithms_are_within_four_units_in_the_last_place() {
        for step in 1..=1_000_000_i32 {
            let x = step as f32 * 1e-6;
            let error = f64::from(x.ln_1p_unit()) / f64::from(x).ln_1p() - 1.0;
            assert!(error.abs() < 4.0 * f64::from(f32::EPSILON), "{x}: {error}");
        }
        let tiny = 1e-30_f32;
        assert_eq!(tiny.ln_1p_unit(), tiny);
        assert!(f32::NAN.softplus().is_nan(), "a divergence must be seen");
    }

    #[test]
    fn softplus_and_its_kin_survive_extremes() {
        assert_eq!(1e4_f32.softplus(), 1e4);
        assert_eq!((-1e4_f32).softplus(), 0.0);
        assert_eq!((-1e4_f32).sigmoid(), 0.0);
        assert_eq!(Real::tanh(1e4_f32), 1.0);
        assert_eq!(Real::tanh(-1e4_f64), -1.0);
    }
}
