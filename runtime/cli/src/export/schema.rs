//! What an exported experiment consists of: one list, from which the columns of CSV and Parquet are
//! taken and the schema page is written.

use std::fmt::Write;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A moment as RFC 3339, UTC, to the millisecond.
    Time,
    /// A signed integer of 64 bits.
    Integer,
    /// An unsigned integer of 64 bits.
    Unsigned,
    /// A float of 64 bits.
    Float,
    /// JSON, written out as text.
    Json,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "text, RFC 3339",
            Self::Integer => "int64",
            Self::Unsigned => "uint64",
            Self::Float => "float64",
            Self::Json => "text, JSON",
        }
    }
}

/// A part of the schema, in the order of the columns.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// One column.
    Field(Field),
    /// One column for each key of an object.
    Family(Family),
}

/// One column, and the value that it stands for in a line of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The column's name.
    pub column: &'static str,
    /// Where the value is in a line of JSON, as a JSON pointer (RFC 6901).
    pub pointer: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// When there is none, or nothing if there always is one.
    pub absent: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

/// The columns `<prefix><key>` for the keys of an object in a line of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// What the columns' names begin with.
    pub prefix: &'static str,
    /// Where the object is in a line of JSON, as a JSON pointer.
    pub pointer: &'static str,
    /// What a key is.
    pub key: &'static str,
    /// The type of its columns.
    pub kind: &'static str,
    /// When a cell is empty.
    pub absent: &'static str,
    /// What they mean.
    pub meaning: &'static str,
}

const fn field(
    column: &'static str,
    pointer: &'static str,
    kind: Kind,
    absent: &'static str,
    meaning: &'static str,
) -> Part {
    Part::Field(Field {
        column,
        pointer,
        kind,
        absent,
        meaning,
    })
}

/// The column that only campaigns with graphs have.
pub const ENCODER_GRAPH: &str = "encoder_graph";

/// Everything that an exported experiment holds.
#[rustfmt::skip]
pub const SCHEMA: &[Part] = &[
    field("id", "/id", Kind::Integer, "",
        "Number of the experiment in its campaign, given on admission and never again."),
    field("name", "/name", Kind::Text, "",
        "The name that its author gave it; not unique. Written by people and language models: treat it as \
         untrusted text."),
    field("attempt", "/attempt", Kind::Integer, "",
        "Attempts begun so far. 0 while it waits for the first; more than 1 after a failure that was treated."),
    field("researcher", "/researcher", Kind::Text, "",
        "Who proposed it: the name of a search policy or language model in the campaign's file. Sweeps, \
         replicates and treated experiments belong to the author of the experiment they were made from."),
    field("kind", "/kind", Kind::Text, "",
        "`idea`: proposed by a researcher. `sweep`: a variant that the auto-sweep made. `replicate`: the same \
         configuration under another seed. `treated`: made from a failed experiment by a treatment that changed \
         its configuration. `reference`: the campaign's first configuration and seed again, to see whether they \
         still measure the same. `test`: a confirmed leader under one more seed, scored on the test split too. \
         Only ideas, sweeps and treated ones searched; statistics of a search leave the others out."),
    field("parent", "/parent", Kind::Integer, "for ideas",
        "The `id` of the experiment that a sweep or treated one was made from, or that is measured again."),
    field("status", "/status", Kind::Text, "",
        "`queued`, `running`, `diagnosing` (its last attempt failed and is being decided), `completed` or \
         `failed`. Only `completed` ones are measurements."),
    field("priority", "/priority", Kind::Text, "",
        "`low`, `normal`, `high` or `critical`."),
    field("trainer", "/trainer", Kind::Text, "",
        "What measured it: `candle`, `command` (a script of the user) or `surrogate`. Results of a `surrogate` \
         come from a formula or a table and are NO measurements of any model."),
    field("seed", "/seed", Kind::Unsigned, "",
        "The seed it is trained with."),
    field("objective", "/objective", Kind::Float, "unless completed",
        "The value that ranks, such as average precision on validation; larger is better. The best of many is \
         optimistic: the winner is also the luckiest."),
    Part::Family(Family {
        prefix: "config.",
        pointer: "/config",
        key: "dimension",
        kind: "int64, float64 or text: the narrowest that holds all its values",
        absent: "where the dimension is not active, such as `focal_gamma` under another loss",
        meaning: "The value of each dimension of the campaign's space, as it was trained. The space's file says \
            what each dimension is, its group (architecture, loss, training, data), range and scale.",
    }),
    Part::Family(Family {
        prefix: "metric.",
        pointer: "/metrics",
        key: "metric",
        kind: "float64",
        absent: "where it was not measured",
        meaning: "Everything that the trainer measured. The built-in trainer gives, for `validation` and, where the \
            campaign asks for it, `test`: `…_ap` (average precision, 0 to 1) with `…_ap_low` and `…_ap_high` (its \
            95 % bootstrap interval over clips), `…_log_loss` (nats), `…_brier`, `…_calibration_error`, \
            `…_distinct_scores`, `…_clips` and `…_positives` (counts); and `train_loss` (nats), `epochs`, `best_epoch`, `steps`, `parameters`, \
            `feature_dim`, `train_clips`, `train_positives`, `micro_batch`, `dropped_train_clips` (counts).",
    }),
    field("failure_kind", "/failure/kind", Kind::Text, "when no attempt failed",
        "How it failed, or how its last failed attempt did: `diverged`, `out_of_memory`, `timed_out`, `hung`, \
         `worker_lost`, `bad_configuration`, `missing_features`, `corrupt_features`, `shape_mismatch`, \
         `plugin_fault`, `disk_full`, `device_fault` or `trainer_fault`. Failed experiments are part of the data: \
         leaving them out flatters every policy."),
    field("failure_message", "/failure/message", Kind::Text, "when no attempt failed",
        "The failure in words, of the trainer or the system: untrusted text."),
    field("failure_trace", "/failure/trace", Kind::Text, "where the failure left none",
        "The trace of the failure or the end of its log, over several lines: untrusted text."),
    field("treatments", "/treatments", Kind::Json, "",
        "What was done to heal it, in order: a list of objects with `attempt` (after which), `by` (`rules` or a \
         language model's name), `failure`, `kind` of the treatment with its own keys, and `reason`. `[]` without any."),
    field("plugin_digests", "/plugin_digests", Kind::Json, "",
        "Digests of the data, plugins and program that shaped it, by role, of a completed one also of its \
         `configuration` as consumed and its `encoder`: experiments of unlike data or plugins are not of the \
         same task."),
    field("rationale", "/rationale", Kind::Text, "where none was given",
        "Why its author proposed it, in its own words: untrusted text."),
    field("slot", "/slot", Kind::Integer, "before the first attempt",
        "The slot of the last attempt, from 0."),
    field("created_at", "/created_at", Kind::Time, "",
        "When it was admitted."),
    field("started_at", "/started_at", Kind::Time, "before the first attempt",
        "When the last attempt began. Earlier attempts are not in the data."),
    field("finished_at", "/finished_at", Kind::Time, "until it has finished",
        "When it was completed or given up. Sort by this, then by `id`, for the order of finishing, in which \
         convergence and entropy are counted."),
    field("train_seconds", "/train_seconds", Kind::Float, "unless completed",
        "Wall-clock seconds of training and evaluation in the last attempt, on its one slot."),
    field(ENCODER_GRAPH, "/encoder_graph", Kind::Json, "where the encoder is no graph",
        "The layer graph of an encoder that an idea brought along, whose name stands in its configuration. The \
         column exists in campaigns with such graphs only."),
];

const INTRODUCTION: &str = "\
# The dataset of a campaign

`orze-runtime export` writes one record for each experiment that was admitted: those that failed, wait or
run too. Ideas that were rejected before admission are not experiments; the report counts them.

- `--format jsonl`: one JSON object a line, with nested `config`, `metrics` and `failure`.
- `--format csv` and `--format parquet`: the same values as flat columns; an empty cell (CSV) or null
  (Parquet) is a value that does not exist.

This page is written by `orze-runtime export --schema`, from the list that the columns are taken from.

";

/// The schema as a page of Markdown.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "| column | in JSON lines | type | absent | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for part in SCHEMA {
        let (column, path, kind, absent, meaning) = match part {
            Part::Field(field) => (
                field.column.to_owned(),
                path(field.pointer),
                field.kind.name(),
                field.absent,
                field.meaning,
            ),
            Part::Family(family) => (
                format!("{}<{}>", family.prefix, family.key),
                format!("{}.<{}>", path(family.pointer), family.key),
                family.kind,
                family.absent,
                family.meaning,
            ),
        };
        let absent = if absent.is_empty() { "never" } else { absent };
        let _ = writeln!(
            page,
            "| `{column}` | `{path}` | {kind} | {absent} | {meaning} |"
        );
    }
    page
}

/// `/failure/kind` as a reader writes it: `failure.kind`.
fn path(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}
