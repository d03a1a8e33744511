//! The running best and the models of it. Paper §3.5 and §5.2.

use serde::Serialize;

use super::coding::Table;
use super::{Options, Purpose};
use crate::running::CurvePoint;
use crate::statistics::fits::{
    Curve, Fit, Model, identifiability, resample_results, shuffled_results, simulated_results,
};
use crate::statistics::innovation::indicators;
use crate::statistics::resampling::percentile_interval;
use crate::statistics::{Interval, mean, quantile, real};

/// The running best AP*(N) over N = 1 … n measurements and three models of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Convergence {
    /// Measurements.
    pub n: usize,
    /// The improvements, in order; `finished` counts measurements, failed experiments left out.
    pub curve: Vec<CurvePoint>,
    /// The asymptote's limit that the fits were held to; `None` without one.
    pub limit: Option<f64>,
    /// a − b N^−c (equation 3).
    pub power: Option<CurveFit>,
    /// a − b exp(−c N).
    pub exponential: Option<CurveFit>,
    /// a + b ln N.
    pub logarithmic: Option<CurveFit>,
    /// The model with the smallest AIC: `power`, `exponential` or `logarithmic`.
    pub best_model: Option<&'static str>,
    /// The exponent c of the power law, with what can be said about it.
    pub exponent: Option<Exponent>,
    /// R² that the power law reaches on the same results in random order.
    pub baseline: Option<PermutationBaseline>,
    /// What to be careful about when reading these fits.
    pub caveats: Vec<String>,
}

/// A model fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveFit {
    /// Asymptote, or the value at N = 1 of the logarithmic model.
    pub a: f64,
    /// Gap, or gain per e-fold of N.
    pub b: f64,
    /// Exponent or rate; `None` for the logarithmic model.
    pub c: Option<f64>,
    /// Residual sum of squares.
    pub rss: f64,
    /// R² = 1 − rss / total sum of squares.
    pub r2: f64,
    /// AIC = n ln(rss / n) + 2k; takes residuals as independent, which those of a running best are
    /// not.
    pub aic: f64,
    /// 95 % bootstrap intervals, of resampled experiments; for the exponent of the power law see
    /// [`Exponent`], whose interval is the one to show.
    pub a_interval: Option<Interval>,
    /// As for `a`.
    pub b_interval: Option<Interval>,
    /// As for `a`.
    pub c_interval: Option<Interval>,
}

/// The exponent of the power law.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exponent {
    /// c.
    pub c: f64,
    /// 95 % interval: what `resampled` and `simulated` span together.
    pub interval: Option<Interval>,
    /// Of resampled experiments, which keep their order: the paper's way. Too narrow by itself,
    /// because most resamples keep the campaign's own best results.
    pub resampled: Option<Interval>,
    /// Of simulated campaigns: independent results whose best follows the fitted law on average.
    pub simulated: Option<Interval>,
    /// The exponents whose R² is at most 0.01 below the best.
    pub near: Interval,
    /// Whether the data determine it.
    pub identifiable: bool,
    /// Why, or why not, in a sentence.
    pub reason: String,
}

/// What random order makes of the same results: a running best fits well whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PermutationBaseline {
    /// Random orders.
    pub permutations: usize,
    /// Mean R² of the power law on them.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// What 95 % of them lie in.
    pub interval: Interval,
    /// The share of random orders that fit at least as well as the campaign's own.
    pub p: f64,
    /// Median exponent on them.
    pub c: f64,
}

/// The running best and its models; `None` without a measurement.
pub(super) fn convergence(table: &Table<'_>, options: &Options) -> Option<Convergence> {
    let objectives = table.objectives();
    let curve = Curve::running_best(&objectives)?;
    let best = objectives.iter().copied().reduce(f64::max)?;
    let limit = options.limit.filter(|limit| best <= *limit);
    let hits = indicators(&objectives);
    let improvements = table.results.iter().zip(&hits).enumerate();
    let improvements =
        improvements
            .filter(|(_, (_, hit))| **hit)
            .map(|(place, ((at, objective), _))| CurvePoint {
                finished: place + 1,
                id: table.finished[*at].id,
                objective: *objective,
            });
    let models = [Model::Power, Model::Exponential, Model::Logarithmic];
    let fits = models.map(|model| model.fit(&curve, limit));
    let mut random = options.random(Purpose::Convergence);
    let resampled = match fits[0] {
        Some(_) => resample_results(&objectives, options.bootstrap, &mut random),
        None => Vec::new(),
    };
    let [power, exponential, logarithmic] = [0, 1, 2]
        .map(|place| fits[place].map(|fit| with_intervals(models[place], &fit, &resampled, limit)));
    let exponent = fits[0].zip(power).map(|(fit, power)| {
        let simulated = simulated_results(&fit, objectives.len(), options.bootstrap, &mut random);
        let simulated = exponents(&simulated, limit);
        let interval = hull(power.c_interval, simulated);
        let judged = identifiability(&curve, &fit, limit, interval);
        Exponent {
            c: fit.c,
            interval,
            resampled: power.c_interval,
            simulated,
            near: judged.near,
            identifiable: judged.identifiable,
            reason: judged.reason,
        }
    });
    let baseline = fits[0].and_then(|fit| {
        let shuffled = shuffled_results(&objectives, options.permutations, &mut random);
        baseline(&fit, &shuffled, limit)
    });
    let named = ["power", "exponential", "logarithmic"]
        .into_iter()
        .zip(fits);
    let best_model = named
        .filter_map(|(name, fit)| Some((name, fit?.aic)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name);
    let caveats = caveats(options.limit, limit, power.as_ref(), baseline.as_ref());
    Some(Convergence {
        n: objectives.len(),
        curve: improvements.collect(),
        limit,
        power,
        exponential,
        logarithmic,
        best_model,
        exponent,
        baseline,
        caveats,
    })
}

fn with_intervals(model: Model, fit: &Fit, curves: &[Curve], limit: Option<f64>) -> CurveFit {
    let fits: Vec<Fit> = curves
        .iter()
        .filter_map(|curve| model.fit_roughly(curve, limit))
        .collect();
    let interval = |value: fn(&Fit) -> f64| percentile_interval(fits.iter().map(value).collect());
    let has_rate = model != Model::Logarithmic;
    CurveFit {
        a: fit.a,
        b: fit.b,
        c: has_rate.then_some(fit.c),
        rss: fit.rss,
        r2: fit.r2,
        aic: fit.aic,
        a_interval: interval(|fit| fit.a),
        b_interval: interval(|fit| fit.b),
        c_interval: interval(|fit| fit.c).filter(|_| has_rate),
    }
}

/// The interval of the power law's exponent over curves.
fn exponents(curves: &[Curve], limit: Option<f64>) -> Option<Interval> {
    let fits = curves
        .iter()
        .filter_map(|curve| Model::Power.fit_roughly(curve, limit));
    percentile_interval(fits.map(|fit| fit.c).collect())
}

/// The smallest interval that holds both.
fn hull(one: Option<Interval>, other: Option<Interval>) -> Option<Interval> {
    let (Some(first), Some(second)) = (one, other) else {
        return one.or(other);
    };
    Some(Interval {
        low: first.low.min(second.low),
        high: first.high.max(second.high),
    })
}

fn baseline(own: &Fit, shuffled: &[Curve], limit: Option<f64>) -> Option<PermutationBaseline> {
    let fits: Vec<Fit> = shuffled
        .iter()
        .filter_map(|curve| Model::Power.fit_roughly(curve, limit))
        .collect();
    let r2: Vec<f64> = fits.iter().map(|fit| fit.r2).collect();
    let interval = percentile_interval(r2.clone())?;
    let mut exponents: Vec<f64> = fits.iter().map(|fit| fit.c).collect();
    exponents.sort_by(f64::total_cmp);
    let average = mean(r2.iter().copied(), r2.len());
    let variance = mean(r2.iter().map(|r2| (r2 - average).powi(2)), r2.len());
    let as_good = r2.iter().filter(|r2| **r2 >= own.r2).count();
    Some(PermutationBaseline {
        permutations: r2.len(),
        mean: average,
        deviation: variance.sqrt(),
        interval,
        p: real(as_good + 1) / real(r2.len() + 1),
        c: quantile(&exponents, 0.5),
    })
}

fn caveats(
    wanted: Option<f64>,
    limit: Option<f64>,
    power: Option<&CurveFit>,
    baseline: Option<&PermutationBaseline>,
) -> Vec<String> {
    let mut caveats = Vec::new();
    let Some(power) = power else {
        return caveats;
    };
    if let Some(wanted) = wanted.filter(|_| limit.is_none()) {
        caveats.push(format!(
            "An objective exceeds {wanted}, so the asymptote was not held below it."
        ));
    }
    if let Some(baseline) = baseline {
        let verdict = if baseline.p <= 0.05 {
            "better than random order usually does"
        } else {
            "no better than random order often does"
        };
        caveats.push(format!(
            "A running best never falls, so that any order of results fits well: R² = {:.2} is \
             {verdict} (mean {:.2} over {} random orders, 95 % of them in [{:.2}, {:.2}]).",
            power.r2,
            baseline.mean,
            baseline.permutations,
            baseline.interval.low,
            baseline.interval.high
        ));
    }
    caveats.push(
        "The AIC takes residuals as independent, which those of a running best are not: \
         differences between models look larger than they are."
            .to_owned(),
    );
    caveats
}
