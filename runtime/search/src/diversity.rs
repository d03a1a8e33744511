//! The diversity budget of a language model's cycle. Paper, appendix F.
//!
//! Of the ideas of one cycle, a minimum must leave the leader's choice in each of the named
//! dimensions, and none may repeat the discrete dimensions of one of the last failures.

use std::collections::VecDeque;
use std::sync::Arc;

use orze_campaign::settings::DiversitySettings;
use orze_campaign::{Configuration, ExperimentId, InputError, Point, Space, Value};

/// The budget, with what it depends on.
#[derive(Debug, Clone)]
pub struct Diversity {
    space: Arc<Space>,
    dimensions: Vec<usize>,
    minimum: usize,
    banned_failures: usize,
    leader: Option<(f64, ExperimentId, Point)>,
    /// The last failures, newest last.
    failures: VecDeque<(ExperimentId, Point)>,
}

impl Diversity {
    /// A budget that has seen nothing.
    ///
    /// # Errors
    /// An [`InputError`] for a dimension that is none, or has no choices.
    pub fn new(space: Arc<Space>, settings: &DiversitySettings) -> Result<Self, InputError> {
        let discrete = |position: &usize| space.dimensions[*position].domain.choices().is_some();
        let position = |name: &String| {
            space.position(name).filter(discrete).ok_or_else(|| {
                let names = space
                    .dimensions
                    .iter()
                    .map(|dimension| dimension.name.as_str());
                InputError::new(format!("`{name}` is no discrete dimension of the space"))
                    .at_key("diversity.dimensions")
                    .hint_nearest(name, names)
            })
        };
        let dimensions = settings
            .dimensions
            .iter()
            .map(position)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            dimensions,
            minimum: settings.minimum,
            banned_failures: settings.banned_failures,
            leader: None,
            failures: VecDeque::new(),
            space,
        })
    }

    /// Learns of a finished experiment; `None` is a failure of the configuration itself.
    pub fn observe(&mut self, id: ExperimentId, point: &Point, objective: Option<f64>) {
        match objective {
            Some(objective) => {
                let leads = self
                    .leader
                    .as_ref()
                    .is_none_or(|(best, ..)| objective > *best);
                if leads && objective.is_finite() {
                    self.leader = Some((objective, id, point.clone()));
                }
            }
            None => {
                if self.failures.iter().any(|(known, _)| *known == id) {
                    return;
                }
                self.failures.push_back((id, point.clone()));
                if self.failures.len() > self.banned_failures {
                    self.failures.pop_front();
                }
            }
        }
    }

    /// For each idea of a cycle, in order, why it is refused. Where too many are on the leader's
    /// choice the last of them are; a cycle of no more ideas than the minimum is free.
    pub fn assess(&self, cycle: &[Point]) -> Vec<Option<String>> {
        let mut verdicts: Vec<Option<String>> = cycle.iter().map(|point| self.ban(point)).collect();
        let Some((_, leader_id, leader)) = &self.leader else {
            return verdicts;
        };
        if cycle.len() <= self.minimum {
            return verdicts;
        }
        let most = cycle.len() - self.minimum;
        for &dimension in &self.dimensions {
            let choice = leader.choice(dimension);
            let on_leader: Vec<usize> = (0..cycle.len())
                .filter(|&idea| choice.is_some() && cycle[idea].choice(dimension) == choice)
                .collect();
            for &idea in on_leader.iter().skip(most) {
                verdicts[idea].get_or_insert_with(|| {
                    format!(
                        "{} = {}: at most {most} of {} ideas of a cycle may use the choice of the \
                         leader ({leader_id}); at least {} must try another",
                        self.space.dimensions[dimension].name,
                        self.shown(dimension, leader),
                        cycle.len(),
                        self.minimum
                    )
                });
            }
        }
        verdicts
    }

    /// The rules in force, a line each, for a prompt.
    pub fn rules(&self) -> Vec<String> {
        let Some((_, id, leader)) = &self.leader else {
            return Vec::new();
        };
        let active = self
            .dimensions
            .iter()
            .filter(|&&d| leader.choice(d).is_some());
        active
            .map(|&dimension| {
                let name = &self.space.dimensions[dimension].name;
                let choice = self.shown(dimension, leader);
                let ideas = if self.minimum == 1 { "idea" } else { "ideas" };
                format!(
                    "at least {} {ideas} must use another {name} than {choice}, that of the leader \
                     {id}",
                    self.minimum
                )
            })
            .collect()
    }

    /// The banned configurations in their discrete dimensions, the newest first.
    pub fn banned(&self) -> Vec<Configuration> {
        let discrete = |(_, point): &(ExperimentId, Point)| {
            let mut configuration = self.space.decode(point);
            configuration.values.retain(|name, _| {
                let position = self.space.position(name);
                position.is_some_and(|position| {
                    self.space.dimensions[position].domain.choices().is_some()
                })
            });
            configuration
        };
        self.failures.iter().rev().map(discrete).collect()
    }

    fn ban(&self, point: &Point) -> Option<String> {
        let same = |failed: &Point| {
            let dimensions = 0..self.space.dimensions.len();
            dimensions
                .filter(|&dimension| self.space.dimensions[dimension].domain.choices().is_some())
                .all(|dimension| failed.choice(dimension) == point.choice(dimension))
        };
        let (id, _) = self
            .failures
            .iter()
            .rev()
            .find(|(_, failed)| same(failed))?;
        Some(format!(
            "banned for now: {id} failed with the same choices in every discrete dimension"
        ))
    }

    fn shown(&self, dimension: usize, point: &Point) -> Value {
        self.space.dimensions[dimension]
            .domain
            .decode(point.0[dimension])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{MIXED, space};

    fn budget(dimensions: &[&str]) -> Diversity {
        let settings = DiversitySettings {
            dimensions: dimensions.iter().map(|&name| name.to_owned()).collect(),
            minimum: 1,
            banned_failures: 2,
        };
        Diversity::new(space(MIXED), &settings).unwrap()
    }

    fn point(budget: &Diversity, backbone: f64, encoder: f64) -> Point {
        let mut values = vec![0.0; budget.space.dimensions.len()];
        (values[0], values[1]) = (backbone, encoder);
        Point(values)
    }

    #[test]
    fn a_cycle_must_leave_the_leader_in_each_dimension() {
        let mut budget = budget(&["backbone", "encoder"]);
        let leader = point(&budget, 1.0, 2.0);
        let refused = |budget: &Diversity, cycle: &[Point]| -> Vec<usize> {
            let verdicts = budget.assess(cycle);
            (0..cycle.len())
                .filter(|&i| verdicts[i].is_some())
                .collect()
        };
        let same = [(); 3].map(|()| leader.clone());
        assert!(refused(&budget, &same).is_empty(), "nobody leads yet");
        assert!(budget.rules().is_empty());
        budget.observe(ExperimentId(4), &leader, Some(0.9));
        budget.observe(ExperimentId(5), &point(&budget, 0.0, 0.0), Some(0.5));
        assert_eq!(refused(&budget, &same), [2]);
        let reason = budget.assess(&same)[2].clone().unwrap();
        assert!(
            reason.contains("backbone = b") && reason.contains("000004"),
            "{reason}"
        );
        let mixed = [
            leader.clone(),
            point(&budget, 0.0, 2.0),
            point(&budget, 1.0, 0.0),
        ];
        assert!(refused(&budget, &mixed).is_empty());
        let encoder_only = [
            leader.clone(),
            point(&budget, 0.0, 2.0),
            point(&budget, 2.0, 2.0),
        ];
        assert_eq!(refused(&budget, &encoder_only), [2]);
        assert!(
            refused(&budget, &same[..1]).is_empty(),
            "one idea alone is free"
        );
        assert_eq!(budget.rules().len(), 2);
    }

    #[test]
    fn the_last_failures_are_banned() {
        let mut budget = budget(&[]);
        for id in 0..3 {
            let failed = point(&budget, id as f64, 0.0);
            budget.observe(ExperimentId(id), &failed, None);
            budget.observe(ExperimentId(id), &failed, None);
        }
        let cycle = [0.0, 1.0, 2.0, 3.0].map(|backbone| point(&budget, backbone, 0.0));
        let refused = budget
            .assess(&cycle)
            .into_iter()
            .map(|verdict| verdict.is_some());
        assert_eq!(refused.collect::<Vec<_>>(), [false, true, true, false]);
        let banned = budget.banned();
        assert_eq!(banned.len(), 2);
        assert_eq!(banned[0].text("backbone"), Some("c"));
        assert!(banned[0].get("learning_rate").is_none(), "not discrete");
    }

    #[test]
    fn a_wrong_dimension_is_named() {
        let settings = DiversitySettings {
            dimensions: vec!["bakbone".to_owned()],
            ..DiversitySettings::default()
        };
        let error = Diversity::new(space(MIXED), &settings).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `backbone`?"));
    }
}
