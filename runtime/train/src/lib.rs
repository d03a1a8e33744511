//! Feature packs, encoders, losses, optimiser and one experiment, on candle.
//!
//! An experiment runs through [`experiment::run`]: a configuration read by the consuming reader,
//! features of a [`pack`], a [`model`] of an encoder graph ([`mod@encoder`]) and a pooling, a [`loss`], AdamW,
//! validation each epoch through the same forward pass. [`recipe::Recipe`] lists every knob.

pub mod artifacts;
pub mod audit;
pub mod baseline;
pub mod blackbox;
mod cell_means;
pub mod command;
pub mod dataset;
pub mod encoder;
pub mod evaluation;
pub mod experiment;
pub mod fault;
pub mod features;
pub mod kernels;
pub mod layers;
pub mod leakage;
pub mod loss;
pub mod mask;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod observer;
pub mod optimiser;
pub mod pack;
pub mod parameters;
pub mod pass;
pub mod precision;
pub mod recipe;
pub mod sampling;
pub mod schedule;
pub mod seal;
pub mod step;
pub mod surrogate;
pub mod table;
#[cfg(test)]
mod testing;
pub mod threads;
mod training;
pub mod verify;
pub mod worker;
