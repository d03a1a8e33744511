//! A campaign in which nothing is missing.

use orze_campaign::ExperimentRecord;

use super::checks::{check, check_numbers};
use super::{input, sections};
use crate::report::Report;
use crate::testing::{completed, learned, space};

/// A campaign that has everything: every part is shown with its n and its interval, and every
/// warning in the data reaches the reader.
#[test]
fn everything_that_was_learned_is_shown() {
    let space = space();
    let records: Vec<ExperimentRecord> = (1..=60)
        .map(|id| {
            let mut record = completed(
                id,
                ["tpe", "random"][id as usize % 2],
                0.5 + 0.005 * id as f64,
            );
            record
                .metrics
                .insert("validation_ap".to_owned(), 0.5 + 0.005 * id as f64);
            record.metrics.insert("test_ap".to_owned(), 0.6);
            record
        })
        .collect();
    let learned = learned();
    let report = Report::of(&input(&space, &records), learned.clone());
    check(&report);
    check_numbers(&report.markdown);
    let names: Vec<&str> = report.figures.iter().map(|picture| picture.name).collect();
    assert_eq!(
        names,
        [
            "running_best",
            "convergence",
            "variance",
            "heat_map",
            "ablation",
            "learning_rate",
            "entropy",
            "shift",
            "innovation",
            "gain",
            "researchers",
            "specialisation",
            "validation_test",
            "slots",
        ]
    );
    let agreement = learned.test.as_ref().unwrap();
    let convergence = learned.convergence.as_ref().unwrap();
    for text in [
        agreement.saturated.as_ref().unwrap(),
        agreement.composition.as_ref().unwrap(),
        &convergence.exponent.as_ref().unwrap().reason,
        &convergence.caveats[0],
        &learned.caveats[0],
        learned.two_way.as_ref().unwrap().caveat.as_ref().unwrap(),
    ] {
        let careful = sections(&report.markdown)[1].1;
        assert!(
            careful.contains(text.as_str()),
            "{text} is not among the caveats"
        );
        assert!(report.html.contains(text.as_str()), "{text}");
    }
    let markdown = &report.markdown;
    for line in [
        "Architecture search or hyperparameter tuning? Mostly architecture",
        "| backbone × encoder | 60 | 4 | 62 % | 54 to 67 % | 57 % | 5 % | 18.6 | &lt; 0.001 | 0.001 |",
        "With every cell counting equally (10 of each of 4 cells, N = 40, 200 draws), architecture explains 50 % (40 to 60 % over the draws); chance alone would reach 8 %.",
        "### Two-way analysis of variance, type II, n = 60",
        "| residual | 0.76 | 56 | 38 % | – | – |",
        "### encoder within each backbone",
        "| raw | 30 | 2 | 4 % | 0 to 10 % | 3 % | 1.2 | 0.280 |",
        "| backbone | raw | 30 | 0.8400 | 0.8000 | 0.7900 to 0.8100 | 30 | 0.8000 | 0.7900 |",
        "| power: a − b·N^−c, lowest AIC | 60 | 0.8600 | 0.8500 to 0.9000 | 0.16 | 0.5 | 0.1 to 2 | 0.950 | -475.0 |",
        "give the power law R² = 0.930 on average (0.880 to 0.970 for 95 % of 100 orders), and 30 % of them",
        "α = 0.8 (95 %: 0.3 to 1.4), by maximum likelihood over 4 improvements after the first of 60 results",
        "| random \\| tpe | 20 | 44 | 0.200 | 0.040 | 0.010 |",
        "| encoder | 64 | 2 × 2 | 5.1 | 1 | 0.024 | 0.28 | few of each kind: p is rough |",
        "12 of 60 completed experiments (20 %) are variants of a sweep, and 3 of the best 6 (50 %): 2.5 × their share (95 %: 0.6 to 4.4; p = 0.080, hypergeometric).",
        "6 of 10 variants with a measured base beat it (60 %, 95 %: 26 to 88 %), by +0.0040 on average (95 %: -0.0020 to +0.0100).",
        "Among the best quarter by validation, where the choice is made: 0.05 (95 %: -0.50 to 0.50; n = 15).",
        "| raw × retnet | 30 | 0.10 | -0.27 to 0.44 |",
        "64 finished experiments tried 8 of 8 discrete configurations of the space (100 %) and 4 of 4 architecture cells, and 1 graph beside the space's choices.",
        "| tpe | 32 | 30 | 2 | 0.8400 | 0.8000 | 2 |",
        "| tpe | 30 | 0.3000 | 0.7900 | 1 h 0 min | 0.3 | 2.00 | 0.15 |",
        "| exponent c of convergence | 0.5 (0.1 to 2), not identifiable | 60 | 0.11 | 3003 | §5.2, post-bugfix |",
    ] {
        assert!(
            markdown.contains(&line.replace('_', "\\_")),
            "{line}\n\n{markdown}"
        );
    }
}
