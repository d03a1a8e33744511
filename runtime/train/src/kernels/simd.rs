//! Loops over the widest registers of the machine that they run on.
//!
//! The binary is compiled for every x86-64, and so for SSE2; a kernel is compiled for AVX2 and
//! AVX-512 besides, and the machine chooses when the kernel is called. The compiler does the
//! vectorising, in whatever is inlined into the kernel: hence `#[inline(always)]` from the passes
//! down to the exponential, and no loop within a call such as `Vec::extend`.
//!
//! Rust never contracts `a * b + c` into one rounding and never reorders a sum, and sums over a row
//! are written in sixteen parts: every machine computes the same bits.

use super::Real;

/// Entries that are computed together: a register of AVX-512 in f32.
pub(super) const LANES: usize = 16;
pub(super) type Lanes<T> = [T; LANES];

/// Lanes in memory, each in one line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line<T>(pub Lanes<T>);

impl<T: Real> Line<T> {
    pub fn zeros(count: usize) -> Vec<Self> {
        vec![Self([T::zero(); LANES]); count]
    }
}

/// Runs `work`, a closure marked `#[inline(always)]`, compiled for this machine.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// The first sixteen entries of a row, zeros beyond its end.
#[inline(always)]
pub(super) fn load<T: Real>(row: &[T]) -> Lanes<T> {
    if let Some(whole) = row.first_chunk() {
        *whole
    } else {
        let mut rest = [T::zero(); LANES];
        rest[..row.len()].copy_from_slice(row);
        rest
    }
}

/// The inverse of [`load`].
#[inline(always)]
pub(super) fn store<T: Real>(row: &mut [T], lanes: &Lanes<T>) {
    if let Some(whole) = row.first_chunk_mut() {
        *whole = *lanes;
    } else {
        // A copy, or else the lanes would have to be in memory for this rare case.
        let rest = *lanes;
        let count = row.len();
        row.copy_from_slice(&rest[..count]);
    }
}

/// Appends the first lanes, so many of them.
#[inline(always)]
pub(super) fn extend<T: Real>(result: &mut Vec<T>, lanes: &Lanes<T>, count: usize) {
    if count >= LANES {
        result.extend_from_slice(lanes);
    } else {
        let rest = *lanes;
        result.extend_from_slice(&rest[..count]);
    }
}

/// The sum of the lanes, by halves.
#[inline(always)]
pub(super) fn sum<T: Real>(mut lanes: Lanes<T>) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Sixteen entries of equally long rows.
#[inline(always)]
fn load_each<T: Real, const ROWS: usize>(rows: &[&[T]; ROWS], at: usize) -> [Lanes<T>; ROWS] {
    let mut lanes = [[T::zero(); LANES]; ROWS];
    for (lanes, row) in lanes.iter_mut().zip(rows) {
        *lanes = load(&row[at..]);
    }
    lanes
}

/// One lane of each. A loop, as the compiler does not always inline `array::map`.
#[inline(always)]
fn lane<T: Real, const ROWS: usize>(lanes: &[Lanes<T>; ROWS], l: usize) -> [T; ROWS] {
    let mut entries = [T::zero(); ROWS];
    for (entry, lanes) in entries.iter_mut().zip(lanes) {
        *entry = lanes[l];
    }
    entries
}

/// The sum of terms over equally long rows. One at a time: of several, the compiler no longer sees
/// that they are lanes.
#[inline(always)]
pub(super) fn total<T: Real, const ROWS: usize>(
    rows: [&[T]; ROWS],
    term: impl Fn([T; ROWS]) -> T,
) -> T {
    let count = rows[0].len();
    let whole = count - count % LANES;
    let mut sums = [T::zero(); LANES];
    for at in (0..whole).step_by(LANES) {
        let lanes = load_each(&rows, at);
        for (l, sum) in sums.iter_mut().enumerate() {
            *sum += term(lane(&lanes, l));
        }
    }
    if whole < count {
        // Apart, or else the sums would have to be in memory for these few.
        let lanes = load_each(&rows, whole);
        let mut rest = [T::zero(); LANES];
        for (l, rest) in rest[..count - whole].iter_mut().enumerate() {
            *rest = term(lane(&lanes, l));
        }
        for (sum, &rest) in sums.iter_mut().zip(&rest) {
            *sum += rest;
        }
    }
    sum(sums)
}

/// Appends values of the entries of equally long rows.
#[inline(always)]
pub(super) fn append<T: Real, const ROWS: usize, const RESULTS: usize>(
    mut results: [&mut Vec<T>; RESULTS],
    rows: [&[T]; ROWS],
    values: impl Fn([T; ROWS]) -> [T; RESULTS],
) {
    let count = rows[0].len();
    for at in (0..count).step_by(LANES) {
        let lanes = load_each(&rows, at);
        let mut computed = [[T::zero(); LANES]; RESULTS];
        for l in 0..LANES {
            let values = values(lane(&lanes, l));
            for (computed, value) in computed.iter_mut().zip(values) {
                computed[l] = value;
            }
        }
        for (result, computed) in results.iter_mut().zip(&computed) {
            extend(result, computed, count - at);
        }
    }
}

/// Values of the entries of equally long rows.
#[inline(always)]
pub(super) fn map<T: Real, const ROWS: usize>(
    rows: [&[T]; ROWS],
    value: impl Fn([T; ROWS]) -> T,
) -> Vec<T> {
    let mut result = Vec::with_capacity(rows[0].len());
    append(
        [&mut result],
        rows,
        #[inline(always)]
        |entries| [value(entries)],
    );
    result
}

/// Adds terms of the entries of equally long rows to a row of sums.
#[inline(always)]
pub(super) fn add<T: Real, const ROWS: usize>(
    sums: &mut [T],
    rows: [&[T]; ROWS],
    term: impl Fn([T; ROWS]) -> T,
) {
    for at in (0..sums.len()).step_by(LANES) {
        let lanes = load_each(&rows, at);
        let mut added = load(&sums[at..]);
        for (l, sum) in added.iter_mut().enumerate() {
            *sum += term(lane(&lanes, l));
        }
        store(&mut sums[at..], &added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They end within lanes and with them.
    const LENGTHS: [usize; 8] = [0, 1, 15, 16, 17, 40, 256, 1000];

    /// What kernels are made of.
    #[inline(always)]
    fn work(length: usize) -> (Vec<f32>, Vec<f32>, f32) {
        let row: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin() * 9.0).collect();
        let values = map(
            [&row],
            #[inline(always)]
            |[x]| x.softplus() * x.sigmoid() + Real::exp(x),
        );
        let mut sums = row.clone();
        add(&mut sums, [&row, &values], |[x, y]| x * y + 0.1);
        let total = total([&sums, &values], |[x, y]| x * y + 0.1);
        (values, sums, total)
    }

    #[test]
    fn this_machine_computes_the_bits_of_every_other() {
        for length in LENGTHS {
            let wide = vectorised(
                #[inline(always)]
                || work(length),
            );
            assert_eq!(wide, work(length), "{length}");
        }
    }

    #[test]
    fn rows_of_any_length_are_taken_whole() {
        for length in LENGTHS {
            let (values, sums, total) = work(length);
            assert_eq!((values.len(), sums.len()), (length, length));
            let pairs = sums.iter().zip(&values);
            let terms: Vec<f64> = pairs.map(|(&x, &y)| f64::from(x * y + 0.1)).collect();
            let (sum, size) = (
                terms.iter().sum::<f64>(),
                terms.iter().map(|x| x.abs()).sum::<f64>(),
            );
            assert!((f64::from(total) - sum).abs() <= 1e-5 * size, "{length}");
            for (i, (&value, &sum)) in values.iter().zip(&sums).enumerate() {
                let x = (i as f32 * 0.7).sin() * 9.0;
                assert_eq!(value, x.softplus() * x.sigmoid() + Real::exp(x));
                assert_eq!(sum, x + (x * value + 0.1));
            }
        }
    }
}
