//! What a call into a plugin costs.
//!
//! `cargo run --release -p orze-plugins --example call_overhead -- FILE.wasm …` prints medians for
//! each component: of its main call (`validate` of a task, `assess` of 10 ideas, `build` of an
//! encoder) in a warm instance, of an instance, and of both; and what opening it takes, compiled and
//! from the cache.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use orze_plugins::contract::{Probe, Timing};
use orze_plugins::{Host, HostOptions, PluginKind, inspect, read};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "{:<24} {:>9} {:>13} {:>16} {:>12} {:>14} {:>12}",
        "component",
        "call µs",
        "instance µs",
        "both µs",
        "compile ms",
        "from cache ms",
        "fuel a call"
    );
    for file in std::env::args().skip(1) {
        measure(Path::new(&file))?;
    }
    Ok(())
}

fn measure(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = read(file)?;
    let kind = inspect(&bytes).kind.unwrap_or(PluginKind::Task);
    let folder = std::env::temp_dir().join(format!("orze-call-overhead-{}", std::process::id()));
    let open = || -> Result<_, Box<dyn std::error::Error>> {
        let host = Host::new(&HostOptions {
            cache: Some(folder.clone()),
            ..HostOptions::default()
        })?;
        let start = Instant::now();
        let plugin = host.open_file(file, kind)?;
        Ok((plugin, start.elapsed()))
    };
    let compiled = open();
    let cached = open();
    std::fs::remove_dir_all(&folder)?;
    let ((_, compiled), (plugin, cached)) = (compiled?, cached?);

    let mut probe = Probe::new(&plugin)?;
    let warm = probe.time_calls(2_000)?;
    let fuel = probe.usage().fuel;
    let instance = probe.time_instances(500)?;
    let both = probe.time_fresh_calls(500)?;
    let median = |timing: &Timing| timing.median.as_secs_f64() * 1e6;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:<24} {:>9.1} {:>13.1} {:>16.1} {:>12.1} {:>14.1} {:>12}",
        plugin.name(),
        median(&warm),
        median(&instance),
        median(&both),
        ms(compiled),
        ms(cached),
        fuel
    );
    Ok(())
}
