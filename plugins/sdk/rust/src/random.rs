//! Random numbers that the runtime seeds, so that the same call gives the same answer again.
//! Outside a component they come from a generator that starts alike in every thread.

/// 64 uniform bits.
pub fn bits() -> u64 {
    source::bits()
}

/// A number uniform in [0, 1).
pub fn unit() -> f64 {
    source::unit()
}

/// A number uniform among `0, 1, … count - 1`; 0 where `count` is 0. Its bias is below
/// `count / 2^64`.
pub fn below(count: u64) -> u64 {
    let product = u128::from(bits()) * u128::from(count);
    #[allow(clippy::cast_possible_truncation)]
    let high = (product >> 64) as u64;
    high
}

#[cfg(target_family = "wasm")]
use crate::bindings::orze::host::random as source;

/// SplitMix64.
#[cfg(not(target_family = "wasm"))]
mod source {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn bits() -> u64 {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn unit() -> f64 {
        // The 53 bits that a float in [0, 1) holds.
        #[allow(clippy::cast_precision_loss)]
        let unit = (bits() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_range_and_spread() {
        let mut counts = [0_u32; 5];
        for _ in 0..5000 {
            let unit = unit();
            assert!((0.0..1.0).contains(&unit));
            counts[usize::try_from(below(5)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(below(0), 0);
    }
}
