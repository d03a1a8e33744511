//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ledger::LedgerCommand;
use crate::plugin::PluginCommand;

/// Run a campaign of autonomous ML research.
///
/// `orze-runtime --config campaign.toml` starts the campaign, or goes on where it stopped:
/// researchers propose experiments, near-identical ones are filtered out, slots train the rest,
/// and the best are shown as they come in. Ctrl-C lets running experiments finish for a moment and
/// hands the others back; a second one stops at once. Nothing finished is ever run again.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Start here:\n  \
        orze-runtime check --config configs/quickstart.toml   verify without running\n  \
        orze-runtime --config configs/quickstart.toml         run, or resume\n  \
        orze-runtime status --config configs/quickstart.toml  look in from another terminal\n  \
        orze-runtime reproduce 12 --config …                  train experiment 12 again\n\n\
        Any key of the campaign file can be set from the environment: ORZE_SECTION__KEY=value.\n\n\
        Exit codes: 0 done, 1 failed, 2 the input is wrong, 130 interrupted."
)]
pub struct Arguments {
    /// What to do; without one, the campaign runs
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The campaign file
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The campaign's folder, instead of the file's `[campaign] directory`
    #[arg(long, global = true, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// Replaces the budget: finished experiments in all, over every run of this campaign
    #[arg(long, value_name = "N")]
    pub max_experiments: Option<u64>,

    /// Number of slots, instead of the file's `[slots] count`
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,

    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub progress: Progress,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live on a terminal, plain lines elsewhere
    Auto,
    /// A view that is redrawn
    Live,
    /// One line an event
    Plain,
    /// Only the result
    None,
}

/// The commands beside running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify the campaign file, space, data and folder; writes nothing
    Check,
    /// Show where the campaign stands; works beside a running one
    Status(StatusOptions),
    /// Write the report from what is known now; works beside a running campaign
    Report(ReportOptions),
    /// Train a finished experiment again and say whether it agrees; no ledger counts it
    Reproduce(ReproduceOptions),
    /// Write one record for each experiment
    Export(ExportOptions),
    /// Compare search policies on a table of results or a surrogate, without slots or ledger
    Simulate(SimulateOptions),
    /// Measure what the runtime itself costs an experiment on this machine
    Bench(BenchOptions),
    /// Try a language model for one cycle, or read its old answers again
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Inspect and import feature packs
    #[command(subcommand)]
    Data(DataCommand),
    /// Write, build and check plugins: tasks, diversity budgets and encoders
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look into a campaign's ledger
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Train experiments for a runtime, over standard input and output
    #[command(hide = true)]
    Worker,
}

/// `agent`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Show the prompt, make one cycle's calls, and say what would become of each idea; queues
    /// nothing. The calls cost money.
    Try(TryOptions),
    /// Read recorded answers again, with the space as it is now; calls nobody
    Replay(ReplayOptions),
}

/// Options of `agent try`.
#[derive(Debug, Args)]
pub struct TryOptions {
    /// Which of the campaign's language models
    #[arg(long, value_name = "NAME")]
    pub researcher: Option<String>,
    /// Ideas to ask for, instead of the researcher's `ideas`
    #[arg(long, value_name = "N")]
    pub ideas: Option<usize>,
    /// Only show the prompt; costs nothing
    #[arg(long)]
    pub prompt_only: bool,
}

/// Options of `agent replay`.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Only of this researcher
    #[arg(long, value_name = "NAME")]
    pub researcher: Option<String>,
    /// Only of this cycle
    #[arg(long, value_name = "N")]
    pub cycle: Option<u64>,
    /// Transcripts; all of the campaign without any
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// As JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// Resample nothing: no bootstrap intervals and no permutations, for a look at a large campaign
    #[arg(long)]
    pub quick: bool,
}

/// Options of `reproduce`.
#[derive(Debug, Args)]
#[command(
    long_about = "Train a finished experiment again with its configuration, seed and treatments, and \
        compare: digests of data, plugins, program, consumed configuration and encoder, and every \
        metric. On the CPU they must agree to the last bit. The test split stays sealed. Exits with 0 \
        when all agrees, with 1 when it does not. Works beside a running campaign."
)]
pub struct ReproduceOptions {
    /// The experiment's number
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Keep the files of the new attempt in this folder
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// On a GPU: how far apart metrics may be, as a share of them
    #[arg(long, value_name = "SHARE", default_value_t = 1e-3)]
    pub tolerance: f64,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The format
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// The file to write; standard output without it (not for Parquet)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write what every field means, as Markdown, instead of the experiments; needs no campaign
    #[arg(long, conflicts_with = "format")]
    pub schema: bool,
}

/// The formats of `export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated, one column a dimension and metric
    Csv,
    /// Apache Parquet, the columns of the CSV
    Parquet,
}

/// Options of `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orze-runtime simulate --config configs/surrogate.toml\n      \
        which policy is best where any configuration may be tried\n  \
    orze-runtime simulate --config mine.toml --pool campaign --policies random,tpe,replay,oracle\n      \
        how fast policies find what your campaign has found, drawing from its own results\n  \
    orze-runtime simulate --config mine.toml --pool results.jsonl --out comparison\n      \
        the same on a table as `export` writes it, with curves as CSV and SVG\n  \
    orze-runtime simulate --config mine.toml --train --experiments 100 --policies random,tpe,replay --out fresh\n      \
        what policies find by themselves, trained, beside what your campaign found\n\n\
    Policies: random, tpe, evolution; portfolio (these three, credit moving to who gains most); \
    replay (a recorded campaign, in its order); oracle (the best first, what none can beat).")]
pub struct SimulateOptions {
    /// The policies to compare
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "random,tpe,evolution,portfolio"
    )]
    pub policies: Vec<String>,
    /// Draw from a table of results instead of the surrogate: `campaign`, its own, or FILE (.jsonl,
    /// .csv)
    #[arg(
        long,
        value_name = "SOURCE",
        long_help = "Draw from a table of results instead of the surrogate: `campaign`, for the \
            campaign's own, or a file as `export` writes it (.jsonl, .csv: a column `objective`, \
            the configuration in `config.…` or in all other columns). Each row is drawn once. \
            A policy that can only ask for a point gets the nearest row; how often is said \
            below the table."
    )]
    pub pool: Option<String>,
    /// What `replay` repeats on a surrogate: `campaign`, or FILE (.jsonl, .csv)
    #[arg(long, value_name = "SOURCE")]
    pub replay: Option<String>,
    /// The order of a recorded campaign
    #[arg(long, value_enum, default_value_t = Order::Finished)]
    pub order: Order,
    /// Experiments a run
    #[arg(long, default_value_t = 500)]
    pub experiments: usize,
    /// Runs of each policy, each under its own seed [default: 30, or 3 with `--train`]
    #[arg(long)]
    pub seeds: Option<u64>,
    /// Generate and train from scratch: each run is a campaign of its own on the real trainer
    #[arg(
        long,
        conflicts_with = "pool",
        long_help = "Generate and train from scratch: each run is a campaign of its own, with that \
            one policy, on the campaign's real trainer and slots. It takes as long as so many \
            campaigns, is kept in `--out`, and goes on where it was stopped."
    )]
    pub train: bool,
    /// How the comparison is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// A folder to write the comparison and its curves into, as JSON, CSV and SVG
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The order of a recorded campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// As experiments finished: what the campaign knew when
    Finished,
    /// As they were proposed
    Proposed,
}

impl Order {
    /// The column of a table that gives it.
    pub fn column(self) -> &'static str {
        match self {
            Self::Finished => "finished_at",
            Self::Proposed => "created_at",
        }
    }
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, for people
    Text,
    /// JSON, for programs
    Json,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Experiments to pass through intake, ledger, worker and back
    #[arg(long, default_value_t = 5000)]
    pub experiments: u64,
    /// Slots
    #[arg(long, default_value_t = 4)]
    pub slots: u32,
    /// The policy that proposes
    #[arg(long, default_value = "random")]
    pub policy: String,
    /// Where the ledger is written while measuring: its disk is part of what is measured
    #[arg(long, value_name = "FOLDER")]
    pub on: Option<PathBuf>,
}

/// The commands on feature packs.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read a pack from end to end and say what is in it
    Inspect {
        /// The pack's folder
        pack: PathBuf,
    },
    /// Make a pack from feature files of any backbone
    Import {
        /// The folder to create
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Features of one backbone, `[clips, T, D]`; may be given more than once
        #[arg(
            long = "features",
            value_name = "BACKBONE=FILE",
            required = true,
            long_help = "Features of one backbone, `BACKBONE=FILE`, where FILE is .npy, .npz or \
                .safetensors: one array `[clips, T, D]`, or, for clips of different length, rows \
                `[frames, D]` and a one-dimensional integer array `lengths`. May be given more \
                than once."
        )]
        features: Vec<String>,
        /// Labels: CSV with the header id,label,split,group, or JSON lines with these keys
        #[arg(long, value_name = "FILE")]
        labels: PathBuf,
        /// The label that is to be detected
        #[arg(long, value_name = "LABEL")]
        positive: String,
        /// The task in words
        #[arg(long, default_value = "detect the positive label")]
        task: String,
        /// Where the data come from
        #[arg(long, default_value = "")]
        provenance: String,
        /// The data's licence
        #[arg(long, default_value = "unknown")]
        licence: String,
    },
}
