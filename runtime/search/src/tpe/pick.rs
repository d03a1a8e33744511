//! The estimator on a table of results: which of its rows to try next.

use orze_campaign::Point;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::parzen::{Kernel, Parzen};
use super::{EXPLORING, STARTUP, Tpe, count};

impl Tpe {
    /// As for a proposal: a cell by what is believed of it, and in it the row of the greatest ratio of
    /// the good densities to those of all others (Bergstra et al. 2011, equation 5); at the beginning
    /// and now and then a row of the cell that was tried least.
    pub(super) fn pick_row(&mut self, rows: &[&Point], rng: &mut ChaCha8Rng) -> Option<usize> {
        self.fit
            .update(&self.history.trials, &self.axes, &self.cells);
        let cells: Vec<u16> = rows.iter().map(|row| self.cells.cell(row)).collect();
        let begun = self.history.begun_in_cells();
        let begun_in = |cell: u16| begun[usize::from(cell)];
        let least = cells.iter().map(|cell| begun_in(*cell)).min()?;
        let begins = self.history.begun() < STARTUP || self.fit.good.is_empty();
        if begins || least == 0 || rng.random_bool(EXPLORING) {
            let tried_least: Vec<usize> = (0..rows.len())
                .filter(|place| begun_in(cells[*place]) == least)
                .collect();
            return Some(tried_least[rng.random_range(0..tried_least.len())]);
        }
        let mut present = cells.clone();
        present.sort_unstable();
        present.dedup();
        let cell = self.thompson(present, &begun, rng);
        let ratios = self.log_ratios();
        let value = |row: &Point| -> f64 {
            let axes = self.axes.iter().zip(&ratios).zip(&row.0);
            axes.map(|((axis, ratios), coordinate)| {
                // Nothing where the dimension is not active.
                let ratio = ratios.get(usize::from(axis.bin(*coordinate)));
                ratio.copied().unwrap_or(0.0)
            })
            .sum()
        };
        let inside = (0..rows.len()).filter(|place| cells[*place] == cell);
        inside
            .map(|place| (place, value(rows[place])))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
            .map(|(place, _)| place)
    }

    /// ln(good / others) of each bin of each dimension.
    fn log_ratios(&self) -> Vec<Vec<f64>> {
        let of = |(dimension, axis): (usize, &super::Axis)| {
            let mut good = vec![0.0; axis.bins];
            for position in &self.fit.good {
                count(&mut good, self.history.trials[*position].bins[dimension]);
            }
            let kernel = axis.ordered.then(|| Kernel::for_observations(&good));
            let density = |seen: &[f64]| match &kernel {
                Some(kernel) => Parzen::smooth(seen, kernel),
                None => Parzen::new(seen),
            };
            let mut others = self.history.seen[dimension].clone();
            for (all, good) in others.iter_mut().zip(&good) {
                *all -= good;
            }
            density(&good).log_ratio(&density(&others))
        };
        self.axes.iter().enumerate().map(of).collect()
    }
}
