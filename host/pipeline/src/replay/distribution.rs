//! The distribution of a figure, in bounded memory.

use fastrand::Rng;

/// Values that are kept for the quantiles. The quantiles of more values are those of a random sample of this size: p1 and
/// p99 are then off by less than 0.1 percent of the values, in nearly all cases.
const SAMPLE: usize = 1 << 16;

/// The seed of the sample: the same values give the same quantiles.
const SEED: u64 = 7;

/// The distribution of a figure: its extremes and its mean, and quantiles of a sample.
#[derive(Clone, Debug)]
pub struct Distribution {
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
    sample: Vec<f64>,
    random: Rng,
}

/// The figures of a [`Distribution`] that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// The least value.
    pub min: f64,
    /// The 1st, 5th, 50th, 95th and 99th percentile: the value of that rank.
    pub percentiles: [f64; 5],
    /// The greatest value.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// The percentiles of [`Figures`].
pub const PERCENTILES: [u32; 5] = [1, 5, 50, 95, 99];

impl Default for Distribution {
    fn default() -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { count: 0, min, max, sum: 0.0, sample: Vec::new(), random: Rng::with_seed(SEED) }
    }
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        if self.sample.len() < SAMPLE {
            self.sample.push(value);
            return;
        }
        // Each value is in the sample with the same probability.
        let at = self.random.u64(..self.count);
        if let Some(kept) = usize::try_from(at).ok().and_then(|at| self.sample.get_mut(at)) {
            *kept = value;
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the quantiles are those of a sample.
    pub fn is_sampled(&self) -> bool {
        self.count > self.sample.len() as u64
    }

    /// The figures; `None` without a value.
    pub fn figures(&self) -> Option<Figures> {
        let mut sorted = self.sample.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let percentile = |percent: u32| {
            let rank = (f64::from(percent) / 100.0 * sorted.len() as f64).ceil() as usize;
            sorted[rank.saturating_sub(1).min(last)]
        };
        let mean = self.sum / self.count as f64;
        Some(Figures { min: self.min, percentiles: PERCENTILES.map(percentile), max: self.max, mean })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }

    #[test]
    fn percentiles_are_values_of_that_rank() {
        let figures = of((1..=1_000).rev().map(f64::from)).figures().unwrap();
        let percentiles = [10.0, 50.0, 500.0, 950.0, 990.0];
        assert_eq!(figures, Figures { min: 1.0, percentiles, max: 1_000.0, mean: 500.5 });
        assert_eq!(of([]).figures(), None);
        assert_eq!(of([-3.0]).figures(), Some(Figures { min: -3.0, percentiles: [-3.0; 5], max: -3.0, mean: -3.0 }));
    }

    #[test]
    fn more_values_than_the_sample_holds_have_nearly_the_same_percentiles() {
        let values = 20 * SAMPLE as u32;
        let distribution = of((0..values).map(f64::from));
        let figures = distribution.figures().unwrap();
        assert!(distribution.is_sampled() && distribution.sample.len() == SAMPLE);
        assert_eq!((figures.min, figures.max), (0.0, f64::from(values - 1)));
        for (percent, found) in PERCENTILES.into_iter().zip(figures.percentiles) {
            let off = found / f64::from(values) - f64::from(percent) / 100.0;
            assert!(off.abs() < 0.01, "p{percent}: {found}");
        }
    }

    proptest! {
        /// As many values as the rank says are not greater, and one less is not enough.
        #[test]
        fn a_percentile_has_its_rank(values in prop::collection::vec(-9_i32..9, 1..300)) {
            let figures = of(values.iter().copied().map(f64::from)).figures().unwrap();
            for (percent, found) in PERCENTILES.into_iter().zip(figures.percentiles) {
                let wanted = f64::from(percent) / 100.0 * values.len() as f64;
                let count = |is: fn(f64, f64) -> bool| values.iter().filter(|value| is(f64::from(**value), found)).count();
                prop_assert!(count(|value, found| value <= found) as f64 >= wanted);
                prop_assert!((count(|value, found| value < found) as f64) < wanted);
            }
        }
    }
}
