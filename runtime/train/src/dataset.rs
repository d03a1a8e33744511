//! A pack opened for training: labels by split, and features that stay resident.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use orze_campaign::{Failure, FailureKind, InputError};

use crate::fault;
use crate::features::{FeatureMap, Features};
use crate::pack::{ClipEntry, Pack, Split};
use crate::seal::Readable;
use crate::threads::Threads;

/// Joins the names of backbones that are fused by concatenation: `vjepa2+siglip2`.
pub const FUSION: char = '+';

/// A part of a pack, or other labels than its own: what verification trains on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The clips that are there, by their index in the manifest; without it, all.
    pub clips: Option<BTreeSet<usize>>,
    /// Whether each clip of the manifest counts as positive; without it, its label decides.
    pub positive: Option<Vec<bool>>,
}

/// What a worker keeps between experiments.
#[derive(Debug)]
pub struct Dataset {
    pack: Arc<Pack>,
    view: View,
    device: Device,
    resident: RefCell<BTreeMap<String, Arc<FeatureMap>>>,
    threads: Threads,
}

impl Dataset {
    /// Opens and checks a pack; features are moved to the device when they are first asked for.
    ///
    /// # Errors
    /// An [`InputError`] as of [`Pack::open_damaged`].
    pub fn open(folder: &Path, device: Device) -> Result<Self, InputError> {
        Ok(Self {
            pack: Arc::new(Pack::open_damaged(folder)?),
            view: View::default(),
            device,
            resident: RefCell::default(),
            threads: Threads::default(),
        })
    }

    /// Lets experiments compute on these threads instead of one, on the CPU. A GPU is given its work by
    /// one thread, in the one order that its stream has.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        if self.on_cpu() {
            Self { threads, ..self }
        } else {
            self
        }
    }

    /// The same pack, seen in part or under other labels; features are standardised by the training
    /// clips that are there.
    #[must_use]
    pub fn viewed(&self, view: View) -> Self {
        Self {
            pack: Arc::clone(&self.pack),
            view,
            device: self.device.clone(),
            resident: RefCell::default(),
            threads: self.threads.clone(),
        }
    }

    /// Whether features lie in the host's memory.
    pub fn on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// What experiments compute on.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Reads a pack that was damaged once more: it may have been put right.
    ///
    /// # Errors
    /// [`FailureKind::MissingFeatures`] when it has gone, [`FailureKind::CorruptFeatures`] when more
    /// is damaged than can be left out; it stays as it was then.
    pub fn read_again(&mut self) -> Result<(), Failure> {
        if self.pack.damage().is_none() {
            return Ok(());
        }
        let folder = self.pack.folder();
        self.pack = Arc::new(Pack::open_damaged(folder).map_err(|e| fault::of_pack(folder, &e))?);
        self.resident.borrow_mut().clear();
        Ok(())
    }

    /// How many training clips are left out because their features can't be used.
    ///
    /// # Errors
    /// [`FailureKind::CorruptFeatures`] when there are any and they may not be left out.
    pub fn left_out(&self, may_be: bool) -> Result<usize, Failure> {
        match self.pack.damage() {
            None => Ok(0),
            Some(damage) if may_be => Ok(damage.clips.len()),
            Some(damage) => {
                let mut failure = fault::of_features(&damage.error);
                failure.message = format!(
                    "{}; {} training clips can't be used",
                    failure.message,
                    damage.clips.len()
                );
                Err(failure)
            }
        }
    }

    /// The features of a backbone, or of several joined by [`FUSION`] and concatenated in that
    /// order; each map stays resident from the first call on.
    ///
    /// # Errors
    /// [`FailureKind::MissingFeatures`] when the pack has no such map,
    /// [`FailureKind::CorruptFeatures`] when it can't be decoded,
    /// [`FailureKind::ShapeMismatch`] when a clip has not as many frames in one map as in another,
    /// and [`FailureKind::BadConfiguration`] for a map joined to itself.
    pub fn features(&self, backbone: &str) -> Result<Features, Failure> {
        let entries = &self.pack.manifest().backbones;
        let names: Vec<&str> = if entries.iter().any(|entry| entry.name == backbone) {
            vec![backbone]
        } else {
            backbone.split(FUSION).collect()
        };
        let mut maps: Vec<Arc<FeatureMap>> = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(Failure::new(
                    FailureKind::BadConfiguration,
                    format!("backbone: `{backbone}` joins {name} to itself"),
                ));
            }
            let map = self.map(name)?;
            let first = maps.first().unwrap_or(&map);
            if let Some(clip) = first.first_difference(&map) {
                return Err(Failure::new(
                    FailureKind::ShapeMismatch,
                    format!(
                        "backbone: `{backbone}` can't be joined frame by frame: clip {} has {} \
                         frames in {} and {} in {name}",
                        self.clip(clip).id,
                        first.length(clip),
                        names[0],
                        map.length(clip)
                    ),
                ));
            }
            maps.push(map);
        }
        Ok(Features::new(maps))
    }

    /// The standardised frames of one backbone.
    fn map(&self, backbone: &str) -> Result<Arc<FeatureMap>, Failure> {
        if let Some(features) = self.resident.borrow().get(backbone) {
            return Ok(Arc::clone(features));
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
        let features = FeatureMap::new(&map, &self.clips(Split::Train), &self.device)
            .map_err(|error| fault::of_candle(&error))?;
        let features = Arc::new(features);
        self.resident
            .borrow_mut()
            .insert(backbone.to_owned(), Arc::clone(&features));
        Ok(features)
    }

    /// The clips of a split that can be used, by their index in the manifest.
    pub fn clips(&self, split: Split) -> Vec<usize> {
        let clips = &self.pack.manifest().clips;
        let damage = self.pack.damage();
        let seen = self.view.clips.as_ref();
        let usable = |index| {
            damage.is_none_or(|damage| !damage.clips.contains(&index))
                && seen.is_none_or(|seen| seen.contains(&index))
        };
        (0..clips.len())
            .filter(|&index| clips[index].split == split && usable(index))
            .collect()
    }

    /// Whether a clip of training or validation carries the positive label.
    ///
    /// # Panics
    /// For a test clip: its label is sealed, and is among [`Self::labels`] alone.
    pub fn is_positive(&self, clip: usize) -> bool {
        let entry = self.clip(clip);
        assert!(
            entry.split != Split::Test,
            "the label of test clip {} was read outside of the test evaluation",
            entry.id
        );
        self.label(clip)
    }

    /// Whether the clips of a split carry the positive label, in the order of [`Self::clips`].
    pub fn labels(&self, of: Readable<'_>) -> Vec<bool> {
        let clips = self.clips(of.split()).into_iter();
        clips.map(|clip| self.label(clip)).collect()
    }

    fn label(&self, clip: usize) -> bool {
        match &self.view.positive {
            Some(positive) => positive[clip],
            None => self.pack.manifest().is_positive(self.clip(clip)),
        }
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

/// The NVIDIA GPUs that [`device`] can open, as the driver counts them; none in a build without CUDA.
pub fn gpus() -> u32 {
    #[cfg(feature = "cuda")]
    {
        use candle_core::cuda_backend::cudarc::driver::CudaContext;
        // Without a driver there is none.
        let count = CudaContext::device_count().unwrap_or(0);
        u32::try_from(count).unwrap_or(0)
    }
    #[cfg(not(feature = "cuda"))]
    0
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
    open(ordinal).map_err(|error| {
        InputError::new(format!("{name} can't be used: {error}"))
            .hint("build with CUDA on a machine that has that device, or use cpu")
    })
}

#[cfg(feature = "cuda")]
use crate::kernels::gpu::open;

/// Fails: this build has no GPUs.
#[cfg(not(feature = "cuda"))]
fn open(ordinal: usize) -> candle_core::Result<Device> {
    Device::new_cuda(ordinal)
}
