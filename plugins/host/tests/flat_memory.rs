//! Ten thousand hostile calls leave memory as it was. Alone in its process, so that no other test's
//! memory is measured.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use orze_campaign::Configuration;
use orze_plugins::{Host, HostOptions, Limits, PluginKind, TaskInstance};

/// The component of `plugins/hostile/task`.
const HOSTILE: &[u8] = include_bytes!("components/hostile-task.wasm");

fn wish(what: &str) -> Configuration {
    Configuration::default().with("do", what)
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn ten_thousand_hostile_calls_leave_memory_flat() {
    const WISHES: [&str; 10] = [
        "trap",
        "divide",
        "out-of-bounds",
        "recurse",
        "internal",
        "no-reason",
        "not-utf8",
        "forged-text",
        "leak",
        "refuse",
    ];
    let host = Host::new(&HostOptions {
        limits: Limits {
            fuel: 50_000_000,
            timeout: Duration::from_secs(600),
            memory_bytes: 32 << 20,
            ..Limits::default()
        },
        ..HostOptions::default()
    })
    .unwrap();
    let plugin = host
        .open(HOSTILE, "hostile", None, PluginKind::Task)
        .unwrap();
    let mut instance = TaskInstance::new(&plugin).unwrap();
    let mut calls = |count: usize| {
        for call in 0..count {
            let answer = instance.validate(&wish(WISHES[call % WISHES.len()]));
            assert_eq!(answer.is_ok(), WISHES[call % WISHES.len()] == "leak");
            if call % 100 == 0 {
                let bomb = instance.validate(&wish("memory"));
                assert!(bomb.is_err());
                assert_eq!(instance.validate(&wish("nothing")), Ok(()));
            }
        }
    };
    // The allocator's and the engine's own reserves fill first.
    calls(1_000);
    let before = resident();
    calls(10_000);
    let after = resident();
    assert!(
        after < before + (16 << 20),
        "resident memory went from {before} to {after} bytes"
    );
}
