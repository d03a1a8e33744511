//! Whether a campaign can be believed, asked before it spends: the trainer does what each dimension
//! says, and nothing of the answers leaks into what is learned from.

mod probes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orze_campaign::protocol::{Probe, TrainRequest, Verification, VerifyRequest};
use orze_campaign::settings::TrainerKind;
use orze_campaign::{
    Check, Execution, ExperimentId, Failure, FailureKind, Finding, InputError, Metrics, Severity,
};
use orze_ledger::{LedgerError, Reader};
use orze_train::blackbox::{self, Measured, Probed, Subject};
use orze_train::command::consumed;
use orze_train::surrogate::Surrogate;
use serde_json::json;

use crate::live::Screen;
use crate::prepare::Prepared;
use crate::trial::Trial;

/// The kind of the ledger's note on a verification.
pub const NOTE: &str = "verified";
/// The fence of a training that no ledger counts.
const FENCE: u64 = 1;

/// A verification, and what it was of.
#[derive(Debug)]
pub struct Verified {
    /// What was found and seen.
    pub verification: Verification,
    /// Digest of everything that it depends on.
    pub of: String,
    /// Whether an earlier run of the campaign has made it.
    pub before: bool,
}

impl Verified {
    /// The body of the ledger's note.
    pub fn note(&self) -> serde_json::Value {
        json!({"of": self.of, "verification": self.verification})
    }

    /// What stops the campaign: its findings of that severity whose check is not allowed.
    pub fn stops<'a>(&'a self, prepared: &'a Prepared) -> impl Iterator<Item = &'a Finding> {
        let allowed = |finding: &Finding| prepared.settings.verify.allows(finding.check);
        let findings = self.verification.findings.iter();
        findings.filter(move |f| f.severity == Severity::Stop && !allowed(f))
    }
}

/// Verifies before a campaign, unless the ledger holds that the same was verified before; says what
/// was found. `None` when the campaign file leaves it out.
///
/// # Errors
/// An [`InputError`] when something was found that no experiment may count with; that the worker is
/// lost, or that the user interrupts.
pub fn before_run(prepared: &Prepared, screen: &Screen) -> anyhow::Result<Option<Verified>> {
    if !prepared.settings.verify.check {
        screen.line("NOT VERIFIED: `[verify] check` is false");
        return Ok(None);
    }
    let of = subject(prepared)?;
    let verified = match earlier(&prepared.settings.campaign.directory, &of)? {
        Some(verification) => Verified {
            verification,
            of,
            before: true,
        },
        None => {
            screen.line("verifying trainer and data before anything is spent");
            now(prepared, screen)?
        }
    };
    for finding in &verified.verification.findings {
        if finding.severity > Severity::Note {
            screen.line(&describe(finding, prepared));
        }
    }
    refuse(&verified, prepared)?;
    Ok(Some(verified))
}

/// Verifies, whatever was verified before, with a sign of life on the screen.
///
/// # Errors
/// That the worker is lost, or that the user interrupts.
pub fn now(prepared: &Prepared, screen: &Screen) -> anyhow::Result<Verified> {
    let of = subject(prepared)?;
    let spinner = screen.spinner();
    let verification = verify(prepared, &mut |what| {
        if let Some(spinner) = &spinner {
            spinner.set_message(what.to_owned());
        }
    });
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    Ok(Verified {
        verification: verification?,
        of,
        before: false,
    })
}

/// Fails when something was found that no experiment may count with.
pub fn refuse(verified: &Verified, prepared: &Prepared) -> Result<(), InputError> {
    let stops: Vec<&Finding> = verified.stops(prepared).collect();
    let Some(first) = stops.first() else {
        return Ok(());
    };
    let more = match stops.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more, listed above)"),
    };
    let hint = first.hint.as_deref();
    let hint = hint.map_or_else(String::new, |hint| format!("{hint}\n      "));
    Err(InputError::new(format!(
        "no result of this campaign could be believed: {first}{more}"
    ))
    .hint(format!(
        "{hint}if you know better, `[verify] allow = [\"{}\"]` lets the campaign run all the same",
        first.check
    )))
}

/// Everything that a verification depends on, as one digest.
fn subject(prepared: &Prepared) -> anyhow::Result<String> {
    let ledger = prepared.ledger_settings();
    let devices: Vec<&str> = prepared.slots.iter().map(|s| s.device.as_str()).collect();
    let text = format!(
        "{:?} {:?} {devices:?} {:?}",
        ledger.identity, ledger.digests, prepared.settings.verify.seconds
    );
    Ok(blake3::hash(text.as_bytes()).to_hex()[..16].to_owned())
}

/// The verification of the same by an earlier run.
fn earlier(folder: &Path, of: &str) -> anyhow::Result<Option<Verification>> {
    if !folder.join(orze_ledger::LEDGER_FILE).exists() {
        return Ok(None);
    }
    let noted = noted(&Reader::open(folder)?)?;
    Ok(noted.and_then(|(subject, verification)| (subject == of).then_some(verification)))
}

/// The last verification that a ledger notes, and of what it was. One of another build that can't be
/// read says nothing.
///
/// # Errors
/// When the ledger can't be read.
pub fn noted(reader: &Reader) -> Result<Option<(String, Verification)>, LedgerError> {
    let Some(mut note) = reader.last_note(NOTE)? else {
        return Ok(None);
    };
    let subject = note["of"].as_str().unwrap_or_default().to_owned();
    let verification = serde_json::from_value(note["verification"].take()).ok();
    Ok(verification.map(|verification| (subject, verification)))
}

/// Verifies trainer and data; `progress` is told what is looked at.
///
/// # Errors
/// As [`before_run`].
fn verify(prepared: &Prepared, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Verification> {
    match prepared.settings.trainer.kind {
        TrainerKind::Candle => in_worker(prepared, progress),
        TrainerKind::Command => of_command(prepared, progress),
        TrainerKind::Surrogate => of_surrogate(prepared),
    }
}

fn in_worker(prepared: &Prepared, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Verification> {
    let encoders = &prepared.equipment.plugins.encoders;
    let dimensions = probes::of(&prepared.space, Some(encoders), true).map_err(|e| as_error(&e))?;
    let folder = tempfile::tempdir().context("a folder for what probes write")?;
    let request = VerifyRequest {
        directory: folder.path().to_path_buf(),
        seed: prepared.settings.campaign.seed,
        dimensions,
    };
    let mut trial = Trial::load(prepared)?;
    let verified = trial.verify(request, &mut |done, of, what| {
        progress(&format!("{done} of {of}: {what}"));
    })?;
    verified.map_err(|e| as_error(&e))
}

/// A probe that can't be trained says that the campaign can't be either.
fn as_error(failure: &Failure) -> anyhow::Error {
    anyhow::anyhow!("the verification could not be carried out: {failure}")
}

/// The user's own program: what it measures is compared, since nobody can look inside.
fn of_command(prepared: &Prepared, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Verification> {
    let settings = &prepared.settings;
    if settings.verify.seconds == 0.0 {
        return Ok(Verification::default());
    }
    let dimensions = probes::of(&prepared.space, None, false).map_err(|e| as_error(&e))?;
    let folder = tempfile::tempdir().context("a folder for what probes write")?;
    let mut trial = Trial::load(prepared)?;
    let began = Instant::now();
    let (mut number, mut broken) = (0, None);
    let mut train = |probe: &Probe, seed: u64, left: Duration| {
        number += 1;
        progress(&format!("run {number} of the script"));
        let request = TrainRequest {
            experiment: ExperimentId(number),
            attempt: 1,
            fence: FENCE,
            configuration: probe.configuration.clone(),
            encoder: None,
            seed,
            directory: folder.path().join(number.to_string()),
            evaluate_test: false,
            execution: Execution::default(),
        };
        let asked = request.clone();
        let metrics = trial
            .train(request, left, &mut |_, _| {})
            .unwrap_or_else(|error| {
                let failure = Failure::new(FailureKind::WorkerLost, error.to_string());
                broken = Some(error);
                Err(failure)
            })?;
        Ok(Measured {
            metrics,
            consumed: consumed(&asked)?,
        })
    };
    let limit = Duration::from_secs_f64(settings.verify.seconds);
    let probed = blackbox::probe(
        Subject::Script,
        &dimensions,
        (limit, settings.campaign.seed),
        &mut train,
        &mut || began.elapsed(),
    );
    match broken {
        Some(error) => Err(error),
        None => Ok(of_probes(probed, began)),
    }
}

/// A closed form or a table: what it ignores is worth knowing, and no more.
fn of_surrogate(prepared: &Prepared) -> anyhow::Result<Verification> {
    let began = Instant::now();
    let dimensions = probes::of(&prepared.space, None, false).map_err(|e| as_error(&e))?;
    let Some(file) = &prepared.settings.trainer.file else {
        return Ok(Verification::default());
    };
    let surrogate = Surrogate::open(file, 0.0, 0.0)?;
    let mut train = |probe: &Probe, seed: u64, _: Duration| {
        let objective = surrogate.evaluate(&probe.configuration, seed)?;
        Ok(Measured {
            metrics: Metrics {
                objective,
                values: BTreeMap::new(),
                train_seconds: 0.0,
                provenance: BTreeMap::new(),
            },
            consumed: BTreeSet::new(),
        })
    };
    let seed = prepared.settings.campaign.seed;
    let probed = blackbox::probe(
        Subject::Surrogate,
        &dimensions,
        (Duration::MAX, seed),
        &mut train,
        &mut || began.elapsed(),
    );
    let ignored: Vec<String> = probed.findings.into_iter().map(|f| f.subject).collect();
    let finding = (!ignored.is_empty()).then(|| {
        let ignored = ignored.join(", ");
        Finding::new(
            Check::Wiring,
            Severity::Note,
            "surrogate",
            format!("it ignores {ignored}: nothing can be learned of them from it"),
        )
    });
    let findings = finding.into_iter().collect();
    Ok(of_probes(Probed { findings, ..probed }, began))
}

fn of_probes(probed: Probed, began: Instant) -> Verification {
    Verification {
        findings: probed.findings,
        effects: probed.effects,
        probes: probed.probes,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// A finding in a line for a person.
pub fn describe(finding: &Finding, prepared: &Prepared) -> String {
    let mark = match finding.severity {
        Severity::Stop if prepared.settings.verify.allows(finding.check) => "ALLOWED",
        Severity::Stop => "STOP",
        Severity::Warning => "WARNING",
        Severity::Note => "note",
    };
    let hint = finding.hint.as_deref();
    let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{mark:<10} {finding}{hint}")
}
