//! A pack opened for training: labels by split, and features that stay resident.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use candle_core::Device;
use orze_campaign::{Failure, FailureKind, InputError};

use crate::fault;
use crate::features::Features;
use crate::pack::{ClipEntry, Pack, Split};

/// What a worker keeps between experiments.
#[derive(Debug)]
pub struct Dataset {
    pack: Pack,
    device: Device,
    resident: RefCell<BTreeMap<String, Rc<Features>>>,
}

impl Dataset {
    /// Opens and checks a pack; features are moved to the device when they are first asked for.
    ///
    /// # Errors
    /// An [`InputError`] as of [`Pack::open`].
    pub fn open(folder: &Path, device: Device) -> Result<Self, InputError> {
        Ok(Self {
            pack: Pack::open(folder)?,
            device,
            resident: RefCell::default(),
        })
    }

    /// The standardised features of a backbone, resident from the first call on.
    ///
    /// # Errors
    /// [`FailureKind::MissingFeatures`] when the pack has no such map, and
    /// [`FailureKind::CorruptFeatures`] when it can't be decoded.
    pub fn features(&self, backbone: &str) -> Result<Rc<Features>, Failure> {
        if let Some(features) = self.resident.borrow().get(backbone) {
            return Ok(Rc::clone(features));
        }
        let map = self
            .pack
            .backbone(backbone)
            .map_err(|error| fault::of_features(&error))?
            .ok_or_else(|| {
                let entries = &self.pack.manifest().backbones;
                let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
                Failure::new(
                    FailureKind::MissingFeatures,
                    format!(
                        "backbone: {} has no features `{backbone}`; it has: {}",
                        self.pack.folder().display(),
                        names.join(", ")
                    ),
                )
            })?;
        let features = Features::new(&map, self.pack.manifest(), &self.device)
            .map_err(|error| fault::of_candle(&error))?;
        let features = Rc::new(features);
        self.resident
            .borrow_mut()
            .insert(backbone.to_owned(), Rc::clone(&features));
        Ok(features)
    }

    /// The clips of a split, by their index in the manifest.
    pub fn clips(&self, split: Split) -> Vec<usize> {
        let clips = &self.pack.manifest().clips;
        (0..clips.len())
            .filter(|&index| clips[index].split == split)
            .collect()
    }

    /// Whether a clip carries the positive label.
    pub fn is_positive(&self, clip: usize) -> bool {
        self.pack.manifest().is_positive(self.clip(clip))
    }

    /// A clip's entry in the manifest.
    pub fn clip(&self, clip: usize) -> &ClipEntry {
        &self.pack.manifest().clips[clip]
    }

    /// The pack.
    pub fn pack(&self) -> &Pack {
        &self.pack
    }
}

/// The device of a name as campaigns write it: `cpu`, or `cuda:N` in builds that have it.
///
/// # Errors
/// An [`InputError`] for a name that is none, or a device that is not there.
pub fn device(name: &str) -> Result<Device, InputError> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let ordinal = name
        .strip_prefix("cuda:")
        .and_then(|ordinal| ordinal.parse().ok())
        .ok_or_else(|| {
            InputError::new(format!("`{name}` is no device"))
                .hint("allowed: cpu, cuda:0, cuda:1, …")
        })?;
    Device::new_cuda(ordinal).map_err(|error| {
        InputError::new(format!("{name} can't be used: {error}"))
            .hint("build with CUDA on a machine that has that device, or use cpu")
    })
}
