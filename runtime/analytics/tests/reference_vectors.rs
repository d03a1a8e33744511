//! The statistics against reference vectors made with scipy, statsmodels and numpy.
//!
//! `$ORZE_VECTORS` names the folder that holds `stats/`; without it, the repository's copy. A file
//! that no test here knows fails.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::path::PathBuf;

use orze_analytics::statistics::association::independence;
use orze_analytics::statistics::fits::{Curve, Model};
use orze_analytics::statistics::information::jensen_shannon;
use orze_analytics::statistics::innovation::{indicators, windowed_rate};
use orze_analytics::statistics::ranks::spearman;
use orze_analytics::statistics::two_way::two_way;
use orze_analytics::statistics::{entropy, one_way};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn folder() -> PathBuf {
    let vectors = std::env::var_os("ORZE_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"),
        PathBuf::from,
    );
    vectors.join("stats")
}

struct Case {
    name: String,
    inputs: Value,
    expected: Value,
    rtol: f64,
}

impl Case {
    fn read(name: &str) -> Self {
        let file = folder().join(name);
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut value: Value = serde_json::from_str(&text).unwrap();
        Self {
            name: name.to_owned(),
            rtol: value["rtol"].as_f64().unwrap(),
            inputs: value["inputs"].take(),
            expected: value["expected"].take(),
        }
    }

    fn input<T: DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.inputs[key].clone()).unwrap()
    }

    fn expected<T: DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.expected[key].clone()).unwrap()
    }

    fn close(&self, what: &str, found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(
            error <= self.rtol * expected.abs(),
            "{}: {what} is {found:e}, expected {expected:e}",
            self.name
        );
    }

    fn check(&self, key: &str, found: f64) {
        self.close(key, found, self.expected(key));
    }
}

#[test]
fn reference_vectors_all_known() {
    let mut found = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        match name.as_str() {
            "anova_one_way.json" => anova_one_way(&Case::read(&name)),
            "anova_two_way.json" => anova_two_way(&Case::read(&name)),
            "chi2_cramers_v.json" => chi2_cramers_v(&Case::read(&name)),
            "convergence_fits.json" => convergence_fits(&Case::read(&name)),
            "entropy_jsd.json" => entropy_jsd(&Case::read(&name)),
            "innovation.json" => innovation(&Case::read(&name)),
            "spearman.json" => spearman_rho(&Case::read(&name)),
            // A metric of the trainer, tested there.
            "average_precision.json" => {}
            unknown => panic!("no test for {unknown}"),
        }
        found += 1;
    }
    assert!(found >= 8, "only {found} vectors in {}", folder().display());
}

fn anova_one_way(case: &Case) {
    let analysis = one_way(&case.input::<Vec<Vec<f64>>>("groups")).unwrap();
    case.check("f", analysis.f.unwrap());
    case.check("p", analysis.p.unwrap());
    case.check("eta2", analysis.eta_squared);
    let weak = one_way(&case.input::<Vec<Vec<f64>>>("weak_groups")).unwrap();
    case.check("weak_f", weak.f.unwrap());
    case.check("weak_p", weak.p.unwrap());
}

fn anova_two_way(case: &Case) {
    #[derive(Deserialize)]
    struct Effect {
        ss: f64,
        df: f64,
        f: f64,
        p: f64,
        share: f64,
    }
    let firsts: Vec<String> = case.input("factor_a");
    let seconds: Vec<String> = case.input("factor_b");
    let values: Vec<f64> = case.input("y");
    let observations = firsts.into_iter().zip(seconds).zip(values);
    let table = two_way(observations.map(|((a, b), y)| (a, b, y))).unwrap();
    let effects = [
        ("a", table.first),
        ("b", table.second),
        ("interaction", table.interaction),
    ];
    for (key, found) in effects {
        let expected: Effect = case.expected(key);
        case.close(&format!("ss of {key}"), found.ss, expected.ss);
        case.close(&format!("df of {key}"), found.df as f64, expected.df);
        case.close(&format!("F of {key}"), found.f.unwrap(), expected.f);
        case.close(&format!("p of {key}"), found.p.unwrap(), expected.p);
        case.close(&format!("share of {key}"), found.share, expected.share);
    }
    case.check("residual_ss", table.residual_ss);
    case.check("sst", table.total_ss);
}

fn chi2_cramers_v(case: &Case) {
    let table = independence(&case.input::<Vec<Vec<usize>>>("table")).unwrap();
    case.check("chi2", table.chi2);
    case.check("dof", table.dof as f64);
    case.check("p", table.p);
    case.check("v", table.v);
}

fn convergence_fits(case: &Case) {
    #[derive(Deserialize)]
    struct Fit {
        rss: f64,
        r2: f64,
        aic: f64,
    }
    let series: Vec<Vec<f64>> = case.input("series");
    let expected: Vec<std::collections::BTreeMap<String, Fit>> = case.expected("fits");
    assert_eq!(series.len(), expected.len());
    for (values, expected) in series.iter().zip(expected) {
        let curve = Curve::of(values).unwrap();
        let models = [
            ("power", Model::Power),
            ("exponential", Model::Exponential),
            ("logarithmic", Model::Logarithmic),
        ];
        assert_eq!(expected.len(), models.len());
        for (key, model) in models {
            let (found, expected) = (model.fit(&curve, Some(1.0)).unwrap(), &expected[key]);
            // As the vector asks; where the reference stopped early, ours may be the better fit.
            let n = values.len() as f64;
            assert!(
                found.rss <= 1.001 * expected.rss,
                "{key}: rss {} against {}",
                found.rss,
                expected.rss
            );
            let gain = found.rss / expected.rss;
            let r2 = 1.0 - (1.0 - expected.r2) * gain;
            case.close(&format!("R² of {key}"), found.r2, r2);
            let aic = expected.aic + n * gain.ln();
            case.close(&format!("AIC of {key}"), found.aic, aic);
            // The sum of squares of the parameters themselves, over the points.
            let points = values.iter().enumerate();
            let rss: f64 = points
                .map(|(place, y)| (model.value(&found, (place + 1) as f64) - y).powi(2))
                .sum();
            case.close(&format!("rss of the parameters of {key}"), rss, found.rss);
        }
    }
}

fn entropy_jsd(case: &Case) {
    let first: Vec<usize> = case.input("counts_p");
    let second: Vec<usize> = case.input("counts_q");
    case.check("h_p", entropy(first.iter().copied()));
    case.check("h_q", entropy(second.iter().copied()));
    case.check(
        "jsd",
        jensen_shannon(first.into_iter().zip(second)).unwrap(),
    );
}

fn innovation(case: &Case) {
    let hits = indicators(&case.input::<Vec<f64>>("y"));
    let numbers: Vec<u8> = hits.iter().map(|hit| u8::from(*hit)).collect();
    assert_eq!(numbers, case.expected::<Vec<u8>>("indicators"));
    let rate = windowed_rate(&hits, case.input("window"));
    let expected: Vec<f64> = case.expected("rate");
    assert_eq!(rate.len(), expected.len());
    for (found, expected) in rate.iter().zip(expected) {
        case.close("rate", *found, expected);
    }
}

fn spearman_rho(case: &Case) {
    let pairs = case
        .input::<Vec<f64>>("a")
        .into_iter()
        .zip(case.input::<Vec<f64>>("b"));
    let found = spearman(&pairs.collect::<Vec<_>>()).unwrap();
    case.check("rho", found.rho);
}
