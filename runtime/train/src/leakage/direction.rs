//! Labels of a split that were turned round: what goes with positive clips in training goes with
//! negative ones in validation.
//!
//! For each column, how often the mean of a positive clip is above that of a negative one (the area
//! under the ROC curve, less a half) is taken in training and in validation. The product of both,
//! summed over the columns, is far above 0 where labels mean the same; how far chance takes it is seen
//! with the validation labels permuted.

use orze_campaign::{Check, Finding, Severity};
use rand::seq::SliceRandom;

use super::Clips;
use super::pooled::Statistic;
use crate::dataset::Dataset;
use crate::pack::{Backbone, Split};
use crate::sampling::{Stream, stream};

/// Permutations of the validation labels.
const PERMUTATIONS: usize = 500;
/// Deviations below chance that each backbone must show, and that one must. Clips of one subject are
/// alike, so that an honest pack may stray from the mean of its permutations by more than chance has it.
const AGAINST: (f64, f64) = (-4.0, -8.0);

/// How far training and validation agree, in deviations of what permuted labels give; `None` where
/// nothing can be ranked.
#[allow(clippy::cast_precision_loss)]
pub fn agreement(clips: &Clips<'_>, dataset: &Dataset, map: &Backbone, seed: u64) -> Option<f64> {
    let in_train = Ranks::of(clips.of_split(Split::Train), map);
    let in_validation = Ranks::of(clips.of_split(Split::Validation), map);
    let labels = |split| -> Vec<bool> {
        let clips = clips.of_split(split).iter();
        clips.map(|&clip| dataset.is_positive(clip)).collect()
    };
    let train = in_train.areas(&labels(Split::Train))?;
    let mut own = labels(Split::Validation);
    let product = |labels: &[bool]| -> Option<f64> {
        let areas = in_validation.areas(labels)?;
        Some(areas.iter().zip(&train).map(|(a, b)| a * b).sum())
    };
    let found = product(&own)?;
    let mut random = stream(seed, Stream::Verification, 3);
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..PERMUTATIONS {
        own.shuffle(&mut random);
        let by_chance = product(&own)?;
        sum += by_chance;
        squares += by_chance * by_chance;
    }
    let mean = sum / PERMUTATIONS as f64;
    let deviation = (squares / PERMUTATIONS as f64 - mean * mean)
        .max(0.0)
        .sqrt();
    (deviation > 0.0).then(|| (found - mean) / deviation)
}

/// What the agreements of all backbones say.
pub fn told(agreements: &[f64]) -> Option<Finding> {
    let (each, one) = AGAINST;
    let against = !agreements.is_empty()
        && agreements.iter().all(|z| *z < each)
        && agreements.iter().any(|z| *z < one);
    against.then(|| {
        let least = agreements.iter().copied().fold(f64::INFINITY, f64::min);
        let message = format!(
            "what goes with positive clips in training goes with negative clips in validation, in every \
             backbone ({:.0} deviations beyond chance)",
            -least
        );
        Finding::new(Check::Splits, Severity::Warning, "validation", message).hint(
            "see whether the labels of one split were turned round, or belong to other clips",
        )
    })
}

/// The rank of each clip among those of its split, by column.
struct Ranks {
    /// `[clips][columns]`, less the mean rank; ties share theirs.
    rows: Vec<Vec<f32>>,
}

impl Ranks {
    #[allow(clippy::cast_precision_loss)]
    fn of(clips: &[usize], map: &Backbone) -> Self {
        let means: Vec<Vec<f32>> = {
            let means = clips.iter().map(|&clip| Statistic::Mean.of(map, clip));
            means.collect()
        };
        let mut rows = vec![vec![0.0; map.dim]; clips.len()];
        let mut order: Vec<usize> = (0..clips.len()).collect();
        for column in 0..map.dim {
            order.sort_unstable_by(|&a, &b| means[a][column].total_cmp(&means[b][column]));
            let mut from = 0;
            while from < order.len() {
                #[allow(clippy::float_cmp)] // Ties are equal values.
                let tied = order[from..]
                    .iter()
                    .take_while(|&&clip| means[clip][column] == means[order[from]][column])
                    .count()
                    .max(1);
                let rank = from as f32 + (tied - 1) as f32 / 2.0 - (clips.len() as f32 - 1.0) / 2.0;
                for &clip in &order[from..from + tied] {
                    rows[clip][column] = rank;
                }
                from += tied;
            }
        }
        Self { rows }
    }

    /// The area under the ROC curve of each column, less a half (Mann and Whitney); `None` without clips
    /// of both classes.
    #[allow(clippy::cast_precision_loss)]
    fn areas(&self, labels: &[bool]) -> Option<Vec<f64>> {
        let positive = labels.iter().filter(|&&label| label).count();
        let negative = labels.len() - positive;
        if positive == 0 || negative == 0 {
            return None;
        }
        let mut sums = vec![0.0_f32; self.rows.first()?.len()];
        let chosen = self.rows.iter().zip(labels).filter(|(_, label)| **label);
        for (row, _) in chosen {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, rank)| *sum += rank);
        }
        let pairs = (positive * negative) as f64;
        Some(sums.into_iter().map(|sum| f64::from(sum) / pairs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_shares_of_pairs() {
        // One frame a clip, two columns; the second is constant.
        let map = Backbone {
            dim: 2,
            values: vec![1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 3.0, 5.0],
            offsets: vec![0, 1, 2, 3, 4],
        };
        let ranks = Ranks::of(&[0, 1, 2, 3], &map);
        // Of the four pairs the positive is above in three, and tied in one.
        let areas = ranks.areas(&[false, true, true, false]).unwrap();
        let won = [1.0, 0.0, 1.0, 0.5].iter().sum::<f64>() / 4.0;
        assert!((areas[0] - (won - 0.5)).abs() < 1e-9, "{areas:?}");
        assert!(areas[1].abs() < 1e-9, "{areas:?}");
        assert!(ranks.areas(&[false; 4]).is_none());
    }

    #[test]
    fn every_backbone_must_speak_against() {
        assert!(told(&[-9.0, -5.0]).is_some());
        assert!(told(&[-9.0, 1.0]).is_none());
        assert!(told(&[-5.0, -5.0]).is_none());
        assert!(told(&[]).is_none());
    }
}
