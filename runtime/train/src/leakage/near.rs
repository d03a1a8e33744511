//! Nearly equal content: a clip of one split that is a copy of one of another, changed a little.
//!
//! For each clip of validation and test, the clips of the other splits whose pooled statistics are
//! nearest are laid over it frame by frame ([`super::align`]). How near is too near is taken from the
//! data: between clips of different groups in training, the distance to the nearest over that to the
//! fifth nearest is a number below 1 whose distribution near zero is a power law with the dimension of
//! the data as its exponent, `P(ratio < r) ≈ 4 r^m` (the ratio of distances that Levina and Bickel's
//! estimate of `m` rests on). Clips that are alike because they show the same thing have ratios like
//! those; a copy has one that chance gives to less than one pack in ten thousand. A copy under noise of
//! a twentieth of a feature's deviation is seen (more where frames have many columns); a clip cut
//! elsewhere from the same recording (a window that overlaps by half) is not.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::index::sample;

use super::Clips;
use super::align::{Frames, residual};
use super::content::is_telling;
use super::pairs::Pair;
use crate::evaluation::percentile;
use crate::features::training_moments;
use crate::pack::{Backbone, Split};
use crate::sampling::{Stream, stream};

/// Columns that frames are folded to at most.
const WIDTH: usize = 64;
/// Clips that are laid over one, by their pooled statistics.
const CANDIDATES: usize = 8;
/// The one whose distance is the scale, counted from the nearest.
const SCALE: usize = 5;
/// Training clips whose ratios show what is natural.
const NATURAL: usize = 512;
/// Fewer tell nothing.
const FEWEST: usize = 16;
/// Pairs of pooled statistics that are compared; beyond, clips are sampled.
const MOST_PAIRS: usize = 10_000_000;
/// How often a pack without a copy may be suspected.
const ALARMS: f64 = 1e-4;
/// A ratio beyond this is never called a copy, however unlikely it is.
const MOST_RATIO: f64 = 0.3;
/// The same where few clips show what is natural.
const MOST_RATIO_OF_FEW: f64 = 0.05;

/// What a backbone shows.
#[derive(Debug, Default)]
pub struct Near {
    /// Copies, each with the clip that it is nearest to.
    pub pairs: Vec<Pair>,
    /// What was not compared.
    pub remark: Option<String>,
}

/// Looks for copies across splits; `equal` ones are known already.
pub fn search(clips: &Clips<'_>, map: &Backbone, equal: &[Pair], seed: u64) -> Near {
    let train = clips.of_split(Split::Train);
    let space = Space::new(map, train, seed);
    let telling: Vec<bool> = {
        let all: BTreeSet<usize> = clips.all().collect();
        let of = |clip| all.contains(&clip) && is_telling(map, clip);
        (0..clips.entries.len()).map(of).collect()
    };
    let natural = natural_ratios(clips, &space, &telling, seed);
    let known: BTreeSet<usize> = equal.iter().map(|pair| pair.second).collect();
    let mut queries: Vec<usize> = Vec::new();
    for split in [Split::Validation, Split::Test] {
        let of_split = clips.of_split(split).iter().copied();
        queries.extend(of_split.filter(|clip| telling[*clip] && !known.contains(clip)));
    }
    if queries.is_empty() {
        return Near::default();
    }
    let Some(limit) = limit(natural, queries.len()) else {
        let remark = "too few clips can be laid over one another to tell a copy from chance; only \
                      equal content was looked for";
        return Near {
            remark: Some(remark.to_owned()),
            ..Near::default()
        };
    };
    let all: Vec<usize> = clips.all().filter(|clip| telling[*clip]).collect();
    let asked = queries.len();
    let most = (MOST_PAIRS / all.len().max(1)).max(FEWEST);
    let mut near = Near::default();
    if asked > most {
        let mut random = stream(seed, Stream::Verification, 1);
        queries = sample(&mut random, asked, most)
            .iter()
            .map(|i| queries[i])
            .collect();
        near.remark = Some(format!(
            "{most} of {asked} clips of validation and test, drawn at random, were compared with all \
             others; a copy among the rest was not looked for"
        ));
    }
    for query in queries {
        let split = clips.split(query);
        let others = all
            .iter()
            .copied()
            .filter(|&clip| clips.split(clip) != split);
        let Some(closest) = space.closest(query, others) else {
            continue;
        };
        if closest.ratio < limit {
            let (mut first, mut second) = (query, closest.clip);
            if clips.split(first) > clips.split(second) {
                (first, second) = (second, first);
            }
            near.pairs.push(Pair {
                first,
                second,
                distance: closest.ratio,
            });
        }
    }
    // A pair of validation and test is found from both sides.
    near.pairs.sort_by_key(|pair| (pair.first, pair.second));
    near.pairs.dedup_by_key(|pair| (pair.first, pair.second));
    near
}

/// The ratios of training clips to training clips of other groups; of other clips where there is one
/// group only.
fn natural_ratios(clips: &Clips<'_>, space: &Space, telling: &[bool], seed: u64) -> Vec<f64> {
    let train: Vec<usize> = {
        let train = clips.of_split(Split::Train).iter().copied();
        train.filter(|&clip| telling[clip]).collect()
    };
    let groups: BTreeSet<&str> = train.iter().map(|&clip| clips.group(clip)).collect();
    let mut random = stream(seed, Stream::Verification, 0);
    let most = (MOST_PAIRS / train.len().max(1)).clamp(2 * FEWEST, NATURAL);
    let chosen = sample(&mut random, train.len(), train.len().min(most));
    let ratio = |index: usize| {
        let query = train[index];
        let others = train.iter().copied().filter(|&other| {
            other != query && (groups.len() == 1 || clips.group(other) != clips.group(query))
        });
        Some(space.closest(query, others)?.ratio)
    };
    chosen.iter().filter_map(ratio).collect()
}

/// Below which ratio a clip is a copy. The exponent is read off the median and off the lowest twentieth
/// of the natural ratios, and the more careful one counts; both bear a few copies among them.
#[allow(clippy::cast_precision_loss)]
fn limit(mut natural: Vec<f64>, queries: usize) -> Option<f64> {
    if natural.len() < FEWEST {
        return None;
    }
    natural.sort_by(f64::total_cmp);
    let others = (SCALE - 1) as f64;
    let exponent = |share: f64| {
        // Below 1, which is that of clips of which none is nearer than another.
        let at = percentile(&natural, share)?.min(1.0 - 1e-9);
        // P(ratio < r) = 1 − (1 − r^m)^(SCALE − 1)
        let power: f64 = 1.0 - (1.0 - share).powf(1.0 / others);
        Some(power.ln() / at.ln())
    };
    let exponent = exponent(0.5)?.min(exponent(0.05)?);
    let unlikely = (ALARMS / (others * queries as f64)).powf(1.0 / exponent);
    let few = natural.len() < 2 * FEWEST;
    Some(unlikely.min(if few { MOST_RATIO_OF_FEW } else { MOST_RATIO }))
}

/// The nearest clip.
#[derive(Debug, Clone, Copy)]
struct Closest {
    clip: usize,
    /// Its distance over that of the fifth nearest.
    ratio: f64,
}

/// Clips to be laid over one another.
struct Space {
    /// In deviations of the training frames, not centred, so that a gain stays one factor; folded to
    /// [`WIDTH`] columns.
    frames: Vec<f32>,
    width: usize,
    offsets: Vec<usize>,
    /// Mean and deviation over time of each column, in deviations of the training clips.
    pooled: Vec<f32>,
}

impl Space {
    fn new(map: &Backbone, train: &[usize], seed: u64) -> Self {
        let (_, deviations) = training_moments(map, train);
        #[allow(clippy::cast_possible_truncation)]
        let scale: Vec<f32> = deviations.iter().map(|d| (1.0 / d) as f32).collect();
        let width = map.dim.min(WIDTH);
        // Each column goes into one of the folded ones under a random sign, which keeps distances on
        // average (a count sketch).
        let mut random = stream(seed, Stream::Verification, 2);
        let folds: Vec<(usize, f32)> = (0..map.dim)
            .map(|column| {
                if width == map.dim {
                    return (column, 1.0);
                }
                let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
                (random.random_range(0..width), sign)
            })
            .collect();
        let count = map.values.len() / map.dim;
        let mut frames = vec![0.0_f32; count * width];
        let rows = map.values.chunks_exact(map.dim);
        for (row, folded) in rows.zip(frames.chunks_exact_mut(width)) {
            for ((value, scale), &(to, sign)) in row.iter().zip(&scale).zip(&folds) {
                folded[to] += sign * value * scale;
            }
        }
        let mut space = Self {
            frames,
            width,
            offsets: map.offsets.clone(),
            pooled: Vec::new(),
        };
        space.pool(train);
        space
    }

    fn clip(&self, clip: usize) -> Frames<'_> {
        let (from, to) = (self.offsets[clip], self.offsets[clip + 1]);
        Frames {
            values: &self.frames[from * self.width..to * self.width],
            width: self.width,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn pool(&mut self, train: &[usize]) {
        let (width, clips) = (self.width, self.offsets.len() - 1);
        let mut pooled = vec![0.0_f32; clips * 2 * width];
        for (clip, sums) in pooled.chunks_exact_mut(2 * width).enumerate() {
            let frames = self.clip(clip);
            let count = (frames.values.len() / width) as f32;
            let (means, deviations) = sums.split_at_mut(width);
            for row in frames.values.chunks_exact(width) {
                means
                    .iter_mut()
                    .zip(row)
                    .for_each(|(mean, x)| *mean += x / count);
            }
            for row in frames.values.chunks_exact(width) {
                for ((square, mean), x) in deviations.iter_mut().zip(&*means).zip(row) {
                    *square += (x - mean).powi(2) / count;
                }
            }
            deviations
                .iter_mut()
                .for_each(|square| *square = square.sqrt());
        }
        for column in 0..2 * width {
            let values = train
                .iter()
                .map(|clip| f64::from(pooled[clip * 2 * width + column]));
            let scale = inverse_deviation(values);
            for clip in 0..clips {
                pooled[clip * 2 * width + column] *= scale;
            }
        }
        self.pooled = pooled;
    }

    fn summary(&self, clip: usize) -> &[f32] {
        &self.pooled[clip * 2 * self.width..(clip + 1) * 2 * self.width]
    }

    /// The nearest of `others`; `None` when fewer than five can be laid over it, or the fifth is equal
    /// to it too.
    fn closest(&self, query: usize, others: impl Iterator<Item = usize>) -> Option<Closest> {
        let own = self.summary(query);
        let mut near: Vec<(f32, usize)> = Vec::with_capacity(CANDIDATES + 1);
        for other in others {
            let squares = own
                .iter()
                .zip(self.summary(other))
                .map(|(a, b)| (a - b).powi(2));
            let apart: f32 = squares.sum();
            if near.len() == CANDIDATES && near.last().is_some_and(|last| apart >= last.0) {
                continue;
            }
            let place = near.partition_point(|(before, _)| *before <= apart);
            near.insert(place, (apart, other));
            near.truncate(CANDIDATES);
        }
        let laid = near.iter().filter_map(|&(_, other)| {
            let apart = residual(self.clip(query), self.clip(other))?;
            Some((apart, other))
        });
        let mut laid: Vec<(f64, usize)> = laid.collect();
        laid.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (nearest, clip) = *laid.first()?;
        let (scale, _) = *laid.get(SCALE - 1)?;
        (scale > 0.0).then(|| Closest {
            clip,
            ratio: nearest / scale,
        })
    }
}

/// One over the deviation; 1 for what does not vary.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn inverse_deviation(values: impl Iterator<Item = f64>) -> f32 {
    let (mut count, mut mean, mut square) = (0_usize, 0.0, 0.0);
    for value in values {
        count += 1;
        let before = value - mean;
        mean += before / count as f64;
        square += before * (value - mean);
    }
    let deviation = (square / count.max(1) as f64).sqrt();
    if deviation > 1e-6 {
        (1.0 / deviation) as f32
    } else {
        1.0
    }
}
