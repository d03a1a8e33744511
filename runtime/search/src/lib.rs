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
//! | [`queue`] | what runs next, so that nothing starves |
//! | [`mod@simulate`] | how policies compare on an objective that costs nothing |

pub mod breaker;
pub mod credits;
pub mod dedup;
pub mod evolution;
mod novelty;
pub mod policy;
pub mod queue;
pub mod random;
pub mod sampling;
pub mod simulate;
pub mod sweep;
pub mod tpe;

pub use breaker::{BreakerSettings, FailureBreaker, Pause};
pub use credits::{CreditBook, ResearcherIndex, Settlement};
pub use dedup::{DedupIndex, DedupMode, DedupSettings, Duplicate};
pub use policy::{Observation, Policy, PolicyKind, Proposal, build, build_with};
pub use queue::FairQueue;
pub use simulate::{Summary, Trajectory, simulate, simulate_policy, summarise};
pub use sweep::{SweepSettings, SweepVariant, Sweeper};
