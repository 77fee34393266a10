//! Vector instructions give what the rows give one at a time.

use paceline_plugin::lanes::map;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_row_has_the_result_of_its_own_values_whatever_its_neighbours_are(
        rows in prop::collection::vec((any::<f64>(), any::<f64>()), 0..200),
    ) {
        let (left, right): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
        let results = map(
            [&left, &right],
            |[x, y]| (x / y - y, x.simd_gt(y)),
            |[x, y]| if x > y { x / y - y } else { -1.0 },
        );
        let expected = rows.iter().map(|&(x, y)| if x > y { x / y - y } else { -1.0 });
        prop_assert!(results.into_iter().map(f64::to_bits).eq(expected.map(f64::to_bits)));
    }
}
