//! The forward and backward pass of one training step, by shards of its batch.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};

use crate::features::Batch;
use crate::loss::Loss;
use crate::model::Model;
use crate::optimiser::{AdamW, Gradients};
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
    parts(clips, most_at_once(clips, device))
}

fn most_at_once(clips: usize, device: &Device) -> usize {
    if device.is_cpu() { SHARD } else { clips }
}

/// A batch in parts of at most so many clips.
fn parts(clips: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let count = clips.div_ceil(most.max(1)).max(1);
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
    let parts = threads.map(all, |(shard, range)| {
        part((model, loss), (batch, targets), range, &pass(shard))
    })?;
    let (losses, shards): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let loss = Tensor::stack(&losses, 0)?.sum_all()?;
    Ok(Backward { loss, shards })
}

/// Loss and gradients of a batch, of which each thread takes at most `most` clips through the model
/// at once: only as many parts as there are threads are in memory, and the gradients of one that is
/// done are added to one sum. The batch is parted the same way on any number of threads, and added
/// up in order, so they don't change the result.
///
/// # Errors
/// As [`backward`].
pub fn accumulated(
    what: (&Model, &Loss),
    (batch, targets): (&Batch, &Tensor),
    most: usize,
    (optimiser, threads): (&AdamW, &Threads),
    pass: impl Fn(usize) -> Pass + Sync,
) -> Result<(Tensor, Gradients)> {
    let clips = targets.dim(0)?;
    let most = most.min(most_at_once(clips, targets.device()));
    let all: Vec<_> = parts(clips, most).enumerate().collect();
    let (mut losses, mut sums) = (Vec::with_capacity(all.len()), optimiser.no_sums());
    for group in all.chunks(threads.count()) {
        let done = threads.map(group, |&(number, range)| {
            part(what, (batch, targets), range, &pass(number))
        })?;
        for (loss, gradients) in done {
            losses.push(loss);
            optimiser.add(&mut sums, gradients)?;
        }
    }
    let loss = Tensor::stack(&losses, 0)?.sum_all()?;
    Ok((loss, optimiser.total(sums, threads)?))
}

/// The share of a batch's mean loss that some of its clips have, and its gradients.
fn part(
    (model, loss): (&Model, &Loss),
    (batch, targets): (&Batch, &Tensor),
    (first, count): (usize, usize),
    pass: &Pass,
) -> Result<(Tensor, GradStore)> {
    let clips = targets.dim(0)?;
    let part = batch.narrow(first, count)?;
    let logits = model.forward(&part.x, part.mask.as_ref(), pass)?;
    let targets = targets.narrow(0, first, count)?;
    let mean = loss.forward(&logits, &targets)?;
    if let Some((observer, forward)) = pass.seen() {
        observer.part(first, forward, &targets)?;
    }
    #[allow(clippy::cast_precision_loss)]
    let share = if count == clips {
        mean
    } else {
        (mean * (count as f64 / clips as f64))?
    };
    let gradients = share.backward()?;
    Ok((share.detach(), gradients))
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
            for most in [0, 1, 3, 16] {
                let all: Vec<_> = parts(clips, most).collect();
                assert_eq!(all.iter().map(|part| part.1).sum::<usize>(), clips);
                assert!(all.iter().all(|part| (1..=most.max(1)).contains(&part.1)));
            }
        }
    }
}
