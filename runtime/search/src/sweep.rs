//! Auto-sweeps: small grids around promising experiments. Paper §1 and §5, "auto-sweep
//! enrichment".
//!
//! A base is one of the best experiments of the moment, and each is swept once. Along each swept
//! dimension one coordinate changes at a time: a logarithmic dimension is multiplied by factors, a
//! linear one is moved by shares of its range. Sweeps are bounded three ways (lesson 12: they once
//! filled the queue with 4,830 entries while GPUs sat idle): variants of a base, share of the
//! campaign, and the room that the caller has.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

pub use orze_campaign::settings::SweepSettings;
use orze_campaign::space::Group;
use orze_campaign::{Domain, ExperimentId, InputError, Point, Space};

use crate::sampling;

/// One variant of a base.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepVariant {
    /// The base.
    pub parent: ExperimentId,
    /// Where.
    pub point: Point,
    /// A short name for people.
    pub name: String,
    /// What was changed.
    pub rationale: String,
}

/// An experiment that variants are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// Which.
    pub id: ExperimentId,
    /// What it reached.
    pub objective: f64,
    /// Where it is.
    pub point: Point,
}

/// Finds bases and yields their variants.
#[derive(Debug, Clone)]
pub struct Sweeper {
    space: Arc<Space>,
    settings: SweepSettings,
    dimensions: Vec<usize>,
    /// The best finished experiments, best first; at most `top_k`.
    leaders: Vec<(f64, ExperimentId, Point)>,
    finished: HashSet<ExperimentId>,
    swept: HashSet<ExperimentId>,
    /// Variants made, by their coordinates; the share counts them.
    made: usize,
    ready: VecDeque<SweepVariant>,
}

impl Sweeper {
    /// A sweeper that knows of no experiment yet.
    ///
    /// # Errors
    /// When a dimension to sweep does not exist or is no float, or a factor or step is not usable.
    pub fn new(space: Arc<Space>, settings: SweepSettings) -> Result<Self, InputError> {
        let dimensions = swept_dimensions(&space, settings.dimensions.as_deref())?;
        if let Some(factor) = settings
            .factors
            .iter()
            .find(|factor| !factor.is_finite() || **factor <= 0.0)
        {
            return Err(
                InputError::new(format!("the factor {factor} is not above 0"))
                    .at_key("sweep.factors"),
            );
        }
        if let Some(step) = settings.steps.iter().find(|step| !step.is_finite()) {
            return Err(
                InputError::new(format!("the step {step} is not finite")).at_key("sweep.steps")
            );
        }
        Ok(Self {
            space,
            settings,
            dimensions,
            leaders: Vec::new(),
            finished: HashSet::new(),
            swept: HashSet::new(),
            made: 0,
            ready: VecDeque::new(),
        })
    }

    /// Tells of a variant that the ledger holds: its base is swept, and it counts in the share.
    pub fn restore(&mut self, parent: ExperimentId) {
        self.swept.insert(parent);
        self.made += 1;
    }

    /// Tells of a finished experiment, once or more often; `None` when it failed.
    pub fn on_finished(&mut self, id: ExperimentId, point: &Point, objective: Option<f64>) {
        if !self.finished.insert(id) {
            return;
        }
        let Some(objective) = objective.filter(|objective| objective.is_finite()) else {
            return;
        };
        let place = self
            .leaders
            .partition_point(|(better, ..)| *better >= objective);
        self.leaders.insert(place, (objective, id, point.clone()));
        self.leaders.truncate(self.settings.top_k);
    }

    /// Up to `room` variants; none before enough experiments finished, none beyond the share.
    pub fn next(&mut self, room: usize) -> Vec<SweepVariant> {
        if !self.settings.enabled || self.finished.len() < self.settings.min_finished {
            return Vec::new();
        }
        let most = room.min(self.quota());
        while self.ready.len() < most && self.begin_base() {}
        self.ready(room)
    }

    /// Variants that the share still allows.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )]
    fn quota(&self) -> usize {
        let most = (self.finished.len() as f64 * self.settings.max_share).max(0.0) as usize;
        most.saturating_sub(self.made)
    }

    /// Makes the variants of the best base that was not swept; `false` when there is none.
    fn begin_base(&mut self) -> bool {
        let Some(id) = self.unswept() else {
            return false;
        };
        self.swept.insert(id);
        self.supply(id, None);
        true
    }

    /// The best base that was not swept.
    fn unswept(&self) -> Option<ExperimentId> {
        let mut leaders = self.leaders.iter().map(|(_, id, _)| *id);
        leaders.find(|id| !self.swept.contains(id))
    }

    /// Takes the base that is due for a sweep, so that a task's plugin can make its variants
    /// ([`Sweeper::supply`]); none while variants are ready, or when `next` would make none.
    pub fn take_base(&mut self, room: usize) -> Option<Base> {
        let due = self.settings.enabled && self.finished.len() >= self.settings.min_finished;
        if !due || !self.ready.is_empty() || room.min(self.quota()) == 0 {
            return None;
        }
        let id = self.unswept()?;
        self.swept.insert(id);
        let (objective, _, point) = self.leaders.iter().find(|(_, other, _)| *other == id)?;
        Some(Base {
            id,
            objective: *objective,
            point: point.clone(),
        })
    }

    /// The variants of a base, most useful first: a task's own, or with `None` the grid. A base that
    /// is no leader any more has no grid.
    pub fn supply(&mut self, parent: ExperimentId, own: Option<Vec<Point>>) {
        let mut variants: Vec<SweepVariant> = match own {
            Some(points) => points
                .into_iter()
                .enumerate()
                .map(|(number, point)| SweepVariant {
                    parent,
                    point,
                    name: format!("sweep-{parent}-{}", number + 1),
                    rationale: format!("a variant of experiment {parent} that the task suggests"),
                })
                .collect(),
            None => self.grid(parent),
        };
        variants.truncate(self.settings.max_variants_per_base);
        self.ready.extend(variants);
    }

    /// One step of each dimension before the second step of any.
    fn grid(&self, parent: ExperimentId) -> Vec<SweepVariant> {
        let mut variants = Vec::new();
        let Some((.., base)) = self.leaders.iter().find(|(_, id, _)| *id == parent) else {
            return variants;
        };
        let most_steps = self.settings.factors.len().max(self.settings.steps.len());
        for number in 0..most_steps {
            for dimension in &self.dimensions {
                variants.extend(self.variant(parent, base, *dimension, number));
            }
        }
        variants
    }

    /// Variants that are ready, up to `room`: [`Sweeper::next`] without beginning a base.
    pub fn ready(&mut self, room: usize) -> Vec<SweepVariant> {
        let most = room.min(self.quota()).min(self.ready.len());
        self.made += most;
        self.ready.drain(..most).collect()
    }

    /// The base with one coordinate changed; `None` where the dimension is not active, there is no
    /// such step, or it leads out of the range.
    fn variant(
        &self,
        parent: ExperimentId,
        base: &Point,
        dimension: usize,
        number: usize,
    ) -> Option<SweepVariant> {
        let entry = &self.space.dimensions[dimension];
        let Domain::Float { low, high, log } = entry.domain else {
            return None;
        };
        let own = base.0[dimension];
        let coordinate = if log {
            own + self.settings.factors.get(number)?.ln() / (high / low).ln()
        } else {
            own + self.settings.steps.get(number)?
        };
        // A coordinate that is not active is not a number and lies in no range.
        if !(0.0..=1.0).contains(&coordinate) || (coordinate - own).abs() < f64::EPSILON {
            return None;
        }
        let point = sampling::assemble(&self.space, |position, _| {
            if position == dimension {
                coordinate
            } else {
                base.0[position]
            }
        });
        let name = &entry.name;
        let value = entry.domain.decode(coordinate);
        Some(SweepVariant {
            parent,
            name: format!("sweep-{parent}-{name}={value}"),
            rationale: format!(
                "auto-sweep around experiment {parent}: {name} {value} instead of {}",
                entry.domain.decode(own)
            ),
            point,
        })
    }
}

fn swept_dimensions(space: &Space, names: Option<&[String]>) -> Result<Vec<usize>, InputError> {
    let Some(names) = names else {
        return Ok((0..space.dimensions.len())
            .filter(|position| {
                let dimension = &space.dimensions[*position];
                match dimension.domain {
                    Domain::Float { log, .. } => match dimension.group {
                        Group::Train => log,
                        Group::Loss => true,
                        Group::Arch | Group::Data => false,
                    },
                    Domain::Categorical(_) | Domain::Integer(_) => false,
                }
            })
            .collect());
    };
    let floats = || {
        space
            .dimensions
            .iter()
            .filter(|dimension| dimension.domain.choices().is_none())
            .map(|dimension| dimension.name.as_str())
    };
    names
        .iter()
        .map(|name| {
            space
                .position(name)
                .filter(|_| floats().any(|float| float == name))
                .ok_or_else(|| {
                    InputError::new(format!("`{name}` is no float dimension of this space"))
                        .at_key("sweep.dimensions")
                        .hint_nearest(name, floats())
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use orze_campaign::Value;

    use super::*;
    use crate::policy::tests::{CONDITIONAL, MIXED};

    fn sweeper(text: &str, settings: SweepSettings) -> (Arc<Space>, Sweeper) {
        let space = Arc::new(Space::parse(text).unwrap());
        let sweeper = Sweeper::new(Arc::clone(&space), settings).unwrap();
        (space, sweeper)
    }

    fn tell(sweeper: &mut Sweeper, space: &Space, ids: std::ops::Range<u64>) {
        for id in ids {
            let point = sampling::uniform(space, &mut ChaCha8Rng::seed_from_u64(id));
            sweeper.on_finished(ExperimentId(id), &point, Some(id as f64));
        }
    }

    #[test]
    fn each_base_is_swept_once_and_only_one_coordinate_changes() {
        let settings = SweepSettings {
            max_share: 1.0,
            ..SweepSettings::default()
        };
        let (space, mut sweeper) = sweeper(CONDITIONAL, settings);
        tell(&mut sweeper, &space, 0..29);
        assert!(sweeper.next(100).is_empty(), "too early");
        tell(&mut sweeper, &space, 0..40);
        let variants = sweeper.next(100);
        assert!(!variants.is_empty());
        for variant in &variants {
            assert!(variant.parent.0 >= 35, "{} is no leader", variant.parent);
            assert!(sampling::is_valid(&space, &variant.point));
            let base = sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(variant.parent.0));
            let changed = (0..base.0.len())
                .filter(|d| base.is_active(*d) && base.0[*d] != variant.point.0[*d])
                .count();
            assert_eq!(changed, 1, "{}", variant.name);
        }
        assert!(sweeper.next(100).is_empty());
        tell(&mut sweeper, &space, 40..41);
        let again = sweeper.next(100);
        assert!(
            again
                .iter()
                .all(|variant| variant.parent == ExperimentId(40))
        );
    }

    #[test]
    fn never_more_than_the_room_and_the_share() {
        let (space, mut sweeper) = sweeper(MIXED, SweepSettings::default());
        let mut made = 0;
        for id in 0..1_000 {
            tell(&mut sweeper, &space, id..id + 1);
            let variants = sweeper.next(2);
            assert!(variants.len() <= 2);
            made += variants.len();
            assert!(made as f64 <= 0.15 * (id + 1) as f64);
        }
        assert!(made > 140, "the share is used: {made}");
        assert!(sweeper.next(0).is_empty());
    }

    #[test]
    fn a_restart_does_not_sweep_again() {
        let (space, mut sweeper) = sweeper(MIXED, SweepSettings::default());
        for parent in 95..100 {
            sweeper.restore(ExperimentId(parent));
        }
        tell(&mut sweeper, &space, 0..100);
        assert!(sweeper.next(10).is_empty());
    }

    #[test]
    fn a_rate_is_multiplied_and_stays_in_its_range() {
        let settings = SweepSettings {
            dimensions: Some(vec!["learning_rate".to_owned()]),
            factors: vec![0.1, 10.0],
            top_k: 1,
            min_finished: 1,
            max_share: 10.0,
            ..SweepSettings::default()
        };
        let (space, mut sweeper) = sweeper(MIXED, settings);
        let rate = space.position("learning_rate").unwrap();
        let mut base = sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(2));
        base.0[rate] = space.dimensions[rate]
            .domain
            .encode(&Value::Float(5e-5))
            .unwrap();
        sweeper.on_finished(ExperimentId(1), &base, Some(0.5));
        let variants = sweeper.next(9);
        // 5e-6 is below the range.
        assert_eq!(variants.len(), 1);
        let value = space.decode(&variants[0].point);
        assert_eq!(value.get("learning_rate"), Some(&Value::Float(5e-4)));
    }

    #[test]
    fn a_dimension_that_can_not_be_swept_is_named() {
        let space = Arc::new(Space::parse(MIXED).unwrap());
        let settings = SweepSettings {
            dimensions: Some(vec!["learning_rat".to_owned()]),
            ..SweepSettings::default()
        };
        let error = Sweeper::new(space, settings).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `learning_rate`?"));
    }

    #[test]
    fn a_task_makes_the_variants_of_a_base_or_leaves_them_to_the_grid() {
        let settings = SweepSettings {
            max_share: 1.0,
            max_variants_per_base: 2,
            ..SweepSettings::default()
        };
        let (space, mut sweeper) = sweeper(CONDITIONAL, settings);
        tell(&mut sweeper, &space, 0..20);
        assert!(sweeper.take_base(8).is_none(), "too early");
        tell(&mut sweeper, &space, 20..30);
        assert!(sweeper.take_base(0).is_none(), "no room");
        let base = sweeper.take_base(8).unwrap().id;
        assert_eq!(base, ExperimentId(29), "the best");
        assert!(sweeper.ready(8).is_empty(), "nothing was supplied yet");
        let own: Vec<Point> = (100..103)
            .map(|seed| sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(seed)))
            .collect();
        sweeper.supply(base, Some(own.clone()));
        assert!(sweeper.take_base(8).is_none(), "variants are ready");
        let variants = sweeper.ready(1);
        assert_eq!(space.decode(&variants[0].point), space.decode(&own[0]));
        assert_eq!(sweeper.ready(8).len(), 1, "cut to two of a base");
        let next = sweeper.take_base(8).unwrap().id;
        assert_eq!(next, ExperimentId(28), "each base once");
        sweeper.supply(next, None);
        let grid = sweeper.ready(8);
        assert_eq!(grid.len(), 2);
        assert!(
            grid.iter()
                .all(|v| v.parent == next && v.name.contains('='))
        );
    }
}
