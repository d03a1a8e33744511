//! The decisions of a search as pure functions: which point to try next, whether it has been tried
//! already, who may propose, and what runs first.
//!
//! Nothing here knows a clock, a disk, a thread or an actor. Everything is deterministic: the same
//! observations in the same order and the same generator give the same proposals, which is how an
//! actor that was killed goes on where it stopped.
//!
//! | module | question |
//! |---|---|
//! | [`policy`] | what to try next: [`random`], [`tpe`], [`evolution`] |
//! | [`sweep`] | which variants of a promising experiment to try |
//! | [`dedup`] | has this been tried already |
//! | [`credits`] | who may propose how much, so that the queue stays inside its bound |
//! | [`portfolio`] | who should propose more, by gain and cost |
//! | [`queue`] | what runs next, so that nothing starves |
//! | [`mod@simulate`] | what a policy does on an objective that costs nothing |
//! | [`pool`], [`replay`] | what it does on a table of results, and what was done there |
//! | [`compare`], [`mod@optimum`] | how policies stand side by side, and how far from the best |

pub mod breaker;
pub mod compare;
pub mod credits;
pub mod dedup;
pub mod evolution;
mod novelty;
pub mod optimum;
pub mod policy;
pub mod pool;
pub mod portfolio;
pub mod queue;
pub mod random;
pub mod replay;
pub mod sampling;
pub mod simulate;
pub mod sweep;
pub mod tpe;

pub use breaker::{BreakerSettings, FailureBreaker, Pause};
pub use compare::{Estimate, Exponent, Mark, Standing};
pub use credits::{CreditBook, ResearcherIndex, Settlement};
pub use dedup::{DedupIndex, DedupMode, DedupSettings, Duplicate};
pub use optimum::optimum;
pub use policy::{Observation, Policy, PolicyKind, Proposal, build, build_with};
pub use pool::{Drawing, Matches, Pool};
pub use portfolio::{Balance, Member, Portfolio, PortfolioPolicy, PortfolioSettings, Role};
pub use queue::FairQueue;
pub use replay::Replay;
pub use simulate::{Summary, Trajectory, simulate, simulate_policy, summarise};
pub use sweep::{SweepSettings, SweepVariant, Sweeper};
