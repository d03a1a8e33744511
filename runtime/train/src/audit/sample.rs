//! The few clips that probes train on and score.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::{Dataset, View};
use crate::pack::{Pack, Split};

/// Training clips of most probes.
pub const TRAINING: usize = 48;
/// Validation clips: more than go through the model at once on a CPU.
const VALIDATION: usize = 40;
/// Test clips, which are there so that not touching them means something.
const TEST: usize = 12;
/// Clips of each label, where there are so many.
const EACH_LABEL: usize = 6;

/// Clips of a pack by their index in the manifest, each list in the manifest's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
    positive: BTreeSet<usize>,
}

impl Sample {
    /// Chooses at most `training` training clips, and some of the other splits. Labels are as frequent
    /// as in the split, but a few clips of each are there.
    pub fn new(dataset: &Dataset, training: usize, seed: u64) -> Self {
        let pack = dataset.pack();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let clips = &pack.manifest().clips;
        let is_positive = |clip: usize| clips[clip].label == pack.manifest().task.positive;
        let mut choose = |split, most| chosen(pack, split, most, is_positive, &mut random);
        let train = choose(Split::Train, training);
        let validation = choose(Split::Validation, VALIDATION);
        let test = choose(Split::Test, TEST);
        let all = train.iter().chain(&validation).chain(&test).copied();
        Self {
            positive: all.filter(|&clip| is_positive(clip)).collect(),
            train,
            validation,
            test,
        }
    }

    /// All of them.
    pub fn clips(&self) -> BTreeSet<usize> {
        let all = self.train.iter().chain(&self.validation).chain(&self.test);
        all.copied().collect()
    }

    /// What the trainer sees.
    pub fn view(&self, dataset: &Dataset) -> Dataset {
        dataset.viewed(View {
            clips: Some(self.clips()),
            positive: None,
        })
    }

    /// Those of a split.
    pub fn of(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// Which split a clip is in; `None` for a clip that is not there.
    pub fn split(&self, clip: usize) -> Option<Split> {
        let holds = |split: &Split| self.of(*split).contains(&clip);
        Split::ALL.into_iter().find(holds)
    }

    /// Whether it counts as positive.
    pub fn is_positive(&self, clip: usize) -> bool {
        self.positive.contains(&clip)
    }
}

fn chosen(
    pack: &Pack,
    split: Split,
    most: usize,
    is_positive: impl Fn(usize) -> bool,
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let clips = &pack.manifest().clips;
    let damaged = |clip: &usize| pack.damage().is_some_and(|d| d.clips.contains(clip));
    let usable = (0..clips.len()).filter(|&clip| clips[clip].split == split);
    let usable: Vec<usize> = usable.filter(|clip| !damaged(clip)).collect();
    let (mut positive, mut negative): (Vec<usize>, Vec<usize>) =
        usable.iter().partition(|&&clip| is_positive(clip));
    positive.shuffle(random);
    negative.shuffle(random);
    let most = most.min(usable.len());
    let share = most * positive.len() / usable.len().max(1);
    // A few of each label, and of the other label what is left.
    let fewest = most.saturating_sub(negative.len());
    let few = EACH_LABEL.min(positive.len()).min(most / 2);
    let room = most.saturating_sub(EACH_LABEL.min(negative.len()));
    let positives = share.max(few).min(room.max(few)).max(fewest);
    positive.truncate(positives);
    negative.truncate(most - positive.len());
    let mut chosen = [positive, negative].concat();
    chosen.sort_unstable();
    chosen
}
