use proptest::prelude::*;

use super::*;

const ALL_ADMITTED: fn(usize) -> Settlement = |credits| Settlement {
    admitted: credits,
    ..Settlement::default()
};
const ALL_REJECTED: fn(usize) -> Settlement = |credits| Settlement {
    rejected: credits,
    ..Settlement::default()
};

/// Grants `rounds` times to researchers that answer at once; counts admissions.
fn run(book: &mut CreditBook, rounds: usize, answer: &[fn(usize) -> Settlement]) -> Vec<usize> {
    let mut admitted = vec![0; answer.len()];
    for _ in 0..rounds {
        for (researcher, credits) in book.grant(0, usize::MAX) {
            let settlement = answer[researcher.0](credits);
            admitted[researcher.0] += settlement.admitted;
            book.settle(researcher, settlement);
        }
    }
    admitted
}

#[test]
fn one_on_standby_is_asked_only_while_nothing_waits() {
    let mut book = CreditBook::new(8, 4, &[1.0, 1.0], 3)
        .with_standby(&[false, true])
        .with_batches(&[9, 4]);
    let who = |grants: Vec<(ResearcherIndex, usize)>| -> Vec<usize> {
        grants
            .into_iter()
            .map(|(researcher, _)| researcher.0)
            .collect()
    };
    // The first thinks; the second fills the queue, and is not asked again before it is empty.
    assert_eq!(who(book.grant(0, usize::MAX)), [0, 1]);
    book.settle(ResearcherIndex(1), ALL_ADMITTED(4));
    assert!(who(book.grant(4, usize::MAX)).is_empty());
    assert_eq!(who(book.grant(0, usize::MAX)), [1]);
    book.settle(ResearcherIndex(1), ALL_ADMITTED(4));
    // The slow one holds the last four of the budget; the slots don't wait for it.
    assert_eq!(book.grant(0, 4), [(ResearcherIndex(1), 4)]);
    assert!(book.grant(0, 4).is_empty());
}

#[test]
fn a_retired_researcher_holds_nobody_up() {
    let mut book = CreditBook::new(8, 4, &[1.0, 1.0], 1);
    assert_eq!(book.grant(0, usize::MAX).len(), 2);
    book.retire(ResearcherIndex(0));
    assert_eq!(book.outstanding(), 4);
    book.settle(ResearcherIndex(1), ALL_REJECTED(4));
    assert!(book.exhausted() && !book.all_retired());
    assert!(book.grant(0, usize::MAX).is_empty());
    book.news();
    assert_eq!(book.grant(0, usize::MAX), [(ResearcherIndex(1), 4)]);
    book.pause(ResearcherIndex(1), true);
    book.settle(ResearcherIndex(1), ALL_REJECTED(4));
    assert!(book.grant(0, usize::MAX).is_empty());
    assert!(!book.exhausted(), "it will be back");
    book.pause(ResearcherIndex(1), false);
    book.hold(ResearcherIndex(1), true);
    assert!(book.grant(0, usize::MAX).is_empty() && !book.exhausted());
    book.hold(ResearcherIndex(1), false);
    assert_eq!(book.grant(0, usize::MAX).len(), 1);
    book.retire(ResearcherIndex(1));
    assert!(book.exhausted() && book.all_retired());
}

proptest! {
    #[test]
    fn outstanding_and_queued_never_exceed_the_bound(
        capacity in 0_usize..40,
        batch in 1_usize..10,
        weights in prop::collection::vec(0.0..5.0_f64, 1..5),
        steps in prop::collection::vec((0_u8..5, 0_usize..5, 0_usize..6, 0_usize..6), 1..300),
    ) {
        let mut book = CreditBook::new(capacity, batch, &weights, 3);
        let (mut queued, mut budget) = (0, 60);
        for (kind, who, admitted, rejected) in steps {
            let researcher = ResearcherIndex(who);
            match kind {
                0 | 1 => {
                    for (_, credits) in book.grant(queued, budget) {
                        prop_assert!((1..=batch).contains(&credits));
                        prop_assert!(book.outstanding() + queued <= capacity.min(budget));
                    }
                }
                2 => {
                    let admitted = admitted.min(book.outstanding_of(researcher));
                    let settlement = Settlement { admitted, rejected, unused: 0 };
                    book.settle(researcher, settlement);
                    queued += admitted;
                }
                3 if queued > 0 => {
                    // It runs and is covered by the budget no longer.
                    queued -= 1;
                    budget -= 1;
                    book.news();
                }
                _ => book.forfeit(researcher),
            }
            prop_assert!(book.outstanding() + queued <= capacity.min(budget));
        }
    }

    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(0.5..4.0_f64, 2..5)) {
        let mut book = CreditBook::new(4, 4, &weights, 3);
        let answers = vec![ALL_ADMITTED; weights.len()];
        let admitted = run(&mut book, 2_000, &answers);
        let total: usize = admitted.iter().sum();
        let sum: f64 = weights.iter().sum();
        for (count, weight) in admitted.iter().zip(&weights) {
            let share = *count as f64 / total as f64;
            prop_assert!((share - weight / sum).abs() < 0.02, "{share} {weight}");
        }
    }
}

#[test]
fn who_is_always_rejected_gets_few_turns_and_sleeps_at_last() {
    let mut book = CreditBook::new(4, 4, &[1.0, 1.0], 5);
    run(&mut book, 100, &[ALL_ADMITTED, ALL_REJECTED]);
    assert_eq!(book.granted_to(ResearcherIndex(1)), 5 * 4);
    assert!(book.granted_to(ResearcherIndex(0)) >= 90 * 4);
    assert!(!book.exhausted());
    book.news();
    run(&mut book, 100, &[ALL_ADMITTED, ALL_REJECTED]);
    assert_eq!(book.granted_to(ResearcherIndex(1)), 6 * 4);
}

#[test]
fn one_admission_ends_the_rest() {
    let mut book = CreditBook::new(4, 4, &[1.0], 3);
    run(&mut book, 2, &[ALL_REJECTED]);
    run(
        &mut book,
        1,
        &[|credits| Settlement {
            admitted: 1,
            rejected: credits - 1,
            unused: 0,
        }],
    );
    assert_eq!(run(&mut book, 10, &[ALL_ADMITTED]), [40]);
}

#[test]
fn a_campaign_whose_researchers_have_nothing_new_is_exhausted() {
    let mut book = CreditBook::new(8, 4, &[1.0, 2.0], 3);
    run(
        &mut book,
        50,
        &[ALL_REJECTED, |credits| Settlement {
            unused: credits,
            ..Settlement::default()
        }],
    );
    assert!(book.exhausted());
    assert!(book.grant(0, 100).is_empty());
    book.news();
    assert!(!book.exhausted());
    assert_eq!(book.grant(0, 100).len(), 2);
}

#[test]
fn a_slow_researcher_catches_up_but_not_without_bound() {
    let mut book = CreditBook::new(4, 4, &[1.0, 1.0], 3);
    let first = book.grant(0, 100);
    assert_eq!(first.len(), 1);
    // The first one holds its grant for long; the room goes to the other.
    for _ in 0..1_000 {
        let mut wide = book.grant(0, usize::MAX);
        wide.retain(|(researcher, _)| *researcher != first[0].0);
        for (researcher, credits) in wide {
            book.settle(researcher, ALL_ADMITTED(credits));
        }
        book.capacity = 8;
    }
    book.settle(first[0].0, ALL_ADMITTED(4));
    book.capacity = 4;
    let before = book.granted_to(first[0].0);
    let other = ResearcherIndex(1 - first[0].0.0);
    let other_before = book.granted_to(other);
    run(&mut book, 20, &[ALL_ADMITTED, ALL_ADMITTED]);
    let gained = book.granted_to(first[0].0) - before;
    let others = book.granted_to(other) - other_before;
    assert!(
        gained > others && gained - others <= 6 * 4,
        "{gained} {others}"
    );
}

#[test]
fn a_restarted_researcher_gives_back_what_it_forgot() {
    let mut book = CreditBook::new(4, 4, &[1.0], 3);
    assert_eq!(book.grant(0, 100), [(ResearcherIndex(0), 4)]);
    assert!(book.grant(0, 100).is_empty());
    book.forfeit(ResearcherIndex(0));
    assert_eq!(book.grant(0, 100), [(ResearcherIndex(0), 4)]);
}
