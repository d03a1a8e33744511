//! The trainable tensors of a model, by name and in the order of their making.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::memory;

/// A store of named variables, initialised from one seeded stream.
#[derive(Debug)]
pub struct Parameters {
    device: Device,
    random: ChaCha8Rng,
    prefix: String,
    entries: Vec<(String, Var)>,
    /// Scalars that may still be made.
    room: u64,
}

impl Parameters {
    /// An empty store; initial values come from `random` in the order of the calls.
    pub fn new(device: &Device, random: ChaCha8Rng) -> Self {
        Self {
            device: device.clone(),
            random,
            prefix: String::new(),
            entries: Vec::new(),
            room: u64::MAX,
        }
    }

    /// Refuses more than `count` trainable scalars in all, as out of memory.
    #[must_use]
    pub fn limited(mut self, count: u64) -> Self {
        self.room = count;
        self
    }

    /// Runs `build` with every name prefixed by `scope.`.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn scoped<T>(
        &mut self,
        scope: &str,
        build: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = self.prefix.len();
        self.prefix.push_str(scope);
        self.prefix.push('.');
        let built = build(self);
        self.prefix.truncate(outer);
        built
    }

    /// A variable uniform within `±bound`.
    ///
    /// # Errors
    /// When the device has no memory left.
    #[allow(clippy::cast_possible_truncation)]
    pub fn uniform(&mut self, name: &str, shape: &[usize], bound: f64) -> Result<Tensor> {
        self.filled(name, shape, |_, random| {
            ((random.random::<f64>() * 2.0 - 1.0) * bound) as f32
        })
    }

    /// A variable whose entries are made one by one, from their index, row by row, and random numbers.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn filled(
        &mut self,
        name: &str,
        shape: &[usize],
        mut entry: impl FnMut(usize, &mut ChaCha8Rng) -> f32,
    ) -> Result<Tensor> {
        let (count, mut values) = self.room_for(name, shape)?;
        values.extend((0..count).map(|index| entry(index, &mut self.random)));
        self.values(name, shape, values)
    }

    /// A variable that starts with one value everywhere.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn constant(&mut self, name: &str, shape: &[usize], value: f32) -> Result<Tensor> {
        let (count, mut values) = self.room_for(name, shape)?;
        values.resize(count, value);
        self.values(name, shape, values)
    }

    /// The number of entries of a shape, and an empty vector with room for them.
    fn room_for(&self, name: &str, shape: &[usize]) -> Result<(usize, Vec<f32>)> {
        let name = format!("{}{name} {shape:?}", self.prefix);
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &side| count.checked_mul(side));
        match count {
            Some(count) if count as u64 <= self.room => {
                Ok((count, memory::reserved(count, &name)?))
            }
            _ => Err(memory::exhausted(&name)),
        }
    }

    /// A variable that starts with these values, row by row.
    ///
    /// # Errors
    /// When they are not as many as the shape asks for, or the device has no memory left.
    pub fn values(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
        self.room = self.room.saturating_sub(values.len() as u64);
        let variable = Var::from_vec(values, shape, &self.device)?;
        let tensor = variable.as_tensor().clone();
        self.entries
            .push((format!("{}{name}", self.prefix), variable));
        Ok(tensor)
    }

    /// The variables in the order of their making.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.entries
            .iter()
            .map(|(name, variable)| (name.as_str(), variable))
    }

    /// Number of trainable scalars.
    pub fn count(&self) -> usize {
        self.entries
            .iter()
            .map(|(_, variable)| variable.elem_count())
            .sum()
    }

    /// A copy of all values, to be restored later.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn snapshot(&self) -> Result<Vec<Tensor>> {
        self.entries
            .iter()
            .map(|(_, variable)| variable.as_tensor().copy())
            .collect()
    }

    /// Puts a snapshot's values back.
    ///
    /// # Errors
    /// When the snapshot is of another model.
    pub fn restore(&self, snapshot: &[Tensor]) -> Result<()> {
        for ((_, variable), value) in self.entries.iter().zip(snapshot) {
            variable.set(value)?;
        }
        Ok(())
    }

    /// Writes all values as safetensors.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, file: &Path) -> Result<()> {
        let tensors: HashMap<String, Tensor> = self
            .entries
            .iter()
            .map(|(name, variable)| Ok((name.clone(), variable.to_dtype(DType::F32)?)))
            .collect::<Result<_>>()?;
        candle_core::safetensors::save(&tensors, file)
    }
}
