//! The learning rate over training: linear warm-up, then one of three decays.

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Half a cosine down to zero.
    Cosine,
    /// A straight line down to zero.
    Linear,
    /// Constant, times 0.3 after half and times 0.09 after three quarters of the steps.
    Step,
}

impl Schedule {
    /// The names in configurations.
    pub const NAMES: [&'static str; 3] = ["cosine", "linear", "step"];

    /// The schedule of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "cosine" => Some(Self::Cosine),
            "linear" => Some(Self::Linear),
            "step" => Some(Self::Step),
            _ => None,
        }
    }

    /// The factor on the learning rate in step `step` of `steps`, of which `warmup` warm up.
    #[allow(clippy::cast_precision_loss)]
    pub fn factor(self, step: usize, steps: usize, warmup: usize) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let done = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
        match self {
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Linear => 1.0 - done,
            Self::Step if done >= 0.75 => 0.09,
            Self::Step if done >= 0.5 => 0.3,
            Self::Step => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_decays() {
        for name in Schedule::NAMES {
            let schedule = Schedule::from_name(name).unwrap();
            let factors: Vec<f64> = (0..100).map(|s| schedule.factor(s, 100, 10)).collect();
            assert!((factors[0] - 0.1).abs() < 1e-12, "{name}");
            assert!((factors[10] - 1.0).abs() < 1e-12, "{name}");
            assert!(factors[10..].windows(2).all(|w| w[1] <= w[0]), "{name}");
            assert!(
                factors[99] > 0.0 && factors[99] < 0.1,
                "{name}: {}",
                factors[99]
            );
        }
    }
}
