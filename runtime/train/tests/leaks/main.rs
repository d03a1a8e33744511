//! Leaks put into packs one at a time: each is refused on opening, or found by the check that looks
//! for it, by name; packs without one raise no alarm.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

mod changes;
mod packs;
mod sealed;

use changes::copies;
use orze_campaign::{Check, Finding, Severity};
use orze_train::pack::Split;
use packs::{Clip, clips, noise, random, write};

use Split::{Test, Train, Validation};

fn findings(clips: &[Clip]) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    let pack = write(folder.path(), clips).unwrap();
    packs::search(&pack, 1, "raw")
}

/// The one finding of a check that is not a note; nothing else may be found.
#[track_caller]
fn only(clips: &[Clip], check: Check, severity: Severity) -> Finding {
    let mut found = findings(clips);
    found.retain(|finding| finding.severity > Severity::Note);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found.remove(0);
    assert_eq!((found.check, found.severity), (check, severity), "{found}");
    assert!(found.hint.is_some(), "{found}");
    found
}

#[track_caller]
fn says(finding: &Finding, words: &[&str]) {
    for word in words {
        assert!(finding.message.contains(word), "{finding} has no {word:?}");
    }
}

/// The error of a pack that is not even written.
#[track_caller]
fn refused(clips: &[Clip], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let error = write(folder.path(), clips).unwrap_err();
    assert!(error.hint.is_some(), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error} has no {word:?}");
    }
}

#[test]
fn copies_of_whole_clips_are_refused() {
    for (from, to) in [(Validation, Train), (Test, Train), (Test, Validation)] {
        let mut all = clips();
        all.extend(copies(&all, from, to, 5));
        refused(
            &all,
            &["has the same features as clip", from.name(), to.name()],
        );
    }
}

/// Whose clips are for validation.
fn subject(clips: &[Clip]) -> String {
    let mut of_validation = clips.iter().filter(|clip| clip.split == Validation);
    of_validation.next().unwrap().group.clone()
}

#[test]
fn a_subject_in_two_splits_is_refused() {
    let mut all = clips();
    let subject = subject(&all);
    let moved = all
        .iter_mut()
        .filter(|clip| clip.group == subject)
        .nth(3)
        .unwrap();
    moved.split = Train;
    refused(&all, &["group", &subject, "validation", "train"]);
}

#[test]
fn a_subject_under_two_spellings_is_found() {
    let mut all = clips();
    let subject = subject(&all);
    let moved = all.iter_mut().filter(|clip| clip.group == subject).take(30);
    for clip in moved {
        clip.group = subject.to_uppercase();
        clip.split = Train;
    }
    let found = only(&all, Check::Duplicates, Severity::Stop);
    assert_eq!(found.subject, "groups");
    says(
        &found,
        &[&subject, &subject.to_uppercase(), "1 pair of groups"],
    );
}

#[test]
fn an_id_under_two_spellings_is_found() {
    let mut all = clips();
    let id = all
        .iter()
        .find(|clip| clip.split == Validation)
        .unwrap()
        .id
        .clone();
    let other = all.iter_mut().find(|clip| clip.split == Train).unwrap();
    other.id = format!("{}.MP4", id.to_uppercase());
    let found = only(&all, Check::Duplicates, Severity::Warning);
    says(&found, &[&id, "1 pair of ids"]);
}

#[test]
fn copies_in_one_backbone_are_found() {
    let mut all = clips();
    let mut random = random(3);
    let mut added = copies(&all, Validation, Train, 20);
    for clip in &mut added {
        // The other backbone was made anew.
        for value in clip.frames.get_mut("motion").unwrap().iter_mut().flatten() {
            *value = noise(&mut random);
        }
    }
    all.extend(added);
    let found = only(&all, Check::Duplicates, Severity::Stop);
    says(
        &found,
        &[
            "20 clips of validation",
            "clips of train",
            "seen in `raw`)",
            "copy-",
        ],
    );
}

/// Copies that were changed are found as nearly equal.
#[track_caller]
fn nearly(from: Split, to: Split, change: impl FnMut(&mut Clip)) -> Finding {
    let mut all = clips();
    let mut added = copies(&all, from, to, 20);
    added.iter_mut().for_each(change);
    all.extend(added);
    let found = only(&all, Check::NearDuplicates, Severity::Stop);
    says(&found, &["clips of validation have nearly", "copy-"]);
    found
}

#[test]
fn copies_with_noise_are_found() {
    let mut random = random(4);
    let mut noisy = |clip: &mut Clip| {
        for (&name, rows) in &mut clip.frames {
            // A twentieth of what a feature of the backbone varies by, about.
            let level = if name == "raw" { 0.05 } else { 0.02 };
            for value in rows.iter_mut().flatten() {
                *value += level * noise(&mut random);
            }
        }
    };
    let found = nearly(Validation, Train, &mut noisy);
    says(&found, &["% of the distance to other clips"]);
}

#[test]
fn copies_cut_two_frames_later_are_found() {
    nearly(Validation, Train, |clip| {
        for rows in clip.frames.values_mut() {
            let last = rows[rows.len() - 1].clone();
            rows.drain(..2);
            rows.extend([last.clone(), last]);
        }
    });
}

#[test]
fn copies_that_are_louder_are_found() {
    nearly(Validation, Train, |clip| clip.each(|value| 1.25 * value));
}

#[test]
fn copies_of_another_precision_are_found() {
    // Eleven bits of a value are kept, as f16 does, after another rounding.
    let coarse = |value: f32| {
        let scaled = value * 1.000_7;
        f32::from_bits((scaled.to_bits() + 0x1000) & 0xffff_e000)
    };
    nearly(Validation, Train, |clip| clip.each(coarse));
}

#[test]
fn copies_of_test_clips_are_found() {
    for to in [Train, Validation] {
        let mut all = clips();
        let mut added = copies(&all, Test, to, 10);
        added
            .iter_mut()
            .for_each(|clip| clip.each(|value| 0.9 * value));
        all.extend(added);
        let found = only(&all, Check::NearDuplicates, Severity::Stop);
        says(&found, &["10 clips of test have nearly", to.name()]);
    }
}

#[test]
fn clips_twice_in_their_split_are_a_note() {
    let mut all = clips();
    all.extend(copies(&all, Test, Test, 7));
    let mut other = copies(&all, Train, Train, 2);
    other
        .iter_mut()
        .for_each(|clip| clip.positive = !clip.positive);
    all.extend(other);
    // A group of its own in each split.
    for clip in all.iter_mut().filter(|clip| clip.group == "visitor") {
        clip.group = format!("visitor to {}", clip.split.name());
    }
    let found = findings(&all);
    assert!(
        found.iter().all(|f| f.severity == Severity::Note),
        "{found:#?}"
    );
    let of = |subject| found.iter().find(|f| f.subject == subject).unwrap();
    says(of("test"), &["7 clips have"]);
    says(
        of("train"),
        &["2 clips have", "2 of them under another label"],
    );
}

/// A column of `raw` is added to every clip.
fn with_column(mut value: impl FnMut(&Clip, usize) -> f32) -> Vec<Clip> {
    let mut all = clips();
    for clip in &mut all {
        let before = clip.clone();
        clip.column(|frame| value(&before, frame));
    }
    all
}

#[test]
fn the_label_as_a_column_is_found() {
    let all = with_column(|clip, _| f32::from(u8::from(clip.positive)));
    let found = only(&all, Check::LabelInFeatures, Severity::Stop);
    assert_eq!(found.subject, "raw");
    says(&found, &["column 6", "mean"]);
    // Another code, the other way round.
    let all = with_column(|clip, _| if clip.positive { -3.0 } else { 7.0 });
    only(&all, Check::LabelInFeatures, Severity::Stop);
}

#[test]
fn the_label_in_one_frame_is_found() {
    let last = |clip: &Clip, frame| f32::from(u8::from(clip.positive && frame == 29));
    let found = only(&with_column(last), Check::LabelInFeatures, Severity::Stop);
    says(&found, &["column 6"]);
}

#[test]
fn the_label_under_noise_is_found() {
    let mut random = random(5);
    let noisy = |clip: &Clip, _| f32::from(u8::from(clip.positive)) + 0.3 * noise(&mut random);
    let found = only(
        &with_column(noisy),
        Check::LabelInFeatures,
        Severity::Warning,
    );
    says(&found, &["column 6", "AP 1.000"]);
}

#[test]
fn the_label_in_the_length_is_found() {
    let mut all = clips();
    for clip in all.iter_mut().filter(|clip| clip.positive) {
        clip.frames.values_mut().for_each(|rows| rows.truncate(27));
    }
    let mut found = findings(&all);
    found.retain(|finding| finding.severity == Severity::Stop);
    // In both backbones.
    assert_eq!(found.len(), 2, "{found:#?}");
    for finding in &found {
        assert_eq!(finding.check, Check::LabelInFeatures);
        says(finding, &["the number of frames"]);
    }
}

#[test]
fn a_column_that_names_the_split_is_found() {
    let all = with_column(|clip, _| f32::from(clip.split as u8));
    let found = only(&all, Check::LabelInFeatures, Severity::Warning);
    says(&found, &["column 6", "which split"]);
}

#[test]
fn a_column_of_a_label_that_test_clips_alone_carry_is_not_looked_at() {
    // Labels of test clips are sealed: what stands in their features can't be compared.
    let all = with_column(|clip, _| f32::from(u8::from(clip.positive && clip.split == Test)));
    let found = findings(&all);
    assert!(
        found.iter().all(|f| f.severity == Severity::Note),
        "{found:#?}"
    );
}

#[test]
fn a_backbone_that_is_the_same_for_all_is_found() {
    let mut all = clips();
    for clip in &mut all {
        for value in clip.frames.get_mut("motion").unwrap().iter_mut().flatten() {
            *value = 0.25;
        }
    }
    let found = only(&all, Check::Duplicates, Severity::Warning);
    assert_eq!(found.subject, "motion");
}

#[test]
fn labels_turned_round_in_a_split_are_found() {
    let mut all = clips();
    for clip in all.iter_mut().filter(|clip| clip.split == Validation) {
        clip.positive = !clip.positive;
    }
    let found = only(&all, Check::Splits, Severity::Warning);
    assert_eq!(found.subject, "validation");
}

#[test]
fn packs_without_a_leak_raise_no_alarm() {
    for seed in 0..3 {
        let found = packs::search(&packs::bundled(), seed, "raw+motion");
        assert!(found.is_empty(), "{found:#?}");
    }
}
