use orze_campaign::Space;

use super::*;
use crate::measured::measured;
use crate::report::Baseline;
use crate::testing::{completed, failed, space, with};
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

#[test]
fn every_figure_says_n_and_the_surrogate_mark() {
    let records: Vec<_> = (1..=6)
        .map(|id| {
            let backbone = if id % 2 == 0 { "raw" } else { "spectra" };
            with(
                completed(id, "tpe", 0.1 * id as f64),
                &[("backbone", backbone)],
            )
        })
        .collect();
    let context = Context {
        is_surrogate: true,
        ..CONTEXT
    };
    let (space, results) = (space(), measured(&records));
    for svg in [
        running_best(&context, &records, None),
        heat_map(&context, &space, &results),
        effects(&context, &space, &results),
        researchers(&context, &results),
        learning_rate(&context, &space, &results),
        slots(&context, &Utilisation::of(&records, 2)),
    ] {
        let svg = svg.unwrap();
        assert!(svg.contains("n = 6"), "{svg}");
        assert!(svg.contains("surrogate: not measurements"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn no_data_is_a_reason_and_no_picture() {
    let records = [failed(1, "tpe")];
    let (space, results) = (space(), measured(&records));
    for reason in [
        running_best(&CONTEXT, &records, None),
        heat_map(&CONTEXT, &space, &results),
        effects(&CONTEXT, &space, &results),
        researchers(&CONTEXT, &results),
        learning_rate(&CONTEXT, &space, &results),
        slots(&CONTEXT, &Utilisation::of(&[], 2)),
    ] {
        assert!(reason.unwrap_err().starts_with("Not enough data yet"));
    }
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
