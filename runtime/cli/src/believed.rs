//! What a campaign's ledger says of whether its results can be believed.

use std::collections::BTreeSet;

use orze_actors::referee;
use orze_analytics::Evidence;
use orze_analytics::selection::{Selection, Standing};
use orze_campaign::settings::DeviceKind;
use orze_campaign::{ExperimentRecord, Finding, Settings};
use orze_ledger::{LedgerError, Reader};
use serde_json::{Value, json};

use crate::verification;

/// How results stand under fresh seeds, and all that was found before and during the campaign.
#[derive(Debug)]
pub struct Believed {
    /// The standings.
    pub selection: Selection,
    /// What the ledger's notes hold, and what its experiments say beside them; each once.
    findings: Vec<Finding>,
    test_reads: u64,
}

impl Believed {
    /// What a ledger says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of(
        settings: &Settings,
        reader: &Reader,
        records: &[ExperimentRecord],
    ) -> Result<Self, LedgerError> {
        let may_be_gpu = cfg!(feature = "cuda") && settings.slots.device != DeviceKind::Cpu;
        let selection = Selection::of(referee::rules(settings, !may_be_gpu), records);
        let before = verification::noted(reader)?;
        let before = before.map(|(_, verification)| verification.findings);
        let during = reader.notes(referee::NOTE)?.into_iter();
        let during = during.filter_map(|note| serde_json::from_value(note).ok());
        let noted = before.unwrap_or_default().into_iter().chain(during);
        let mut known = BTreeSet::new();
        // Of the same finding the message of now, which counts on.
        let findings = selection
            .findings()
            .into_iter()
            .chain(noted)
            .filter(|finding| known.insert((finding.check, finding.subject.clone())))
            .collect();
        Ok(Self {
            selection,
            findings,
            test_reads: reader.test_reads()?,
        })
    }

    /// For the report.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            selection: &self.selection,
            findings: &self.findings,
        }
    }

    /// Its keys of `status --json`.
    pub fn json(&self) -> [(&'static str, Value); 4] {
        let leader = self.selection.leader().map(|leader: Standing| {
            json!({
                "id": leader.id,
                "seeds": leader.seeds.len(),
                "estimate": leader.estimate,
                "interval": leader.interval,
                "single": leader.single,
                "test": leader.test,
            })
        });
        [
            ("leader", json!(leader)),
            ("noise", json!(self.selection.noise())),
            ("findings", json!(self.findings)),
            ("test_reads", self.test_reads.into()),
        ]
    }

    /// What `status` and the end of a run say, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.selection.confirms() {
            let leader = self.selection.leader();
            lines.push(leader.map_or_else(
                || "no result has held under fresh seeds yet".to_owned(),
                |leader| referee::describe(&leader),
            ));
            lines.extend(self.selection.noise().map(|noise| {
                format!(
                    "noise: one configuration varies by {:.4} (one deviation, {} degrees of freedom) \
                     from seed to seed; the test split was read {} times",
                    noise.deviation, noise.freedom, self.test_reads
                )
            }));
        }
        lines.extend(self.findings.iter().map(|finding| format!("! {finding}")));
        lines
    }
}
