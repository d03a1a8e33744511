//! What runs next: by priority, and so that nothing starves (lesson 12).
//!
//! The ledger numbers experiments in the order of their admission, so the number is the arrival.
//! The queue serves the smallest virtual rank
//!
//! ```text
//! rank(x) = number(x) - bonus(priority(x))
//! ```
//!
//! An experiment y that was admitted after x runs before it only when
//! `number(y) - number(x) < bonus(y) - bonus(x)`. Hence at most `bonus(critical) - bonus(x)` later
//! experiments ever overtake x, however many arrive: see [`most_overtaken`]. Inside one class the
//! order is that of admission; an experiment that is returned for another attempt has an older
//! number than what still waits in its class and goes first there without a rule of its own. A
//! queue rebuilt from the ledger has the same order as the one that was lost.

use std::collections::{BTreeMap, HashMap};

use orze_campaign::{ExperimentId, Priority};

/// By how many admissions a priority moves an experiment forward.
pub fn bonus(priority: Priority) -> u64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 64,
        Priority::High => 192,
        Priority::Critical => 512,
    }
}

/// How many experiments admitted later can at most run before one of this priority.
pub fn most_overtaken(priority: Priority) -> u64 {
    bonus(Priority::Critical) - bonus(priority)
}

/// Rank and, among equal ranks, number. The rank is shifted so that it is never negative.
type Key = (u64, ExperimentId);

fn key(id: ExperimentId, priority: Priority) -> Key {
    (id.0.saturating_add(most_overtaken(priority)), id)
}

/// The experiments that wait for a slot.
#[derive(Debug, Clone, Default)]
pub struct FairQueue {
    waiting: BTreeMap<Key, Priority>,
    keys: HashMap<ExperimentId, Key>,
}

impl FairQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an experiment wait, for its first attempt or for another one. An experiment that waits
    /// already keeps its place; `false` then.
    pub fn push(&mut self, id: ExperimentId, priority: Priority) -> bool {
        if self.contains(id) {
            return false;
        }
        let key = key(id, priority);
        self.keys.insert(id, key);
        self.waiting.insert(key, priority);
        true
    }

    /// The next experiment to run.
    pub fn pop(&mut self) -> Option<ExperimentId> {
        let ((_, id), _) = self.waiting.pop_first()?;
        self.keys.remove(&id);
        Some(id)
    }

    /// The next experiment to run, which stays in the queue.
    pub fn peek(&self) -> Option<ExperimentId> {
        self.waiting.first_key_value().map(|((_, id), _)| *id)
    }

    /// Takes an experiment out; whether it was waiting.
    pub fn remove(&mut self, id: ExperimentId) -> bool {
        self.keys
            .remove(&id)
            .is_some_and(|key| self.waiting.remove(&key).is_some())
    }

    /// Whether an experiment is waiting.
    pub fn contains(&self, id: ExperimentId) -> bool {
        self.keys.contains_key(&id)
    }

    /// How many are waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All that wait, in the order in which they will run.
    pub fn iter(&self) -> impl Iterator<Item = (ExperimentId, Priority)> + '_ {
        self.waiting
            .iter()
            .map(|((_, id), priority)| (*id, *priority))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn priority() -> impl Strategy<Value = Priority> {
        prop_oneof![
            Just(Priority::Low),
            Just(Priority::Normal),
            Just(Priority::High),
            Just(Priority::Critical),
        ]
    }

    /// `Some(priority)` admits the next experiment, `None` runs one.
    fn traffic() -> impl Strategy<Value = Vec<Option<Priority>>> {
        prop::collection::vec(prop::option::weighted(0.6, priority()), 1..2_000)
    }

    proptest! {
        #[test]
        fn no_experiment_is_overtaken_by_more_than_the_bound(traffic in traffic()) {
            let mut queue = FairQueue::new();
            let mut priorities = Vec::new();
            let mut order = Vec::new();
            for step in traffic {
                if let Some(priority) = step {
                    queue.push(ExperimentId(priorities.len() as u64), priority);
                    priorities.push(priority);
                } else {
                    order.extend(queue.pop());
                }
            }
            order.extend(std::iter::from_fn(|| queue.pop()));
            prop_assert_eq!(order.len(), priorities.len());
            for (position, id) in order.iter().enumerate() {
                let overtaken_by = order[..position].iter().filter(|other| *other > id).count();
                let bound = most_overtaken(priorities[id.0 as usize]);
                prop_assert!(overtaken_by as u64 <= bound);
            }
        }

        #[test]
        fn a_returned_experiment_goes_first_in_its_class(
            classes in prop::collection::vec(priority(), 2..200),
            taken in 1_usize..100,
        ) {
            let mut queue = FairQueue::new();
            for (number, class) in classes.iter().enumerate() {
                queue.push(ExperimentId(number as u64), *class);
            }
            let mut last = None;
            for _ in 0..taken {
                last = queue.pop().or(last);
            }
            let returned = last.unwrap();
            let class = classes[returned.0 as usize];
            prop_assert!(queue.push(returned, class));
            prop_assert!(!queue.push(returned, class));
            let first = queue.iter().find(|(_, priority)| *priority == class);
            prop_assert_eq!(first, Some((returned, class)));
        }

        #[test]
        fn a_rebuilt_queue_has_the_same_order(
            classes in prop::collection::vec(priority(), 1..200),
            seed in 0_usize..200,
        ) {
            let mut queue = FairQueue::new();
            let mut rebuilt = FairQueue::new();
            for (number, class) in classes.iter().enumerate() {
                queue.push(ExperimentId(number as u64), *class);
            }
            for index in 0..classes.len() {
                let number = (index + seed) % classes.len();
                rebuilt.push(ExperimentId(number as u64), classes[number]);
            }
            prop_assert!(queue.iter().eq(rebuilt.iter()));
        }
    }

    #[test]
    fn an_urgent_experiment_goes_ahead_and_a_removed_one_never_runs() {
        let mut queue = FairQueue::new();
        queue.push(ExperimentId(1), Priority::Normal);
        queue.push(ExperimentId(2), Priority::Normal);
        queue.push(ExperimentId(3), Priority::Critical);
        assert!(queue.remove(ExperimentId(1)));
        assert!(!queue.remove(ExperimentId(1)));
        assert_eq!(queue.peek(), Some(ExperimentId(3)));
        assert_eq!(queue.pop(), Some(ExperimentId(3)));
        assert_eq!((queue.len(), queue.contains(ExperimentId(2))), (1, true));
        assert_eq!(queue.pop(), Some(ExperimentId(2)));
        assert!(queue.is_empty());
    }
}
