//! Sums over the rows of a matrix, as gradients of what all rows share are.

use candle_core::Result;

use super::Argument::{self, Again, Size, Write};
use super::{Given, Gpu, Grid, Module, Values, module, size};

const KERNELS: Module = module!("sums");

/// Rows that the threads of a block add up by turns; more are split among blocks.
const SLICE: usize = 2048;

/// Columns of a block, each with as many threads.
const COLUMNS: usize = 32;

impl Gpu<'_> {
    /// What a kernel adds up over the rows for each column, `[columns]`. Its parameters are the
    /// arguments given, then the sums, the rows and the columns; see `column_sum` in `common.cuh`.
    ///
    /// # Errors
    /// When a size is beyond 2³² − 1, and when the driver refuses it.
    pub fn column_sums(
        &self,
        module: Module,
        kernel: &str,
        (rows, columns): (usize, usize),
        arguments: Vec<Argument<'_>>,
    ) -> Result<Values> {
        // So few slices that one block adds up the slices of a column.
        let slices = rows.div_ceil(SLICE).clamp(1, SLICE);
        let grid = Grid {
            blocks: (columns.div_ceil(COLUMNS), slices, 1),
            threads: (COLUMNS, COLUMNS, 1),
            shared: 0,
        };
        size(slices * columns)?;
        let mut sums = self.room(slices * columns)?;
        let sizes = [Size(size(rows)?), Size(size(columns)?)];
        let mut arguments: Vec<Argument<'_>> = arguments; // For no longer than the sums.
        arguments.extend([Write(&mut sums)].into_iter().chain(sizes));
        self.launch(module, kernel, grid, &mut arguments)?;
        drop(arguments);
        if slices == 1 {
            return Ok(sums);
        }
        let parts = vec![Again(&sums)];
        self.column_sums(KERNELS, "sums_of_columns", (slices, columns), parts)
    }

    /// The sum of each column of a matrix: `[rows, columns]` → `[columns]`.
    ///
    /// # Errors
    /// When there are 2³² entries, and when the driver refuses it.
    pub fn sums_of_columns(&self, x: &Given<'_>, columns: usize) -> Result<Values> {
        size(x.values.len())?;
        let rows = x.values.len().checked_div(columns).unwrap_or(0);
        let arguments = vec![Argument::Read(&x.values)];
        self.column_sums(KERNELS, "sums_of_columns", (rows, columns), arguments)
    }
}
