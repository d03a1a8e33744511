//! Ways to spoil an idea, and what must become of it.

use orze_campaign::{Idea, Priority};

use super::drafts::Draft;

/// What must become of a spoilt idea.
#[derive(Clone, Copy)]
pub enum Fate {
    /// Rejected; a reason begins with the key (where there is one) and holds the words.
    Rejected(&'static str, &'static str),
    /// Kept as it was meant, with a note that holds the words.
    Noted(&'static str),
    /// Kept as it was meant.
    Kept,
    /// Kept with this change.
    Changed(fn(&mut Idea)),
}
pub use Fate::{Changed, Kept, Noted, Rejected};

/// Spoils an idea in its values, in either language. The idea has the focal loss.
pub struct Spoiler {
    pub name: &'static str,
    pub spoil: fn(&mut Draft),
    pub fate: Fate,
}

const fn value(name: &'static str, fate: Fate, spoil: fn(&mut Draft)) -> Spoiler {
    Spoiler { name, spoil, fate }
}

pub const VALUES: &[Spoiler] = &[
    value(
        "alias of a key",
        Rejected("lr", "did you mean `learning_rate`?"),
        |draft| {
            draft.line("learning_rate").key = "lr".to_owned();
        },
    ),
    value(
        "half of a key",
        Rejected("encoder", "did you mean `temporal_encoder`?"),
        |draft| {
            draft.line("temporal_encoder").key = "encoder".to_owned();
        },
    ),
    value(
        "misspelt key",
        Rejected("bach_size", "did you mean `batch_size`?"),
        |draft| {
            draft.line("batch_size").key = "bach_size".to_owned();
        },
    ),
    value(
        "invented key",
        Rejected("dropout", "allowed: backbone, temporal_encoder"),
        |draft| {
            draft.add("dropout", "0.3", "0.3");
        },
    ),
    value(
        "above its range",
        Rejected("learning_rate", "a number from 1e-5 to 0.01"),
        |draft| {
            draft.set("learning_rate", "0.5", "0.5");
        },
    ),
    value(
        "below its range",
        Rejected("mixup_alpha", "a number from 0 to 0.4"),
        |draft| {
            draft.set("mixup_alpha", "-0.1", "-0.1");
        },
    ),
    value(
        "part of a name",
        Rejected("backbone", "did you mean `vjepa2_vitl14`?"),
        |draft| {
            draft.set("backbone", "VJepa2", "\"VJepa2\"");
        },
    ),
    value(
        "misspelt name",
        Rejected("loss", "`focla` is not allowed; did you mean `focal`?"),
        |draft| {
            draft.set("loss", "focla", "\"focla\"");
        },
    ),
    value(
        "no choice",
        Rejected(
            "batch_size",
            "`48` is not allowed; allowed: one of 16, 32, 64, 128",
        ),
        |draft| {
            draft.set("batch_size", "48", "48");
        },
    ),
    value(
        "a fraction of epochs",
        Rejected("epochs", "`12.5` is not allowed"),
        |draft| {
            draft.set("epochs", "12.5", "12.5");
        },
    ),
    value(
        "missing",
        Rejected("seq_len", "is missing; allowed: one of 10"),
        |draft| {
            draft.remove("seq_len");
        },
    ),
    value(
        "missing under a condition",
        Rejected("focal_gamma", "is missing"),
        |draft| {
            draft.remove("focal_gamma");
        },
    ),
    value("null", Rejected("pooling", "is missing"), |draft| {
        draft.set("pooling", "null", "null");
    }),
    value(
        "twice",
        Rejected("epochs", "with `5` and `30`; keep one"),
        |draft| {
            draft.set("epochs", "5", "5");
            draft.add("epochs", "30", "30");
        },
    ),
    value(
        "several values",
        Rejected("learning_rate", "expected a single value, found a list"),
        |draft| {
            draft.set("learning_rate", "[1e-4, 3e-4]", "[1e-4, 3e-4]");
        },
    ),
    value(
        "a map",
        Rejected("loss", "expected a single value, found a map"),
        |draft| {
            draft.set("loss", "{name: focal}", "{\"name\": \"focal\"}");
        },
    ),
    value(
        "a boolean",
        Rejected("scheduler", "`true` is not allowed"),
        |draft| {
            draft.set("scheduler", "true", "true");
        },
    ),
    value(
        "a number for a name",
        Rejected("pooling", "`2` is not allowed"),
        |draft| {
            draft.set("pooling", "2", "2");
        },
    ),
    value(
        "a word for a number",
        Rejected("weight_decay", "`low` is not allowed"),
        |draft| {
            draft.set("weight_decay", "low", "\"low\"");
        },
    ),
    value(
        "a number and words",
        Rejected("learning_rate", "`3e-4 (low)` is not allowed"),
        |draft| {
            draft.set("learning_rate", "3e-4 (low)", "\"3e-4 (low)\"");
        },
    ),
    value(
        "not a number",
        Rejected("oversampling", "is not allowed"),
        |draft| {
            draft.set("oversampling", ".nan", "\"NaN\"");
        },
    ),
    value("huge", Rejected("seq_len", "is not allowed"), |draft| {
        draft.set(
            "seq_len",
            "99999999999999999999999",
            "99999999999999999999999",
        );
    }),
    value(
        "no such priority",
        Rejected("priority", "`urgent` is not allowed; allowed: low"),
        |draft| {
            draft.set("priority", "urgent", "\"urgent\"");
        },
    ),
    value(
        "a replicate",
        Rejected("replicate_of", "leave it out"),
        |draft| {
            draft.add("replicate_of", "12", "12");
        },
    ),
    value(
        "nested",
        Rejected("config", "write what is inside it directly"),
        |draft| {
            draft.remove("loss");
            draft.add("config", "{loss: focal}", "{\"loss\": \"focal\"}");
        },
    ),
    value("deep", Rejected("loss", ""), |draft| {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        draft.set("loss", &deep, &deep);
    }),
    value(
        "a number as text",
        Noted("learning_rate: `2e-5` was read as 2e-5"),
        |draft| {
            draft
                .idea
                .configuration
                .values
                .insert("learning_rate".to_owned(), 2e-5.into());
            draft.set("learning_rate", "\"2e-5\"", "\"2e-5\"");
        },
    ),
    value(
        "a small number",
        Changed(|idea| {
            idea.configuration
                .values
                .insert("learning_rate".to_owned(), 2e-5.into());
        }),
        |draft| draft.set("learning_rate", "2e-5", "2e-5"),
    ),
    value(
        "a whole number for a float",
        Changed(|idea| {
            idea.configuration
                .values
                .insert("focal_gamma".to_owned(), 3.0.into());
        }),
        |draft| draft.set("focal_gamma", "3", "3"),
    ),
    value(
        "a float for a choice",
        Noted("batch_size: `64` was read as 64"),
        |draft| {
            draft
                .idea
                .configuration
                .values
                .insert("batch_size".to_owned(), 64.into());
            draft.set("batch_size", "64.0", "64.0");
        },
    ),
    value(
        "other case",
        Noted("loss: `Focal` was read as focal"),
        |draft| {
            draft.set("loss", "Focal", "\"Focal\"");
        },
    ),
    value("stars for looks", Noted("was read as focal"), |draft| {
        draft.set("loss", "\"**focal**\"", "\"**focal**\"");
    }),
    value(
        "priority in capitals",
        Changed(|idea| idea.priority = Priority::Critical),
        |draft| {
            draft.set("priority", "CRITICAL", "\"CRITICAL\"");
        },
    ),
    value(
        "no priority",
        Changed(|idea| idea.priority = Priority::Normal),
        |draft| {
            draft.remove("priority");
        },
    ),
    value(
        "no rationale",
        Changed(|idea| idea.rationale = None),
        |draft| {
            draft.set("rationale", "null", "null");
        },
    ),
    value(
        "rationale is a list",
        Changed(|idea| idea.rationale = None),
        |draft| {
            draft.set("rationale", "[a, b]", "[\"a\", \"b\"]");
        },
    ),
    value(
        "without effect",
        Noted("`n/a` was left out, because it has an effect only when loss is focal"),
        |draft| {
            let values = &mut draft.idea.configuration.values;
            values.insert("loss".to_owned(), "bce".into());
            values.remove("focal_gamma");
            values.remove("focal_alpha");
            draft.set("loss", "bce", "\"bce\"");
            draft.set("focal_gamma", "n/a", "\"n/a\"");
            draft.set("focal_alpha", "null", "null");
        },
    ),
];
