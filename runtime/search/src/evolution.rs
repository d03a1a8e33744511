//! Local evolution of the leaders: small changes to what works.
//!
//! Parents are drawn by tournament among the best finished experiments, of which each architecture
//! may hold only a few places, so that one early winner does not become the whole population. A
//! child takes its parent's coordinates, sometimes the architecture of a second parent, and then
//! changes one to three dimensions. A share of immigrants is drawn uniformly.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orze_campaign::space::Group;
use orze_campaign::{ExperimentId, Point, Priority, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dedup::DedupSettings;
use crate::novelty::Novelty;
use crate::policy::{Observation, Policy, Proposal};
use crate::sampling::{assemble, describe, index_coordinate, normal, reflect, uniform_coordinate};

/// Finished experiments drawn uniformly before evolution begins.
const FOUNDERS: usize = 20;
/// Places in the population.
const POPULATION: usize = 24;
/// Places that one architecture may hold.
const PER_ARCHITECTURE: usize = 6;
/// Leaders that compete to be a parent.
const TOURNAMENT: usize = 3;
/// Share of proposals drawn uniformly.
const IMMIGRANTS: f64 = 0.05;
/// Share of children with the architecture of a second parent.
const CROSSOVER: f64 = 0.2;
/// Standard deviation of a change to a float, in unit coordinates.
const STEP: f64 = 0.12;
/// Tries to make a child that is new.
const TRIES: usize = 20;

struct Leader {
    id: ExperimentId,
    objective: f64,
    point: Point,
    architecture: Vec<Option<usize>>,
}

/// The policy and its population.
pub struct Evolution {
    space: Arc<Space>,
    novelty: Novelty,
    architecture: Vec<usize>,
    /// Best first.
    population: Vec<Leader>,
    told: HashSet<ExperimentId>,
}

impl Evolution {
    /// A population without members.
    pub fn new(space: Arc<Space>, dedup: DedupSettings) -> Self {
        let architecture = (0..space.dimensions.len())
            .filter(|position| {
                let dimension = &space.dimensions[*position];
                dimension.group == Group::Arch && dimension.domain.choices().is_some()
            })
            .collect();
        Self {
            novelty: Novelty::new(Arc::clone(&space), dedup),
            space,
            architecture,
            population: Vec::new(),
            told: HashSet::new(),
        }
    }

    /// Adds a finished experiment where it belongs, and drops who has no place any longer.
    fn admit(&mut self, leader: Leader) {
        let place = self
            .population
            .partition_point(|other| other.objective >= leader.objective);
        self.population.insert(place, leader);
        let mut places: HashMap<Vec<Option<usize>>, usize> = HashMap::new();
        self.population.retain(|leader| {
            let held = places.entry(leader.architecture.clone()).or_default();
            *held += 1;
            *held <= PER_ARCHITECTURE
        });
        self.population.truncate(POPULATION);
    }

    /// The best of a few leaders drawn uniformly.
    fn parent(&self, rng: &mut ChaCha8Rng) -> &Leader {
        let place = (0..TOURNAMENT)
            .map(|_| rng.random_range(0..self.population.len()))
            .min()
            .unwrap_or(0);
        &self.population[place]
    }

    fn child(&self, rng: &mut ChaCha8Rng) -> (Point, String) {
        let parent = self.parent(rng);
        let mut coordinates = parent.point.0.clone();
        let mut origin = format!("experiment {}", parent.id);
        if rng.random_bool(CROSSOVER) {
            let other = self.parent(rng);
            for dimension in &self.architecture {
                coordinates[*dimension] = other.point.0[*dimension];
            }
            if other.architecture != parent.architecture {
                origin = format!("{origin} with the architecture of {}", other.id);
            }
        }
        let mut changed = Vec::new();
        for _ in 0..rng.random_range(1..=3) {
            let dimension = rng.random_range(0..coordinates.len());
            if !coordinates[dimension].is_nan() {
                coordinates[dimension] = self.mutate(dimension, coordinates[dimension], rng);
                changed.push(dimension);
            }
        }
        // What a change has made active has no coordinate yet.
        let point = assemble(&self.space, |dimension, _| {
            let own = coordinates[dimension];
            if own.is_nan() {
                uniform_coordinate(&self.space, dimension, rng)
            } else {
                own
            }
        });
        let change = describe(&self.space, &point, &changed);
        let rationale = if change.is_empty() {
            format!("from {origin}")
        } else {
            format!("from {origin}, now {change}")
        };
        (point, rationale)
    }

    /// Another choice, or a normal step of a float that is reflected at the ends of its range.
    fn mutate(&self, dimension: usize, own: f64, rng: &mut ChaCha8Rng) -> f64 {
        match self.space.dimensions[dimension].domain.choices() {
            Some(1) => own,
            Some(choices) => {
                let other = index_coordinate(rng.random_range(0..choices - 1));
                if other >= own { other + 1.0 } else { other }
            }
            None => reflect(own + STEP * normal(rng)),
        }
    }

    fn propose(&mut self, number: usize, rng: &mut ChaCha8Rng) -> Option<Proposal> {
        let number = self.told.len() + number + 1;
        let proposal = |point: Point, rationale: String| Proposal {
            point,
            name: format!("evolution-{number}"),
            rationale,
            priority: Priority::Normal,
        };
        let evolves = self.told.len() >= FOUNDERS && !self.population.is_empty();
        if evolves && !rng.random_bool(IMMIGRANTS) {
            for _ in 0..TRIES {
                let (point, rationale) = self.child(rng);
                if self.novelty.claim(&point) {
                    return Some(proposal(point, rationale));
                }
            }
        }
        let point = self.novelty.draw(rng)?;
        Some(proposal(point, "drawn uniformly, for diversity".to_owned()))
    }
}

impl Policy for Evolution {
    fn name(&self) -> &'static str {
        "evolution"
    }

    fn ask(&mut self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Proposal> {
        (0..n)
            .map_while(|number| self.propose(number, rng))
            .collect()
    }

    fn tell(&mut self, observation: &Observation) {
        match observation {
            Observation::Admitted { point, .. } => {
                self.novelty.insert(point);
            }
            Observation::Finished {
                id,
                point,
                objective,
            } => {
                self.novelty.insert(point);
                if !self.told.insert(*id) {
                    return;
                }
                if let Some(objective) = objective.filter(|objective| objective.is_finite()) {
                    self.admit(Leader {
                        id: *id,
                        objective,
                        point: point.clone(),
                        architecture: self
                            .architecture
                            .iter()
                            .map(|dimension| point.choice(*dimension))
                            .collect(),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::policy::tests::{CONDITIONAL, MIXED, space};
    use crate::sampling::uniform;

    fn told(text: &str, objective: impl Fn(&Point) -> f64) -> Evolution {
        let space = space(text);
        let mut policy = Evolution::new(Arc::clone(&space), DedupSettings::default());
        for id in 0..200 {
            let point = uniform(&space, &mut ChaCha8Rng::seed_from_u64(id));
            policy.tell(&Observation::Finished {
                id: ExperimentId(id),
                objective: Some(objective(&point)),
                point,
            });
        }
        policy
    }

    #[test]
    fn the_population_keeps_several_architectures() {
        let policy = told(MIXED, |point| -point.0[0]);
        assert!(policy.population.len() > PER_ARCHITECTURE);
        let kinds: HashSet<_> = policy
            .population
            .iter()
            .map(|leader| leader.architecture.clone())
            .collect();
        assert!(kinds.len() >= POPULATION / PER_ARCHITECTURE);
        assert!(
            policy
                .population
                .is_sorted_by(|a, b| a.objective >= b.objective)
        );
    }

    #[test]
    fn a_child_of_another_loss_gets_its_parameters_and_loses_the_old_ones() {
        let policy = told(CONDITIONAL, |point| point.0[6]);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut kinds = HashSet::new();
        for _ in 0..500 {
            let (point, _) = policy.child(&mut rng);
            assert!(crate::sampling::is_valid(&policy.space, &point));
            kinds.insert(point.choice(3));
        }
        assert_eq!(kinds.len(), 3);
    }
}
