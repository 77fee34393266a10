//! The greatest of many, in bounded memory.

/// The greatest items by a figure that comes with each, greatest first. Of equal ones the first stay.
#[derive(Clone, Debug)]
pub struct Top<T> {
    limit: usize,
    items: Vec<(f64, T)>,
}

impl<T> Top<T> {
    /// At most this many.
    pub fn new(limit: usize) -> Self {
        Self { limit, items: Vec::new() }
    }

    /// How many items there are at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Adds an item, if it is among the greatest. It is not made otherwise.
    pub fn add(&mut self, figure: f64, item: impl FnOnce() -> T) {
        let at = self.items.partition_point(|(other, _)| *other >= figure);
        if at < self.limit {
            self.items.truncate(self.limit - 1);
            self.items.insert(at, (figure, item()));
        }
    }

    /// The items, greatest first.
    pub fn into_items(self) -> Vec<T> {
        self.items.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As if all were sorted, and only the first were kept.
        #[test]
        fn the_first_of_a_stable_sort(figures in prop::collection::vec(0..9_u8, 0..40), limit in 0..12_usize) {
            let mut top = Top::new(limit);
            (0..).zip(&figures).for_each(|(at, figure)| top.add(f64::from(*figure), || (*figure, at)));
            let mut sorted: Vec<(u8, i32)> = figures.iter().copied().zip(0..).collect();
            sorted.sort_by_key(|(figure, _)| std::cmp::Reverse(*figure));
            sorted.truncate(limit);
            prop_assert_eq!(top.into_items(), sorted);
        }
    }
}
