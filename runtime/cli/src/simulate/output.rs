//! The comparison as a table, as JSON, and as files.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use orze_analytics::figures::{Context, PolicyCurve, policies};
use orze_campaign::InputError;
use orze_search::{Estimate, Matches, Standing};
use serde_json::json;

/// The figures of one policy.
pub struct Compared {
    /// Over seeds.
    pub standing: Standing,
    /// Why its exponent should not be believed, if it should not.
    pub doubt: Option<String>,
    /// How what it asked for was found in a pool, by run; empty where it may ask for anything or
    /// asks for nothing.
    pub matches: Vec<Matches>,
}

/// All figures.
pub struct Comparison {
    /// The objective's name.
    pub objective: String,
    /// Seeds asked for.
    pub seeds: u64,
    /// `pool` or `surrogate`.
    pub mode: &'static str,
    /// Whether the results are no measurements.
    pub is_surrogate: bool,
    /// The table's or surrogate's place.
    pub source: String,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// The policies, as asked for.
    pub compared: Vec<Compared>,
}

/// Progress over the runs of a policy, on standard error and only where somebody looks.
pub fn progress(policy: &str, runs: u64) -> ProgressBar {
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{prefix:<12} {pos}/{len} runs {bar:30} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_prefix(policy.to_owned());
    bar
}

impl Comparison {
    /// The table and its notes.
    pub fn text(&self) -> String {
        let marks: Vec<usize> = self.compared.first().map_or(Vec::new(), |first| {
            let marks = &first.standing.marks;
            marks.iter().map(|mark| mark.experiments).collect()
        });
        let mut text = format!("{} on {}: {}\n\n", self.mode, self.source, self.objective);
        let _ = write!(text, "{:<11} {:>5}", "policy", "runs");
        for mark in &marks {
            let _ = write!(text, "  {:>16}", format!("best at {mark}"));
        }
        let last = marks.last().copied().unwrap_or(0);
        let _ = writeln!(
            text,
            "  {:>16}  {:>6}  {:>5}",
            format!("regret at {last}"),
            "c",
            "R²"
        );
        for compared in &self.compared {
            let Compared {
                standing, doubt, ..
            } = compared;
            let _ = write!(text, "{:<11} {:>5}", standing.policy, standing.runs);
            for mark in &standing.marks {
                let _ = write!(text, "  {:>16}", shown(mark.best.as_ref()));
            }
            let regret = standing.marks.last().and_then(|mark| mark.regret.as_ref());
            let _ = write!(text, "  {:>16}", shown(regret));
            let _ = match standing.exponent {
                Some(fit) => {
                    let mark = if doubt.is_some() { "?" } else { " " };
                    let c = format!("{:.2}{mark}", fit.c);
                    writeln!(text, "  {c:>6}  {:>5.2}", fit.r_squared)
                }
                None => writeln!(text, "  {:>6}  {:>5}", "–", "–"),
            };
        }
        text.push('\n');
        for note in self.all_notes() {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn all_notes(&self) -> Vec<String> {
        let mut notes = vec![
            "mean running best over seeds ± half of its 95 % interval (Student's t); regret: what \
             is missing to the best that is known; c and R²: the power law a − b·N^(−c) of the \
             mean curve, with ? where the curve does not determine it"
                .to_owned(),
        ];
        notes.extend(self.notes.iter().cloned());
        for compared in &self.compared {
            if let Some(doubt) = &compared.doubt {
                notes.push(format!("{}: {doubt}", compared.standing.policy));
            }
            if let Some(matched) = compared.matched() {
                notes.push(format!(
                    "{}: {:.0} % of what it asked for was in the pool, {:.0} % was replaced by the \
                     nearest row (mean distance {:.2} of 1){}",
                    compared.standing.policy,
                    100.0 * matched.exact,
                    100.0 * matched.nearest,
                    matched.distance,
                    if matched.unasked > 0.0 {
                        format!(
                            ", {:.0} % was drawn at random when it had nothing left to ask",
                            100.0 * matched.unasked
                        )
                    } else {
                        String::new()
                    }
                ));
            }
        }
        notes
    }

    /// Everything, for programs.
    pub fn json(&self) -> serde_json::Value {
        let policies: Vec<_> = self
            .compared
            .iter()
            .map(|compared| {
                json!({
                    "policy": compared.standing.policy,
                    "runs": compared.standing.runs,
                    "experiments": compared.standing.experiments,
                    "marks": compared.standing.marks,
                    "exponent": compared.standing.exponent,
                    "exponent_doubt": compared.doubt,
                    "matched": compared.matched().map(|matched| json!({
                        "exact": matched.exact,
                        "nearest": matched.nearest,
                        "mean_distance": matched.distance,
                        "unasked": matched.unasked,
                    })),
                })
            })
            .collect();
        json!({
            "mode": self.mode,
            "source": self.source,
            "objective": self.objective,
            "seeds": self.seeds,
            "is_surrogate": self.is_surrogate,
            "policies": policies,
            "notes": self.all_notes(),
        })
    }

    /// Writes `policies.json`, `curves.csv` and `curves.svg` into a folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).map_err(|error| {
            InputError::new(format!("can't be created: {error}")).in_file(folder)
        })?;
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text)
                .with_context(|| format!("{} can't be written", file.display()))
        };
        write(
            "policies.json",
            &serde_json::to_string_pretty(&self.json())?,
        )?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["policy", "experiments", "runs", "mean", "low", "high"])?;
        for Compared { standing, .. } in &self.compared {
            for (place, estimate) in standing.curve.iter().enumerate() {
                if let Some(at) = estimate {
                    csv.write_record([
                        standing.policy.clone(),
                        (place + 1).to_string(),
                        at.runs.to_string(),
                        at.mean.to_string(),
                        at.low.to_string(),
                        at.high.to_string(),
                    ])?;
                }
            }
        }
        write("curves.csv", &String::from_utf8(csv.into_inner()?)?)?;
        let curves: Vec<PolicyCurve> = self
            .compared
            .iter()
            .map(|Compared { standing, .. }| PolicyCurve {
                name: standing.policy.clone(),
                runs: standing.runs,
                points: standing
                    .curve
                    .iter()
                    .map(|at| at.map(|at| [at.mean, at.low, at.high]))
                    .collect(),
            })
            .collect();
        let context = Context {
            objective_name: &self.objective,
            is_surrogate: self.is_surrogate,
        };
        // A comparison has curves, or it would have ended before.
        let drawn = policies(&context, &curves).map_err(anyhow::Error::msg)?;
        write("curves.svg", &drawn)?;
        eprintln!(
            "policies.json, curves.csv and curves.svg in {}",
            folder.display()
        );
        Ok(())
    }
}

/// Shares of what was asked for, over all runs.
struct Matched {
    exact: f64,
    nearest: f64,
    distance: f64,
    unasked: f64,
}

impl Compared {
    fn matched(&self) -> Option<Matched> {
        let sum = |of: fn(&Matches) -> usize| self.matches.iter().map(of).sum::<usize>();
        let (exact, nearest) = (sum(|m| m.exact), sum(|m| m.nearest));
        let unasked = sum(|m| m.unasked);
        let all = real(exact + nearest + unasked);
        let far = self.matches.iter().map(|m| m.distance * real(m.nearest));
        (all > 0.0).then(|| Matched {
            exact: real(exact) / all,
            nearest: real(nearest) / all,
            distance: far.sum::<f64>() / real(nearest.max(1)),
            unasked: real(unasked) / all,
        })
    }
}

/// `0.8123 ± 0.0012`; a single run has no interval.
fn shown(estimate: Option<&Estimate>) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(at) if at.runs < 2 => format!("{:.4}         ", at.mean),
        Some(at) => format!("{:.4} ± {:.4}", at.mean, (at.high - at.low) / 2.0),
    }
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}
