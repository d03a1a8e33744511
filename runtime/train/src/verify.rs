//! Whether trainer and data can be believed: asked by the runtime before a campaign spends anything,
//! answered in the worker that will train.

use std::ops::ControlFlow;
use std::time::Instant;

use orze_campaign::protocol::{Verification, VerifyRequest};
use orze_campaign::{Failure, FailureKind, Severity};

use crate::dataset::Dataset;
use crate::{audit, leakage};

/// Steps done, steps in all, and what is looked at now; breaks to stop.
pub type Step<'a> = dyn FnMut(u32, u32, &str) -> ControlFlow<()> + 'a;

/// Audits the trainer, dimension by dimension, and looks for leaks in the data.
///
/// # Errors
/// A [`Failure`] when it was stopped, or when a probe can't be trained at all.
pub fn verify(
    dataset: &Dataset,
    request: &VerifyRequest,
    step: &mut Step<'_>,
) -> Result<Verification, Failure> {
    let started = Instant::now();
    let audited = audit::dimensions(dataset, request, step)?;
    let mut findings = audited.findings;
    let is_wrong = findings.iter().any(|f| f.severity == Severity::Stop);
    match leakage::search(dataset, request, step) {
        Ok(leaks) => findings.extend(leaks),
        // A trainer that is known to be wrong may fail at anything.
        Err(failure) if is_wrong && failure.kind != FailureKind::TimedOut => {}
        Err(failure) => return Err(failure),
    }
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.check.cmp(&b.check)));
    Ok(Verification {
        findings,
        effects: audited.effects,
        probes: audited.probes,
        seconds: started.elapsed().as_secs_f64(),
    })
}
