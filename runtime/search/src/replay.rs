//! Somebody else's campaign as a policy: it proposes what was proposed there, in that order. This
//! is how the paper's language models are compared with policies that can be run again.

use std::collections::VecDeque;

use orze_campaign::{Point, Priority};
use rand_chacha::ChaCha8Rng;

use crate::policy::{Observation, Policy, Proposal};

/// The policy; it learns nothing, and ends where the campaign ended.
#[derive(Debug, Clone)]
pub struct Replay {
    left: VecDeque<Point>,
    proposed: u64,
}

impl Replay {
    /// Proposes these points in this order.
    pub fn new(points: impl IntoIterator<Item = Point>) -> Self {
        Self {
            left: points.into_iter().collect(),
            proposed: 0,
        }
    }
}

impl Policy for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn ask(&mut self, n: usize, _: &mut ChaCha8Rng) -> Vec<Proposal> {
        let n = n.min(self.left.len());
        self.left
            .drain(..n)
            .map(|point| {
                self.proposed += 1;
                Proposal {
                    point,
                    name: format!("replay-{}", self.proposed),
                    rationale: "as the recorded campaign did".to_owned(),
                    priority: Priority::Normal,
                }
            })
            .collect()
    }

    fn tell(&mut self, _: &Observation) {}
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn proposes_in_order_and_ends() {
        let points: Vec<Point> = (0..5).map(|x| Point(vec![f64::from(x)])).collect();
        let mut replay = Replay::new(points.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut asked: Vec<Point> = Vec::new();
        for n in [2, 2, 2] {
            asked.extend(replay.ask(n, &mut rng).into_iter().map(|p| p.point));
        }
        assert_eq!(asked, points);
        assert!(replay.ask(1, &mut rng).is_empty());
    }
}
