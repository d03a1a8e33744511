mod believed;
mod checks;
mod complete;
mod hostile;

use self::checks::{check, check_numbers};
use super::*;
use crate::statistics::Interval;
use crate::testing::{completed, failed, learned, queued, running, space, with};

fn input<'a>(space: &'a Space, records: &'a [ExperimentRecord]) -> ReportInput<'a> {
    ReportInput {
        campaign: "demo",
        task: "shoulder",
        objective_name: "validation average precision",
        space,
        records,
        rejections: BTreeMap::new(),
        baseline: None,
        trainer: "candle",
        generated_at: "2025-01-06T08:00:00Z".to_owned(),
        slots: 2,
        runtime_note: Vec::new(),
        search: None,
        evidence: None,
        options: Options {
            bootstrap: 40,
            permutations: 40,
            ..Options::default()
        },
    }
}

#[test]
fn a_small_campaign_in_markdown() {
    let records = [
        completed(1, "random", 0.71),
        with(completed(2, "tpe", 0.83), &[("encoder", "zipformer")]),
        failed(3, "tpe"),
        with(completed(4, "tpe", 0.85), &[("encoder", "zipformer")]),
        completed(5, "random", 0.73),
        running(6, "tpe"),
    ];
    let space = space();
    let report = Report::new(&ReportInput {
        rejections: BTreeMap::from([("duplicate".to_owned(), 3)]),
        baseline: Some(Baseline {
            label: "logistic regression".to_owned(),
            value: 0.8,
        }),
        runtime_note: vec!["resumed once".to_owned()],
        ..input(&space, &records)
    });
    check(&report);
    insta::assert_snapshot!(report.markdown, @r#"
    # Campaign demo

    Task shoulder, trainer candle, ranked by validation average precision. Written 2025-01-06T08:00:00Z.

    |  |  |  |
    | --- | ---: | --- |
    | Experiments finished | 5 | 4 completed, 1 failed |
    | Best objective | 0.8500 | experiment 000004 |
    | Against the baseline | +0.0500 | logistic regression 0.8000 |
    | Architecture explains | 97 % | of the variance; n = 4 is too few to trust |
    | Slots in use | 50 % | 2 slots over 5.0 s |

    ## What was learned

    5 experiments finished: 4 completed and 1 failed. 1 still running and 0 queued, so all of this may change. The best, experiment 000004 (idea\_4) by tpe, reaches 0.8500 validation average precision, 0.0500 above the baseline (logistic regression: 0.8000).

    - Architecture search or hyperparameter tuning? That can't be said yet: the interval of architecture's share is not on one side of one half, or there are too few experiments.
    - Architecture (backbone × encoder) explains 97 % of the variance of the objective (η² = 0.97, F(1, 2) = 72.0, p = 0.014; 4 experiments in 2 cells). A grouping without any effect would reach 33 % by chance.
    - The best cell by mean is raw × zipformer (0.8400 over n = 2), ahead of raw × retnet (0.7200 over n = 2).
    - The best so far rises, but the data do not say by which law: the exponent of convergence is not identifiable (see below).
    - tpe raised the best most: by 0.1400 in 2 improvements, 100 % of all gain, with 2 completed experiments.
    - Finished experiments cover 2 of 4 architecture cells, and 25 % of the 8 discrete configurations.
    - 2 of 4 completed experiments beat the baseline.
    - The best was set 3 times, the last time by finished experiment 4 of 5.

    ## What can't be said yet

    - The best of N on one validation set is optimistic: the winner is also the luckiest of 4 completed experiments. Confirm it on data that no selection has seen.
    - There are only 4 measurements: intervals are wide, and those of a bootstrap are too narrow for so few&#46;
    - The 2 cells of backbone × encoder have fewer than three measurements on average: grouping alone, without any effect, explains 33 % of the variance.
    - 1 of 5 finished experiments have no result and are left out of all that is computed from results; if some architectures fail more often, their figures are those of the survivors.
    - The campaign chose its experiments by earlier results and tried 25.00 % of the discrete space: shares and means describe what it tried, not the space.
    - The same configuration under other seeds varies by a standard deviation of 0.0141 (2 degrees of freedom). Differences of less than twice that are not established.
    - The exponent is not identifiable from this curve, and c = 2.53 should not be compared with others: the best improved only 2 times, and no interval was estimated.
    - The AIC takes residuals as independent, which those of a running best are not: differences between models look larger than they are.
    - Too few experiments were measured on a test, so whether validation chooses well is not known.
    - Researchers share one history and one order of turns: their gains compare what happened, not what each would reach alone. The command simulate compares them.

    ## Progress

    ![Running best](figures/running_best.svg)

    Every finished experiment in the order of finishing, by researcher. The line is the best so far; ticks at the bottom are failures.

    ![Convergence](figures/convergence.svg)

    The running best over completed experiments with three models fitted to it by least squares; on the right, where the power law ends and the 95 % bootstrap interval of that. All three take the steps of a running best for independent, which they are not: R² and AIC flatter them.

    The exponent is not identifiable from this curve, and c = 2.53 should not be compared with others: the best improved only 2 times, and no interval was estimated.

    | model | n | a | 95 % of a | b | c | 95 % of c | R² | AIC |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | power: a − b·N^−c | 4 | 0.8563 | – | 0.146 | 2.53 | – | 0.999 | -44.8 |
    | exponential: a − b·e^−cN, lowest AIC | 4 | 0.8517 | – | 0.943 | 1.9 | – | 1.000 | -49.4 |
    | logarithmic: a + b·ln N | 4 | 0.7270 | – | 0.104 | – | – | 0.870 | -26.9 |

    ## Leaderboard

    | rank | id | objective | backbone | encoder | key hyperparameters | researcher | kind | train time |
    | ---: | ---: | ---: | --- | --- | --- | --- | --- | ---: |
    | 1 | 000004 | 0.8500 | raw | zipformer | learning\_rate 0.001, loss bce | tpe | idea | 1.0 s |
    | 2 | 000002 | 0.8300 | raw | zipformer | learning\_rate 0.001, loss bce | tpe | idea | 1.0 s |
    | 3 | 000005 | 0.7300 | raw | retnet | learning\_rate 0.001, loss bce | random | idea | 1.0 s |
    | 4 | 000001 | 0.7100 | raw | retnet | learning\_rate 0.001, loss bce | random | idea | 1.0 s |

    ## Architecture or hyperparameters

    ![What explains the objective](figures/variance.svg)

    Share of the variance of the objective that each dimension explains by itself (η²); floats are cut into up to four groups of about equal size. The dashed mark is what a grouping without any effect reaches by chance: a bar that ends near its mark says nothing. The line is the 95 % bootstrap interval of the share in the long run, with chance taken off, so it may end below its bar. Shares overlap and do not add up to 100 %.

    | grouped by | n | groups | η² | 95 % interval | ω² | by chance | F | p | p, permutations |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | backbone × encoder | 4 | 2 | 97 % | – | 95 % | 33 % | 72.0 | 0.014 | 0.390 |
    | encoder | 4 | 2 | 97 % | – | 95 % | 33 % | 72.0 | 0.014 | 0.390 |

    ### encoder within each backbone

    | value | n | groups | η² | 95 % interval | by chance | F | p |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | raw | 4 | 2 | 97 % | – | 33 % | 72.0 | 0.014 |

    ![Objective by architecture](figures/heat_map.svg)

    Mean objective of each architecture cell, with its best and the number of completed experiments. Means of few experiments are rough, and each mean mixes whatever training settings were tried in its cell.

    ## Components

    ![What each component reached](figures/ablation.svg)

    For each value of each discrete dimension, the mean objective of its best 50 experiments (of all, where there are fewer) with its 95 % bootstrap interval. Values that were tried more often have better tops for that reason alone: compare those of similar n.

    | dimension | value | n | best | mean of the best 50 | 95 % interval | averaged | mean | median |
    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | backbone | raw | 4 | 0.8500 | 0.7800 | 0.7199 to 0.8500 | 4 | 0.7800 | 0.7800 |
    | encoder | zipformer | 2 | 0.8500 | 0.8400 | 0.8300 to 0.8500 | 2 | 0.8400 | 0.8400 |
    | encoder | retnet | 2 | 0.7300 | 0.7200 | 0.7100 to 0.7300 | 2 | 0.7200 | 0.7200 |
    | loss | bce | 4 | 0.8500 | 0.7800 | 0.7443 to 0.8401 | 4 | 0.7800 | 0.7800 |

    ![Objective against the learning rate](figures/learning_rate.svg)

    Every completed experiment by its first logarithmic training setting.

    ## How the search moved

    ![Entropy of what was tried](figures/entropy.svg)

    How evenly the last experiments spread over discrete configurations, architectures and training settings: high while exploring, low while exploiting. A window of w experiments can't exceed ln w nats.

    ![Share of each backbone over time](figures/shift.svg)

    What was tried of the first architecture dimension, as shares of the last finished experiments.

    ![Innovation](figures/innovation.svg)

    How often a completed experiment became the best of the campaign, in a sliding window, with the power law of equation 4. The very first result counts as one in the window, not in the law&#46;

    An exponent of the innovation rate takes three improvements after the first result; there are 2 so far.

    ## Researchers

    ![Gain and cost by researcher](figures/gain.svg)

    By how much each researcher raised the best of the campaign, and that per hour of a slot and per dollar spent on models. What is found early can't be found again, so the order of turns is part of it; the very first result gains nothing.

    | researcher | n completed | gain | best without it | training | gain per slot hour | spent (USD) | gain per USD |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | random | 2 | 0.0000 | 0.8500 | 2.0 s | 0 | – | – |
    | tpe | 2 | 0.1400 | 0.7300 | 2.0 s | 252 | – | – |

    ![Objective by researcher](figures/researchers.svg)

    Every completed experiment by researcher; the box holds the middle half, the thick line is the median. Sweeps and replicates belong to the author of their base.

    | researcher | admitted | completed | failed | best | mean | improvements |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | random | 2 | 2 | 0 | 0.7300 | 0.7200 | 1 |
    | tpe | 4 | 2 | 1 | 0.8500 | 0.8400 | 2 |

    ![Specialisation of researchers](figures/specialisation.svg)

    Jensen–Shannon divergence between the architecture cells that two researchers tried, over all their experiments so far: 0 where they choose alike, ln 2 where they have nothing in common. Few experiments alone make it large: compare with the level of chance in the table.

    | researchers | n of the first | n of the second | divergence (nats) | by chance | p |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | tpe \| random | 3 | 2 | 0.318 | 0.200 | 0.439 |

    ### Does the choice depend on the researcher?

    | dimension | n | researchers × values | χ² | df | p | Cramér's V | remark |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
    | backbone × encoder | 5 | 2 × 2 | 2.2 | 1 | 0.136 | 0.67 | few of each kind: p is rough |
    | encoder | 5 | 2 × 2 | 2.2 | 1 | 0.136 | 0.67 | few of each kind: p is rough |

    ### Sweeps

    No variant of a sweep has completed, or nothing else has.

    ## Validation against test

    *Validation against test: Not enough data yet: at least three completed experiments must have been measured on the test too.*

    ## Coverage of the space

    5 finished experiments tried 2 of 8 discrete configurations of the space (25 %) and 2 of 4 architecture cells. Continuous dimensions are not counted.

    | dimension | n | values tried | of |
    | --- | ---: | ---: | ---: |
    | backbone | 5 | 1 | 2 |
    | encoder | 5 | 2 | 2 |
    | loss | 5 | 1 | 2 |

    ## Beside the paper

    The paper's figures are of ANOTHER DATA SET (Nexar dashcams; FedEx where named), another space and other researchers: they say what was found there, not what should be found here.

    | figure | here (95 % interval) | n | paper | paper's n | where |
    | --- | ---: | ---: | ---: | ---: | --- |
    | η² of the architecture cell | 97 % | 4 | 94 % | 838 | table 3, post-bugfix |
    | the same, cells of equal size | not enough data | – | 50 % | 110 | §5.4 |
    | η² of the second architecture dimension within the most frequent value of the first | 97 % | 4 | 3.5 % | 2039 | §5.4, encoder within V-JEPA 2 |
    | both with their interaction, two-way | not enough data | – | 75 % | 31 | §5.4, FedEx |
    | exponent c of convergence | 2.53, not identifiable | 4 | 0.11 | 3003 | §5.2, post-bugfix |
    | R² of the power law | 1.00 | 4 | 0.93 | 3003 | §5.2, post-bugfix |
    | R² of the same results in random order | not enough data | – | 0.81 ± 0.09 | 3003 | §5.2, post-bugfix |
    | exponent α of innovation | not enough data | – | 0.34 ± 0.05 | 10469 | equation 4, full campaign |
    | how much faster entropy of architecture changes than that of training | not enough data | – | 15.2 × | 10469 | §5.3 |
    | divergence of the two busiest researchers in the end (nats) | 0.32 | 5 | 0.13 | – | §5.3 |
    | sweep variants among the best, against their share | not enough data | – | 1.7 × | 10469 | §5.4 |
    | rank correlation of validation and test | not enough data | – | 0.71 | – | §7 |
    | discrete space that was tried | 25 % | 5 | 2.4 % | 10469 | §7 |
    | time of the slots in use (n: slots) | 50 % | 2 | 31 % | 16 | §3.6 |

    ## Slots

    ![Slots over time](figures/slots.svg)

    The last attempt of each experiment on its slot. On the right, the share of the time in which the slot held one.

    | slot | experiments | busy | share of time |
    | --- | ---: | ---: | ---: |
    | 0 | 3 | 2.0 s | 40 % |
    | 1 | 3 | 3.0 s | 60 % |

    ## Failures

    | failure | experiments | for example |
    | --- | ---: | --- |
    | diverged | 1 | the loss is not finite |

    ## Rejected ideas

    | reason | ideas |
    | --- | ---: |
    | duplicate | 3 |

    ## Notes of the runtime

    - resumed once
    "#);
}

#[test]
fn every_state_of_a_campaign_has_a_report() {
    let bare =
        Space::parse("space: bare\ndimensions:\n  dropout: {group: train, range: [0.0, 0.5]}\n")
            .unwrap();
    let full = space();
    let campaigns: Vec<Vec<ExperimentRecord>> = vec![
        vec![],
        vec![queued(1, "a")],
        vec![running(1, "a")],
        vec![completed(1, "a", 0.5)],
        vec![completed(1, "a", 0.5), completed(2, "b", 0.6)],
        vec![failed(1, "a"), failed(2, "a")],
        (1..40).map(|id| completed(id, "a", 0.5)).collect(),
        vec![
            completed(1, "a", f64::NAN),
            completed(2, "a", f64::INFINITY),
        ],
        vec![
            completed(1, "a", f64::MAX),
            completed(2, "a", f64::MIN),
            completed(3, "a", 0.0),
        ],
    ];
    for records in &campaigns {
        for space in [&bare, &full] {
            let report = Report::new(&input(space, records));
            check(&report);
            check_numbers(&report.html);
            check_numbers(&report.markdown);
        }
    }
    let empty = Report::new(&input(&full, &[]));
    assert!(empty.figures.is_empty());
    assert!(
        empty
            .markdown
            .contains("No experiment has been admitted yet")
    );
    assert!(empty.markdown.contains("not enough data"));
    let same = Report::new(&input(&full, &campaigns[6]));
    assert!(
        same.markdown
            .contains("all completed experiments have the same objective")
    );
    assert!(
        same.markdown
            .contains("39 experiments share the best objective")
    );
}

const SECTIONS: [&str; 14] = [
    "What was learned",
    "What can't be said yet",
    "Progress",
    "Leaderboard",
    "Architecture or hyperparameters",
    "Components",
    "How the search moved",
    "Researchers",
    "Validation against test",
    "Coverage of the space",
    "Beside the paper",
    "Slots",
    "Failures",
    "Rejected ideas",
];

/// The sections of a report in Markdown, by heading.
fn sections(markdown: &str) -> Vec<(&str, &str)> {
    let parts = markdown.split("\n## ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

/// With none, one or a few experiments every section is there, and says what it is missing where it
/// is missing something.
#[test]
fn each_section_says_what_is_missing() {
    let space = space();
    let of = |n: u64| -> Vec<ExperimentRecord> {
        let record = |id| {
            completed(
                id,
                ["tpe", "random"][id as usize % 2],
                0.5 + 0.01 * id as f64,
            )
        };
        (1..=n).map(record).collect()
    };
    for n in [0, 1, 5] {
        let records = of(n);
        let report = Report::new(&input(&space, &records));
        check(&report);
        let sections = sections(&report.markdown);
        let titles: Vec<&str> = sections.iter().map(|(title, _)| *title).collect();
        assert_eq!(titles, SECTIONS, "n = {n}");
        for (title, content) in &sections {
            assert!(content.trim().len() > 20, "n = {n}: {title} is empty");
        }
        let content = |title: &str| sections.iter().find(|(of, _)| *of == title).unwrap().1;
        let lacks = |title: &str| content(title).contains("Not enough data yet");
        for title in ["Progress", "Components", "How the search moved"] {
            assert_eq!(
                lacks(title),
                n < 3 && title != "Components" || n == 0,
                "n = {n}: {title}"
            );
        }
        assert!(lacks("Validation against test"), "n = {n}");
        let few = match n {
            0 => "n = 0 completed".to_owned(),
            n => format!("only {n} measurements"),
        };
        assert!(content("What can't be said yet").contains(&few), "n = {n}");
    }
}

/// The verdict follows the interval, not the estimate.
#[test]
fn the_verdict_needs_the_whole_interval() {
    let space = space();
    let of = |low: f64, high: f64| {
        let mut learned = learned();
        learned.variance[0].eta2_interval = Some(Interval { low, high });
        Report::of(&input(&space, &[]), learned).markdown
    };
    assert!(of(0.51, 0.7).contains("Mostly architecture"));
    assert!(of(0.1, 0.49).contains("Mostly tuning"));
    assert!(of(0.4, 0.7).contains("That can't be said yet"));
}

#[test]
fn a_report_without_resampling_says_so() {
    let space = space();
    let of = |count: usize| {
        let options = Options {
            bootstrap: count,
            permutations: count,
            ..Options::default()
        };
        let report = Report::new(&ReportInput {
            options,
            ..input(&space, &[])
        });
        report.markdown.contains("without resampling")
    };
    assert!(of(0) && !of(10));
}

#[test]
fn what_was_learned_is_json() {
    let space = space();
    let records = [completed(1, "a", 0.5), completed(2, "a", f64::NAN)];
    let report = Report::new(&input(&space, &records));
    let json = serde_json::to_value(&report.learned).unwrap();
    assert_eq!(json["n"], 1);
    let full = serde_json::to_value(learned()).unwrap();
    assert_eq!(full["variance"][0]["eta2_interval"]["low"], 0.54);
    assert_eq!(
        json.as_object().unwrap().len(),
        full.as_object().unwrap().len()
    );
}

/// Ten thousand experiments still make a page that a browser opens at once.
#[test]
fn a_large_campaign_stays_a_page() {
    let space = space();
    let records: Vec<ExperimentRecord> = (1..=10_000)
        .map(|id| {
            let backbone = if id % 3 == 0 { "raw" } else { "spectra" };
            let encoder = if id % 2 == 0 { "zipformer" } else { "retnet" };
            let objective = 0.5 + (id * 7919 % 1009) as f64 / 4000.0 + 0.1 * (id % 3) as f64;
            let record = completed(id, ["tpe", "random", "llm"][id as usize % 3], objective);
            with(record, &[("backbone", backbone), ("encoder", encoder)])
        })
        .collect();
    let report = Report::new(&ReportInput {
        search: Some("architecture search: 8 <cells>".to_owned()),
        options: Options {
            bootstrap: 10,
            permutations: 10,
            ..Options::default()
        },
        ..input(&space, &records)
    });
    check(&report);
    check_numbers(&report.markdown);
    let search = "By its opening round: architecture search: 8 &lt;cells&gt;.";
    assert!(report.html.contains(search));
    assert!(report.html.len() < 4_000_000, "{}", report.html.len());
    assert!(report.markdown.len() < 60_000, "{}", report.markdown.len());
    for picture in &report.figures {
        assert!(picture.png().unwrap().len() < 2_000_000, "{}", picture.name);
    }
}

#[test]
fn a_surrogate_is_marked_in_words_and_pictures() {
    let mut records = [completed(1, "a", 0.5), completed(2, "a", 0.6)];
    for record in &mut records {
        record.trainer = "surrogate".to_owned();
    }
    let space = space();
    let report = Report::new(&input(&space, &records));
    assert!(report.markdown.contains("> **surrogate: not measurements"));
    assert!(
        report
            .html
            .contains("class=\"warning\">surrogate: not measurements")
    );
    for Picture { name, svg } in &report.figures {
        assert!(svg.contains("surrogate: not measurements"), "{name}");
    }
}
