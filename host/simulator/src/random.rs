//! Random numbers as the sample draws them.

use rand_mt::Mt;

/// `int[low, high]`.
pub(crate) fn draw(generator: &mut Mt, low: u32, high: u32) -> u32 {
    (fraction(generator) * (f64::from(high) - f64::from(low) + 1.0) + f64::from(low)).floor() as u32
}

/// A range within bounds: first its low end, then its high end above that.
pub(crate) fn draw_range(generator: &mut Mt, low: u32, high: u32) -> (u32, u32) {
    let from = draw(generator, low, high);
    (from, draw(generator, from, high))
}

/// A number from 0 to 1, with 1 excluded.
pub(crate) fn fraction(generator: &mut Mt) -> f64 {
    f64::from(generator.next_u32()) / 4_294_967_296.0
}
