//! AdamW with decoupled decay, entry by entry.

/// Decay of the moments and what is added to the root, as documented.
const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// The moments of one entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    first: f64,
    second: f64,
    steps: i32,
}

/// What one step is made with.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Of this step.
    pub learning_rate: f64,
    /// 0 where weights do not decay.
    pub decay: f64,
    /// What clipping makes of the gradient.
    pub scale: f64,
}

impl Moments {
    /// The value after a step.
    pub fn step(&mut self, value: f64, gradient: f64, rates: Rates) -> f64 {
        let gradient = gradient * rates.scale;
        self.steps += 1;
        self.first = BETA.0 * self.first + (1.0 - BETA.0) * gradient;
        self.second = BETA.1 * self.second + (1.0 - BETA.1) * gradient * gradient;
        let first = self.first / (1.0 - BETA.0.powi(self.steps));
        let second = self.second / (1.0 - BETA.1.powi(self.steps));
        let decayed = value - rates.learning_rate * rates.decay * value;
        decayed - rates.learning_rate * first / (second.sqrt() + EPSILON)
    }
}

/// The factor that brings gradients of a norm down to a limit; 0 is no limit.
pub fn scale(norm: f64, limit: f64) -> f64 {
    if limit == 0.0 || norm <= limit {
        1.0
    } else {
        limit / norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::reference::testing::{list, number, vector};

    #[test]
    fn reference_vectors_of_adamw() {
        let file = vector("adamw");
        let rates = Rates {
            learning_rate: number(&file, "lr"),
            decay: number(&file, "weight_decay"),
            scale: 1.0,
        };
        let start = list(&file["inputs"]["w0"]);
        let targets = list(&file["inputs"]["target"]);
        for (entry, (mut value, target)) in start.into_iter().zip(targets).enumerate() {
            let mut moments = Moments::default();
            for expected in file["trajectory"].as_array().unwrap() {
                value = moments.step(value, 2.0 * (value - target), rates);
                assert!((value - list(expected)[entry]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn gradients_are_brought_down_to_the_limit_alone() {
        assert_eq!(scale(4.0, 1.0), 0.25);
        assert_eq!(scale(0.5, 1.0), 1.0);
        assert_eq!(scale(4.0, 0.0), 1.0);
    }
}
