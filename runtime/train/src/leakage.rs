//! Leaks: what of the validation or test clips, or of the labels, training could know.
//!
//! The pack that experiments train on is searched: names and groups ([`names`]), equal content
//! ([`content`]), nearly equal content ([`near`]), features that give the label or the split away
//! ([`columns`]), labels that were turned round in one split ([`direction`]), and labels drawn at random that can be learned all the same ([`permuted`]). Features
//! of test clips are compared with those of other clips; their labels are never looked at, so a search
//! counts as no read of the test evaluation.

mod align;
mod columns;
mod content;
mod direction;
mod names;
mod near;
mod pairs;
mod permuted;
mod pooled;

use std::ops::ControlFlow;

use orze_campaign::protocol::VerifyRequest;
use orze_campaign::{Check, Failure, FailureKind, Finding, Severity};

use crate::dataset::Dataset;
use crate::fault;
use crate::pack::{Backbone, ClipEntry, Split};
use crate::verify::Step;
use pairs::Pairs;

/// The clips of a pack that can be used, by split.
struct Clips<'a> {
    entries: &'a [ClipEntry],
    /// In the order of [`Split::ALL`].
    by_split: [Vec<usize>; 3],
}

impl<'a> Clips<'a> {
    fn of(dataset: &'a Dataset) -> Self {
        Self {
            entries: &dataset.pack().manifest().clips,
            by_split: Split::ALL.map(|split| dataset.clips(split)),
        }
    }

    fn of_split(&self, split: Split) -> &[usize] {
        &self.by_split[split as usize]
    }

    /// All that can be used, split after split.
    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_split.iter().flatten().copied()
    }

    fn split(&self, clip: usize) -> Split {
        self.entries[clip].split
    }

    fn id(&self, clip: usize) -> &str {
        &self.entries[clip].id
    }

    fn group(&self, clip: usize) -> &str {
        &self.entries[clip].group
    }
}

/// Counts the steps of a search.
struct Steps<'a, 'b> {
    begun: u32,
    of: u32,
    step: &'a mut Step<'b>,
}

impl Steps<'_, '_> {
    fn next(&mut self, what: &str) -> Result<(), Failure> {
        self.begun += 1;
        self.again(what)
    }

    /// A sign of life within a step.
    fn again(&mut self, what: &str) -> Result<(), Failure> {
        match (self.step)(self.begun - 1, self.of, what) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::new(
                FailureKind::TimedOut,
                format!("the search for leaks was stopped at: {what}"),
            )),
        }
    }
}

/// Searches a pack for leaks.
///
/// # Errors
/// A [`Failure`] when it was stopped or the data can't be read.
pub fn search(
    dataset: &Dataset,
    request: &VerifyRequest,
    step: &mut Step<'_>,
) -> Result<Vec<Finding>, Failure> {
    let clips = Clips::of(dataset);
    let names: Vec<&str> = {
        let backbones = dataset.pack().manifest().backbones.iter();
        backbones.map(|entry| entry.name.as_str()).collect()
    };
    let probes = permuted::probes(dataset, request)?;
    let of = 1 + names.len() + probes.len();
    let mut steps = Steps {
        begun: 0,
        of: u32::try_from(of).unwrap_or(u32::MAX),
        step,
    };

    steps.next("names, groups and content")?;
    let mut findings = names::search(&clips);
    findings.extend(names::labels_by_group(&clips, dataset));
    findings.extend(content::within_splits(&clips, dataset));
    let (mut equal, mut nearly) = (Pairs::default(), Pairs::default());
    let (mut not_compared, mut agreements) = (Vec::new(), Vec::new());
    for name in names {
        steps.next(&format!("clips and columns of `{name}`"))?;
        let map = backbone(dataset, name)?;
        let twins = content::across_splits(&clips, &map);
        let found = near::search(&clips, &map, &twins, request.seed);
        equal.add(name, twins);
        nearly.add(name, found.pairs);
        not_compared.extend(
            found
                .remark
                .map(|remark| Finding::new(Check::NearDuplicates, Severity::Note, name, remark)),
        );
        findings.extend(columns::search(&clips, dataset, name, &map));
        agreements.extend(direction::agreement(&clips, dataset, &map, request.seed));
    }
    findings.extend(direction::told(&agreements));
    findings.extend(equal.findings(&clips, pairs::Likeness::Equal));
    findings.extend(nearly.findings(&clips, pairs::Likeness::Nearly));
    findings.extend(not_compared);
    for probe in &probes {
        let what = format!("random labels on `{}`", probe.backbone);
        steps.next(&what)?;
        findings.extend(probe.run(dataset, request, &mut || steps.again(&what))?);
    }
    Ok(findings)
}

/// The frames of a backbone, as the pack has them.
fn backbone(dataset: &Dataset, name: &str) -> Result<Backbone, Failure> {
    let map = dataset.pack().backbone(name);
    let map = map.map_err(|error| fault::of_features(&error))?;
    map.ok_or_else(|| {
        let message = format!("the pack no longer has the features `{name}`");
        Failure::new(FailureKind::MissingFeatures, message)
    })
}

#[cfg(test)]
mod tests;
