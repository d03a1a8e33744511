use proptest::prelude::*;

use super::*;
use crate::testing::{completed, failed, space, with};

fn records() -> Vec<ExperimentRecord> {
    let mut records = vec![
        completed(1, "random", 0.812_34),
        with(
            completed(2, "tpe", 0.9),
            &[("backbone", "spectra"), ("encoder", "zipformer")],
        ),
        failed(3, "tpe"),
        completed(4, "an author with quite a long name", 0.856),
    ];
    records[0].name = "研究 🚀 \u{1b}[31mred\nline".to_owned();
    records
}

#[test]
fn a_wide_terminal_shows_everything() {
    insta::assert_snapshot!(leaderboard(&records(), &space(), None, 10, 120), @r#"
    #  objective  name                  backbone  encoder    learning_rate  researcher                id
    1     0.9000  idea_2                spectra   zipformer          0.001  tpe                   000002
    2     0.8560  idea_4                raw       retnet             0.001  an author with quit…  000004
    3     0.8123  研究 🚀 [31mred line  raw       retnet             0.001  random                000001
    "#);
}

#[test]
fn a_narrow_terminal_keeps_what_matters() {
    insta::assert_snapshot!(leaderboard(&records(), &space(), None, 10, 60), @r#"
    #  objective  backbone  encoder    learning…  resea…      id
    1     0.9000  spectra   zipformer      0.001  tpe     000002
    2     0.8560  raw       retnet         0.001  an au…  000004
    3     0.8123  raw       retnet         0.001  random  000001
    "#);
    insta::assert_snapshot!(leaderboard(&records(), &space(), None, 2, 24), @r#"
    #  objective      id
    1     0.9000  000002
    2     0.8560  000004
    "#);
}

#[test]
fn markdown_is_escaped() {
    let mut records = records();
    records[0].name = "a|b `c` <script>".to_owned();
    insta::assert_snapshot!(leaderboard_markdown(&records, &space(), None, 10), @r#"
    | \# | objective | name | backbone | encoder | learning\_rate | researcher | id |
    | ---: | ---: | --- | --- | --- | ---: | --- | ---: |
    | 1 | 0.9000 | idea\_2 | spectra | zipformer | 0.001 | tpe | 000002 |
    | 2 | 0.8560 | idea\_4 | raw | retnet | 0.001 | an author with quit… | 000004 |
    | 3 | 0.8123 | a\|b \`c\` &lt;script&gt; | raw | retnet | 0.001 | random | 000001 |
    "#);
}

#[test]
fn results_of_a_surrogate_are_marked() {
    let mut record = completed(1, "tpe", 0.5);
    record.trainer = "surrogate".to_owned();
    for text in [
        leaderboard(&[record.clone()], &space(), None, 1, 80),
        leaderboard_markdown(&[record], &space(), None, 1),
    ] {
        assert!(text.contains("surrogate: not measurements"), "{text}");
    }
}

#[test]
fn nothing_to_rank_is_said() {
    let text = leaderboard(&[failed(1, "a")], &space(), None, 10, 80);
    assert_eq!(text, "no completed experiment yet");
}

proptest! {
    #[test]
    fn lines_never_pass_the_width(
        names in prop::collection::vec(".{0,40}", 1..6),
        columns in 0_usize..140,
    ) {
        let records: Vec<_> = (1..).zip(&names).map(|(id, name)| {
            let mut record = completed(id, name, 0.5);
            record.name.clone_from(name);
            record
        }).collect();
        let text = leaderboard(&records, &space(), None, 10, columns);
        for line in text.lines() {
            prop_assert!(width(line) <= columns, "{line:?} is wider than {columns}");
        }
        prop_assert!(!text.contains('\x1b'));
    }
}

/// Who holds under fresh seeds stands above a lucky value, with the test beside the validation.
#[test]
fn fresh_seeds_rank_and_the_test_is_shown() {
    let (records, selection) = crate::testing::verified();
    insta::assert_snapshot!(
        leaderboard(&records, &space(), Some(&selection), 6, 140),
        @r#"
    #    mean  ± 95 %   seeds  single    test  standing         name     backbone  encoder  learning_rate  researcher      id
    1  0.8660  0.0061       3  0.8800  0.8310  leads            idea_4   raw       retnet           0.001  tpe         000004
    2  0.8640  0.0061       3  0.8600       –  ≈ leader         idea_2   raw       retnet           0.001  tpe         000002
    3  0.8650  0.0106  1 of 3  0.8700       –  ≈ leader so far  idea_5   raw       retnet           0.001  tpe         000005
    4       –       –       0  0.5000       –  unconfirmed      idea_1   raw       retnet           0.001  tpe         000001
    5       –       –       0  0.4500       –  unconfirmed      idea_10  raw       retnet           0.001  tpe         000010
    6       –       –       0  0.3000       –  unconfirmed      idea_6   raw       retnet           0.001  tpe         000006
    "#
    );
    insta::assert_snapshot!(
        leaderboard(&records, &space(), Some(&selection), 2, 60),
        @r#"
    #    mean  ± 95 %  seeds  single    test  standing      id
    1  0.8660  0.0061      3  0.8800  0.8310  leads     000004
    2  0.8640  0.0061      3  0.8600       –  ≈ leader  000002
    "#
    );
}
