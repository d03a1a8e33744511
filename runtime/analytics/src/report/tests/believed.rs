//! What a report says of whether its numbers can be believed.

use orze_campaign::{Check, Finding, Severity};

use super::checks::check;
use super::{input, sections};
use crate::report::{Baseline, Evidence, Report, ReportInput};
use crate::testing::{space, verified};
use crate::{Selection, SelectionSettings};

/// The leader is who holds under fresh seeds; the lucky value stands beside it and is called so.
#[test]
fn a_verified_campaign_says_what_can_be_believed() {
    let (records, selection) = verified();
    let space = space();
    let known = [Finding::new(
        Check::Wiring,
        Severity::Stop,
        "loss",
        "`<b>loss</b>` had no effect",
    )
    .hint("look where it is read")];
    let report = Report::new(&ReportInput {
        baseline: Some(Baseline {
            label: "logistic regression".to_owned(),
            value: 0.8,
        }),
        evidence: Some(Evidence {
            selection: &selection,
            findings: &known,
        }),
        ..input(&space, &records)
    });
    check(&report);
    let parts = sections(&report.markdown);
    let part = |title: &str| {
        let found = parts.iter().find(|(name, _)| *name == title);
        found.map(|(_, text)| *text).unwrap()
    };
    insta::assert_snapshot!(part("Can these numbers be believed?"), @r#"

    A result leads here by the mean of 3 fresh seeds, and not by the value that made it stand out: the highest of many noisy values is high because it was picked for that. 2 configurations hold so far, of which 1 can't be told from the leader (≈). The leader's own value was 0.8800, 0.0140 above its mean.

    The seed alone moves a configuration by a standard deviation of 0.0038 (95 %: 0.0023 to 0.0109; 4 degrees of freedom over 2 configurations). Means of 3 seeds that differ by less than 0.0086 are a tie.

    ![Under fresh seeds](figures/seeds.svg)

    What configurations measure when they are trained again: dots are fresh seeds, the line through them their mean with its 95 % interval (the noise is pooled over all of them), the cross the value that made each stand out. A cross far right of its dots was luck. Below, for those that have led, the score on the test split.

    11 of the 21 experiments that were admitted repeat others (52 %). Experiment 000001, the reference, was run again once with its own seed. The test split was read once, for confirmed leaders only.

    - Stop (wiring): \`&lt;b&gt;loss&lt;/b&gt;\` had no effect. What to do: look where it is read.
    "#);
    let learned = part("What was learned");
    let headline = "The confirmed leader, experiment 000004 (idea\\_4) by tpe, is worth 0.8660 validation \
                    average precision (mean of 3 fresh seeds; 95 %: 0.8599 to 0.8721) and scores 0.8310 \
                    (95 % over its clips: 0.7900 to 0.8700) on the test split. The best single value is \
                    0.9200 of experiment 000003. The leader is 0.0660 above the baseline";
    assert!(learned.contains(headline), "{learned}");
    assert!(learned.contains("5 of 10 completed experiments beat the baseline"));
    let leaderboard = part("Leaderboard");
    for row in [
        "| rank | id | mean of fresh seeds | 95 % | seeds | standing | test | single value | backbone |",
        "| 1 | 000004 | 0.8660 | 0.8599 to 0.8721 | 3 | leads | 0.8310 | 0.8800 | raw |",
        "| 2 | 000002 | 0.8640 | 0.8579 to 0.8701 | 3 | ≈ leader | – | 0.8600 | raw |",
        "| 9 | 000003 | 0.8400 | 0.8294 to 0.8506 | 1 | beaten | – | 0.9200 | raw |",
        "| 10 | 000009 | – | – | 0 | failed by a seed | – | 0.8550 | raw |",
    ] {
        assert!(leaderboard.contains(row), "{row}: {leaderboard}");
    }
    assert!(report.figures.iter().any(|picture| picture.name == "seeds"));
    assert!(report.markdown.contains(
        "| Confirmed leader | 0.8660 | experiment 000004, mean of 3 fresh seeds; test 0.8310 |"
    ));
    assert!(
        report
            .markdown
            .contains("| Best single value | 0.9200 | experiment 000003 |")
    );
    assert!(report.markdown.contains("+0.0660"));

    // Where nobody asks for fresh seeds, that is said.
    let single = Selection::of(
        SelectionSettings {
            seeds: 0,
            ..selection.settings().clone()
        },
        &records,
    );
    let report = Report::new(&ReportInput {
        evidence: Some(Evidence {
            selection: &single,
            findings: &[],
        }),
        ..input(&space, &records)
    });
    check(&report);
    assert!(
        report
            .markdown
            .contains("No result was repeated under a fresh seed")
    );
    assert!(report.markdown.contains("Best objective"));
}
