//! Which rows are to blame when a call fails as a whole.

use std::ops::Range;

use crate::fault::{CallError, EngineError, Fault};

/// What the calls for some rows gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bisected<T> {
    /// The results of the calls that succeeded, each with its rows, in the order of the rows.
    pub(crate) results: Vec<(Range<usize>, T)>,
    /// The rows for which a call failed that was for that row alone, in ascending order. They and the rows of `results`
    /// are all rows.
    pub(crate) failed: Vec<(u32, Fault)>,
    /// The first fault of a call for several rows.
    pub(crate) first: Option<Fault>,
}

impl<T> Bisected<T> {
    /// Why a call for several rows failed although calls for all parts of them succeeded, if that is so.
    pub(crate) fn halved(&self) -> Option<&Fault> {
        self.first.as_ref().filter(|_| self.failed.is_empty())
    }
}

/// All rows in one piece.
pub(crate) fn whole(rows: usize) -> Vec<Range<usize>> {
    std::iter::once(0..rows).collect()
}

/// Rows in pieces whose states have no more than so many bytes together, unless a single one has. A state is counted at
/// its first row.
pub(crate) fn pieces(state_bytes: impl Iterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let (mut pieces, mut from, mut sum, mut end) = (Vec::new(), 0, 0_usize, 0);
    for (row, bytes) in state_bytes.enumerate() {
        if sum > 0 && sum.saturating_add(bytes) > most {
            pieces.push(from..row);
            (from, sum) = (row, 0);
        }
        (sum, end) = (sum.saturating_add(bytes), row + 1);
    }
    pieces.push(from..end);
    pieces
}

/// Calls `attempt` with each piece and, where that fails, with halves of it, in order, until each call has either
/// succeeded or failed for one row alone. No rows are no call.
///
/// One bad row in n costs about 2·log₂ n further calls.
pub(crate) fn bisect<T>(
    pieces: impl IntoIterator<Item = Range<usize>, IntoIter: DoubleEndedIterator>,
    mut attempt: impl FnMut(Range<usize>) -> Result<T, CallError>,
) -> Result<Bisected<T>, EngineError> {
    let mut bisected = Bisected { results: Vec::new(), failed: Vec::new(), first: None };
    // A stack, not recursion: the next range to try is on top, so rows are tried in order.
    let mut waiting: Vec<Range<usize>> = pieces.into_iter().rev().collect();
    while let Some(rows) = waiting.pop() {
        if rows.is_empty() {
            continue;
        }
        match attempt(rows.clone()) {
            Ok(result) => bisected.results.push((rows, result)),
            Err(CallError::Engine(error)) => return Err(error),
            Err(CallError::Fault(fault)) if rows.len() == 1 => bisected.failed.push((rows.start as u32, fault)),
            Err(CallError::Fault(fault)) => {
                bisected.first.get_or_insert(fault);
                let middle = rows.start + rows.len() / 2;
                waiting.push(middle..rows.end);
                waiting.push(rows.start..middle);
            }
        }
    }
    Ok(bisected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bisects `rows` rows of which `bad` fail. Returns the good rows in the order of the results, the failed ones, and
    /// the number of calls.
    fn run(rows: usize, bad: &[usize]) -> (Vec<usize>, Vec<usize>, usize) {
        let mut calls = 0;
        let bisected = bisect(whole(rows), |range| {
            calls += 1;
            match range.clone().any(|row| bad.contains(&row)) {
                true => Err(Fault::Trap(String::new()).into()),
                false => Ok(range),
            }
        });
        let Bisected { results, failed, .. } = bisected.unwrap();
        assert!(results.iter().all(|(rows, result)| rows == result), "{results:?}");
        let good = results.into_iter().flat_map(|(rows, _)| rows).collect();
        (good, failed.into_iter().map(|(row, _)| row as usize).collect(), calls)
    }

    #[test]
    fn exactly_the_bad_rows_fail_and_the_others_succeed_in_order() {
        for bad in [vec![], vec![0], vec![9], vec![3, 4], vec![0, 5, 9], (0..10).collect()] {
            let (good, failed, _) = run(10, &bad);
            assert_eq!(failed, bad);
            assert_eq!(good, (0..10).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_bad_row_in_ten_thousand_costs_few_calls() {
        let (good, failed, calls) = run(10_000, &[6_543]);
        assert_eq!((good.len(), failed), (9_999, vec![6_543]));
        assert!(calls <= 30, "{calls}");
    }

    #[test]
    fn pieces_hold_as_many_states_as_fit_and_every_row_once() {
        let of = |bytes: &[usize]| pieces(bytes.iter().copied(), 10);
        assert_eq!(of(&[4, 6, 1, 0, 20, 3]), [0..2, 2..4, 4..5, 5..6]);
        assert_eq!(of(&[0, 0]), whole(2));
        assert_eq!(of(&[]), whole(0));
    }

    #[test]
    fn no_rows_are_no_call() {
        assert_eq!(run(0, &[]), (vec![], vec![], 0));
    }

    #[test]
    fn an_engine_error_blames_no_row() {
        let error = bisect::<()>(whole(4), |_| Err(CallError::engine(wasmtime::Error::msg("no room")))).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no room");
    }
}
