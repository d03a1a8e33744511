//! `orze-runtime agent`: one cycle of a language model to look at, and old answers read again.

mod world;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use orze_actors::agent::{Conversation, Model, Next};
use orze_actors::context::now_ms;
use orze_actors::equipment::space_of;
use orze_campaign::InputError;
use orze_campaign::settings::ResearcherSettings;
use orze_llm::answer::{AnswerLimits, read_answer};
use orze_llm::price::MicroUsd;
use orze_llm::prompt::BudgetLeft;
use orze_llm::transcript::{IdeaVerdict, Transcript, TranscriptOutcome, Verdict};
use world::World;

use crate::arguments::{AgentCommand, Arguments, ReplayOptions, TryOptions};
use crate::live::shown;
use crate::outcome::Done;
use crate::prepare::{Prepared, campaign_file, prepare, settings};
use crate::report::timestamp;

/// Runs one of the commands.
pub fn command(arguments: &Arguments, command: &AgentCommand) -> anyhow::Result<Done> {
    match command {
        AgentCommand::Try(options) => attempt(arguments, options),
        AgentCommand::Replay(options) => replay(arguments, options),
    }
}

/// One cycle that queues nothing.
fn attempt(arguments: &Arguments, options: &TryOptions) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    let researcher = chosen(&prepared, options.researcher.as_deref())?;
    let model = Model::open(researcher)?;
    let world = World::of(&prepared)?;
    let wanted = options.ideas.unwrap_or(researcher.ideas);
    let budget = BudgetLeft {
        experiments: prepared
            .experiments
            .map(|limit| limit.saturating_sub(world.history.finished())),
        hours: prepared.settings.campaign.budget.hours,
        usd: researcher.budget_usd,
    };
    let diversity = world.plugins.budget(world.history.past())?;
    let limit = model.max_prompt_tokens;
    let prompt = world
        .history
        .prompt(&model.templates, budget, &diversity, wanted, limit);
    println!("--- system ---\n{}", prompt.system);
    println!("--- user ---\n{}", prompt.user);
    println!(
        "--- {} tokens at most; {} ---",
        prompt.tokens,
        if prompt.cut.is_empty() {
            "nothing was left out".to_owned()
        } else {
            let cut = prompt
                .cut
                .iter()
                .map(|cut| format!("{} of {}", cut.rows, cut.section));
            format!("left out: {}", cut.collect::<Vec<_>>().join(", "))
        }
    );
    if options.prompt_only {
        return Ok(Done::Success);
    }
    let request = model.request(&prepared.space, prompt.system.clone(), wanted);
    let limits = AnswerLimits {
        ideas: wanted,
        epsilon: prepared.settings.dedup.epsilon,
        graphs: Some(prepared.equipment.plugins.encoders.budget()),
        ..AnswerLimits::default()
    };
    let mut talk = Conversation::begin(request, prompt, limits);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    let folder = prepared.settings.campaign.directory.join("transcripts/try");
    let cycle = u64::try_from(now_ms() / 1000).unwrap_or(0);
    let (mut cost, mut call) = (MicroUsd::default(), 0);
    loop {
        call += 1;
        let (began, began_ms) = (Instant::now(), now_ms());
        let request = talk.request().clone();
        println!(
            "--- call {call} to {}: at most {} ---",
            model.name,
            model.price.worst_case(&request)
        );
        let result = runtime.block_on(model.call(&request, &prepared.space, wanted, cycle));
        let mut transcript = Transcript {
            id: format!("try/{}/{cycle}/{call}", researcher.name),
            researcher: researcher.name.clone(),
            cycle,
            call,
            provider: model.provider.clone(),
            model: model.name.clone(),
            started_at: timestamp(began_ms),
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            request: request.clone(),
            outcome: TranscriptOutcome::Error(String::new()),
            usage: orze_llm::wire::Usage::default(),
            cost: MicroUsd::default(),
            verdicts: Vec::new(),
        };
        let next = match result {
            Ok(completion) => {
                transcript.usage = completion.usage;
                transcript.cost = model.price.charge(&request, completion.usage);
                transcript.outcome = TranscriptOutcome::Completion(completion.clone());
                println!("{}", model.redactor().redact(&completion.text));
                let (answer, next) = talk.answered(&completion, &prepared.space);
                transcript.verdicts = world.verdicts(&answer.ideas, &answer.rejected)?;
                for problem in answer.remarks() {
                    println!("  note: {problem}");
                }
                next
            }
            Err(error) => {
                transcript.usage = error.usage();
                transcript.cost = model.price.charge_for_failure(&request, &error);
                transcript.outcome = TranscriptOutcome::Error(error.to_string());
                transcript.write(&folder, model.redactor())?;
                anyhow::bail!("the call failed: {error}");
            }
        };
        cost = cost + transcript.cost;
        let file = transcript.write(&folder, model.redactor())?;
        println!(
            "--- {:.1} s, {} tokens in, {} out, {}; transcript {} ---",
            began.elapsed().as_secs_f64(),
            transcript.usage.total() - transcript.usage.output_tokens,
            transcript.usage.output_tokens,
            transcript.cost,
            shown(&file)
        );
        print_verdicts(&transcript.verdicts);
        if next == Next::Done {
            break;
        }
    }
    println!(
        "nothing was queued; the cycle cost {cost}, which the campaign's budget does not count"
    );
    Ok(Done::Success)
}

/// Reads recorded answers again, with the space and the rules as they are now.
fn replay(arguments: &Arguments, options: &ReplayOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let space = space_of(&settings, campaign_file(arguments)?)?;
    let files = if options.files.is_empty() {
        let folder = settings.campaign.directory.join("transcripts");
        transcripts(&folder, options.researcher.as_deref())?
    } else {
        options.files.clone()
    };
    let mut counts = [0_usize; 4];
    for file in files {
        let transcript = Transcript::read(&file)?;
        if options.cycle.is_some_and(|cycle| cycle != transcript.cycle) {
            continue;
        }
        println!(
            "{} ({}, {}, {})",
            transcript.id, transcript.model, transcript.started_at, transcript.cost
        );
        let completion = match &transcript.outcome {
            TranscriptOutcome::Completion(completion) => completion,
            TranscriptOutcome::Error(error) => {
                println!("  no answer: {error}");
                continue;
            }
        };
        let limits = AnswerLimits {
            ideas: usize::MAX,
            epsilon: settings.dedup.epsilon,
            ..AnswerLimits::default()
        };
        let answer = read_answer(&completion.text, &completion.stop, &space, &limits);
        counts[0] += answer.ideas.len();
        counts[1] += answer.rejected.len();
        let then = |name: &str| transcript.verdicts.iter().find(|v| v.name == name);
        for idea in &answer.ideas {
            let before = match then(&idea.name).map(|verdict| &verdict.verdict) {
                Some(Verdict::Admitted { experiment }) => {
                    counts[2] += 1;
                    experiment.map_or("admitted".to_owned(), |id| format!("admitted as {id}"))
                }
                Some(Verdict::Rejected { kind, reason }) => {
                    counts[3] += 1;
                    format!("rejected then ({kind}): {reason}")
                }
                None => "no verdict is recorded".to_owned(),
            };
            println!("  valid     {}: {before}", idea.name);
        }
        for idea in &answer.rejected {
            println!("  rejected  {}: {}", idea.name, idea.reasons.join("; "));
        }
        for remark in answer.remarks() {
            println!("  note: {remark}");
        }
    }
    let [valid, rejected, admitted, refused] = counts;
    println!(
        "{valid} valid ideas now ({admitted} were admitted, {refused} rejected by rule or as \
         duplicates), {rejected} that can't be read"
    );
    Ok(Done::Success)
}

/// The transcripts under a folder, by name.
fn transcripts(folder: &Path, researcher: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let missing = || {
        InputError::new("holds no transcripts yet")
            .in_file(folder)
            .hint("they are written while language models propose; or name files")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|_| missing())? {
        let entry = entry?;
        let name = entry.file_name();
        let wanted = researcher.is_none_or(|wanted| name.to_string_lossy() == wanted);
        if entry.file_type()?.is_dir() && name != "try" && wanted {
            for file in std::fs::read_dir(entry.path())? {
                let path = file?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "json")
                {
                    files.push(path);
                }
            }
        }
    }
    if files.is_empty() {
        return Err(missing().into());
    }
    files.sort();
    Ok(files)
}

/// The agent that was asked for, or the only one.
fn chosen<'a>(
    prepared: &'a Prepared,
    name: Option<&str>,
) -> Result<&'a ResearcherSettings, InputError> {
    let agents: Vec<&ResearcherSettings> = prepared
        .settings
        .researcher
        .iter()
        .filter(|researcher| researcher.agent().is_some())
        .collect();
    let names = || agents.iter().map(|agent| agent.name.as_str());
    match (name, agents.as_slice()) {
        (_, []) => Err(
            InputError::new("the campaign has no language model among its researchers")
                .at_key("researcher")
                .hint("configs/nexar.toml shows two"),
        ),
        (Some(name), _) => agents
            .iter()
            .find(|agent| agent.name == name)
            .copied()
            .ok_or_else(|| {
                InputError::new(format!("no language model is called `{name}`"))
                    .at_key("--researcher")
                    .hint_nearest(name, names())
            }),
        (None, [one]) => Ok(one),
        (None, _) => Err(InputError::new("the campaign has several language models")
            .at_key("--researcher")
            .hint(format!(
                "choose one of {}",
                names().collect::<Vec<_>>().join(", ")
            ))),
    }
}

fn print_verdicts(verdicts: &[IdeaVerdict]) {
    for IdeaVerdict { name, verdict } in verdicts {
        match verdict {
            Verdict::Admitted { .. } => println!("  would run  {name}"),
            Verdict::Rejected { kind, reason } => println!("  {kind:<9}  {name}: {reason}"),
        }
    }
}
