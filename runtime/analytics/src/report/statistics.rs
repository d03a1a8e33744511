//! The tables of what was learned, each with its n and intervals.

use super::Findings;
use crate::document::Content::{Number, Text};
use crate::document::Table;
use crate::learned::{Agreement, CurveFit, EffectShare, TwoWayShare};
use crate::text::{ABSENT, clean, objective, percent, range_or_absent, setting, truncate};

/// Rows of the table of components.
const MOST_COMPONENTS: usize = 80;

/// Rows of the tables of groups.
const MOST_GROUPS: usize = 40;

fn optional(value: Option<f64>, form: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), form)
}

fn f_value(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.1}"),
        false => ABSENT.to_owned(),
    }
}

/// A probability in a column of its own.
fn p_value(p: f64) -> String {
    match p {
        p if !p.is_finite() => ABSENT.to_owned(),
        p if p < 0.001 => "< 0.001".to_owned(),
        p => format!("{p:.3}"),
    }
}

fn short(text: &str) -> String {
    truncate(&clean(text), 40)
}

impl Findings<'_> {
    pub(super) fn shares(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("grouped by"),
            Number.column("n"),
            Number.column("groups"),
            Number.column("η²"),
            Number.column("95 % interval"),
            Number.column("ω²"),
            Number.column("by chance"),
            Number.column("F"),
            Number.column("p"),
            Number.column("p, permutations"),
        ]);
        for share in &self.learned.variance {
            table.rows.push(vec![
                short(&share.factor),
                share.n.to_string(),
                share.groups.to_string(),
                percent(share.eta2),
                range_or_absent(share.eta2_interval, percent),
                percent(share.omega2.max(0.0)),
                percent(share.chance_level),
                optional(share.f, f_value),
                optional(share.p, p_value),
                optional(share.permutation_p, p_value),
            ]);
        }
        table
    }

    pub(super) fn within(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("value"),
            Number.column("n"),
            Number.column("groups"),
            Number.column("η²"),
            Number.column("95 % interval"),
            Number.column("by chance"),
            Number.column("F"),
            Number.column("p"),
        ]);
        for share in self.learned.within.iter().take(MOST_GROUPS) {
            table.rows.push(vec![
                short(&share.value),
                share.n.to_string(),
                share.groups.to_string(),
                percent(share.eta2),
                range_or_absent(share.eta2_interval, percent),
                percent(share.chance_level),
                optional(share.f, f_value),
                optional(share.p, p_value),
            ]);
        }
        table
    }

    pub(super) fn two_way(&self, two_way: &TwoWayShare) -> Table {
        let mut table = Table::new(vec![
            Text.column("effect"),
            Number.column("sum of squares"),
            Number.column("df"),
            Number.column("share"),
            Number.column("F"),
            Number.column("p"),
        ]);
        let row = |effect: &EffectShare| {
            vec![
                short(&effect.factor),
                setting(effect.ss),
                effect.df.to_string(),
                percent(effect.share),
                optional(effect.f, f_value),
                optional(effect.p, p_value),
            ]
        };
        table.rows = [&two_way.first, &two_way.second, &two_way.interaction]
            .map(row)
            .to_vec();
        let residual_share = two_way.residual_ss / two_way.total_ss;
        table.rows.push(vec![
            "residual".to_owned(),
            setting(two_way.residual_ss),
            two_way.residual_df.to_string(),
            percent(residual_share),
            ABSENT.to_owned(),
            ABSENT.to_owned(),
        ]);
        table
    }

    pub(super) fn components(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("dimension"),
            Text.column("value"),
            Number.column("n"),
            Number.column("best"),
            Number.column("mean of the best 50"),
            Number.column("95 % interval"),
            Number.column("averaged"),
            Number.column("mean"),
            Number.column("median"),
        ]);
        for component in self.learned.ablation.iter().take(MOST_COMPONENTS) {
            table.rows.push(vec![
                short(&component.dimension),
                short(&component.value),
                component.n.to_string(),
                objective(component.best),
                objective(component.mean_top),
                range_or_absent(component.mean_top_interval, objective),
                component.top.to_string(),
                objective(component.mean),
                objective(component.median),
            ]);
        }
        table
    }

    pub(super) fn fits(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("model"),
            Number.column("n"),
            Number.column("a"),
            Number.column("95 % of a"),
            Number.column("b"),
            Number.column("c"),
            Number.column("95 % of c"),
            Number.column("R²"),
            Number.column("AIC"),
        ]);
        let Some(convergence) = &self.learned.convergence else {
            return table;
        };
        let models: [(&str, &str, Option<&CurveFit>); 3] = [
            ("power", "a − b·N^−c", convergence.power.as_ref()),
            (
                "exponential",
                "a − b·e^−cN",
                convergence.exponential.as_ref(),
            ),
            (
                "logarithmic",
                "a + b·ln N",
                convergence.logarithmic.as_ref(),
            ),
        ];
        for (name, formula, fit) in models {
            let Some(fit) = fit else { continue };
            let lowest = match convergence.best_model == Some(name) {
                true => ", lowest AIC",
                false => "",
            };
            // Of the power law's exponent more is known than resampling says.
            let exponent = convergence.exponent.as_ref().filter(|_| name == "power");
            let c_interval = exponent.map_or(fit.c_interval, |exponent| exponent.interval);
            table.rows.push(vec![
                format!("{name}: {formula}{lowest}"),
                convergence.n.to_string(),
                objective(fit.a),
                range_or_absent(fit.a_interval, objective),
                setting(fit.b),
                optional(fit.c, setting),
                range_or_absent(c_interval, setting),
                format!("{:.3}", fit.r2),
                f_value(fit.aic),
            ]);
        }
        table
    }

    pub(super) fn divergences(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("researchers"),
            Number.column("n of the first"),
            Number.column("n of the second"),
            Number.column("divergence (nats)"),
            Number.column("by chance"),
            Number.column("p"),
        ]);
        let nats = |value: f64| format!("{value:.3}");
        for pair in self.learned.specialisation.iter().take(MOST_GROUPS) {
            table.rows.push(vec![
                format!("{} | {}", short(&pair.first), short(&pair.second)),
                pair.n_first.to_string(),
                pair.n_second.to_string(),
                nats(pair.jsd),
                optional(pair.chance_level, nats),
                optional(pair.p, p_value),
            ]);
        }
        table
    }

    pub(super) fn choices(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("dimension"),
            Number.column("n"),
            Number.column("researchers × values"),
            Number.column("χ²"),
            Number.column("df"),
            Number.column("p"),
            Number.column("Cramér's V"),
            Text.column("remark"),
        ]);
        for choice in self.learned.choice.iter().take(MOST_GROUPS) {
            let remark = match choice.is_sparse {
                true => "few of each kind: p is rough",
                false => "",
            };
            table.rows.push(vec![
                short(&choice.dimension),
                choice.n.to_string(),
                format!("{} × {}", choice.researchers, choice.values),
                f_value(choice.chi2),
                choice.dof.to_string(),
                p_value(choice.p),
                format!("{:.2}", choice.v),
                remark.to_owned(),
            ]);
        }
        table
    }

    pub(super) fn correlations(&self, agreement: &Agreement) -> Table {
        let mut table = Table::new(vec![
            Text.column("architecture cell"),
            Number.column("n"),
            Number.column("Spearman's ρ inside"),
            Number.column("95 % interval"),
        ]);
        let rho = |rho: f64| format!("{rho:.2}");
        for within in agreement.within.iter().take(MOST_GROUPS) {
            table.rows.push(vec![
                short(&within.group),
                within.n.to_string(),
                rho(within.rho),
                range_or_absent(within.interval, rho),
            ]);
        }
        table
    }

    pub(super) fn coverage_table(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("dimension"),
            Number.column("n"),
            Number.column("values tried"),
            Number.column("of"),
        ]);
        for dimension in &self.learned.coverage.dimensions {
            table.rows.push(vec![
                short(&dimension.dimension),
                dimension.n.to_string(),
                dimension.tried.to_string(),
                dimension.choices.to_string(),
            ]);
        }
        table
    }
}
