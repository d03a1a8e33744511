//! Association between two groupings: Pearson's χ² and Cramér's V. Paper §5.3.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::real;

/// A test of independence on a table of counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Independence {
    /// Counts in the table.
    pub n: usize,
    /// Σ (observed − expected)² / expected, without continuity correction.
    pub chi2: f64,
    /// (rows − 1) (columns − 1).
    pub dof: usize,
    /// The probability of a χ² at least this large when rows and columns are independent.
    pub p: f64,
    /// Cramér's V = √(χ² / (n · min(rows − 1, columns − 1))), 0 to 1.
    pub v: f64,
    /// Whether more than a fifth of the expected counts are below 5, so that p is rough.
    pub is_sparse: bool,
}

/// The test on rows of counts of equal length; rows and columns without any count are left out.
/// `None` for fewer than two rows or columns, or rows of different lengths.
pub fn independence<R: AsRef<[usize]>>(table: &[R]) -> Option<Independence> {
    let width = table.first()?.as_ref().len();
    if table.iter().any(|row| row.as_ref().len() != width) {
        return None;
    }
    let row_sums: Vec<usize> = table.iter().map(|row| row.as_ref().iter().sum()).collect();
    let column_sums: Vec<usize> = (0..width)
        .map(|column| table.iter().map(|row| row.as_ref()[column]).sum())
        .collect();
    let n: usize = row_sums.iter().sum();
    let filled = |sums: &[usize]| sums.iter().filter(|sum| **sum > 0).count();
    let (rows, columns) = (filled(&row_sums), filled(&column_sums));
    if rows < 2 || columns < 2 {
        return None;
    }
    let mut chi2 = 0.0;
    let mut small = 0;
    for (row, row_sum) in table.iter().zip(&row_sums) {
        for (&count, column_sum) in row.as_ref().iter().zip(&column_sums) {
            if *row_sum == 0 || *column_sum == 0 {
                continue;
            }
            let expected = real(*row_sum) * real(*column_sum) / real(n);
            chi2 += (real(count) - expected).powi(2) / expected;
            small += usize::from(expected < 5.0);
        }
    }
    let dof = (rows - 1) * (columns - 1);
    let p = ChiSquared::new(real(dof)).ok()?.sf(chi2);
    Some(Independence {
        n,
        chi2,
        dof,
        p,
        v: (chi2 / (real(n) * real((rows - 1).min(columns - 1))))
            .sqrt()
            .min(1.0),
        is_sparse: 5 * small > rows * columns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_dependence_has_v_one() {
        let table = independence(&[[10, 0, 0], [0, 20, 0], [0, 0, 5]]).unwrap();
        assert!((table.v - 1.0).abs() < 1e-12);
        assert_eq!(table.dof, 4);
        assert!(table.is_sparse);
    }

    #[test]
    fn proportional_rows_are_independent() {
        let table = independence(&[[10, 20, 0], [30, 60, 0]]).unwrap();
        assert!(table.chi2.abs() < 1e-12 && (table.p - 1.0).abs() < 1e-12);
        assert_eq!(table.dof, 1, "the empty column is left out");
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert_eq!(independence::<[usize; 2]>(&[]), None);
        assert_eq!(independence(&[[1, 2]]), None);
        assert_eq!(independence(&[vec![1, 2], vec![3]]), None);
        assert_eq!(independence(&[[1, 0], [3, 0]]), None);
    }
}
