//! Statistics of which every part is filled, for figures and tables.

use std::collections::BTreeMap;

use orze_campaign::ExperimentId;

use crate::learned::{
    Agreement, Association, BalancedShare, Cell, Component, Convergence, Coverage, CurveFit,
    DimensionCoverage, Divergence, DivergencePoint, EffectShare, Enrichment, EntropyPoint,
    EntropyTrend, EntropyTrends, Exponent, Innovation, InnovationPoint, Learned,
    PermutationBaseline, ResearcherGain, ShiftPoint, TwoWayShare, VarianceShare, WithinCorrelation,
    WithinShare,
};
use crate::running::CurvePoint;
use crate::statistics::Interval;

fn between(low: f64, high: f64) -> Interval {
    Interval { low, high }
}

/// A campaign of 60 completed experiments; the numbers are plausible, not computed.
pub(crate) fn learned() -> Learned {
    Learned {
        n: 60,
        finished: 64,
        variance: vec![
            share("backbone × encoder", true, true, 0.62, 4),
            share("backbone", true, false, 0.55, 2),
            share("loss", false, false, 0.03, 2),
        ],
        balanced: Some(BalancedShare {
            group_size: 10,
            groups: 4,
            n: 40,
            draws: 200,
            eta2: 0.5,
            eta2_interval: between(0.4, 0.6),
            f: Some(12.0),
            chance_level: 3.0 / 39.0,
        }),
        within: vec![WithinShare {
            dimension: "backbone".to_owned(),
            value: "raw".to_owned(),
            factor: "encoder".to_owned(),
            n: 30,
            groups: 2,
            eta2: 0.035,
            eta2_interval: Some(between(0.0, 0.1)),
            omega2: 0.01,
            f: Some(1.2),
            p: Some(0.28),
            chance_level: 1.0 / 29.0,
        }],
        two_way: Some(two_way()),
        ablation: ["raw", "spectra"].map(component).to_vec(),
        cells: vec![Cell {
            values: vec!["raw".to_owned(), "retnet".to_owned()],
            n: 30,
            mean: 0.8,
            deviation: Some(0.02),
            best: 0.84,
        }],
        convergence: Some(convergence()),
        entropy: (1..=64).map(entropy_point).collect(),
        entropy_trends: Some(EntropyTrends {
            n: 64,
            all: trend(0.4),
            arch: trend(0.3),
            train: trend(0.1),
            ratio: Some(3.0),
        }),
        specialisation: vec![Divergence {
            first: "random".to_owned(),
            second: "tpe".to_owned(),
            n_first: 20,
            n_second: 44,
            jsd: 0.2,
            chance_level: Some(0.04),
            p: Some(0.01),
            trajectory: (2..=64)
                .map(|t| DivergencePoint {
                    t,
                    n_first: t / 3,
                    n_second: t - t / 3,
                    jsd: 0.6 / (t as f64).sqrt(),
                    recent: None,
                })
                .collect(),
        }],
        innovation: Innovation {
            n: 60,
            improvements: 5,
            window: 50,
            rate: (1..=60)
                .map(|t| InnovationPoint {
                    t,
                    rate: (5.0 / t as f64).min(1.0),
                })
                .collect(),
            exponent: Some(0.8),
            exponent_interval: Some(between(0.3, 1.4)),
            scale: Some(1.0),
        },
        sweeps: Some(sweeps()),
        choice: vec![Association {
            dimension: "encoder".to_owned(),
            n: 64,
            researchers: 2,
            values: 2,
            chi2: 5.1,
            dof: 1,
            p: 0.024,
            v: 0.28,
            is_sparse: true,
        }],
        test: Some(agreement()),
        researchers: vec![gain("random", 0.1, None), gain("tpe", 0.3, Some(2.0))],
        coverage: Coverage {
            n: 64,
            configurations: 8,
            cardinality: 8,
            share: 1.0,
            cells: 4,
            possible_cells: 4,
            graphs: 1,
            dimensions: vec![DimensionCoverage {
                dimension: "backbone".to_owned(),
                n: 64,
                tried: 2,
                choices: 2,
            }],
        },
        shift: (1..=64).map(shift_point).collect(),
        caveats: vec!["Cells were tried unevenly.".to_owned()],
    }
}

fn share(
    factor: &str,
    is_architecture: bool,
    is_cell: bool,
    eta2: f64,
    groups: usize,
) -> VarianceShare {
    let chance_level = (groups - 1) as f64 / 59.0;
    VarianceShare {
        factor: factor.to_owned(),
        is_architecture,
        is_cell,
        n: 60,
        groups,
        eta2,
        eta2_interval: Some(between((eta2 - 0.08).max(0.0), eta2 + 0.05)),
        omega2: (eta2 - chance_level).max(0.0),
        f: Some(30.0 * eta2),
        p: Some(1e-5),
        permutation_p: Some(0.001),
        chance_level,
    }
}

fn two_way() -> TwoWayShare {
    let effect = |factor: &str, share: f64| EffectShare {
        factor: factor.to_owned(),
        ss: share * 2.0,
        df: 1,
        share,
        f: Some(share * 50.0),
        p: Some(0.004),
    };
    TwoWayShare {
        n: 60,
        first: effect("backbone", 0.5),
        second: effect("encoder", 0.1),
        interaction: effect("backbone × encoder", 0.02),
        residual_ss: 0.76,
        residual_df: 56,
        total_ss: 2.0,
        cell_share: 0.62,
        filled_cells: 4,
        possible_cells: 4,
        caveat: Some("Cells are unequally filled.".to_owned()),
    }
}

fn component(value: &str) -> Component {
    Component {
        dimension: "backbone".to_owned(),
        value: value.to_owned(),
        n: 30,
        best: 0.84,
        top: 30,
        mean_top: 0.8,
        mean_top_interval: Some(between(0.79, 0.81)),
        mean: 0.8,
        median: 0.79,
    }
}

fn convergence() -> Convergence {
    let fit = |a: f64, b: f64, c: Option<f64>, r2: f64| CurveFit {
        a,
        b,
        c,
        rss: 0.01,
        r2,
        aic: -500.0 * r2,
        a_interval: Some(between(a - 0.01, a + 0.04)),
        b_interval: None,
        c_interval: c.map(|c| between(0.5 * c, 2.0 * c)),
    };
    let step = |(finished, objective): (usize, f64)| CurvePoint {
        finished,
        id: ExperimentId(finished as u64),
        objective,
    };
    Convergence {
        n: 60,
        curve: [(1, 0.7), (2, 0.78), (5, 0.8), (14, 0.82), (40, 0.84)]
            .map(step)
            .to_vec(),
        limit: Some(1.0),
        power: Some(fit(0.86, 0.16, Some(0.5), 0.95)),
        exponential: Some(fit(0.83, 0.12, Some(0.2), 0.9)),
        logarithmic: Some(fit(0.72, 0.03, None, 0.92)),
        best_model: Some("power"),
        exponent: Some(Exponent {
            c: 0.5,
            interval: Some(between(0.1, 2.0)),
            resampled: Some(between(0.3, 0.8)),
            simulated: Some(between(0.1, 2.0)),
            near: between(0.2, 1.1),
            identifiable: false,
            reason: "exponents from 0.2 to 1.1 fit almost as well.".to_owned(),
        }),
        baseline: Some(PermutationBaseline {
            permutations: 100,
            mean: 0.93,
            deviation: 0.02,
            interval: between(0.88, 0.97),
            p: 0.3,
            c: 0.7,
        }),
        caveats: vec!["The asymptote stands at its limit.".to_owned()],
    }
}

fn entropy_point(t: usize) -> EntropyPoint {
    let h = (t as f64).ln().min(2.0);
    EntropyPoint {
        t,
        n: t.min(50),
        h,
        h_arch: 0.6 * h,
        h_train: 0.3 * h,
        cumulative_h: h,
        cumulative_h_arch: 0.6 * h,
        cumulative_h_train: 0.3 * h,
        rate: None,
        rate_arch: None,
        rate_train: None,
    }
}

fn trend(slope: f64) -> EntropyTrend {
    EntropyTrend {
        intercept: 0.1,
        slope,
        r2: 0.35,
    }
}

fn sweeps() -> Enrichment {
    Enrichment {
        n: 60,
        sweeps: 12,
        share: 0.2,
        top: 6,
        top_sweeps: 3,
        top_share: 0.5,
        ratio: 2.5,
        ratio_interval: between(0.6, 4.4),
        p: 0.08,
        pairs: 10,
        better: 6,
        better_share: Some(0.6),
        better_interval: Some(between(0.26, 0.88)),
        mean_difference: Some(0.004),
        mean_difference_interval: Some(between(-0.002, 0.01)),
    }
}

fn agreement() -> Agreement {
    Agreement {
        validation: "validation_ap".to_owned(),
        test: "test_ap".to_owned(),
        n: 60,
        rho: 0.71,
        interval: Some(between(0.55, 0.82)),
        p: Some(1e-9),
        within: vec![WithinCorrelation {
            group: "raw × retnet".to_owned(),
            n: 30,
            rho: 0.1,
            interval: Some(between(-0.27, 0.44)),
        }],
        within_rho: Some(0.1),
        within_interval: Some(between(-0.27, 0.44)),
        top_rho: Some(0.05),
        top_interval: Some(between(-0.5, 0.5)),
        top_n: 15,
        saturated: Some("Validation no longer separates the best.".to_owned()),
        composition: Some("The relation is one between architectures.".to_owned()),
        points: (0..60)
            .map(|i| (0.7 + 0.002 * f64::from(i), 0.69))
            .collect(),
    }
}

fn gain(researcher: &str, gain: f64, spent_usd: Option<f64>) -> ResearcherGain {
    ResearcherGain {
        researcher: researcher.to_owned(),
        n: 32,
        completed: 30,
        failed: 2,
        best: Some(0.84),
        mean: Some(0.8),
        new_bests: 2,
        gain,
        marginal: Some(0.01),
        train_seconds: 3600.0,
        spent_usd,
        gain_per_gpu_hour: Some(gain),
        gain_per_usd: spent_usd.map(|usd| gain / usd),
    }
}

fn shift_point(t: usize) -> ShiftPoint {
    let raw = 0.5 + 0.4 * (t as f64 / 10.0).sin();
    ShiftPoint {
        t,
        n: t.min(50),
        shares: BTreeMap::from([("raw".to_owned(), raw), ("spectra".to_owned(), 1.0 - raw)]),
    }
}
