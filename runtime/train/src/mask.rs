//! Which frames of a padded batch are real.
//!
//! A batch whose clips are equally long has no mask at all, which is both faster and the proof
//! that padding is never needed for a correct score.

use candle_core::{DType, Device, Result, Tensor};

/// Added to scores of padded frames; far below any score, and finite so that no NaN can arise.
const PENALTY: f32 = -1e9;

/// The valid frames of a padded batch. Clips are left-aligned.
#[derive(Debug, Clone)]
pub struct Mask {
    /// `[batch, time]`: 1 for real frames, 0 for padding.
    pub valid: Tensor,
    /// `[batch, time]`: 0 for real frames, `PENALTY` for padding.
    pub penalty: Tensor,
    counts: Vec<usize>,
    time: usize,
}

impl Mask {
    /// The mask for clips of these lengths padded to `time` frames; `None` when nothing is padded.
    /// Every length must be in `1..=time`.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(
        counts: &[usize],
        time: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Self>> {
        if counts.iter().all(|&count| count == time) {
            return Ok(None);
        }
        let mut valid = Vec::with_capacity(counts.len() * time);
        for &count in counts {
            valid.extend((0..time).map(|frame| if frame < count { 1.0 } else { 0.0 }));
        }
        let penalty: Vec<f32> = valid.iter().map(|v: &f32| (1.0 - v) * PENALTY).collect();
        let tensor = |data| Tensor::from_vec(data, (counts.len(), time), device)?.to_dtype(dtype);
        Ok(Some(Self {
            valid: tensor(valid)?,
            penalty: tensor(penalty)?,
            counts: counts.to_vec(),
            time,
        }))
    }

    /// Frames of each clip.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// The mask after downsampling by `factor`; `None` when no window is padding.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn downsampled(&self, factor: usize) -> Result<Option<Self>> {
        let counts: Vec<usize> = self
            .counts
            .iter()
            .map(|count| count.div_ceil(factor))
            .collect();
        let (dtype, device) = (self.valid.dtype(), self.valid.device());
        Self::new(&counts, self.time.div_ceil(factor), dtype, device)
    }

    /// `[batch, time, dim]` with padded frames set to zero.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn zero_padding(&self, x: &Tensor) -> Result<Tensor> {
        x.broadcast_mul(&self.valid.unsqueeze(2)?)
    }

    /// Number of valid frames of each clip: `[batch, 1]`.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn lengths(&self) -> Result<Tensor> {
        self.valid.sum_keepdim(1)
    }

    /// `[batch, time, dim]` with each padded frame replaced by its clip's last valid one.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn repeat_last_frame(&self, x: &Tensor) -> Result<Tensor> {
        self.select(x, |count| {
            (0..self.time).map(move |frame| frame.min(count - 1))
        })?
        .reshape(x.shape())
    }

    /// `[batch, time, dim]` with each clip's valid frames in reverse order, padding where it was.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn reverse_frames(&self, x: &Tensor) -> Result<Tensor> {
        self.select(x, |count| {
            (0..self.time).map(move |frame| {
                if frame < count {
                    count - 1 - frame
                } else {
                    frame
                }
            })
        })?
        .reshape(x.shape())
    }

    /// The last valid frame of each clip: `[batch, time, dim]` → `[batch, dim]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn last_frame(&self, x: &Tensor) -> Result<Tensor> {
        self.select(x, |count| std::iter::once(count - 1))
    }

    /// Rows of `x` flattened to `[batch · time, dim]`, chosen clip by clip.
    fn select<I: Iterator<Item = usize>>(
        &self,
        x: &Tensor,
        frames: impl Fn(usize) -> I,
    ) -> Result<Tensor> {
        let mut rows = Vec::new();
        for (clip, &count) in self.counts.iter().enumerate() {
            for frame in frames(count) {
                rows.push(u32::try_from(clip * self.time + frame).unwrap_or(u32::MAX));
            }
        }
        let count = rows.len();
        let rows = Tensor::from_vec(rows, count, x.device())?;
        x.flatten(0, 1)?.index_select(&rows, 0)
    }
}
