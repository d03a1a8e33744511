//! Figures of the paper, for "the paper's figure next to ours".
//!
//! Auto Researching, not hyperparameter tuning: Convergence Analysis of 10,000 LLM-Guided ML
//! Experiments (Li). Each constant names the section or table that prints it and is rounded as it
//! is printed there.

/// Experiments of the campaign (abstract).
pub const EXPERIMENTS: usize = 10_469;

/// The best validation average precision (abstract, table 1).
pub const BEST: f64 = 0.9245;

/// A published analysis of variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedShare {
    /// What was analysed.
    pub label: &'static str,
    /// Experiments.
    pub n: usize,
    /// Groups.
    pub groups: usize,
    /// η².
    pub eta2: f64,
    /// F.
    pub f: f64,
    /// Where it is printed.
    pub source: &'static str,
}

/// Backbone × encoder after the bug fixes.
pub const ARCHITECTURE: PublishedShare = PublishedShare {
    label: "post-bugfix",
    n: 838,
    groups: 12,
    eta2: 0.94,
    f: 1324.3,
    source: "table 3",
};

/// Backbone × encoder over the whole campaign.
pub const ARCHITECTURE_FULL: PublishedShare = PublishedShare {
    label: "full campaign",
    n: 1299,
    groups: 12,
    eta2: 0.79,
    f: 449.3,
    source: "table 3",
};

/// Backbone × encoder on ten experiments of each.
pub const BALANCED: PublishedShare = PublishedShare {
    label: "balanced, 10 of each group",
    n: 110,
    groups: 11,
    eta2: 0.50,
    f: 9.83,
    source: "§5.4",
};

/// Encoder inside the backbone V-JEPA 2.
pub const WITHIN_BACKBONE: PublishedShare = PublishedShare {
    label: "encoder within V-JEPA 2",
    n: 2039,
    groups: 4,
    eta2: 0.035,
    f: 24.45,
    source: "§5.4",
};

/// One line of the published two-way table of the FedEx task, n = 31 (§5.4). Its shares are of each
/// factor alone and not type II.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedEffect {
    /// The factor.
    pub label: &'static str,
    /// Share of the variance.
    pub share: f64,
    /// F, where it is printed.
    pub f: Option<f64>,
    /// p, where it is printed.
    pub p: Option<f64>,
}

/// Backbone, encoder and their interaction on the FedEx task (§5.4).
pub const FEDEX: [PublishedEffect; 3] = [
    PublishedEffect {
        label: "backbone",
        share: 0.33,
        f: Some(4.61),
        p: Some(0.014),
    },
    PublishedEffect {
        label: "encoder",
        share: 0.16,
        f: Some(2.94),
        p: Some(0.070),
    },
    PublishedEffect {
        label: "backbone × encoder",
        share: 0.27,
        f: None,
        p: None,
    },
];

/// Experiments of the FedEx task (§5.4).
pub const FEDEX_EXPERIMENTS: usize = 31;

/// What architecture explains on the FedEx task altogether (§5.4).
pub const FEDEX_ARCHITECTURE: f64 = 0.75;

/// A policy in the paper's table 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedPolicy {
    /// The policy.
    pub policy: &'static str,
    /// Whether it draws from a pool of results or generates and trains.
    pub source: &'static str,
    /// Best after 50 experiments.
    pub at_50: f64,
    /// After 100.
    pub at_100: f64,
    /// After 500; `None` where it had fewer.
    pub at_500: Option<f64>,
    /// Convergence exponent.
    pub c: f64,
    /// R² of the power law.
    pub r2: f64,
}

/// Table 2.
pub const POLICIES: [PublishedPolicy; 4] = [
    PublishedPolicy {
        policy: "random",
        source: "pool",
        at_50: 0.9876,
        at_100: 0.9897,
        at_500: Some(0.9944),
        c: 0.99,
        r2: 0.955,
    },
    PublishedPolicy {
        policy: "TPE",
        source: "pool",
        at_50: 0.9874,
        at_100: 0.9910,
        at_500: Some(0.9949),
        c: 1.12,
        r2: 0.970,
    },
    PublishedPolicy {
        policy: "LLM",
        source: "generative",
        at_50: 0.9852,
        at_100: 0.9852,
        at_500: Some(0.9901),
        c: 0.11,
        r2: 0.926,
    },
    PublishedPolicy {
        policy: "random",
        source: "generative",
        at_50: 0.9648,
        at_100: 0.9751,
        at_500: None,
        c: 0.77,
        r2: 0.763,
    },
];

/// Post-bugfix convergence (§5.2).
pub mod convergence {
    /// Experiments after the last bug fix.
    pub const N: usize = 3003;
    /// c of the power law.
    pub const EXPONENT: f64 = 0.11;
    /// Its R².
    pub const R2: f64 = 0.93;
    /// Mean R² on random orders of the same results.
    pub const PERMUTED_R2: f64 = 0.81;
    /// Their standard deviation.
    pub const PERMUTED_DEVIATION: f64 = 0.09;
    /// AIC of power law, logarithmic and exponential model.
    pub const AIC: [(&str, f64); 3] = [
        ("power", -10_558.0),
        ("logarithmic", -10_437.0),
        ("exponential", -9_891.0),
    ];
    /// c over the full campaign, bug fixes included.
    pub const FULL_EXPONENT: f64 = 0.34;
    /// Its R².
    pub const FULL_R2: f64 = 0.47;
}

/// Entropy, specialisation and innovation (§5.3, figure 3).
pub mod dynamics {
    /// H of the first exploration peak, nats, at about 400 experiments.
    pub const FIRST_PEAK: f64 = 2.8;
    /// H of the dip, at about 800.
    pub const DIP: f64 = 0.8;
    /// H of the second peak, at about 1,800.
    pub const SECOND_PEAK: f64 = 3.8;
    /// R² of H₀ + k log t.
    pub const TREND_R2: f64 = 0.35;
    /// How many times faster architectural entropy changes than training entropy.
    pub const ARCH_OVER_TRAIN: f64 = 15.2;
    /// Largest Jensen–Shannon divergence of the two agents, nats.
    pub const LARGEST_DIVERGENCE: f64 = 0.48;
    /// Where it settles.
    pub const LAST_DIVERGENCE: f64 = 0.13;
    /// α of the innovation rate over the full campaign (equation 4).
    pub const INNOVATION_EXPONENT: f64 = 0.34;
    /// Its printed uncertainty.
    pub const INNOVATION_UNCERTAINTY: f64 = 0.05;
    /// χ² of attribution against encoder, 3 degrees of freedom.
    pub const ATTRIBUTION_CHI2: f64 = 2.57;
    /// Its Cramér's V.
    pub const ATTRIBUTION_V: f64 = 0.04;
}

/// Auto-sweep enrichment (§5.4).
pub mod sweeps {
    /// Share of all experiments.
    pub const SHARE: f64 = 0.076;
    /// Share of the best 100.
    pub const TOP_SHARE: f64 = 0.130;
    /// Their ratio.
    pub const RATIO: f64 = 1.7;
}

/// A row of the paper's ablation (§5.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedComponent {
    /// The dimension.
    pub dimension: &'static str,
    /// Its value.
    pub value: &'static str,
    /// Best validation average precision.
    pub best: f64,
    /// Mean of the best 50, where it is printed.
    pub mean_top: Option<f64>,
}

/// Component ablation (§5.1).
pub const COMPONENTS: [PublishedComponent; 9] = [
    component("backbone", "V-JEPA 2", 0.9245, Some(0.896)),
    component("backbone", "DINOv3-L", 0.824, None),
    component("backbone", "DINOv3-B", 0.556, None),
    component("encoder", "Zipformer", 0.9245, None),
    component("encoder", "Retention", 0.9132, None),
    component("encoder", "Hybrid", 0.9054, None),
    component("encoder", "BiMamba", 0.9016, None),
    component("loss", "focal, γ ≥ 2", 0.9245, None),
    component("loss", "BCE", 0.8763, None),
];

const fn component(
    dimension: &'static str,
    value: &'static str,
    best: f64,
    mean_top: Option<f64>,
) -> PublishedComponent {
    PublishedComponent {
        dimension,
        value,
        best,
        mean_top,
    }
}

/// Rank correlation of validation and test (§7).
pub const VALIDATION_TEST_RHO: f64 = 0.7059;

/// Share of the discrete space that was tried (§7), of 108,000 configurations (equation 2).
pub const COVERAGE: f64 = 0.024;

/// Discrete configurations (equation 2).
pub const CARDINALITY: u64 = 108_000;

/// Share of the slots' time in use (§3.6).
pub const UTILISATION: f64 = 0.31;

/// Hours of training on a GPU (§3.6).
pub const GPU_HOURS: f64 = 3227.0;

/// Spent on language models, USD, about (appendix G).
pub const MODEL_USD: f64 = 2000.0;

/// Failures whose first automatic fix succeeded, of 64 (§2, appendix B).
pub const FIRST_FIX_RATE: f64 = 0.81;
