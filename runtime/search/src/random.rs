//! Uniform random search: the baseline of the paper's §3.3 (i).

use std::sync::Arc;

use orze_campaign::{Point, Priority, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dedup::DedupSettings;
use crate::novelty::Novelty;
use crate::policy::{Observation, Policy, Proposal};

/// Draws uniformly over active choices and unit coordinates, never the same point twice.
pub struct Random {
    novelty: Novelty,
    proposed: u64,
}

impl Random {
    /// A sampler over the whole space.
    pub fn new(space: Arc<Space>, dedup: DedupSettings) -> Self {
        Self {
            novelty: Novelty::new(space, dedup),
            proposed: 0,
        }
    }

    fn propose(&mut self, point: Point) -> Proposal {
        self.proposed += 1;
        Proposal {
            point,
            name: format!("random-{}", self.proposed),
            rationale: "drawn uniformly from the whole space".to_owned(),
            priority: Priority::Normal,
        }
    }
}

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn ask(&mut self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Proposal> {
        (0..n)
            .map_while(|_| self.novelty.draw(rng))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|point| self.propose(point))
            .collect()
    }

    fn pick(&mut self, rows: &[&Point], rng: &mut ChaCha8Rng) -> Option<usize> {
        (!rows.is_empty()).then(|| rng.random_range(0..rows.len()))
    }

    fn tell(&mut self, observation: &Observation) {
        let (Observation::Admitted { point, .. } | Observation::Finished { point, .. }) =
            observation;
        self.novelty.insert(point);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_finite_space_is_used_up_without_a_repeat() {
        let space = Space::parse(
            "
space: tiny
dimensions:
  a: {group: arch, choices: [x, y, z]}
  b: {group: train, choices: [1, 2], when: {a: [x, y]}}
",
        )
        .unwrap();
        let mut policy = Random::new(Arc::new(space.clone()), DedupSettings::default());
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let proposals = policy.ask(100, &mut rng);
        assert_eq!(proposals.len() as u64, space.discrete_cardinality());
        assert!(policy.ask(1, &mut rng).is_empty());
    }
}
