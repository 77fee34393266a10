//! Vector instructions for rules over whole columns.
//!
//! The compiler turns few loops into vector instructions by itself, and WebAssembly's sandbox makes each instruction count.
//! [`map`] computes two rows at once with [`f64x2`], and lets a rule be quick where that suffices: rows of which the quick way
//! is not sure are computed again, one at a time. On other machines than WebAssembly the same code is compiled to their
//! vectors, so that unit tests cover it.

use alloc::vec::Vec;

pub use wide::f64x2;

/// Rows of which results are collected before they are stored: as many as a mask has bits.
const STRETCH: usize = 64;

/// The result of each row. `two` computes two rows at once: their results, and a mask of the lanes whose result is sure, such
/// as the comparisons of [`f64x2`] give (`simd_lt`, `simd_ge`). `one` computes the rows that are not sure, and the last one of an odd number of rows.
///
/// The columns must have the same length.
///
/// ```
/// use paceline_plugin::lanes::{self, f64x2};
///
/// // The square root, and 0 for what is less than 0.
/// let roots = lanes::map(
///     [&[4.0, -1.0, 2.25]],
///     |[x]| (x.sqrt(), x.simd_ge(f64x2::ZERO)),
///     |[x]| if x < 0.0 { 0.0 } else { x.sqrt() },
/// );
/// assert_eq!(roots, [2.0, 0.0, 1.5]);
/// ```
pub fn map<const N: usize>(
    columns: [&[f64]; N],
    two: impl Fn([f64x2; N]) -> (f64x2, f64x2),
    one: impl Fn([f64; N]) -> f64,
) -> Vec<f64> {
    let rows = columns.iter().map(|column| column.len()).min().unwrap_or(0);
    let columns = columns.map(|column| &column[..rows]);
    let mut results = Vec::with_capacity(rows);
    let mut start = 0;
    while start < rows {
        let length = STRETCH.min(rows - start);
        let stretch = columns.map(|column| &column[start..start + length]);
        let mut computed = [0.0; STRETCH];
        // A bit for each row.
        let mut unsure = 0_u64;
        for pair in 0..length / 2 {
            let (values, sure) = two(stretch.map(|column| f64x2::new([column[2 * pair], column[2 * pair + 1]])));
            computed[2 * pair..2 * pair + 2].copy_from_slice(values.as_array());
            unsure |= u64::from(!sure.to_bitmask() & 0b11) << (2 * pair);
        }
        if length % 2 == 1 {
            unsure |= 1 << (length - 1);
        }
        while unsure != 0 {
            let row = unsure.trailing_zeros() as usize;
            computed[row] = one(stretch.map(|column| column[row]));
            unsure &= unsure - 1;
        }
        results.extend_from_slice(&computed[..length]);
        start += length;
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_are_not_sure_are_computed_again() {
        let column: Vec<f64> = (0..131).map(f64::from).collect();
        let again = core::cell::RefCell::new(Vec::new());
        let results = map(
            [&column],
            |[x]| (x + 1.0, x.simd_ne(f64x2::splat(66.0))),
            |[x]| {
                again.borrow_mut().push(x);
                -x
            },
        );
        assert_eq!(again.into_inner(), [66.0, 130.0]);
        assert_eq!((results[65], results[66], results[67], results[130]), (66.0, -66.0, 68.0, -130.0));
        assert_eq!(results.len(), 131);
    }
}
