//! Whatever a plugin does costs one call, with a typed error. `plugins/hostile/task` is the guest;
//! `components/hostile-task.wasm` is what its build gave.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use orze_campaign::{Configuration, ExperimentId, Value};
use orze_plugins::limits::{MESSAGE_BYTES, PROBLEMS, SWEEP_VARIANTS};
use orze_plugins::{
    CallError, Finished, Host, HostOptions, Limits, PluginFault, PluginKind, TaskInstance,
};
use support::Lines;

/// The component of `plugins/hostile/task`.
const HOSTILE: &[u8] = include_bytes!("components/hostile-task.wasm");

/// Little fuel, so that loops end soon on any machine; no timeout that a slow one could meet.
fn limits() -> Limits {
    Limits {
        fuel: 50_000_000,
        timeout: Duration::from_secs(600),
        memory_bytes: 32 << 20,
        answer_bytes: 1 << 20,
        ..Limits::default()
    }
}

fn instance(limits: Limits) -> TaskInstance {
    let host = Host::new(&HostOptions {
        limits,
        ..HostOptions::default()
    })
    .unwrap();
    let plugin = host
        .open(HOSTILE, "hostile", None, PluginKind::Task)
        .unwrap();
    TaskInstance::new(&plugin).unwrap()
}

fn wish(what: &str) -> Configuration {
    Configuration::default().with("do", what)
}

/// The fault of a call, after which the next good call works.
fn fault(instance: &mut TaskInstance, what: &str) -> PluginFault {
    let error = instance.validate(&wish(what)).unwrap_err();
    assert_eq!(instance.validate(&wish("nothing")), Ok(()), "after {what}");
    let CallError::Fault(fault) = error else {
        panic!("{what}: {error:?} is no fault");
    };
    assert_eq!((&*fault.plugin, fault.call), ("hostile", "validate"));
    fault.fault
}

#[test]
fn a_loop_runs_out_of_fuel() {
    let fault = fault(&mut instance(limits()), "loop");
    assert_eq!(fault, PluginFault::OutOfFuel { fuel: 50_000_000 });
}

#[test]
fn a_loop_with_endless_fuel_runs_out_of_time() {
    let limit = Duration::from_millis(30);
    let fault = fault(
        &mut instance(Limits {
            fuel: u64::MAX,
            timeout: limit,
            ..limits()
        }),
        "loop",
    );
    assert_eq!(fault, PluginFault::TimedOut { limit });
}

#[test]
fn crashes_say_where() {
    let mut instance = instance(limits());
    for what in ["trap", "divide", "out-of-bounds"] {
        let fault = fault(&mut instance, what);
        let PluginFault::Trapped { message, backtrace } = fault else {
            panic!("{what}: {fault:?}");
        };
        assert!(!message.is_empty());
        assert!(backtrace.contains("hostile"), "{what}: {backtrace}");
    }
}

#[test]
fn endless_recursion_fills_the_stack() {
    let fault = fault(&mut instance(limits()), "recurse");
    let bytes = limits().stack_bytes;
    assert_eq!(fault, PluginFault::StackOverflow { bytes });
}

#[test]
fn a_memory_bomb_is_told_from_a_crash() {
    let fault = fault(&mut instance(limits()), "memory");
    let PluginFault::OutOfMemory { message } = fault else {
        panic!("{fault:?}");
    };
    assert!(message.contains("33554432 are allowed"), "{message}");
}

#[test]
fn huge_answers_are_not_looked_at() {
    let mut bombs = instance(Limits {
        memory_bytes: 128 << 20,
        fuel: 1_000_000_000,
        ..limits()
    });
    for what in ["huge-text", "huge-list"] {
        let fault = fault(&mut bombs, what);
        assert_eq!(
            fault,
            PluginFault::AnswerTooLarge { bytes: 1 << 20 },
            "{what}"
        );
    }
    // A gigabyte does not even fit into its memory.
    let fault = fault(&mut bombs, "memory");
    assert!(
        matches!(fault, PluginFault::OutOfMemory { .. }),
        "{fault:?}"
    );
}

#[test]
fn forged_answers_are_refused() {
    let mut instance = instance(limits());
    for what in ["forged-text", "not-utf8", "no-reason"] {
        let fault = fault(&mut instance, what);
        assert!(
            matches!(fault, PluginFault::BadAnswer(_)),
            "{what}: {fault:?}"
        );
    }
}

#[test]
fn its_own_errors_are_told_apart() {
    let mut instance = instance(limits());
    let internal = fault(&mut instance, "internal");
    assert_eq!(internal, PluginFault::Internal("as asked".to_owned()));
    assert_eq!(
        instance.validate(&wish("unsupported")),
        Err(CallError::Unsupported("as asked".to_owned()))
    );
    let Err(CallError::Refused(problems)) = instance.validate(&wish("refuse")) else {
        panic!("was not refused");
    };
    assert_eq!(problems[0].to_string(), "lr: is too large");
    assert_eq!(problems[0].hint.as_deref(), Some("try 1e-4"));
}

#[test]
fn what_is_shown_to_people_is_cut() {
    let mut instance = instance(Limits {
        answer_bytes: 64 << 20,
        ..limits()
    });
    let Err(CallError::Refused(problems)) = instance.validate(&wish("many-reasons")) else {
        panic!("was not refused");
    };
    assert_eq!(problems.len(), PROBLEMS);
    assert_eq!(problems[0].message.len(), MESSAGE_BYTES);
}

#[test]
fn numbers_that_are_none_and_keys_that_stand_twice_are_refused() {
    let mut instance = instance(limits());
    let mut sweep = |what: &str| {
        instance.sweep(&Finished {
            id: ExperimentId(1),
            researcher: "r".to_owned(),
            configuration: wish(what),
            objective: Some(f64::NAN),
        })
    };
    for (what, words) in [
        ("nan", "lr: `NaN` is not a finite number"),
        ("infinity", "lr: `-inf` is not a finite number"),
        ("twice", "lr: stands twice in one configuration"),
    ] {
        let error = sweep(what).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
    }
    let many = sweep("many").unwrap().unwrap();
    assert_eq!(many.len(), SWEEP_VARIANTS);
    assert_eq!(many[1].get("lr").and_then(Value::as_f64), Some(2e-5));
    assert_eq!(sweep("nothing"), Ok(None));
}

#[test]
fn texts_longer_than_agreed_are_refused() {
    let mut instance = instance(limits());
    instance.validate(&wish("nothing")).unwrap();
    let error = instance.rules().unwrap_err().to_string();
    assert!(
        error.contains("is 17408 bytes long; at most 16384"),
        "{error}"
    );
}

#[test]
fn memory_between_calls_ends_with_the_instance() {
    let mut instance = instance(limits());
    let mut calls = || match instance.validate(&wish("remember")) {
        Err(CallError::Unsupported(calls)) => calls,
        other => panic!("{other:?}"),
    };
    assert_eq!((calls().as_str(), calls().as_str()), ("1", "2"));
    instance.reset();
    let again = instance.validate(&wish("remember"));
    assert_eq!(again, Err(CallError::Unsupported("1".to_owned())));
}

#[test]
fn random_numbers_are_the_same_in_every_call() {
    let mut first = instance(limits());
    let mut second = instance(limits());
    let answer = first.validate(&wish("random"));
    assert!(matches!(answer, Err(CallError::Unsupported(_))));
    assert_eq!(answer, first.validate(&wish("random")));
    assert_eq!(answer, second.validate(&wish("random")));
}

#[test]
fn a_slow_leak_never_becomes_a_fault() {
    let mut instance = instance(limits());
    for call in 0..200 {
        assert_eq!(instance.validate(&wish("leak")), Ok(()), "call {call}");
        assert!(instance.usage().memory_bytes <= 20 << 20);
    }
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let lines = Lines::default();
    let mut instance = instance(Limits {
        fuel: u64::MAX,
        ..limits()
    });
    lines.during(|| {
        assert_eq!(instance.validate(&wish("log")), Ok(()));
        assert_eq!(instance.validate(&wish("long-log")), Ok(()));
    });
    let lines = lines.take();
    assert_eq!(lines.len(), 100 + 1 + 1, "{:?}", &lines[99..]);
    assert!(lines[0].contains("line 0") && lines[0].contains("hostile"));
    assert!(lines[100].contains("more than 100 lines"), "{}", lines[100]);
    assert!((2_000..2_100).contains(&lines[101].len()));
}

#[test]
fn instances_can_be_handed_to_another_thread() {
    let mut instance = instance(limits());
    assert_eq!(instance.validate(&wish("nothing")), Ok(()));
    let answer = std::thread::spawn(move || instance.validate(&wish("unsupported")));
    let answer = answer.join().unwrap();
    assert_eq!(answer, Err(CallError::Unsupported("as asked".to_owned())));
}
