//! One head of one clip, copied out of packed rows so that its loops run over contiguous memory.

use super::Real;

/// `time × width` each; keys and values transposed too.
pub(super) struct Head<T> {
    pub time: usize,
    pub width: usize,
    pub q: Vec<T>,
    pub k: Vec<T>,
    pub v: Vec<T>,
    /// `[width, time]`.
    pub kt: Vec<T>,
    /// `[width, time]`.
    pub vt: Vec<T>,
    /// Weights `[time, time]`.
    pub p: Vec<T>,
}

impl<T: Real> Head<T> {
    pub fn new(time: usize, width: usize) -> Self {
        let empty = || vec![T::zero(); time * width];
        Self {
            time,
            width,
            q: empty(),
            k: empty(),
            v: empty(),
            kt: empty(),
            vt: empty(),
            p: vec![T::zero(); time * time],
        }
    }

    /// Rows of `stride` entries that begin with queries, keys and values of `dim` entries each.
    pub fn load(&mut self, clip: &[T], stride: usize, dim: usize, head: usize) {
        let (time, width) = (self.time, self.width);
        for t in 0..time {
            let row = &clip[t * stride + head * width..];
            let at = t * width..(t + 1) * width;
            self.q[at.clone()].copy_from_slice(&row[..width]);
            self.k[at.clone()].copy_from_slice(&row[dim..dim + width]);
            self.v[at].copy_from_slice(&row[2 * dim..2 * dim + width]);
            for w in 0..width {
                self.kt[w * time + t] = row[dim + w];
                self.vt[w * time + t] = row[2 * dim + w];
            }
        }
    }

    /// Sets the first `reach` weights of row `i` to the scores `scale · q_i · k_j`.
    pub fn score(&mut self, i: usize, reach: usize, scale: T) -> &mut [T] {
        let row = &mut self.p[i * self.time..][..reach];
        row.fill(T::zero());
        for w in 0..self.width {
            axpy(
                row,
                self.q[i * self.width + w] * scale,
                &self.kt[w * self.time..],
            );
        }
        row
    }
}

/// `y += a x` over the length of `y`.
pub(super) fn axpy<T: Real>(y: &mut [T], a: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `1 / √width`.
#[allow(clippy::cast_precision_loss)]
pub(super) fn scale<T: Real>(width: usize) -> T {
    T::of((width as f64).sqrt().recip())
}
