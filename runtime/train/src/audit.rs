//! Wiring: every dimension of a space is changed alone and its effect is looked for where it belongs.
//!
//! Probes are real experiments on a few clips, on the path that a campaign's take, with an
//! [`observer`](crate::observer). Each of them is held against references that share no code with the
//! trainer (`reference`), whatever dimension it is there for; the audit adds trainings of its own that
//! switch on what a space may leave off.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use orze_campaign::protocol::VerifyRequest;
use orze_campaign::{Check, Failure, FailureKind, Finding};

use crate::dataset::Dataset;
use crate::fault;
use crate::observer::Observer;
use crate::precision;
use crate::verify::Step;

mod asked;
mod batches;
mod bounds;
mod effects;
mod inputs;
mod mixture;
mod objective;
mod outcome;
mod plan;
#[allow(missing_docs)] // Plain records of a private module.
mod reference;
mod repeat;
mod report;
mod run;
mod sample;
mod updates;

use effects::Signature;
use plan::{Job, Role};
use reference::data::Data;
use repeat::Repeats;
use report::Report;
use run::{Run, Setting};
use sample::Sample;

/// What the audit came to.
#[derive(Debug, Default)]
pub struct Audited {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Where each dimension's effect was seen.
    pub effects: BTreeMap<String, String>,
    /// Trainings that were observed.
    pub probes: u32,
}

/// Trains every probe and compares what it did with what its configuration says.
///
/// # Errors
/// A [`Failure`] when it was stopped, or when the machine fails a probe. A probe that can't be trained for
/// another reason is a finding.
pub fn dimensions(
    dataset: &Dataset,
    request: &VerifyRequest,
    step: &mut Step<'_>,
) -> Result<Audited, Failure> {
    let mut report = Report::default();
    let most = Material::new(dataset, request, sample::TRAINING)?;
    let wide = Material::new(dataset, request, wide_training(request))?;
    let jobs = plan::jobs(&most.data, request, &most.sample);
    let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    let mut shown: Vec<Vec<Option<Signature>>> = Vec::new();
    for dimension in &request.dimensions {
        shown.push(vec![None; dimension.probes.len()]);
    }
    let (mut probes, mut repeats) = (0, Repeats::default());
    for (done, job) in (0_u32..).zip(&jobs) {
        let material = if job.wide { &wide } else { &most };
        let mut alive = || step(done, count, &job.name);
        if alive().is_break() {
            return Err(stopped(done, count));
        }
        let observer = Observer::default();
        let run = match train(material, request, (job, &observer), &mut alive) {
            Ok(run) => run,
            Err(failure) => {
                // It may have failed because of the clips that it was given.
                let seen = (&material.sample, &observer.take());
                batches::strays(seen, job.tested, &job.name, &mut report);
                untrained(job, failure, &mut report)?;
                continue;
            }
        };
        probes += 1;
        if job.role != Role::Rounded {
            audit(&run, job.role, &mut report)?;
        }
        for &(place, number) in &job.shows {
            let dimension = &request.dimensions[place];
            let value = dimension.probes[number]
                .configuration
                .get(&dimension.dimension);
            let signature = Signature::of(&run, &dimension.dimension, value.cloned());
            shown[place][number] = Some(signature);
        }
        repeats.add(run, job.role, dataset, &mut report);
    }
    let mut effects = BTreeMap::new();
    for (dimension, shown) in request.dimensions.iter().zip(shown) {
        let shown: Vec<Signature> = shown.into_iter().flatten().collect();
        // One whose probes failed was told of.
        if shown.len() < 2 {
            continue;
        }
        let name = dimension.dimension.as_str();
        if let Some(effect) = effects::compare(name, &shown, &mut report) {
            effects.insert(name.to_owned(), effect);
        }
    }
    Ok(Audited {
        findings: report.findings(),
        effects,
        probes,
    })
}

/// Clips that batches of the largest two sizes of the space part differently.
fn wide_training(request: &VerifyRequest) -> usize {
    let dimensions = request.dimensions.iter();
    let mut sizes: Vec<f64> = dimensions
        .filter(|dimension| dimension.dimension == "batch_size")
        .flat_map(|dimension| &dimension.probes)
        .filter_map(|probe| probe.configuration.get("batch_size")?.as_f64())
        .collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let second = sizes.iter().rev().nth(1).copied().unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let clips = second as usize + 1;
    clips.max(sample::TRAINING)
}

/// Clips and their features, seen by the trainer and by the references.
struct Material {
    view: Dataset,
    sample: Sample,
    data: Data,
}

impl Material {
    fn new(dataset: &Dataset, request: &VerifyRequest, training: usize) -> Result<Self, Failure> {
        let sample = Sample::new(dataset, training, request.seed);
        let pack = dataset.pack();
        let data = Data::read(pack.folder(), pack.manifest(), &sample.clips())
            .map_err(|message| Failure::new(FailureKind::MissingFeatures, message))?;
        Ok(Self {
            view: sample.view(dataset),
            sample,
            data,
        })
    }
}

fn train<'a>(
    material: &'a Material,
    request: &'a VerifyRequest,
    (job, observer): (&Job, &Observer),
    alive: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Run<'a>, Failure> {
    let folder = request.directory.join("probe");
    let setting: Setting<'a, '_> = Setting {
        dataset: &material.view,
        sample: &material.sample,
        data: &material.data,
        seed: request.seed.wrapping_add(job.reseeded),
        folder: &folder,
        tested: job.tested,
        micro_batch: job.micro_batch,
    };
    let run = precision::during(job.precision, || {
        Run::new(&job.name, &job.probe, setting, observer, &mut |_| alive())
    });
    remove(&folder)?;
    run
}

/// A probe's folder must hold nothing of an earlier one.
fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(fault::of_file(folder, error))
        }
        _ => Ok(()),
    }
}

/// Holds one training against the references.
fn audit(run: &Run<'_>, role: Role, report: &mut Report) -> Result<(), Failure> {
    batches::audit(run, report);
    inputs::audit(run, report);
    objective::audit(run, report);
    updates::audit(run, report);
    outcome::audit(run, report)?;
    if matches!(role, Role::Plain | Role::Parted) {
        outcome::training_parity(run, report).map_err(|e| fault::of_candle(&e))?;
    }
    Ok(())
}

/// What becomes of a probe that could not be trained.
fn untrained(job: &Job, failure: Failure, report: &mut Report) -> Result<(), Failure> {
    let subject = job.name.split(" = ").next().unwrap_or(&job.name);
    match failure.kind {
        FailureKind::BadConfiguration
        | FailureKind::ShapeMismatch
        | FailureKind::MissingFeatures
        | FailureKind::TrainerFault => {
            let message = format!("can't be trained: {}", failure.message);
            report.stop(Check::Wiring, subject, message, &job.name);
            Ok(())
        }
        // A value at the end of its range may be too much on few clips.
        FailureKind::Diverged => {
            report.warn(Check::Wiring, subject, failure.message, &job.name);
            Ok(())
        }
        _ => Err(failure),
    }
}

fn stopped(done: u32, count: u32) -> Failure {
    Failure::new(
        FailureKind::TimedOut,
        format!("the audit was stopped after {done} of {count} probes"),
    )
}

#[cfg(test)]
mod tests;
