//! The estimator on a table of results: which of its rows to try next.

use orze_campaign::Point;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{EXPLORING, STARTUP, Tpe};

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
        let of = |dimension: usize| {
            let good = self.good(dimension);
            let others = good.density(&self.others(dimension, &good.seen));
            good.own().log_ratio(&others)
        };
        (0..self.axes.len()).map(of).collect()
    }
}
