//! Where experiments can run: found by itself, or set by hand.

use std::num::NonZeroUsize;

use orze_campaign::InputError;
use orze_campaign::settings::{Auto, DeviceKind, SlotSettings};

/// One slot's share of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotPlan {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// CPU threads of its worker.
    pub threads: u32,
}

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// CPU cores that this process may use.
    pub cores: u32,
    /// NVIDIA GPUs that experiments can use.
    pub gpus: u32,
}

impl Machine {
    /// Looks at the machine, which has so many GPUs.
    pub fn with_gpus(gpus: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            cores: u32::try_from(cores).unwrap_or(1),
            gpus,
        }
    }
}

/// The GPUs that the kernel driver shows, and that a script may use; no program is started for it
/// (lesson 18).
pub fn nvidia_gpus() -> u32 {
    let Ok(entries) = std::fs::read_dir("/proc/driver/nvidia/gpus") else {
        return 0;
    };
    let found = u32::try_from(entries.flatten().count()).unwrap_or(0);
    std::env::var("CUDA_VISIBLE_DEVICES").map_or(found, |visible| {
        let listed = visible.split(',').filter(|id| !id.trim().is_empty());
        found.min(u32::try_from(listed.count()).unwrap_or(0))
    })
}

/// The slots of a campaign on a machine.
///
/// # Errors
/// When GPUs are asked for and there is none to use.
pub fn plan(settings: &SlotSettings, machine: Machine) -> Result<Vec<SlotPlan>, InputError> {
    let gpus = match settings.device {
        DeviceKind::Cpu => 0,
        DeviceKind::Auto => machine.gpus,
        DeviceKind::Cuda if machine.gpus == 0 => {
            return Err(InputError::new(
                "asks for GPUs, and this build or machine has none that it can use",
            )
            .at_key("slots.device")
            .hint(
                "build with `--features cuda` on a machine with an NVIDIA driver, or use \"auto\"",
            ));
        }
        DeviceKind::Cuda => machine.gpus,
    };
    let count = settings
        .count
        .or(if gpus > 0 { gpus } else { machine.cores });
    // A GPU is given its work by one thread.
    let automatic = if gpus > 0 { 1 } else { machine.cores / count };
    let threads = settings.threads.or(automatic.max(1));
    Ok((0..count)
        .map(|slot| SlotPlan {
            device: if gpus > 0 {
                format!("cuda:{}", slot % gpus)
            } else {
                "cpu".to_owned()
            },
            threads,
        })
        .collect())
}

/// Experiments that may wait: enough that a slot never starves while researchers think.
pub fn queue_capacity(queue: Auto, slots: usize) -> usize {
    let automatic = u32::try_from(slots)
        .unwrap_or(u32::MAX)
        .saturating_mul(8)
        .max(16);
    usize::try_from(queue.or(automatic)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cores: u32, gpus: u32) -> Machine {
        Machine { cores, gpus }
    }

    #[test]
    fn cores_are_shared_and_never_oversubscribed() {
        let slots = plan(&SlotSettings::default(), machine(8, 0)).unwrap();
        assert_eq!(slots.len(), 8);
        assert!(
            slots
                .iter()
                .all(|slot| slot.threads == 1 && slot.device == "cpu")
        );
        let three = SlotSettings {
            count: Auto::Is(3),
            ..SlotSettings::default()
        };
        let slots = plan(&three, machine(8, 0)).unwrap();
        assert_eq!(slots.iter().map(|slot| slot.threads).sum::<u32>(), 6);
    }

    #[test]
    fn gpus_are_used_in_turn() {
        let five = SlotSettings {
            count: Auto::Is(5),
            ..SlotSettings::default()
        };
        let slots = plan(&five, machine(16, 2)).unwrap();
        assert!(slots.iter().all(|slot| slot.threads == 1));
        let devices: Vec<&str> = slots.iter().map(|slot| slot.device.as_str()).collect();
        assert_eq!(devices, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]);
    }

    #[test]
    fn gpus_that_are_not_there_are_refused() {
        let cuda = SlotSettings {
            device: DeviceKind::Cuda,
            ..SlotSettings::default()
        };
        assert!(plan(&cuda, machine(8, 0)).is_err());
    }
}
