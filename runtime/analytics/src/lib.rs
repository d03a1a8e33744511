//! What a campaign has learned: figures for a live view, statistics, tables and the report.
//!
//! Everything here is a pure function of [`orze_campaign::ExperimentRecord`]s: no disk, no clock,
//! no actor. A larger objective is better. An experiment counts as a measurement when it is
//! completed and its objective is finite ([`measured::Measured`]); results of the surrogate
//! trainer are no measurements and are marked wherever they are shown.

mod document;
pub mod effects;
pub mod figures;
pub mod healing;
pub mod learned;
pub mod measured;
pub mod published;
pub mod raster;
pub mod regime;
pub mod report;
pub mod running;
pub mod selection;
pub mod statistics;
mod svg;
pub mod table;
#[cfg(test)]
mod testing;
mod text;
pub mod utilisation;

pub use healing::Healing;
pub use learned::Learned;
pub use regime::{RegimeEstimate, RegimeWatch};
pub use report::{Baseline, Evidence, Report, ReportInput};
pub use running::{Running, Snapshot};
pub use selection::{Due, Selection, SelectionSettings};
pub use table::{leaderboard, leaderboard_markdown};
