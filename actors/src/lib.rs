//! The supervised actors of a campaign. Thin: every decision is a pure function in
//! `orze-search`, `orze-campaign` or `orze-ledger`; an actor moves messages and holds state that
//! it can rebuild from the ledger.
//!
//! | actor | if it is killed |
//! |---|---|
//! | [`campaign`] (root) | the run ends; the next one resumes from the ledger |
//! | [`ledger`] | reopened in the same run; every sender writes its unacknowledged entries again, and entries are idempotent |
//! | [`researcher`] | told the whole history again; its random numbers go on from the next cycle |
//! | [`agent`] | the money of its call stays set aside and the call's cycle is used up; no idea of it was handed on |
//! | [`intake`] | credits and sweeps are rebuilt; proposals on their way count as never made |
//! | [`task_host`], [`diversity_host`] | the plugin is instantiated anew; proposals on their way count as never made |
//! | [`deduplicator`] | fingerprints are rebuilt once the ledger has all that it wrote; proposals on their way count as never made |
//! | [`scheduler`] | queue and leases are rebuilt; nothing is leased before every slot has said where it stands |
//! | [`diagnoser`] | reads the open cases from the ledger; a diagnosis written twice counts once |
//! | [`slot`] | its process group is killed and its end confirmed, its lease handed back, a fresh worker started; quarantined after repeated faults |
//! | [`referee`] | what is due is computed again; a run that it asked for is admitted once |
//! | [`analyst`] | recomputed, with the [`regime`]; the note of a regime is written once |
//!
//! An actor that fails faster than [`restart`] allows is not started again: a slot is taken out, and
//! without any other actor the run ends, names it, and can be resumed. [`shutdown`] waits for no part that
//! is gone, so a run ends whatever fails while it does.
//!
//! Messages are news, the ledger is the truth: an actor acts on a transition when the ledger has
//! committed it, and every message may be lost or come twice without harm.

pub mod agent;
pub mod analyst;
pub mod campaign;
pub mod context;
pub mod deduplicator;
pub mod devices;
pub mod diagnoser;
pub mod directory;
pub mod diversity_host;
pub mod encoders;
pub mod equipment;
pub mod evidence;
pub mod graphs;
pub mod health;
pub mod intake;
pub mod kept;
pub mod leases;
pub mod ledger;
pub mod model_diagnoser;
pub mod outbox;
pub mod past;
pub mod pipeline;
pub mod plugins;
pub mod process;
pub mod referee;
pub mod regime;
pub mod researcher;
pub mod restart;
pub mod scheduler;
pub mod shutdown;
pub mod slot;
pub mod task_host;
pub mod tried;
pub mod view;
pub mod worker_log;

pub use campaign::{Campaign, CampaignMessage, Ending, StopReason};
pub use context::Context;
pub use view::View;
