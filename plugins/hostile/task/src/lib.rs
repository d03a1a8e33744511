//! A task plugin that misbehaves on request. The text under `do` in a configuration says how; see
//! `plugins/host/tests/hostile.rs`.
//!
//! A host must not trust a guest, so this one lies with raw pointers where safe Rust would not let
//! it: that is its purpose.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use orze_plugin::task::*;

struct Hostile;

/// Calls so far: what no plugin may remember.
static CALLS: AtomicU64 = AtomicU64::new(0);

const SPACE: &str = "
space: hostile
dimensions:
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  loss: {group: loss, choices: [focal, bce]}
";

impl Task for Hostile {
    fn describe() -> Result<Description, Error> {
        Ok(Description {
            name: "hostile".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Misbehaves on request.".to_owned(),
            space: SPACE.to_owned(),
            splits: vec![Split {
                name: "train".to_owned(),
                clips: None,
            }],
            groups_disjoint: true,
        })
    }

    fn validate(configuration: &[Setting]) -> Result<(), Error> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // What no check of the contract forgives.
        for setting in configuration {
            assert!(!matches!(setting.value, Value::Integer(i64::MIN)));
        }
        match wish(configuration) {
            Some("loop") => spin(),
            Some("trap") => panic!("as asked"),
            Some("divide") => {
                black_box(1_i32.wrapping_div(black_box(0)));
            }
            Some("recurse") => {
                black_box(recurse(black_box(1)));
            }
            Some("memory") => hold_everything(),
            Some("out-of-bounds") => {
                // SAFETY: none; the address lies outside the memory, which is the point.
                black_box(unsafe { *black_box(0xffff_0000_u32 as *const u64) });
            }
            Some("log") => {
                for line in 0..100_000_u32 {
                    log::info(&format!("line {line}"));
                }
            }
            Some("long-log") => log::warn(&"x".repeat(1 << 20)),
            Some("internal") => return Err(Error::Internal("as asked".to_owned())),
            Some("unsupported") => return Err(Error::Unsupported("as asked".to_owned())),
            Some("no-reason") => return Err(Error::Invalid(Vec::new())),
            Some("many-reasons") => {
                let problem = Problem {
                    key: Some("lr".to_owned()),
                    message: "é".repeat(100_000),
                    hint: None,
                };
                return Err(Error::Invalid(vec![problem; 100]));
            }
            Some("huge-text") => return Err(Error::Internal("x".repeat(50 << 20))),
            Some("forged-text") => return Err(Error::Internal(forged(16, 1 << 30))),
            Some("not-utf8") => return Err(Error::Internal(not_utf8())),
            Some("huge-list") => {
                let problem = Problem {
                    key: None,
                    message: String::new(),
                    hint: None,
                };
                return Err(Error::Invalid(vec![problem; 500_000]));
            }
            Some("remember") => return Err(Error::Unsupported(calls().to_string())),
            Some("random") => return Err(Error::Unsupported(random::bits().to_string())),
            Some("leak") => std::mem::forget(black_box(vec![1_u8; 1 << 20])),
            Some("refuse") => {
                return Err(Error::Invalid(vec![Problem {
                    key: Some("lr".to_owned()),
                    message: "is too large".to_owned(),
                    hint: Some("try 1e-4".to_owned()),
                }]));
            }
            _ => {}
        }
        Ok(())
    }

    fn sweep(base: &Finished) -> Result<Option<Vec<Configuration>>, Error> {
        let real = |key: &str, real: f64| Setting {
            key: key.to_owned(),
            value: Value::Real(real),
        };
        let variant = match wish(&base.configuration) {
            Some("nan") => vec![real("lr", f64::NAN)],
            Some("infinity") => vec![real("lr", f64::NEG_INFINITY)],
            Some("twice") => vec![real("lr", 1e-3), real("lr", 1e-4)],
            Some("many") => {
                let many = (1..=1000).map(|n| vec![real("lr", 1e-5 * f64::from(n))]);
                return Ok(Some(many.collect()));
            }
            // Not in the space.
            None => vec![real("lr", 5.0)],
            Some(_) => return Ok(None),
        };
        Ok(Some(vec![variant]))
    }

    /// Depends on earlier calls.
    fn prioritise(_: &[Setting], proposed: Priority) -> Result<Priority, Error> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        Ok(if calls.is_multiple_of(2) {
            Priority::Low
        } else {
            proposed
        })
    }

    /// Longer than they may be once something was validated.
    fn rules() -> Result<String, Error> {
        let long = CALLS.load(Ordering::Relaxed) > 0;
        Ok("x".repeat(if long { 17 << 10 } else { 10 }))
    }
}

/// What the configuration asks for.
fn wish(configuration: &[Setting]) -> Option<&str> {
    configuration
        .iter()
        .find_map(|setting| match &setting.value {
            Value::Text(text) if setting.key == "do" => Some(text.as_str()),
            _ => None,
        })
}

fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

fn spin() {
    let mut number = 0_u64;
    while black_box(true) {
        number = black_box(number.wrapping_add(1));
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + 1
}

fn hold_everything() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    while black_box(true) {
        held.push(black_box(vec![1; 1 << 20]));
    }
}

/// A text that claims to be longer than the memory it lies in.
fn forged(capacity: usize, length: usize) -> String {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(b'x');
    // SAFETY: none; the length is a lie, which is the point. The host must not believe it.
    unsafe {
        bytes.set_len(length);
        String::from_utf8_unchecked(bytes)
    }
}

fn not_utf8() -> String {
    // SAFETY: none; the bytes are no UTF-8, which is the point.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x00]) }
}

orze_plugin::export_task!(Hostile);
