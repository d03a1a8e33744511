//! Ways to break the text of an idea, in one language.

use super::drafts::Draft;
use super::spoilers::{Changed, Fate, Kept, Noted, Rejected};

/// Spoils the text of an idea in one language.
pub struct Breaker {
    pub name: &'static str,
    pub spoil: fn(&mut Draft) -> String,
    pub fate: Fate,
    /// Whether it is no map any more, and stands only in a list.
    pub is_no_map: bool,
}

const fn text(name: &'static str, fate: Fate, spoil: fn(&mut Draft) -> String) -> Breaker {
    Breaker {
        name,
        spoil,
        fate,
        is_no_map: false,
    }
}

const fn no_map(name: &'static str, fate: Fate, spoil: fn(&mut Draft) -> String) -> Breaker {
    Breaker {
        name,
        spoil,
        fate,
        is_no_map: true,
    }
}

fn rewritten(draft: &Draft, key: &str, line: &str) -> String {
    let text = draft.yaml();
    let lines = text.lines().map(|old| {
        if old.starts_with(&format!("{key}:")) {
            format!("{line}\n")
        } else {
            format!("{old}\n")
        }
    });
    lines.collect()
}

/// A map of more aliases than anybody needs.
fn bomb() -> String {
    let mut text = String::from("&a [x, x]");
    for level in 0..40 {
        text = format!("[&a{level} {text}, *a{level}, *a{level}]");
        if level > 8 {
            break;
        }
    }
    text
}

pub const YAML_TEXTS: &[Breaker] = &[
    text(
        "a quote is not closed",
        Rejected("loss", "can't be read"),
        |draft| rewritten(draft, "loss", "loss: \"focal"),
    ),
    text(
        "collapsed",
        Rejected("epochs", "write `epochs: 40`"),
        |draft| rewritten(draft, "epochs", "\"epochs: 40\": null"),
    ),
    text(
        "a bracket is not closed",
        Rejected("epochs", "can't be read"),
        |draft| rewritten(draft, "epochs", "epochs: [5, 10"),
    ),
    text(
        "no space after the colon",
        Rejected("batch_size", "write `batch_size: 64`"),
        |draft| rewritten(draft, "batch_size", "batch_size:64"),
    ),
    text(
        "equals",
        Rejected("batch_size", "write `batch_size: 64`"),
        |draft| rewritten(draft, "batch_size", "batch_size = 64"),
    ),
    text(
        "no colon",
        Rejected("batch_size", "write `batch_size: 64`"),
        |draft| rewritten(draft, "batch_size", "batch_size 64"),
    ),
    text(
        "an alias of another idea",
        Rejected("weight_decay", "can't be read"),
        |draft| rewritten(draft, "weight_decay", "weight_decay: *base"),
    ),
    text(
        "a merge of another idea",
        Rejected("", "`<<: *base` is no"),
        |draft| rewritten(draft, "weight_decay", "<<: *base"),
    ),
    text(
        "a bomb of aliases",
        Rejected("mixup_alpha", "too many aliases"),
        |draft| rewritten(draft, "mixup_alpha", &format!("mixup_alpha: {}", bomb())),
    ),
    text(
        "a tag",
        Rejected("seq_len", "found a tagged value"),
        |draft| rewritten(draft, "seq_len", "seq_len: !frames 20"),
    ),
    text(
        "a reserved character",
        Rejected("scheduler", "can't be read"),
        |draft| rewritten(draft, "scheduler", "scheduler: @cosine"),
    ),
    text(
        "two keys on a line",
        Rejected("pooling", "can't be read"),
        |draft| rewritten(draft, "pooling", "pooling: mean, scheduler: step"),
    ),
    text(
        "a long idea",
        Rejected("", "an idea may have 16384"),
        |draft| {
            let words = "many words ".repeat(2000);
            rewritten(draft, "rationale", &format!("rationale: {words}"))
        },
    ),
    text(
        "a colon in the rationale",
        Changed(|idea| {
            idea.rationale = Some("Focal: it leads, \"so\" far".to_owned());
        }),
        |draft| rewritten(draft, "rationale", "rationale: Focal: it leads, \"so\" far"),
    ),
    text(
        "a colon in the name",
        Changed(|idea| idea.name = "Focal: more".to_owned()),
        |draft| rewritten(draft, "idea_name", "idea_name: Focal: more"),
    ),
    text(
        "quotes inside quotes",
        Changed(|idea| {
            idea.rationale = Some("the \"best\" one".to_owned());
        }),
        |draft| rewritten(draft, "rationale", "rationale: \"the \"best\" one\""),
    ),
    text(
        "smart quotes",
        Noted("`“focal”` was read as focal"),
        |draft| rewritten(draft, "loss", "loss: “focal”"),
    ),
    text("smart quotes around a key", Kept, |draft| {
        rewritten(draft, "loss", "“loss”: focal")
    }),
    text("backticks", Noted("no valid YAML"), |draft| {
        rewritten(draft, "loss", "loss: `focal`")
    }),
    text("bold keys", Noted("no valid YAML"), |draft| {
        rewritten(draft, "loss", "**loss**: focal")
    }),
    text("commas at the ends", Noted("was read as focal"), |draft| {
        rewritten(draft, "loss", "loss: focal,")
    }),
    text("a bullet before a key", Noted("read one by one"), |draft| {
        rewritten(draft, "loss", "* loss: focal")
    }),
    text(
        "a key too far to the right",
        Noted("read one by one"),
        |draft| rewritten(draft, "loss", " loss: focal"),
    ),
    text("a comment", Kept, |draft| {
        rewritten(draft, "loss", "# the loss: focal\nloss: focal  # as before")
    }),
    text(
        "an idea inside a rationale",
        Changed(|idea| {
            idea.rationale =
                Some("Like this:\n- idea_name: fake\n  loss: bce\n---\nend".to_owned());
        }),
        |draft| {
            rewritten(
                draft,
                "rationale",
                "rationale: |-\n  Like this:\n  - idea_name: fake\n    loss: bce\n  ---\n  end",
            )
        },
    ),
    text(
        "a rationale over several lines",
        Changed(|idea| {
            idea.rationale = Some("one two three".to_owned());
        }),
        |draft| rewritten(draft, "rationale", "rationale: \"one\n  two\n  three\""),
    ),
    text(
        "no name",
        Changed(|idea| idea.name = "idea 3".to_owned()),
        |draft| {
            draft.remove("idea_name");
            draft.yaml()
        },
    ),
    text("name at the end", Kept, |draft| {
        let name = draft.lines.remove(0);
        draft.lines.push(name);
        draft.yaml()
    }),
    no_map("only text", Rejected("", "is no `key: value`"), |_| {
        "use a larger model\n".to_owned()
    }),
    no_map("a list", Rejected("", ""), |_| "[focal, bce]\n".to_owned()),
    no_map("a flow map", Kept, |draft| draft.json() + "\n"),
];

fn json_with(draft: &Draft, from: &str, to: &str) -> String {
    let text = draft.json();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

pub const JSON_TEXTS: &[Breaker] = &[
    text("a comma too many", Noted("no valid JSON"), |draft| {
        json_with(draft, "\n  }", ",\n  }")
    }),
    text(
        "collapsed",
        Rejected("epochs", "write `epochs: 40`"),
        |draft| {
            let epochs = format!("\"epochs\": {}", draft.line("epochs").json);
            json_with(draft, &epochs, "\"epochs: 40\": null")
        },
    ),
    text(
        "a comma too few",
        Rejected("loss", "can't be read"),
        |draft| json_with(draft, "\"focal\",", "\"focal\""),
    ),
    text(
        "a quote too few",
        Rejected("loss", "can't be read"),
        |draft| {
            // No other quote sets the count right again.
            draft.set("rationale", "", "\"plain\"");
            json_with(draft, "\"focal\",", "\"focal,")
        },
    ),
    text(
        "a brace too few",
        Rejected("", "not closed by `}`"),
        |draft| json_with(draft, "\n  }", "\n"),
    ),
    text("single quotes", Noted("no valid JSON"), |draft| {
        json_with(draft, "\"loss\": \"focal\"", "'loss': 'focal'")
    }),
    text("smart quotes", Noted("no valid JSON"), |draft| {
        json_with(draft, "\"loss\": \"focal\"", "“loss”: “focal”")
    }),
    text("a key without quotes", Noted("no valid JSON"), |draft| {
        json_with(draft, "\"loss\"", "loss")
    }),
    text(
        "not a number",
        Rejected("focal_gamma", "is not allowed"),
        |draft| {
            draft.set("focal_gamma", "", "NaN");
            draft.json()
        },
    ),
    text(
        "a line end in a string",
        Changed(|idea| {
            idea.rationale = Some("one two".to_owned());
        }),
        |draft| {
            draft.set("rationale", "", "\"one\n two\"");
            draft.json()
        },
    ),
    text(
        "a pair of surrogates",
        Changed(|idea| {
            idea.rationale = Some("\u{1f600} {[".to_owned());
        }),
        |draft| {
            draft.set("rationale", "", "\"\\ud83d\\ude00 {[\"");
            draft.json()
        },
    ),
    text("name at the end", Kept, |draft| {
        let name = draft.lines.remove(0);
        draft.lines.push(name);
        draft.json()
    }),
    no_map("only text", Rejected("", "is no map"), |_| {
        "\"use a larger model\"".to_owned()
    }),
];
