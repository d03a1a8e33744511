//! `orze-runtime plugin test`: the contract, tried from outside.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use orze_campaign::{InputError, Space, Value};
use orze_plugins::contract::{Outcome, Report, Setting, run};
use orze_plugins::{
    Host, HostOptions, OptionValue, PluginKind, default_cache_folder, inspect, read,
};

use crate::outcome::Done;

/// Options of `plugin test`.
#[derive(Debug, Args)]
pub struct TestOptions {
    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Of a diversity plugin: an option of `[diversity]`; lists are written `a,b`. May be given more
    /// than once
    #[arg(long = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// Of a diversity plugin: the space of its ideas, instead of one like the paper's
    #[arg(long, value_name = "FILE")]
    pub space: Option<PathBuf>,
}

/// Prints a line for each check, and the timings; fails where a check failed.
pub fn command(options: &TestOptions) -> anyhow::Result<Done> {
    let bytes = read(&options.file)?;
    // A component that is no plugin fails below, with the reason.
    let kind = inspect(&bytes).kind.unwrap_or(PluginKind::Task);
    let host = Host::new(&HostOptions {
        cache: default_cache_folder(),
        ..HostOptions::default()
    })?;
    let plugin = host.open_file(&options.file, kind)?;
    let mut setting = Setting::sample()?;
    if let Some(file) = &options.space {
        setting.space = Space::read(file)?;
    }
    setting.options = options
        .options
        .iter()
        .map(|text| option(text))
        .collect::<Result<_, _>>()?;
    let report = run(&plugin, &setting)?;
    print(&report);
    Ok(if report.passed() {
        Done::Success
    } else {
        Done::Failure
    })
}

/// `KEY=VALUE` of a command line, with the types of a campaign file.
fn option(text: &str) -> Result<(String, OptionValue), InputError> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        InputError::new(format!("`{text}` is not KEY=VALUE"))
            .at_key("--option")
            .hint("for example `--option minimum=1 --option dimensions=backbone,temporal_encoder`")
    })?;
    let value = if value.contains(',') {
        let items = value.split(',').filter(|item| !item.is_empty());
        OptionValue::Texts(items.map(str::to_owned).collect())
    } else if let Ok(integer) = value.parse::<i64>() {
        OptionValue::One(Value::Integer(integer))
    } else if let Some(real) = value.parse().ok().filter(|real: &f64| real.is_finite()) {
        OptionValue::One(Value::Float(real))
    } else if let Ok(boolean) = value.parse() {
        OptionValue::One(Value::Boolean(boolean))
    } else {
        OptionValue::One(value.into())
    };
    Ok((key.to_owned(), value))
}

fn print(report: &Report) {
    println!(
        "{}: {} plugin for version {} of the contract, digest {}\n",
        report.plugin,
        report.kind.with_article(),
        report.version,
        report.digest
    );
    for check in &report.checks {
        let outcome = match check.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        println!("{outcome:<8} {:<38} {}", check.name, check.detail);
    }
    println!();
    for timing in &report.timings {
        println!(
            "{:<18} median {:>10}, 99 in 100 within {:>10} ({} times)",
            timing.what,
            short(timing.median),
            short(timing.p99),
            timing.times
        );
    }
    let failed = report
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Failed)
        .count();
    if failed == 0 {
        println!("\nkeeps its contract");
    } else {
        println!("{failed} of {} checks failed", report.checks.len());
    }
}

/// `7.1 µs`, `2.3 ms`.
fn short(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1_000.0 {
        format!("{micros:.1} µs")
    } else {
        format!("{:.2} ms", micros / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_types_of_a_campaign_file() {
        let value = |text: &str| option(text).unwrap().1;
        assert_eq!(value("k=1"), OptionValue::One(Value::Integer(1)));
        assert_eq!(value("k=0.5"), OptionValue::One(Value::Float(0.5)));
        assert_eq!(value("k=true"), OptionValue::One(Value::Boolean(true)));
        assert_eq!(value("k=nan"), OptionValue::One("nan".into()));
        let list = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(value("k=a,b"), OptionValue::Texts(list));
        assert_eq!(value("k=a,"), OptionValue::Texts(vec!["a".to_owned()]));
        assert!(option("k").is_err());
    }
}
