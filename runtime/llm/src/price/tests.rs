use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::wire::{Message, Role, StopReason, TimeLimit};

const PRICE: Price = Price {
    input: 3.0,
    cached: Some(0.3),
    cache_write: Some(3.75),
    output: 15.0,
};

fn usage(input: u64, cached: u64, written: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        cached_tokens: cached,
        cache_write_tokens: written,
        output_tokens: output,
    }
}

fn request(text: &str, max_output_tokens: u32) -> Request {
    Request {
        system: String::new(),
        messages: vec![Message {
            role: Role::User,
            text: text.to_owned(),
        }],
        max_output_tokens,
        temperature: None,
        schema: None,
    }
}

#[test]
fn every_kind_of_token_has_its_price() {
    // 1,000 × 3 + 2,000 × 0.3 + 400 × 3.75 + 500 × 15 = 12,600 millionths.
    let cost = PRICE.cost(usage(1_000, 2_000, 400, 500));
    assert_eq!(cost, MicroUsd(12_600));
    assert_eq!(cost.to_string(), "$0.012600");
    assert!((cost.usd() - 0.0126).abs() < 1e-12);
}

#[test]
fn costs_are_rounded_up_once() {
    assert_eq!(PRICE.cost(usage(0, 1, 0, 0)), MicroUsd(1));
    assert_eq!(PRICE.cost(usage(0, 10, 0, 0)), MicroUsd(3));
    assert_eq!(PRICE.cost(usage(0, 0, 0, 0)), MicroUsd(0));
    // 0.1 has no exact binary form; ten tokens are one millionth all the same.
    let tenth = Price {
        input: 0.1,
        ..PRICE
    };
    assert_eq!(tenth.cost(usage(10, 0, 0, 0)), MicroUsd(1));
}

#[test]
fn prices_that_are_not_given_are_not_too_low() {
    let price: Price = serde_json::from_str(r#"{"input": 2.0, "output": 8.0}"#).unwrap();
    assert_eq!(price.cost(usage(0, 100, 0, 0)), MicroUsd(200));
    assert_eq!(price.cost(usage(0, 0, 100, 0)), MicroUsd(250));
}

#[test]
fn the_worst_case_counts_bytes_and_the_longest_answer() {
    let text = format!("{}ü", "a".repeat(1_000));
    // 1,000 / 2 + 2 + 1,000 + 16 tokens of input at the dearest 3.75; 100 of output at 15.
    assert_eq!(estimated_input_tokens(&request(&text, 100)), 1_518);
    let micros = (1_518.0_f64 * 3.75).ceil() + 1_500.0;
    let worst = PRICE.worst_case(&request(&text, 100));
    assert!((worst.usd() * 1e6 - micros).abs() < 1e-6, "{worst}");
}

#[test]
fn a_call_without_reported_usage_costs_what_was_reserved() {
    let request = request("hello", 100);
    assert_eq!(
        PRICE.charge(&request, Usage::default()),
        PRICE.worst_case(&request)
    );
    assert_eq!(PRICE.charge(&request, usage(1, 0, 0, 1)), MicroUsd(18));
}

#[test]
fn a_failed_call_is_booked_as_high_as_it_may_be_billed() {
    let request = request("hello", 100);
    let some = usage(10, 0, 0, 2);
    let worst = PRICE.worst_case(&request);
    let charge = |error| PRICE.charge_for_failure(&request, &error);
    assert_eq!(charge(CallError::Unreachable(String::new())), MicroUsd(0));
    assert_eq!(charge(CallError::NoBody), worst);
    assert_eq!(
        charge(CallError::Empty(StopReason::MaxTokens, some)),
        MicroUsd(60)
    );
    assert_eq!(
        charge(CallError::Empty(StopReason::MaxTokens, Usage::default())),
        worst
    );
    let broken_off = |usage| CallError::BrokenOff {
        received: 7,
        message: String::new(),
        usage,
    };
    assert_eq!(charge(broken_off(some)), worst);
    let huge = usage(0, 0, 0, 1_000_000);
    assert_eq!(charge(broken_off(huge)), PRICE.cost(huge));
    let timed_out = |what| CallError::TimedOut {
        what,
        after: Duration::ZERO,
        usage: Usage::default(),
    };
    assert_eq!(charge(timed_out(TimeLimit::Connection)), MicroUsd(0));
    assert_eq!(charge(timed_out(TimeLimit::FirstByte)), worst);
}

#[test]
fn amounts_come_from_dollars_and_never_wrap() {
    assert_eq!(MicroUsd::from_usd(0.29), MicroUsd(290_000));
    assert_eq!(MicroUsd::from_usd(50.0), MicroUsd(50_000_000));
    assert_eq!(MicroUsd::from_usd(-1.0), MicroUsd(0));
    assert_eq!(MicroUsd::from_usd(f64::NAN), MicroUsd(0));
    assert_eq!(MicroUsd::from_usd(f64::INFINITY), MicroUsd(u64::MAX));
    assert_eq!(MicroUsd(u64::MAX) + MicroUsd(1), MicroUsd(u64::MAX));
    assert_eq!(MicroUsd(1).saturating_sub(MicroUsd(2)), MicroUsd(0));
    let dear = Price {
        output: 1e6,
        ..PRICE
    };
    assert_eq!(dear.cost(usage(0, 0, 0, u64::MAX)), MicroUsd(u64::MAX));
}

proptest! {
    #[test]
    fn sums_of_costs_are_never_below_the_cost_of_the_sum(
        calls in prop::collection::vec((0_u64..1_000_000, 0_u64..1_000_000, 0_u64..100_000), 0..20),
    ) {
        let usages: Vec<Usage> = calls.iter().map(|(i, c, o)| usage(*i, *c, 0, *o)).collect();
        let sum: MicroUsd = usages.iter().map(|usage| PRICE.cost(*usage)).sum();
        let total = usages.iter().fold(Usage::default(), |total, each| usage(
            total.input_tokens + each.input_tokens,
            total.cached_tokens + each.cached_tokens,
            0,
            total.output_tokens + each.output_tokens,
        ));
        let whole = PRICE.cost(total);
        prop_assert!(sum >= whole);
        prop_assert!(sum.0 <= whole.0 + usages.len() as u64);
    }

    #[test]
    fn the_worst_case_covers_every_way_to_bill_the_tokens(
        text in ".{0,200}", limit in 0_u32..10_000, cached in 0.0..1.0, written in 0.0..1.0,
    ) {
        let request = request(&text, limit);
        let tokens = estimated_input_tokens(&request);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let share = |part: f64, of: u64| (part * of as f64) as u64;
        let cached = share(cached, tokens);
        let written = share(written, tokens - cached);
        let bill = usage(tokens - cached - written, cached, written, u64::from(limit));
        prop_assert!(PRICE.cost(bill) <= PRICE.worst_case(&request));
    }
}
