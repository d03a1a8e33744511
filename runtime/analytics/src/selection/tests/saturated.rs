//! Whether a used-up objective is found, and only where it is.

use orze_campaign::{Check, Severity};

use super::simulated::{Plan, simulate};
use super::*;
use crate::statistics::real;

#[test]
fn a_hundred_clean_campaigns_raise_no_alarm() {
    for seed in 0..100 {
        let campaign = simulate(Plan {
            spread: 0.05,
            noise: 0.01,
            seed,
            ..Plan::default()
        });
        assert_eq!(campaign.saturated_at, None, "seed {seed}");
        let findings = campaign.selection.findings();
        let loud: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity > Severity::Note)
            .collect();
        assert!(loud.is_empty(), "{loud:?}");
    }
}

#[test]
fn saturation_is_found_within_thirty_experiments_and_the_better_metric_named() {
    for seed in 0..50 {
        let campaign = simulate(Plan {
            spread: 0.1,
            noise: 0.01,
            is_saturated: true,
            seed,
            ..Plan::default()
        });
        let at = campaign.saturated_at.expect("found");
        assert!(at <= 30, "seed {seed}: {at}");
        let saturation = campaign.selection.saturation().unwrap();
        assert_eq!(saturation.metric, "validation_ap");
        let best = &saturation.candidates[0];
        assert_eq!(best.metric, "validation_log_loss", "seed {seed}");
        assert!(best.signal_to_noise.unwrap() > 2.0, "{best:?}");
        let finding = saturation.finding();
        assert_eq!(
            (finding.check, finding.severity),
            (Check::Saturation, Severity::Warning)
        );
        assert!(
            finding
                .message
                .contains("no longer tells the best apart: the best"),
            "{finding}"
        );
        assert!(finding.message.contains("between seeds"), "{finding}");
        assert!(
            finding
                .hint
                .unwrap()
                .starts_with("validation_log_loss still does")
        );
    }
}

/// As in the system that this one replaces, whose validation was at its limit over 3,136 experiments:
/// nobody had repeated any, so all that is known is the interval over the clips.
#[test]
fn without_fresh_seeds_the_clips_say_how_well_the_best_is_known() {
    let records: Vec<_> = (1..=3136)
        .map(|id| {
            let place = real(usize::try_from(id).unwrap()) / 3136.0;
            let mut record = completed(id, "a", 1.0 - 0.02 * place);
            let ap = record.objective.unwrap();
            let metrics = [
                ("validation_ap", ap),
                ("validation_ap_low", ap - 0.03),
                ("validation_ap_high", 1.0),
                ("validation_log_loss", 0.1 + (place * 7919.0).sin().abs()),
            ];
            record
                .metrics
                .extend(metrics.map(|(name, value)| (name.to_owned(), value)));
            record
        })
        .collect();
    let settings = SelectionSettings {
        seeds: 0,
        ..settings()
    };
    let selection = Selection::of(settings.clone(), &records);
    let finding = selection.saturation().unwrap().finding();
    assert_eq!(
        finding.message,
        "validation_ap no longer tells the best apart: the best 256 of 3136 lie within 0.00163 of each \
         other (0.9984 to 1.0000), and the best of them is itself only known to ±0.015 with so few clips"
    );
    let hint = finding.hint.unwrap();
    assert!(hint.starts_with("validation_log_loss still does"), "{hint}");
    assert!(hint.contains("only fresh seeds can tell"), "{hint}");
    // Too few to say, and the lower half alone is in order.
    assert_eq!(
        Selection::of(settings.clone(), &records[..19]).saturation(),
        None
    );
    assert_eq!(Selection::of(settings, &records[1000..]).saturation(), None);
}

/// Below the limit, all configurations alike: what is ranked is luck.
#[test]
fn noise_alone_below_the_limit_is_found_in_time() {
    let mut found = 0;
    for seed in 0..20 {
        let campaign = simulate(Plan {
            budget: 250,
            spread: 0.0,
            noise: 0.01,
            seed,
            ..Plan::default()
        });
        if let Some(at) = campaign.saturated_at {
            found += 1;
            assert!(at >= 80);
        }
    }
    assert!(found >= 10, "{found} of 20");
}

#[test]
fn equal_values_tell_nobody_apart_and_nothing_else_does_either() {
    let records: Vec<_> = (1..=20).map(|id| completed(id, "a", 0.8)).collect();
    let finding = Selection::of(settings(), &records)
        .saturation()
        .unwrap()
        .finding();
    assert_eq!(
        finding.message,
        "the objective no longer tells the best apart: the best 5 of 20 all have 0.8"
    );
    assert!(finding.hint.unwrap().contains("cross-validate over groups"));
}
