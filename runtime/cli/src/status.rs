//! `orze-runtime status`: where a campaign stands, read beside a running one.

use orze_analytics::leaderboard;
use orze_campaign::{ExperimentRecord, Space, Status};
use orze_ledger::Reader;
use serde_json::json;

use crate::arguments::{Arguments, StatusOptions};
use crate::live::duration;
use crate::outcome::Done;
use crate::prepare::settings;
use crate::report::{median, timestamp};

/// Prints the state of the campaign.
pub fn command(arguments: &Arguments, options: &StatusOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let folder = &settings.campaign.directory;
    let space = Space::read(&settings.space.file)?;
    let reader = Reader::open(folder)?;
    let records = reader.records()?;
    let rejections = reader.rejections()?;
    let totals = reader.totals()?;
    let holder = orze_ledger::holder(folder);
    let idle = median(reader.idle_us()?);
    let limit = arguments
        .max_experiments
        .or(settings.campaign.budget.experiments);
    let count = |status| records.iter().filter(|r| r.status == status).count();
    let running: Vec<&ExperimentRecord> = records
        .iter()
        .filter(|record| record.status == Status::Running)
        .collect();
    let best = records
        .iter()
        .filter(|record| record.objective.is_some())
        .max_by(|a, b| {
            a.objective
                .unwrap_or(f64::NEG_INFINITY)
                .total_cmp(&b.objective.unwrap_or(f64::NEG_INFINITY))
        });
    if options.json {
        let status = json!({
            "campaign": settings.campaign.name,
            "running_now": holder.is_some(),
            "experiments": {
                "queued": count(Status::Queued),
                "running": count(Status::Running),
                "completed": count(Status::Completed),
                "failed": count(Status::Failed),
                "budget": limit,
            },
            "rejections": rejections,
            "best": best.map(|best| json!({"id": best.id, "objective": best.objective})),
            "up_seconds": totals.up_seconds,
            "train_seconds": totals.train_seconds,
            "idle_us_median": idle,
        });
        println!("{status}");
        return Ok(Done::Success);
    }
    let state = holder.map_or_else(
        || "not running; the run command resumes it".to_owned(),
        |holder| format!("running ({holder})"),
    );
    println!("{}: {state}", settings.campaign.name);
    println!(
        "{} completed, {} failed, {} running, {} queued{}; {} proposals rejected",
        count(Status::Completed),
        count(Status::Failed),
        running.len(),
        count(Status::Queued),
        limit.map_or_else(String::new, |limit| format!("; budget {limit}")),
        rejections.values().sum::<usize>()
    );
    println!(
        "up for {} in {} runs; {} of training",
        duration(std::time::Duration::from_secs_f64(totals.up_seconds)),
        totals.runs,
        duration(std::time::Duration::from_secs_f64(totals.train_seconds))
    );
    for record in running {
        let since = record.started_at_ms.map(timestamp).unwrap_or_default();
        println!(
            "  slot {}: {} {} since {since}",
            record.slot.unwrap_or(0),
            record.id,
            record.name
        );
    }
    println!("\n{}\n", leaderboard(&records, &space, 5, 100));
    for (at, experiment, kind, _) in reader.last_events(5)? {
        let experiment = experiment.map_or_else(String::new, |id| format!(" {id:06}"));
        println!("{} {kind}{experiment}", timestamp(at));
    }
    Ok(Done::Success)
}
