//! One head of one clip, copied out of packed rows into matrices whose products vectorise.

use std::ops::Range;

use super::Real;
use super::simd::{LANES, Lanes, store};

/// A matrix whose rows are padded with zeros to whole lanes.
pub(super) struct Matrix<T> {
    /// Lanes a row.
    wide: usize,
    lanes: Vec<Lanes<T>>,
}

impl<T: Real> Matrix<T> {
    pub fn new(rows: usize, columns: usize) -> Self {
        let wide = columns.div_ceil(LANES);
        Self {
            wide,
            lanes: vec![[T::zero(); LANES]; rows * wide],
        }
    }

    /// A row with its padding.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[T] {
        self.lanes[row * self.wide..][..self.wide].as_flattened()
    }

    #[inline(always)]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        self.lanes[row * self.wide..][..self.wide].as_flattened_mut()
    }

    /// Becomes the transposed of a matrix of so many rows.
    #[inline(always)]
    fn turn(&mut self, other: &Self, rows: usize) {
        let stride = self.wide * LANES;
        let columns = self.lanes.as_flattened_mut().chunks_mut(LANES * stride);
        for (column, turned) in columns.enumerate() {
            for j in 0..rows {
                let lanes = &other.lanes[j * other.wide + column];
                for (row, &entry) in turned.chunks_exact_mut(stride).zip(lanes) {
                    row[j] = entry;
                }
            }
        }
    }

    /// `y = Σ_j weight(j) · row_j` over these rows, as many columns as `y` has.
    #[inline(always)]
    pub fn combine(&self, y: &mut [T], rows: Range<usize>, weight: impl Fn(usize) -> T) {
        for (column, y) in y.chunks_mut(LANES).enumerate() {
            let mut sum = [T::zero(); LANES];
            for j in rows.clone() {
                let (weight, lanes) = (weight(j), &self.lanes[j * self.wide + column]);
                for l in 0..LANES {
                    sum[l] += weight * lanes[l];
                }
            }
            store(y, &sum);
        }
    }
}

/// `[time, width]` each; keys and values transposed too.
pub(super) struct Head<T> {
    pub time: usize,
    pub width: usize,
    /// Times `1 / √width`.
    pub q: Matrix<T>,
    pub k: Matrix<T>,
    pub v: Matrix<T>,
    /// `[width, time]`.
    kt: Matrix<T>,
    /// `[width, time]`.
    vt: Matrix<T>,
    /// Weights `[time, time]`.
    pub p: Matrix<T>,
}

impl<T: Real> Head<T> {
    pub fn new(time: usize, width: usize) -> Self {
        let matrix = || Matrix::new(time, width);
        let transposed = || Matrix::new(width, time);
        Self {
            time,
            width,
            q: matrix(),
            k: matrix(),
            v: matrix(),
            kt: transposed(),
            vt: transposed(),
            p: Matrix::new(time, time),
        }
    }

    /// Rows of `stride` entries that begin with queries, keys and values of `dim` entries each.
    #[inline(always)]
    pub fn load(&mut self, clip: &[T], stride: usize, dim: usize, head: usize) {
        let width = self.width;
        let scale = scale(width);
        for t in 0..self.time {
            let row = &clip[t * stride + head * width..];
            let q = self.q.row_mut(t)[..width].iter_mut();
            for (scaled, &q) in q.zip(&row[..width]) {
                *scaled = q * scale;
            }
            let (k, v) = (&row[dim..][..width], &row[2 * dim..][..width]);
            self.k.row_mut(t)[..width].copy_from_slice(k);
            self.v.row_mut(t)[..width].copy_from_slice(v);
        }
        self.kt.turn(&self.k, self.time);
    }

    /// Prepares for [`Self::along_values`].
    #[inline(always)]
    pub fn turn_values(&mut self) {
        self.vt.turn(&self.v, self.time);
    }

    /// Sets row `i` of the weights to the scores `q_i · k_j / √width` of all frames.
    #[inline(always)]
    pub fn score(&mut self, i: usize) -> &mut [T] {
        let q = self.q.row(i);
        let row = self.p.row_mut(i);
        self.kt.combine(row, 0..self.width, |w| q[w]);
        row
    }

    /// `g · v_j` of all frames.
    #[inline(always)]
    pub fn along_values(&self, row: &mut [T], g: &[T]) {
        self.vt.combine(row, 0..self.width, |w| g[w]);
    }
}

/// `1 / √width`.
#[allow(clippy::cast_precision_loss)]
pub(super) fn scale<T: Real>(width: usize) -> T {
    T::of((width as f64).sqrt().recip())
}
