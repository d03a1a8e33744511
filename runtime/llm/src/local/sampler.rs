//! Choosing a token among those that the grammar allows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// For requests that leave it to the model, as providers do. A small model that is colder repeats
/// its first idea.
const TEMPERATURE: f64 = 1.0;

/// Draws tokens by their scores. The same seed draws the same.
pub(super) struct Sampler {
    temperature: f64,
    random: ChaCha8Rng,
}

impl Sampler {
    /// A temperature of 0 or less takes the best token.
    pub(super) fn new(temperature: Option<f64>, seed: u64) -> Self {
        Self {
            temperature: temperature.unwrap_or(TEMPERATURE),
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// One of the allowed tokens; `None` where none has a finite score.
    pub(super) fn pick(&mut self, logits: &[f32], allowed: &[u32]) -> Option<u32> {
        let scored = || {
            allowed.iter().filter_map(|token| {
                let logit = *logits.get(usize::try_from(*token).ok()?)?;
                logit.is_finite().then_some((*token, f64::from(logit)))
            })
        };
        // Of equal scores the first token.
        let (best, highest) =
            scored().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        if self.temperature.is_nan() || self.temperature <= 0.0 {
            return Some(best);
        }
        let weight = |logit: f64| ((logit - highest) / self.temperature).exp();
        let total: f64 = scored().map(|(_, logit)| weight(logit)).sum();
        let mut left = self.random.random::<f64>() * total;
        for (token, logit) in scored() {
            left -= weight(logit);
            if left < 0.0 {
                return Some(token);
            }
        }
        // Rounding used up the whole sum.
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_tokens_are_drawn_and_as_often_as_their_scores_say() {
        let logits = [9.0, 0.0, 2.0_f32.ln(), f32::NAN, f32::INFINITY];
        let mut sampler = Sampler::new(Some(1.0), 3);
        let mut counts = [0; 5];
        for _ in 0..9000 {
            let token = sampler.pick(&logits, &[1, 2, 3, 4, 77]).unwrap();
            counts[token as usize] += 1;
        }
        assert_eq!((counts[0], counts[3], counts[4]), (0, 0, 0));
        assert!((5700..6300).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn no_temperature_takes_the_best_and_nothing_is_none() {
        let mut sampler = Sampler::new(Some(0.0), 3);
        assert_eq!(sampler.pick(&[1.0, 3.0, 3.0, 9.0], &[0, 1, 2]), Some(1));
        assert_eq!(sampler.pick(&[f32::NAN], &[0]), None);
        assert_eq!(sampler.pick(&[1.0], &[]), None);
    }
}
