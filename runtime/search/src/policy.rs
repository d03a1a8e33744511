//! What every search policy can do: propose, and be told. Paper §3.3.

use std::str::FromStr;
use std::sync::Arc;

use orze_campaign::{ExperimentId, InputError, Point, Priority, Space};
use rand_chacha::ChaCha8Rng;

use crate::dedup::DedupSettings;
use crate::evolution::Evolution;
use crate::random::Random;
use crate::tpe::Tpe;

/// A search policy π: from the history of a campaign to the next points.
///
/// Every policy observes all experiments of its campaign, whoever proposed them. The same
/// observation may be told twice, and a finish may be told without its admission: a restarted
/// actor replays without having to know what was told before.
pub trait Policy: Send {
    /// The name as campaign files write it.
    fn name(&self) -> &'static str;

    /// Up to `n` proposals given everything told so far; they differ from one another and from
    /// what is in flight. Never blocks; returns fewer only when nothing new is left in the space.
    fn ask(&mut self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Proposal>;

    /// Which of a table's rows to try next, by its place in `rows`, where a table is the whole world
    /// ([`crate::pool`]); `None` from a policy that only knows how to ask for a point.
    fn pick(&mut self, rows: &[&Point], rng: &mut ChaCha8Rng) -> Option<usize> {
        let _ = (rows, rng);
        None
    }

    /// Learns of an experiment.
    fn tell(&mut self, observation: &Observation);
}

/// One point that a policy wants tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Where; its floats are already rounded as [`Space::decode`] rounds them, so it comes back
    /// from [`Space::encode`] unchanged.
    pub point: Point,
    /// A short name for people.
    pub name: String,
    /// Why this point, in one sentence.
    pub rationale: String,
    /// How urgent it is.
    pub priority: Priority,
}

/// What a policy is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// In flight: admitted by anybody, not finished yet.
    Admitted {
        /// The experiment.
        id: ExperimentId,
        /// What it tries.
        point: Point,
    },
    /// Finished for good.
    Finished {
        /// The experiment.
        id: ExperimentId,
        /// What it tried.
        point: Point,
        /// What it reached, always maximised; `None` when it failed or diverged.
        objective: Option<f64>,
    },
}

/// The policies that need no model of language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Uniform over the space.
    Random,
    /// Tree-structured Parzen estimator with architecture cells.
    Tpe,
    /// Local evolution of the leaders.
    Evolution,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Random, Self::Tpe, Self::Evolution];

    /// The name as campaign files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Tpe => "tpe",
            Self::Evolution => "evolution",
        }
    }
}

impl FromStr for PolicyKind {
    type Err = InputError;

    fn from_str(name: &str) -> Result<Self, InputError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                InputError::new(format!("`{name}` is no search policy"))
                    .hint_nearest(name, Self::ALL.map(Self::name))
            })
    }
}

/// A policy that has not been told anything, in a campaign with the default deduplication.
pub fn build(kind: PolicyKind, space: Arc<Space>) -> Box<dyn Policy> {
    build_with(kind, space, DedupSettings::default())
}

/// A policy that has not been told anything, and avoids what these settings would reject.
pub fn build_with(kind: PolicyKind, space: Arc<Space>, dedup: DedupSettings) -> Box<dyn Policy> {
    match kind {
        PolicyKind::Random => Box::new(Random::new(space, dedup)),
        PolicyKind::Tpe => Box::new(Tpe::new(space, dedup)),
        PolicyKind::Evolution => Box::new(Evolution::new(space, dedup)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::sampling;

    pub(crate) const MIXED: &str = "
space: mixed
dimensions:
  backbone: {group: arch, choices: [a, b, c, d]}
  encoder: {group: arch, choices: [k, l, m]}
  pooling: {group: arch, choices: [attention, mean]}
  loss: {group: loss, choices: [focal, bce]}
  batch_size: {group: train, choices: [16, 32, 64]}
  learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  weight_decay: {group: train, range: [1.0e-5, 1.0e-1], scale: log}
  mixup: {group: data, range: [0.0, 0.4]}
";

    pub(crate) const CONDITIONAL: &str = "
space: conditional
dimensions:
  backbone: {group: arch, choices: [a, b, c]}
  encoder: {group: arch, choices: [k, l]}
  heads: {group: arch, choices: [1, 2, 4], when: {encoder: k}}
  loss: {group: loss, choices: [focal, bce, smooth]}
  focal_gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  smoothing: {group: loss, range: [0.01, 0.2], scale: log, when: {loss: smooth}}
  learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  warmup: {group: train, choices: [0, 5], when: {heads: [2, 4], loss: [focal, bce]}}
";

    pub(crate) const DISCRETE: &str = "
space: discrete
dimensions:
  backbone: {group: arch, choices: [a, b, c]}
  encoder: {group: arch, choices: [k, l]}
  heads: {group: arch, choices: [1, 2], when: {encoder: k}}
  batch_size: {group: train, choices: [16, 32]}
";

    pub(crate) fn space(text: &str) -> Arc<Space> {
        Arc::new(Space::parse(text).unwrap())
    }

    fn finished(id: u64, point: &Point, objective: Option<f64>) -> Observation {
        Observation::Finished {
            id: ExperimentId(id),
            point: point.clone(),
            objective,
        }
    }

    /// Something to climb: prefers later choices and the middle of ranges.
    fn objective(point: &Point) -> f64 {
        point
            .0
            .iter()
            .filter(|value| !value.is_nan())
            .map(|value| {
                if *value > 1.0 {
                    0.1
                } else {
                    -(value - 0.5).abs()
                }
            })
            .sum()
    }

    #[test]
    fn names_are_read_and_wrong_ones_answered() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.name().parse::<PolicyKind>().unwrap(), kind);
            assert_eq!(build(kind, space(MIXED)).name(), kind.name());
        }
        let error = "evolutoin".parse::<PolicyKind>().unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `evolution`?"));
    }

    #[test]
    fn proposals_are_valid_whatever_was_told_and_batches_hold_no_repeat() {
        for kind in PolicyKind::ALL {
            for text in [MIXED, CONDITIONAL] {
                let space = space(text);
                let mut policy = build(kind, Arc::clone(&space));
                let mut rng = ChaCha8Rng::seed_from_u64(11);
                let mut id = 0;
                for round in 0..40 {
                    let batch = policy.ask(5, &mut rng);
                    assert_eq!(batch.len(), 5, "{kind:?}");
                    for (place, proposal) in batch.iter().enumerate() {
                        assert!(sampling::is_valid(&space, &proposal.point), "{kind:?}");
                        let back = space.encode(&space.decode(&proposal.point)).unwrap();
                        assert_eq!(format!("{back:?}"), format!("{:?}", proposal.point));
                        for other in &batch[..place] {
                            assert_ne!(
                                format!("{:?}", other.point),
                                format!("{:?}", proposal.point),
                                "{kind:?}"
                            );
                        }
                        id += 1;
                        policy.tell(&Observation::Admitted {
                            id: ExperimentId(id),
                            point: proposal.point.clone(),
                        });
                        // Some stay in flight for ever, some fail, some are not even numbers.
                        let result = match id % 7 {
                            0 => continue,
                            1 => None,
                            2 if round % 5 == 0 => Some(f64::NAN),
                            _ => Some(objective(&proposal.point)),
                        };
                        policy.tell(&finished(id, &proposal.point, result));
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_history_gives_the_same_proposals_and_repeats_change_nothing() {
        for kind in PolicyKind::ALL {
            let space = space(CONDITIONAL);
            let proposals = |repeats: usize, admitted: bool| {
                let mut policy = build(kind, Arc::clone(&space));
                for id in 0..120 {
                    let point = sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(id));
                    if admitted {
                        policy.tell(&Observation::Admitted {
                            id: ExperimentId(id),
                            point: point.clone(),
                        });
                    }
                    for _ in 0..repeats {
                        policy.tell(&finished(id, &point, Some(objective(&point))));
                    }
                    if admitted {
                        policy.tell(&Observation::Admitted {
                            id: ExperimentId(id),
                            point: point.clone(),
                        });
                    }
                }
                let batch = policy.ask(8, &mut ChaCha8Rng::seed_from_u64(1));
                format!("{batch:?}")
            };
            let once = proposals(1, false);
            assert_eq!(once, proposals(1, false), "{kind:?}");
            assert_eq!(once, proposals(3, false), "{kind:?}");
            assert_eq!(once, proposals(2, true), "{kind:?}");
        }
    }

    #[test]
    fn a_finite_space_ends() {
        for kind in PolicyKind::ALL {
            let space = space(DISCRETE);
            let mut policy = build(kind, Arc::clone(&space));
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let mut id = 0;
            loop {
                let batch = policy.ask(3, &mut rng);
                for proposal in &batch {
                    id += 1;
                    policy.tell(&finished(
                        id,
                        &proposal.point,
                        Some(objective(&proposal.point)),
                    ));
                }
                if batch.len() < 3 {
                    break;
                }
            }
            assert_eq!(id, space.discrete_cardinality(), "{kind:?}");
            assert!(policy.ask(1, &mut rng).is_empty());
        }
    }

    #[test]
    fn under_the_rule_of_the_paper_no_two_proposals_share_their_tokens() {
        let dedup = DedupSettings {
            mode: crate::dedup::DedupMode::Paper,
            ..DedupSettings::default()
        };
        for kind in PolicyKind::ALL {
            let space = space(MIXED);
            let mut policy = build_with(kind, Arc::clone(&space), dedup);
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let mut tokens = std::collections::HashSet::new();
            for id in 0..100 {
                let proposal = policy.ask(1, &mut rng).remove(0);
                let discrete: Vec<_> = (0..5)
                    .map(|position| proposal.point.choice(position))
                    .collect();
                assert!(tokens.insert(discrete), "{kind:?}");
                policy.tell(&finished(
                    id,
                    &proposal.point,
                    Some(objective(&proposal.point)),
                ));
            }
        }
    }
}
