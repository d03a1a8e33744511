//! What training should have done, as plain loops in double precision. Nothing here calls the trainer,
//! but for the composed form of an encoder's operations, which have reference vectors of their own.

pub mod adamw;
pub mod data;
pub mod model;
pub mod objective;
pub mod pooling;
pub mod schedule;
pub mod scores;
#[cfg(test)]
mod testing;
