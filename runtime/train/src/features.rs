//! Features of one backbone or of several side by side, standardised and resident on the device
//! across experiments.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::mask::Mask;
use crate::memory;
use crate::pack::Backbone;

/// One backbone's standardised frames of all clips on the device.
#[derive(Debug)]
pub struct FeatureMap {
    /// Width of a frame.
    dim: usize,
    /// `[frames + 1, dim]`; the last row is zero and stands for padding.
    rows: Tensor,
    /// Clip `i` has the frames `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
}

/// What an experiment trains on: one map, or several concatenated frame by frame.
#[derive(Debug)]
pub struct Features {
    /// Width of a frame, the sum over the maps.
    pub dim: usize,
    /// All with the same clips and lengths; they stay apart until a batch is taken, so that a map
    /// lies in memory once, however many fusions it is part of.
    maps: Vec<Arc<FeatureMap>>,
}

/// A batch of clips, left-aligned.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, time, dim]`.
    pub x: Tensor,
    /// Frames of each clip.
    pub lengths: Vec<usize>,
    /// `None` when all clips are equally long.
    pub mask: Option<Mask>,
}

impl Batch {
    /// `count` of its clips, padded as the whole batch is.
    ///
    /// # Errors
    /// When it has not so many.
    pub fn narrow(&self, first: usize, count: usize) -> Result<Self> {
        if count == self.lengths.len() {
            return Ok(Self {
                x: self.x.clone(),
                lengths: self.lengths.clone(),
                mask: self.mask.clone(),
            });
        }
        let x = self.x.narrow(0, first, count)?;
        let lengths = self.lengths[first..first + count].to_vec();
        let mask = Mask::new(&lengths, x.dim(1)?, x.dtype(), x.device())?;
        Ok(Self { x, lengths, mask })
    }
}

impl FeatureMap {
    /// Standardises each dimension with the mean and deviation of the frames of these clips (so
    /// that a noise of 0.1 means the same for each backbone) and moves the frames to the device.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(map: &Backbone, training: &[usize], device: &Device) -> Result<Self> {
        let (mean, deviation) = training_moments(map, training);
        let mut values = memory::reserved(map.values.len() + map.dim, "the features")?;
        for row in map.values.chunks_exact(map.dim) {
            for ((&value, mean), deviation) in row.iter().zip(&mean).zip(&deviation) {
                #[allow(clippy::cast_possible_truncation)]
                values.push(((f64::from(value) - mean) / deviation) as f32);
            }
        }
        values.resize(values.len() + map.dim, 0.0);
        let frames = values.len() / map.dim;
        Ok(Self {
            dim: map.dim,
            rows: Tensor::from_vec(values, (frames, map.dim), device)?,
            offsets: map.offsets.clone(),
        })
    }

    /// Frames of a clip.
    pub fn length(&self, clip: usize) -> usize {
        self.offsets[clip + 1] - self.offsets[clip]
    }

    /// The first clip that is not as long as in another map of the same pack.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        (0..self.offsets.len() - 1).find(|&clip| self.length(clip) != other.length(clip))
    }
}

impl Features {
    /// Maps side by side, in this order; every clip must be equally long in all of them.
    ///
    /// # Panics
    /// Without a map.
    pub fn new(maps: Vec<Arc<FeatureMap>>) -> Self {
        assert!(!maps.is_empty(), "features of no backbone");
        Self {
            dim: maps.iter().map(|map| map.dim).sum(),
            maps,
        }
    }

    /// The batch of these clips, each with at most `frames` of its frames (0: all of them).
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn batch(&self, clips: &[usize], frames: usize) -> Result<Batch> {
        let first = &self.maps[0];
        let chosen: Vec<Vec<usize>> = clips
            .iter()
            .map(|&clip| {
                let start = first.offsets[clip];
                uniform_frames(first.length(clip), frames)
                    .map(|frame| start + frame)
                    .collect()
            })
            .collect();
        let lengths: Vec<usize> = chosen.iter().map(Vec::len).collect();
        let time = lengths.iter().copied().max().unwrap_or(0);
        let padding = first.rows.dim(0)? - 1;
        let rows: Vec<u32> = chosen
            .iter()
            .flat_map(|frames| {
                let missing = time - frames.len();
                frames
                    .iter()
                    .copied()
                    .chain(std::iter::repeat_n(padding, missing))
            })
            .map(|row| u32::try_from(row).unwrap_or(u32::MAX))
            .collect();
        let count = rows.len();
        let rows = Tensor::from_vec(rows, count, self.device())?;
        let parts = self.maps.iter().map(|map| map.rows.index_select(&rows, 0));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        let x = if parts.len() == 1 {
            parts.remove(0)
        } else {
            Tensor::cat(&parts, 1)?
        };
        let x = x.reshape((clips.len(), time, self.dim))?;
        let mask = Mask::new(&lengths, time, DType::F32, self.device())?;
        Ok(Batch { x, lengths, mask })
    }

    /// Where the features lie.
    pub fn device(&self) -> &Device {
        self.maps[0].rows.device()
    }
}

/// The frames that stand for a clip of `length` frames when `wanted` may be used: all of them if
/// they are no more than that (or `wanted` is 0), else the middle frames of `wanted` equal parts
/// of the clip, `⌊(i + ½) · length / wanted⌋`. The same in training and evaluation.
pub fn uniform_frames(length: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let count = if wanted == 0 {
        length
    } else {
        wanted.min(length)
    };
    (0..count).map(move |i| (2 * i + 1) * length / (2 * count))
}

/// Mean and deviation of each dimension over the frames of the training clips `clips`; a dimension that
/// does not vary gets deviation 1.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn training_moments(map: &Backbone, clips: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let (mut count, mut mean, mut square) = (0_u64, vec![0.0; map.dim], vec![0.0; map.dim]);
    for &index in clips {
        for row in map.clip(index).chunks_exact(map.dim) {
            count += 1;
            // Welford's update: no cancellation whatever the offset of the features.
            for ((&value, mean), square) in row.iter().zip(&mut mean).zip(&mut square) {
                let before = f64::from(value) - *mean;
                *mean += before / count as f64;
                *square += before * (f64::from(value) - *mean);
            }
        }
    }
    let deviation = square
        .iter()
        .map(|square| {
            let deviation = (square / count.max(1) as f64).sqrt();
            if deviation > 1e-6 { deviation } else { 1.0 }
        })
        .collect();
    (mean, deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_over_the_whole_clip() {
        let frames = |length, wanted| uniform_frames(length, wanted).collect::<Vec<_>>();
        assert_eq!(frames(30, 10), [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]);
        assert_eq!(frames(3, 10), [0, 1, 2]);
        assert_eq!(frames(4, 0), [0, 1, 2, 3]);
        assert_eq!(frames(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(frames(7, 1), [3]);
    }
}
