//! The forward and backward pass of one training step, by shards of its batch.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};

use crate::features::Batch;
use crate::loss::Loss;
use crate::model::Model;
use crate::pass::Pass;
use crate::threads::Threads;

/// Clips that one CPU thread takes through the model together. Enough rows for full products, few
/// enough that a layer's frames stay in the cache.
pub const SHARD: usize = 32;

/// What a batch gave.
#[derive(Debug)]
pub struct Backward {
    /// The mean loss, a scalar on the device.
    pub loss: Tensor,
    /// The gradients of each shard's share of it, in order; their sum is the batch's.
    pub shards: Vec<GradStore>,
}

/// The clips of a batch that are taken through the model together, as ranges of `(first, count)`:
/// all of them on a device of its own.
pub fn shards(clips: usize, device: &Device) -> impl Iterator<Item = (usize, usize)> + use<> {
    let most = if device.is_cpu() { SHARD } else { clips.max(1) };
    let count = clips.div_ceil(most).max(1);
    // As equal as they can be.
    (0..count).map(move |shard| {
        let first = shard * clips / count;
        (first, (shard + 1) * clips / count - first)
    })
}

/// Loss and gradients of a batch; `pass` is what a shard's forward pass is given.
///
/// # Errors
/// When a shape does not fit or the device has no memory left.
pub fn backward(
    (model, loss): (&Model, &Loss),
    (batch, targets): (&Batch, &Tensor),
    threads: &Threads,
    pass: impl Fn(usize) -> Pass + Sync,
) -> Result<Backward> {
    let clips = targets.dim(0)?;
    let all: Vec<_> = shards(clips, targets.device()).enumerate().collect();
    let parts = threads.map(all, |(shard, (first, count))| {
        let part = batch.narrow(first, count)?;
        let logits = model.forward(&part.x, part.mask.as_ref(), &pass(shard))?;
        let mean = loss.forward(&logits, &targets.narrow(0, first, count)?)?;
        #[allow(clippy::cast_precision_loss)]
        let share = if count == clips {
            mean
        } else {
            (mean * (count as f64 / clips as f64))?
        };
        let gradients = share.backward()?;
        Result::Ok((share.detach(), gradients))
    })?;
    let (losses, shards): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let loss = Tensor::stack(&losses, 0)?.sum_all()?;
    Ok(Backward { loss, shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_a_batch_and_are_about_equal() {
        for clips in 1..200 {
            let all: Vec<_> = shards(clips, &Device::Cpu).collect();
            let mut next = 0;
            for &(first, count) in &all {
                assert_eq!(first, next);
                assert!((1..=SHARD).contains(&count));
                next += count;
            }
            assert_eq!(next, clips);
            assert_eq!(all.len(), clips.div_ceil(SHARD));
        }
    }
}
