//! Everything random about training: one seed, one stream for each purpose.

use candle_core::{Result, Tensor};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::features::Batch;

/// What random numbers are for. Each purpose has a stream of its own, so that switching one knob
/// leaves the others' draws as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Initialisation = 0,
    /// Order of the clips and oversampling.
    Order = 1,
    /// Mixup partners and shares.
    Mixup = 2,
    /// Feature noise.
    Noise = 3,
    /// Dropout.
    Dropout = 4,
    /// Resamples of the intervals, one stream a split.
    Bootstrap = 5,
    /// Draws of a verification before a campaign.
    Verification = 6,
}

/// The generator of a purpose, in a given step of training.
pub fn stream(seed: u64, purpose: Stream, step: usize) -> ChaCha8Rng {
    part_of_stream(seed, purpose, step, 0)
}

/// The generator of a purpose for one part of a step.
pub fn part_of_stream(seed: u64, purpose: Stream, step: usize, part: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((part as u64) << 48) | ((step as u64) << 8) | purpose as u64);
    random
}

/// The clips of one epoch in random order. `ratio` ≥ 1 is how often a positive clip appears on
/// average: its whole part always, and once more for a random share of them, the fraction. So
/// every epoch is equally long.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub fn epoch_order(
    clips: &[usize],
    positive: impl Fn(usize) -> bool,
    ratio: f64,
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let (mut positives, mut order): (Vec<usize>, Vec<usize>) =
        clips.iter().partition(|&&clip| positive(clip));
    for _ in 0..ratio.floor() as usize {
        order.extend_from_slice(&positives);
    }
    let extra = (ratio.fract() * positives.len() as f64).round() as usize;
    positives.shuffle(random);
    order.extend_from_slice(&positives[..extra]);
    order.shuffle(random);
    order
}

/// Mixup: each clip becomes `λ a + (1 − λ) b` with a random partner of the batch and one
/// `λ ~ Beta(α, α)` a batch, its target likewise. Clips of different length are mixed over the
/// frames that both have and keep that length.
///
/// # Errors
/// When the device has no memory left.
#[allow(clippy::cast_possible_truncation)]
pub fn mixup(
    batch: &mut Batch,
    targets: &mut [f32],
    alpha: f64,
    random: &mut ChaCha8Rng,
) -> Result<()> {
    if alpha <= 0.0 || targets.len() < 2 {
        return Ok(());
    }
    let share = beta(alpha, random);
    let mut partners: Vec<usize> = (0..targets.len()).collect();
    partners.shuffle(random);
    let before = targets.to_vec();
    for (target, &partner) in targets.iter_mut().zip(&partners) {
        *target = (share * f64::from(*target) + (1.0 - share) * f64::from(before[partner])) as f32;
    }
    let lengths: Vec<usize> = (0..partners.len())
        .map(|clip| batch.lengths[clip].min(batch.lengths[partners[clip]]))
        .collect();
    let index: Vec<u32> = partners
        .iter()
        .map(|&partner| u32::try_from(partner).unwrap_or(u32::MAX))
        .collect();
    let index = Tensor::from_vec(index, partners.len(), batch.x.device())?;
    let other = batch.x.index_select(&index, 0)?;
    batch.x = ((&batch.x * share)? + (other * (1.0 - share))?)?;
    let time = batch.x.dim(1)?;
    batch.mask = crate::mask::Mask::new(&lengths, time, batch.x.dtype(), batch.x.device())?;
    batch.lengths = lengths;
    Ok(())
}

/// Adds Gaussian noise of standard deviation `sigma` to each standardised feature.
///
/// # Errors
/// When the device has no memory left.
#[allow(clippy::cast_possible_truncation)]
pub fn feature_noise(batch: &mut Batch, sigma: f64, random: &mut ChaCha8Rng) -> Result<()> {
    if sigma <= 0.0 {
        return Ok(());
    }
    if !batch.x.device().is_cpu() {
        // The device's own numbers; see [`crate::pass`].
        batch.x = (&batch.x + batch.x.randn_like(0.0, sigma)?)?;
        return Ok(());
    }
    let noise: Vec<f32> = (0..batch.x.elem_count())
        .map(|_| (sigma * normal(random)) as f32)
        .collect();
    let noise = Tensor::from_vec(noise, batch.x.shape(), batch.x.device())?;
    batch.x = (&batch.x + noise)?;
    Ok(())
}

/// A standard normal number (Box–Muller; the second of the pair is dropped).
pub fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// `Beta(α, α)` for small `α`: Jöhnk's rejection, in logarithms so that nothing underflows.
fn beta(alpha: f64, random: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = (1.0 - random.random::<f64>()).ln() / alpha;
        let y = (1.0 - random.random::<f64>()).ln() / alpha;
        let top = x.max(y);
        let sum = top + ((x - top).exp() + (y - top).exp()).ln();
        if sum <= 0.0 {
            return (x - sum).exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn batch(lengths: &[usize]) -> Batch {
        let time = 3;
        let values: Vec<f32> = (0..lengths.len() * time).map(|i| i as f32).collect();
        let x = Tensor::from_vec(values, (lengths.len(), time, 1), &Device::Cpu).unwrap();
        Batch {
            mask: crate::mask::Mask::new(lengths, time, x.dtype(), x.device()).unwrap(),
            lengths: lengths.to_vec(),
            x,
        }
    }

    #[test]
    fn oversampling_repeats_positives_and_only_those() {
        let clips: Vec<usize> = (0..1000).collect();
        let mut random = stream(1, Stream::Order, 0);
        let order = epoch_order(&clips, |clip| clip < 200, 2.5, &mut random);
        let count = |clip: usize| order.iter().filter(|&&c| c == clip).count();
        assert!((0..200).all(|clip| (2..=3).contains(&count(clip))));
        assert!((200..1000).all(|clip| count(clip) == 1));
        let positives = order.iter().filter(|&&clip| clip < 200).count();
        assert_eq!(positives, 500);
    }

    #[test]
    fn mixup_mixes_features_and_targets_alike_and_keeps_the_shorter_length() {
        let mut mixed = batch(&[3, 1]);
        let plain = batch(&[3, 1])
            .x
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let mut seed = 0;
        loop {
            // Until the shuffle pairs the two clips.
            let mut targets = [1.0, 0.0];
            mixup(
                &mut mixed,
                &mut targets,
                0.4,
                &mut stream(seed, Stream::Mixup, 0),
            )
            .unwrap();
            if targets[0] != 1.0 {
                let share = targets[0];
                assert!((targets[1] - (1.0 - share)).abs() < 1e-6);
                let x = mixed.x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!((x[0] - (share * plain[0] + (1.0 - share) * plain[3])).abs() < 1e-5);
                assert_eq!(mixed.lengths, [1, 1]);
                return;
            }
            mixed = batch(&[3, 1]);
            seed += 1;
        }
    }

    #[test]
    fn noise_has_the_deviation_that_was_asked_for() {
        let mut noisy = Batch {
            x: Tensor::zeros((100, 10, 10), candle_core::DType::F32, &Device::Cpu).unwrap(),
            lengths: vec![10; 100],
            mask: None,
        };
        feature_noise(&mut noisy, 0.1, &mut stream(3, Stream::Noise, 0)).unwrap();
        let square = noisy
            .x
            .sqr()
            .unwrap()
            .mean_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((square.sqrt() - 0.1).abs() < 0.003, "{}", square.sqrt());
    }

    #[test]
    fn streams_differ_by_purpose_and_step_and_repeat() {
        let draw = |purpose, step| stream(5, purpose, step).random::<u64>();
        assert_eq!(draw(Stream::Noise, 3), draw(Stream::Noise, 3));
        assert_ne!(draw(Stream::Noise, 3), draw(Stream::Noise, 4));
        assert_ne!(draw(Stream::Noise, 3), draw(Stream::Mixup, 3));
    }

    #[test]
    fn beta_is_symmetric_and_inside_the_unit_interval() {
        let mut random = stream(9, Stream::Mixup, 0);
        let draws: Vec<f64> = (0..4000).map(|_| beta(0.3, &mut random)).collect();
        assert!(draws.iter().all(|d| (0.0..=1.0).contains(d)));
        let mean = draws.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
    }
}
