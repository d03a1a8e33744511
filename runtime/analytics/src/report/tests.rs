use orze_campaign::{ExperimentId, Failure, FailureKind, Status, Value};
use proptest::prelude::*;

use super::*;
use crate::testing::{completed, failed, queued, running, space, with};

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
    }
}

/// Every tag that the report may contain.
const TAGS: [&str; 30] = [
    "!DOCTYPE",
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "h1",
    "h2",
    "p",
    "ul",
    "li",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
    "figure",
    "figcaption",
    "em",
    "svg",
    "rect",
    "line",
    "path",
    "text",
];

/// Every attribute that the report may contain.
const ATTRIBUTES: [&str; 29] = [
    "lang",
    "charset",
    "name",
    "content",
    "class",
    "xmlns",
    "width",
    "height",
    "viewBox",
    "role",
    "aria-label",
    "font-family",
    "font-size",
    "font-weight",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "d",
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linejoin",
    "opacity",
    "text-anchor",
    "transform",
];

/// Checks that markup holds only our own tags and attributes, balanced, and no bare `<`, `>` or
/// `&` in text or attributes.
fn check_markup(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        assert!(TAGS.contains(&name), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else {
            check_attributes(&tag[name.len()..]);
            if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
                open.push(name);
            }
        }
        if tag == "style" {
            // Ours alone, from a file.
            let end = rest.find("</style>").unwrap();
            assert_eq!(
                rest[..end].trim(),
                include_str!("../document/page.css").trim()
            );
            rest = &rest[end..];
        }
    }
    check_text(rest);
    assert!(open.is_empty(), "{open:?} stay open");
}

fn check_attributes(mut rest: &str) {
    while let Some((name, after)) = rest.split_once("=\"") {
        assert!(ATTRIBUTES.contains(&name.trim()), "{name}");
        let (value, after) = after.split_once('"').expect("a value ends");
        check_text(value);
        rest = after;
    }
    assert!(["", "/", "html"].contains(&rest.trim()), "{rest}");
}

fn check_text(text: &str) {
    assert!(!text.contains('>'), "{text}");
    for (index, _) in text.match_indices('&') {
        let is_entity = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"]
            .iter()
            .any(|entity| text[index..].starts_with(entity));
        assert!(is_entity, "{text}");
    }
}

/// Whether any number in the report is none; the texts of the tests hold no such word.
fn check_numbers(text: &str) {
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        assert!(!["NaN", "inf"].contains(&word), "a number is {word}");
    }
}

fn check(report: &Report) {
    check_markup(&report.html);
    for (file, svg) in &report.figures {
        assert!(file.ends_with(".svg"));
        check_markup(svg);
        assert!(report.markdown.contains(&format!("(figures/{file})")));
    }
    for outside in ["http-equiv", "<script", "<link", "@import", "url("] {
        assert!(!report.html.contains(outside), "{outside}");
    }
    assert!(!report.markdown.contains("<"), "Markdown holds no HTML");
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

    5 experiments finished: 4 completed and 1 failed. 1 still running and 0 queued, so all of this may change. The best, experiment 000004 (idea\_4) by tpe, reaches 0.8500 validation average precision, 0.0500 above the baseline (logistic regression: 0.8000).

    - Architecture (backbone × encoder) explains 97 % of the variance of the objective (η² = 0.97, F(1, 2) = 72.0, p = 0.014; 4 experiments in 2 cells). A grouping without any effect would reach 33 % by chance.
    - The best cell by mean is raw × zipformer (0.8400 over n = 2), ahead of raw × retnet (0.7200 over n = 2).
    - Completed experiments cover 2 of 4 architecture cells; the entropy over cells is 0.69 of at most 1.39 nats.
    - 2 of 4 completed experiments beat the baseline.
    - The best was set 3 times, the last time by finished experiment 4 of 5.

    ![Running best](figures/running_best.svg)

    Every finished experiment in the order of finishing, by researcher. The line is the best so far; ticks at the bottom are failures.

    ## Read with care

    - The best of N on one validation set is optimistic: the winner is also the luckiest of 4 completed experiments. Confirm it on data that no selection has seen.
    - With n = 4 completed, every mean, share and rank here is rough.
    - The same configuration under other seeds varies by a standard deviation of 0.0141 (2 degrees of freedom). Differences of less than twice that are not established.
    - The cells hold too few experiments each for the share of architecture to be trusted.
    - Researchers return to what has worked, so the cells are unequally filled: shares of variance describe what was tried, not the space.

    ## Leaderboard

    | rank | id | objective | backbone | encoder | key hyperparameters | researcher | kind | train time |
    | ---: | ---: | ---: | --- | --- | --- | --- | --- | ---: |
    | 1 | 000004 | 0.8500 | raw | zipformer | learning\_rate 0.001, loss bce | tpe | idea | 1.0 s |
    | 2 | 000002 | 0.8300 | raw | zipformer | learning\_rate 0.001, loss bce | tpe | idea | 1.0 s |
    | 3 | 000005 | 0.7300 | raw | retnet | learning\_rate 0.001, loss bce | random | idea | 1.0 s |
    | 4 | 000001 | 0.7100 | raw | retnet | learning\_rate 0.001, loss bce | random | idea | 1.0 s |

    ## Architecture

    ![Objective by architecture](figures/heat_map.svg)

    Mean objective of each architecture cell, with its best and the number of completed experiments. Means of few experiments are rough, and each mean mixes whatever training settings were tried in its cell.

    ![What explains the objective](figures/effects.svg)

    Share of the variance of the objective that each dimension explains by itself (η²); floats are cut into up to four groups of about equal size. The mark is what a grouping without any effect reaches by chance: a bar that ends near its mark says nothing. Shares overlap and do not add up to 100 %.

    ## Training

    ![Objective against the learning rate](figures/learning_rate.svg)

    Every completed experiment by its first logarithmic training setting.

    ## Researchers

    ![Objective by researcher](figures/researchers.svg)

    Every completed experiment by researcher; the box holds the middle half, the thick line is the median. Sweeps and replicates belong to the author of their base.

    | researcher | admitted | completed | failed | best | mean | improvements |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | random | 2 | 2 | 0 | 0.7300 | 0.7200 | 1 |
    | tpe | 4 | 2 | 1 | 0.8500 | 0.8400 | 2 |

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
    for (file, svg) in &report.figures {
        assert!(svg.contains("surrogate: not measurements"), "{file}");
    }
}

/// Text as a hostile or confused model would write it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=y>".to_owned()),
        Just("a|b\n\n# c\n---\n`d` [e](javascript:f) ![g](h)".to_owned()),
        Just("🚀\u{202e}研究\u{0}\u{1b}[2J\u{fffe}".to_owned()),
        Just("]]></style></svg>&amp;&#60;x&".to_owned()),
        "\\PC{0,30}",
        ".{0,30}",
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..1.0_f64,
        1 => prop::num::f64::ANY,
    ]
}

fn record() -> impl Strategy<Value = ExperimentRecord> {
    let texts = (text(), text(), text());
    let state = (0..4_usize, prop::option::weighted(0.9, number()), 0..12_u64);
    let config = (
        text(),
        prop::sample::select(vec!["raw", "spectra"]),
        number(),
    );
    let times = (
        prop::option::of(0..6_u32),
        prop::option::of(any::<i64>()),
        prop::option::of(0..100_000_i64),
        prop::option::of(number()),
    );
    (texts, state, config, times).prop_map(
        |((name, researcher, message), (status, objective, id), config, times)| {
            let mut record = queued(id, &researcher);
            record.id = ExperimentId(id);
            record.name = name;
            record.attempt = 2;
            record.status = [
                Status::Queued,
                Status::Running,
                Status::Diagnosing,
                Status::Completed,
                Status::Failed,
            ][status];
            record.objective = objective;
            record.failure =
                (status == 3).then(|| Failure::new(FailureKind::TrainerFault, message));
            record.config = record
                .config
                .with("encoder", config.0.as_str())
                .with("backbone", config.1)
                .with("learning_rate", Value::Float(config.2));
            (
                record.slot,
                record.started_at_ms,
                record.finished_at_ms,
                record.train_seconds,
            ) = times;
            record
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_that_a_model_wrote_breaks_a_report(
        records in prop::collection::vec(record(), 0..30),
        names in (text(), text(), text(), text()),
        baseline in prop::option::of((text(), number())),
        notes in prop::collection::vec(text(), 0..3),
        slots in prop_oneof![0..8_u32, any::<u32>()],
    ) {
        let space = space();
        let report = Report::new(&ReportInput {
            campaign: &names.0,
            task: &names.1,
            objective_name: &names.2,
            trainer: &names.3,
            rejections: notes.iter().map(|note| (note.clone(), 1)).collect(),
            baseline: baseline.map(|(label, value)| Baseline { label, value }),
            runtime_note: notes,
            slots,
            ..input(&space, &records)
        });
        check(&report);
    }
}
