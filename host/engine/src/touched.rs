//! The states that a call to `fold` is given: those that its rows touch, and no others.

use crate::packed::{Packed, PackedBuf};

/// All rows, by group, and those of a group as they came. A part of them touches few states, and few parts touch the same
/// state. Rows that are cut as they came may touch all states in each part.
pub(crate) fn by_group(groups: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..groups.len() as u32).collect();
    // Stable, as the rows of a group have to stay in order.
    rows.sort_by_key(|&row| groups[row as usize]);
    rows
}

/// The states of a batch while its rows are folded, by one call or several.
pub(crate) struct Touched<'a> {
    /// The number of all rows.
    rows: usize,
    before: Packed<'a>,
    /// The new states.
    after: New,
    /// Scratch space: the place of each state among those of a call. `u32::MAX` before and after.
    places: Vec<u32>,
}

enum New {
    /// Of all states: one call folded all rows.
    All(PackedBuf),
    /// By index, of those that calls have folded so far.
    Some(Vec<Option<Vec<u8>>>),
}

impl<'a> Touched<'a> {
    pub(crate) fn new(rows: usize, before: Packed<'a>) -> Self {
        Self { rows, before, after: New::Some(Vec::new()), places: Vec::new() }
    }

    /// By row, the bytes of its state; 0 if a row before has the same one. `groups` has the index of each row's state.
    pub(crate) fn new_bytes(&self, groups: impl Iterator<Item = u32>) -> impl Iterator<Item = usize> {
        let mut lengths: Vec<usize> = self.before.iter().map(<[u8]>::len).collect();
        groups.map(move |group| std::mem::take(&mut lengths[group as usize]))
    }

    /// Calls `fold` with the states that some rows touch and, by row, the index among them. It returns the new states.
    /// `groups` has the index of each of the rows' states among all.
    pub(crate) fn fold<E>(
        &mut self,
        groups: &[u32],
        fold: impl FnOnce(&[u32], Packed<'_>) -> Result<PackedBuf, E>,
    ) -> Result<(), E> {
        if groups.len() == self.rows {
            self.after = New::All(fold(groups, self.before)?);
            return Ok(());
        }
        let New::Some(after) = &mut self.after else { unreachable!("all rows are folded") };
        after.resize(self.before.len(), None);
        self.places.resize(self.before.len(), u32::MAX);
        let mut touched = Vec::new();
        let place = |&group: &u32| {
            let place = &mut self.places[group as usize];
            if *place == u32::MAX {
                *place = touched.len() as u32;
                touched.push(group as usize);
            }
            *place
        };
        let local: Vec<u32> = groups.iter().map(place).collect();
        touched.iter().for_each(|&group| self.places[group] = u32::MAX);
        let state = |&group: &usize| after[group].as_deref().unwrap_or_else(|| self.before.get(group));
        let states: PackedBuf = touched.iter().map(state).collect();
        let folded = fold(&local, states.as_packed())?;
        for (group, state) in touched.into_iter().zip(folded.as_packed().iter()) {
            after[group] = Some(state.to_vec());
        }
        Ok(())
    }

    /// All states: those that no row touched are as before.
    pub(crate) fn into_states(self) -> PackedBuf {
        let after = match self.after {
            New::All(states) => return states,
            New::Some(after) => after,
        };
        let state = |(group, before): (usize, _)| after.get(group).and_then(Option::as_deref).unwrap_or(before);
        self.before.iter().enumerate().map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each state is the list of its rows, in their order, however the rows are cut.
        #[test]
        fn calls_for_some_rows_touch_their_states_only(
            groups in prop::collection::vec(0..5_u32, 0..30),
            cuts in prop::collection::vec(0..30_usize, 0..5),
        ) {
            let before: PackedBuf = (0..5_u8).map(|_| &b"-"[..]).collect();
            let mut touched = Touched::new(groups.len(), before.as_packed());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(groups.len())).chain([0, groups.len()]).collect();
            cuts.sort_unstable();
            for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
                let rows = cut[0]..cut[1];
                touched.fold(&groups[rows.clone()], |local, states| {
                    let mut lists: Vec<Vec<u8>> = states.iter().map(<[u8]>::to_vec).collect();
                    local.iter().zip(rows.clone()).for_each(|(&state, row)| lists[state as usize].push(row as u8));
                    if rows.len() < groups.len() && lists.contains(&b"-".to_vec()) {
                        return Err("a state without a row was passed");
                    }
                    Ok(lists.iter().map(Vec::as_slice).collect())
                }).unwrap();
            }
            let expected: PackedBuf = (0..5_u32).map(|state| {
                let rows = groups.iter().zip(0_u8..).filter(|(group, _)| **group == state).map(|(_, row)| row);
                [b'-'].into_iter().chain(rows).collect::<Vec<u8>>()
            }).collect::<Vec<_>>().iter().map(Vec::as_slice).collect();
            prop_assert_eq!(touched.into_states(), expected);
        }
    }

    #[test]
    fn rows_by_group_stay_in_order_within_it() {
        assert_eq!(by_group(&[2, 0, 1, 0, 2, 0]), [1, 3, 5, 2, 0, 4]);
        assert_eq!(by_group(&[]), []);
    }
}
