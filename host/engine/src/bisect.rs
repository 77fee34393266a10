//! Which rows are to blame when a call fails as a whole.

use std::ops::Range;

use crate::fault::{CallError, Fault};

/// Calls `attempt` with all rows and, where that fails, with halves of them, in order, until it has either succeeded for
/// a row or failed for that row alone. `attempt` keeps the answers; the rows to blame come back, each with its fault.
///
/// One bad row in n costs about 2·log₂ n further calls.
pub(crate) fn bisect(
    rows: Range<usize>,
    attempt: &mut impl FnMut(Range<usize>) -> Result<(), CallError>,
) -> Result<Vec<(u32, Fault)>, wasmtime::Error> {
    let mut blamed = Vec::new();
    // A stack, not recursion: the next range to try is on top, so that rows are tried in order.
    let mut waiting = vec![rows];
    while let Some(rows) = waiting.pop() {
        if rows.is_empty() {
            continue;
        }
        match attempt(rows.clone()) {
            Ok(()) => {}
            Err(CallError::HostState(error)) => return Err(error),
            Err(CallError::Fault(fault)) if rows.len() == 1 => blamed.push((rows.start as u32, fault)),
            Err(CallError::Fault(_)) => {
                let middle = rows.start + rows.len() / 2;
                waiting.push(middle..rows.end);
                waiting.push(rows.start..middle);
            }
        }
    }
    Ok(blamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `bisect` over `rows` rows of which `bad` fail; returns the good ones in the order of success, the blamed
    /// ones, and the number of calls.
    fn run(rows: usize, bad: &[usize]) -> (Vec<usize>, Vec<u32>, usize) {
        let (mut good, mut calls) = (Vec::new(), 0);
        let blamed = bisect(0..rows, &mut |range| {
            calls += 1;
            if range.clone().any(|row| bad.contains(&row)) {
                return Err(Fault::Trap(String::new()).into());
            }
            good.extend(range);
            Ok(())
        });
        (good, blamed.unwrap().into_iter().map(|(row, _)| row).collect(), calls)
    }

    #[test]
    fn exactly_the_bad_rows_are_blamed_and_the_others_go_on_in_order() {
        for bad in [vec![], vec![0], vec![9], vec![3, 4], vec![0, 5, 9], (0..10).collect()] {
            let (good, blamed, _) = run(10, &bad);
            assert_eq!(blamed.iter().map(|&row| row as usize).collect::<Vec<_>>(), bad);
            assert_eq!(good, (0..10).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_bad_row_in_ten_thousand_costs_few_calls() {
        let (good, blamed, calls) = run(10_000, &[6_543]);
        assert_eq!((good.len(), blamed), (9_999, vec![6_543]));
        assert!(calls <= 30, "{calls}");
    }

    #[test]
    fn no_rows_are_no_call() {
        assert_eq!(run(0, &[]), (vec![], vec![], 0));
    }

    #[test]
    fn the_hosts_own_trouble_blames_no_row() {
        let error = bisect(0..4, &mut |_| Err(CallError::HostState(wasmtime::Error::msg("no room")))).unwrap_err();
        assert_eq!(error.to_string(), "no room");
    }
}
