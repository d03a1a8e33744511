use orze_campaign::{Configuration, ExperimentRecord, Space};

use super::*;
use crate::learned::{Component, Learned, Options};
use crate::measured::{Measured, measured};
use crate::report::Baseline;
use crate::testing::{completed, failed, learned, space, with};
use crate::utilisation::Utilisation;

const CONTEXT: Context<'_> = Context {
    objective_name: "validation average precision",
    is_surrogate: false,
};

#[test]
fn names_beyond_the_palette_stand_together() {
    let all: Vec<String> = (0..15).map(|index| format!("r{index}")).collect();
    let names = Names::of(all.iter().map(String::as_str));
    assert_eq!(names.len(), MOST_NAMES);
    assert_eq!(names.shown.last(), Some(&("others".to_owned(), 6)));
    let ten = Names::of(all[..10].iter().map(String::as_str));
    assert_eq!(ten.shown.last(), Some(&("r9".to_owned(), 1)));
}

/// Every figure of a campaign, by name.
fn all<'a>(
    context: &Context<'_>,
    space: &Space,
    records: &'a [ExperimentRecord],
    learned: &Learned,
) -> Vec<(&'static str, Result<String, String>)> {
    let results: Vec<Measured<'a>> = measured(records);
    let convergence_of = learned.convergence.as_ref();
    vec![
        ("running_best", running_best(context, records, None)),
        ("heat_map", heat_map(context, space, &results)),
        ("researchers", researchers(context, &results)),
        ("learning_rate", learning_rate(context, space, &results)),
        ("slots", slots(context, &Utilisation::of(records, 2))),
        ("variance", variance(context, learned.n, &learned.variance)),
        ("ablation", ablation(context, learned.n, &learned.ablation)),
        ("convergence", convergence(context, convergence_of)),
        ("entropy", entropy(context, learned)),
        ("specialisation", specialisation(context, learned)),
        ("shift", shift(context, "backbone", learned)),
        (
            "innovation",
            innovation(context, &learned.innovation, convergence_of),
        ),
        ("gain", gain(context, &learned.researchers)),
        (
            "agreement",
            agreement(context, space, &results, learned.test.as_ref()),
        ),
    ]
}

fn sixty() -> Vec<ExperimentRecord> {
    (1..=60)
        .map(|id| {
            let backbone = if id % 2 == 0 { "raw" } else { "spectra" };
            let mut record = completed(id, "tpe", 0.5 + 0.005 * id as f64);
            record.metrics.insert("validation_ap".to_owned(), 0.7);
            record
                .metrics
                .insert("test_ap".to_owned(), 0.5 + 0.004 * id as f64);
            with(record, &[("backbone", backbone)])
        })
        .collect()
}

/// What a reader needs on each: how many experiments, what is measured in which unit, and what is
/// no measurement.
#[test]
fn every_figure_says_n_its_axes_and_the_surrogate_mark() {
    let context = Context {
        is_surrogate: true,
        ..CONTEXT
    };
    let axes = [
        ("running_best", "validation average precision"),
        ("heat_map", "Mean validation average precision"),
        ("researchers", "validation average precision"),
        ("learning_rate", "learning_rate (logarithmic)"),
        ("slots", "wall-clock time since the first start (seconds)"),
        ("variance", "share of the variance of the objective (η²)"),
        ("ablation", "validation average precision"),
        ("convergence", "completed experiments N"),
        ("entropy", "entropy (nats)"),
        ("specialisation", "Jensen–Shannon divergence (nats)"),
        ("shift", "share of finished experiments"),
        ("innovation", "improvements per experiment"),
        ("gain", "gain per slot hour"),
        ("agreement", "test_ap on the test"),
    ];
    for ((name, svg), (of, label)) in all(&context, &space(), &sixty(), &learned())
        .iter()
        .zip(axes)
    {
        let svg = svg.as_ref().unwrap();
        assert_eq!(*name, of);
        assert!(svg.contains(label), "{name}: {svg}");
        assert!(svg.contains("n = 6"), "{name}: {svg}");
        assert!(svg.contains("surrogate: not measurements"), "{name}: {svg}");
        assert!(
            !svg.contains("NaN") && !svg.contains("inf"),
            "{name}: {svg}"
        );
        crate::raster::png(svg).unwrap();
    }
}

#[test]
fn no_data_is_a_reason_and_no_picture() {
    let empty = Learned::of(&space(), &[], &Options::default());
    for (name, drawn) in all(&CONTEXT, &space(), &[failed(1, "tpe")], &empty) {
        if name == "slots" {
            continue;
        }
        let reason = drawn.unwrap_err();
        assert!(
            reason.starts_with("Not enough data yet"),
            "{name}: {reason}"
        );
    }
    let idle = slots(&CONTEXT, &Utilisation::of(&[], 2)).unwrap_err();
    assert!(idle.starts_with("Not enough data yet"));
}

/// Series that a figure tells apart by colour differ in their dash too.
#[test]
fn lines_differ_without_colour() {
    let lines: Vec<Stroke> = (0..6).map(Stroke::of_series).collect();
    for (index, line) in lines.iter().enumerate() {
        assert!(lines[..index].iter().all(|other| other.dash != line.dash));
    }
}

#[test]
fn an_exponent_that_is_not_identifiable_says_so_in_the_figure() {
    let mut learned = learned();
    let of = |learned: &Learned| convergence(&CONTEXT, learned.convergence.as_ref()).unwrap();
    assert!(of(&learned).contains("NOT IDENTIFIABLE"));
    let exponent = learned
        .convergence
        .as_mut()
        .unwrap()
        .exponent
        .as_mut()
        .unwrap();
    exponent.identifiable = true;
    assert!(!of(&learned).contains("NOT IDENTIFIABLE"));
}

#[test]
fn many_components_are_shown_by_whole_dimensions() {
    let all: Vec<Component> = (0..60)
        .map(|index| Component {
            dimension: format!("d{}", index / 10),
            value: format!("v{index}"),
            ..learned().ablation[0].clone()
        })
        .collect();
    let svg = ablation(&CONTEXT, 60, &all).unwrap();
    assert!(svg.contains(">d3<") && !svg.contains(">d4<"), "{svg}");
    assert!(svg.contains("20 more values in the table"), "{svg}");
}

#[test]
fn a_long_tail_does_not_take_the_chart() {
    let mut objectives: Vec<f64> = (0..40).map(|step| 0.8 + 0.002 * f64::from(step)).collect();
    objectives.push(0.01);
    let (scale, below) = objective_scale(&objectives, None);
    assert_eq!(below, 1);
    assert!(scale.low() > 0.7);
    let (scale, below) = objective_scale(&objectives[..10], None);
    assert_eq!(below, 0);
    assert!(scale.low() < 0.8);
}

#[test]
fn ten_thousand_experiments_stay_a_small_picture() {
    let records: Vec<_> = (1..=10_000)
        .map(|id| completed(id, "tpe", (id % 977) as f64 / 977.0))
        .collect();
    let baseline = Baseline {
        label: "chance".to_owned(),
        value: 0.5,
    };
    let best = running_best(&CONTEXT, &records, Some(&baseline)).unwrap();
    let gantt = slots(&CONTEXT, &Utilisation::of(&records, 2)).unwrap();
    assert!(best.len() < 1_000_000, "{}", best.len());
    assert!(gantt.len() < 200_000, "{}", gantt.len());
}

#[test]
fn graphs_are_more_rows_of_the_heat_map_and_many_stand_together() {
    let space = Space::parse(
        "space: open\ndimensions:\n  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}\n",
    )
    .unwrap();
    let of = |graphs: u64| {
        let records: Vec<_> = (0..graphs + 1)
            .map(|id| {
                let encoder = match id {
                    0 => "retnet".to_owned(),
                    id => format!("graph-{id:016x}"),
                };
                with(completed(id, "a", 0.5), &[("encoder", encoder.as_str())])
            })
            .collect();
        heat_map(&CONTEXT, &space, &measured(&records)).unwrap()
    };
    let few = of(2);
    assert!(
        few.contains("n = 3") && !few.contains("other graphs"),
        "{few}"
    );
    let many = of(20);
    assert!(
        many.contains("n = 21") && many.contains("17 other"),
        "{many}"
    );
}

/// Architectures of a surrogate are indices; they make a map too.
#[test]
fn architectures_may_be_whole_numbers() {
    let space = Space::parse(
        "space: indices\ndimensions:\n  backbone: {group: arch, choices: [0, 1]}\n  \
         encoder: {group: arch, choices: [0, 1, 2]}\n",
    )
    .unwrap();
    let records: Vec<_> = (0..6)
        .map(|id| {
            let mut record = completed(id, "a", 0.5 + 0.01 * id as f64);
            let (backbone, encoder) = (i64::from(id % 2 == 0), (id % 3).cast_signed());
            record.config = Configuration::default()
                .with("backbone", backbone)
                .with("encoder", encoder);
            record
        })
        .collect();
    let svg = heat_map(&CONTEXT, &space, &measured(&records)).unwrap();
    assert!(svg.contains("by backbone × encoder, n = 6"), "{svg}");
    assert!(!svg.contains("other graphs"), "{svg}");
}

#[test]
fn fresh_seeds_stand_beside_what_stood_out_and_the_test() {
    let (_, selection) = crate::testing::verified();
    let svg = seeds(&CONTEXT, &selection.standings(10)).unwrap();
    for text in [
        "Under fresh seeds, n = 8 over 4 configurations",
        "000004 idea_4",
        "≈ leader",
        "beaten",
        "validation average precision",
        "test, with its interval over clips",
    ] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    crate::raster::png(&svg).unwrap();
    let untested: Vec<_> = selection.standings(10).split_off(1);
    assert!(!seeds(&CONTEXT, &untested).unwrap().contains("test, with"));
    let none = seeds(&CONTEXT, &selection.standings(10)[3..4]).unwrap_err();
    assert!(none.starts_with("Not enough data yet"), "{none}");
}
