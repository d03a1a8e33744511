//! `orze-runtime status`: where a campaign stands, read beside a running one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orze_actors::equipment::space_of;
use orze_actors::health::HealthReport;
use orze_actors::regime::{describe, of_records};
use orze_actors::view::minutes;
use orze_analytics::leaderboard;
use orze_campaign::{ExperimentRecord, Status};
use orze_ledger::Reader;
use serde_json::json;

use crate::arguments::{Arguments, StatusOptions};
use crate::believed::Believed;
use crate::live::duration;
use crate::outcome::Done;
use crate::prepare::{campaign_file, settings};
use crate::report::{median, timestamp};

/// Prints the state of the campaign.
pub fn command(arguments: &Arguments, options: &StatusOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let folder = &settings.campaign.directory;
    let space = space_of(&settings, campaign_file(arguments)?)?;
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
    let calls = reader.calls()?;
    let last_idea = |name: &str| {
        let own = records
            .iter()
            .filter(|record| record.researcher == name && record.kind.is_search());
        own.map(|record| record.created_at_ms).max()
    };
    let running: Vec<&ExperimentRecord> = records
        .iter()
        .filter(|record| record.status == Status::Running)
        .collect();
    let best = records
        .iter()
        .filter(|record| record.objective.is_some() && record.kind.is_search())
        .max_by(|a, b| {
            a.objective
                .unwrap_or(f64::NEG_INFINITY)
                .total_cmp(&b.objective.unwrap_or(f64::NEG_INFINITY))
        });
    let (mut watch, mut balance) = of_records(&settings, Arc::new(space.clone()), &records);
    let search = describe(&mut watch, balance.as_mut());
    let believed = Believed::of(&settings, &reader, &records)?;
    let health = holder.as_ref().and_then(|_| HealthReport::read(folder));
    if options.json {
        let mut status = json!({
            "campaign": settings.campaign.name,
            "running_now": holder.is_some(),
            "experiments": {
                "queued": count(Status::Queued),
                "running": count(Status::Running),
                "diagnosing": count(Status::Diagnosing),
                "completed": count(Status::Completed),
                "failed": count(Status::Failed),
                "budget": limit,
            },
            "health": health,
            "regime": watch.estimate(),
            "credit": balance.map(|balance| {
                let shares = balance.shares().into_iter();
                shares.map(|(name, share)| (name.to_owned(), share)).collect::<BTreeMap<_, _>>()
            }),
            "rejections": rejections,
            "calls": calls,
            "best": best.map(|best| json!({"id": best.id, "objective": best.objective})),
            "up_seconds": totals.up_seconds,
            "train_seconds": totals.train_seconds,
            "idle_us_median": idle,
        });
        for (key, value) in believed.json() {
            status[key] = value;
        }
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
        duration(Duration::from_secs_f64(totals.up_seconds)),
        totals.runs,
        duration(Duration::from_secs_f64(totals.train_seconds))
    );
    if let Some(search) = search {
        println!("{search}");
    }
    for agent in settings.researcher.iter().filter(|r| r.agent().is_some()) {
        let name = &agent.name;
        let total = calls.get(name).cloned().unwrap_or_default();
        let budget = agent
            .budget_usd
            .map_or_else(String::new, |budget| format!(" of ${budget:.2}"));
        println!(
            "  {name}: {} calls ({} failed, {} open), {} tokens in, {} out, ${:.4}{budget}",
            total.calls,
            total.failed,
            total.open,
            total.input_tokens,
            total.output_tokens,
            total.micro_usd as f64 / 1e6
        );
        match last_idea(name) {
            Some(at) => println!("    last idea admitted {}", timestamp(at)),
            None if total.calls > 0 => println!("    NOTHING PRODUCED: no idea was ever admitted"),
            None => {}
        }
        if let Some(error) = total.last_error {
            println!("    the last call brought no answer: {error}");
        }
    }
    if let Some(health) = &health {
        print_health(health);
    }
    for record in running {
        let since = record.started_at_ms.map(timestamp).unwrap_or_default();
        println!(
            "  slot {}: {} {} since {since}",
            record.slot.unwrap_or(0),
            record.id,
            record.name
        );
    }
    for line in believed.lines() {
        println!("{line}");
    }
    let selection = Some(&believed.selection);
    println!("\n{}\n", leaderboard(&records, &space, selection, 5, 100));
    for (at, experiment, kind, _) in reader.last_events(5)? {
        let experiment = experiment.map_or_else(String::new, |id| format!(" {id:06}"));
        println!("{} {kind}{experiment}", timestamp(at));
    }
    Ok(Done::Success)
}

/// How every actor is, and what waits.
fn print_health(health: &HealthReport) {
    let age = orze_actors::context::now_ms().saturating_sub(health.at_ms);
    if age > 10_000 {
        println!("  THE RUNTIME HAS NOT REPORTED for {} s", age / 1000);
    }
    let pauses = [
        ("PROPOSALS PAUSED", &health.proposals_paused),
        ("NOTHING IS STARTED", &health.leases_paused),
    ];
    for (what, why) in pauses {
        if let Some(why) = why {
            println!("  {what}: {why}");
        }
    }
    println!(
        "  {:<16} {:<12} {:>8} {:>10} {:>10}  last output",
        "actor", "state", "restarts", "messages", "outputs"
    );
    for actor in &health.actors {
        let last = if actor.outputs > 0 {
            format!("{} ago", minutes(Duration::from_secs_f64(actor.quiet_s)))
        } else {
            "-".to_owned()
        };
        let trouble = actor
            .trouble()
            .map_or_else(String::new, |trouble| format!("  {trouble}"));
        let state = format!("{:?}", actor.state).to_lowercase();
        println!(
            "  {:<16} {state:<12} {:>8} {:>10} {:>10}  {last}{trouble}",
            actor.name, actor.restarts, actor.handled, actor.outputs
        );
    }
}
