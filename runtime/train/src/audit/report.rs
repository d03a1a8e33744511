//! Findings, one for each thing that is wrong however many probes show it.

use orze_campaign::{Check, Finding, Severity};

/// A number in words, where there is one.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    found: Vec<(Finding, u32)>,
}

impl Report {
    /// Adds what no experiment may count with; `probe` says where it was seen.
    pub fn stop(&mut self, check: Check, subject: &str, message: String, probe: &str) {
        self.add(Severity::Stop, check, subject, message, probe);
    }

    /// Adds what is told and stops nothing.
    pub fn warn(&mut self, check: Check, subject: &str, message: String, probe: &str) {
        self.add(Severity::Warning, check, subject, message, probe);
    }

    fn add(
        &mut self,
        severity: Severity,
        check: Check,
        subject: &str,
        message: String,
        probe: &str,
    ) {
        let same = |(found, _): &&mut (Finding, u32)| {
            (found.check, found.severity) == (check, severity) && found.subject == subject
        };
        if let Some((_, times)) = self.found.iter_mut().find(same) {
            *times += 1;
            return;
        }
        let mut message = message;
        message += &format!(" (seen with {probe})");
        let finding = Finding::new(check, severity, subject, message);
        let finding = match hint(check, severity) {
            Some(hint) => finding.hint(hint),
            None => finding,
        };
        self.found.push((finding, 1));
    }

    /// All of them, in the order in which they were found.
    pub fn findings(self) -> Vec<Finding> {
        let told = |(mut finding, times): (Finding, u32)| {
            if times > 1 {
                finding.message += &format!(", and {} more times", times - 1);
            }
            finding
        };
        self.found.into_iter().map(told).collect()
    }
}

/// What to do about it.
fn hint(check: Check, severity: Severity) -> Option<&'static str> {
    if severity != Severity::Stop {
        return None;
    }
    Some(match check {
        Check::Wiring => {
            "the trainer does not do what this setting says: put the trainer right, or take the \
             setting out of the space"
        }
        Check::Parity => {
            "scores would not be those of the trained model: put the trainer right before anything \
             is compared"
        }
        Check::Splits | Check::TestSeal => {
            "clips would be trained on or scored where they do not belong: put the trainer's \
             choice of clips right"
        }
        Check::Scores => "what is reported is not what was predicted: no ranking can be believed",
        _ => "results can't be reproduced: look for what is random beside the seed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_is_told_once_and_counted() {
        let mut report = Report::default();
        for probe in ["a", "b", "c"] {
            report.stop(Check::Wiring, "loss", "is another".to_owned(), probe);
        }
        report.warn(Check::Wiring, "loss", "may be another".to_owned(), "d");
        report.stop(Check::Parity, "loss", "differs".to_owned(), "e");
        let found = report.findings();
        assert_eq!(found.len(), 3);
        let message = "is another (seen with a), and 2 more times";
        assert_eq!(found[0].message, message);
        assert_eq!(found[1].severity, Severity::Warning);
        assert!(found[0].hint.is_some() && found[1].hint.is_none());
    }
}
