//! The interface `migration`: from an aggregator's type to the component's exports.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Aggregator;
use crate::bindings::common::paceline::plugin::columns::Packed;
use crate::panic::report_panics;
use crate::state::{Format, slices};
use crate::text::joined;

/// Converts states of other formats to the aggregator's own. `aggregator!(T, migration)` exports it.
///
/// Here the states of `best/1` have a best output, and those of `best/2` the length of the ride as well:
///
/// ```
/// use paceline_plugin::{Aggregator, Fields, Migration, Outputs, Settings, aggregator, decode_state, encode_state};
/// use serde::{Deserialize, Serialize};
///
/// # #[derive(Settings)]
/// # struct Best;
/// # #[derive(Fields)]
/// # struct Beat { second: i64 }
/// # #[derive(Outputs)]
/// # struct Standing { output: f64, seconds: i64 }
/// #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
/// struct State {
///     best: f64,
///     seconds: i64,
/// }
///
/// impl Aggregator for Best {
///     const STATE_FORMAT: &'static str = "best/2";
///     // …
///     # type Row<'a> = Beat;
///     # type State = State;
///     # type Outputs = Standing;
///     # fn fold(&self, state: &mut State, row: Beat, score: f64) {
///     #     state.best = state.best.max(score);
///     #     state.seconds = state.seconds.max(row.second);
///     # }
///     # fn merge(&self, left: &mut State, right: State) {
///     #     left.best = left.best.max(right.best);
///     #     left.seconds = left.seconds.max(right.seconds);
///     # }
///     # fn finish(&self, state: &State) -> Standing {
///     #     Standing { output: state.best, seconds: state.seconds }
///     # }
/// }
///
/// /// The state as `best/1` had it.
/// #[derive(Serialize, Deserialize)]
/// struct StateV1 {
///     best: f64,
/// }
///
/// impl Migration for Best {
///     const FROM: &'static [&'static str] = &["best/1"];
///
///     fn migrate(&self, from: &str, state: &[u8]) -> Result<State, String> {
///         let StateV1 { best } = decode_state(from, state)?;
///         Ok(State { best, seconds: 0 })
///     }
/// }
///
/// aggregator!(Best, migration);
///
/// let old = encode_state("best/1", &StateV1 { best: 167.04 }).unwrap();
/// assert_eq!(Best.migrate("best/1", &old), Ok(State { best: 167.04, seconds: 0 }));
/// ```
pub trait Migration: Aggregator {
    /// The state formats that `migrate` accepts: at most 64, without the aggregator's own.
    const FROM: &'static [&'static str];

    /// Converts one state of the format `from`, which is one of `FROM`. `state` is the stored bytes, which are never
    /// empty; [`decode_state`](crate::decode_state) decodes those that the SDK encoded. An error concerns this
    /// group alone: the others go on.
    fn migrate(&self, from: &str, state: &[u8]) -> Result<Self::State, String>;
}

#[doc(hidden)]
pub fn describe_migration<M: Migration>() -> Result<Vec<String>, String> {
    report_panics();
    M::read()?;
    Ok(M::FROM.iter().map(|&format| format.to_owned()).collect())
}

#[doc(hidden)]
pub fn migrate<M: Migration>(from: &str, states: &Packed) -> Result<Packed, String> {
    report_panics();
    let migration = M::read()?;
    if !M::FROM.contains(&from) {
        let of = ["the host passed states of the state format `", from, "`, which this plugin does not migrate"];
        return Err(joined(&of));
    }
    let format = Format::new(M::STATE_FORMAT);
    let mut migrated = Packed { ends: Vec::with_capacity(states.ends.len()), bytes: Vec::new() };
    for state in slices(states) {
        if !state.is_empty() {
            format.encode(&migration.migrate(from, state)?, &mut migrated.bytes)?;
        }
        migrated.ends.push(migrated.bytes.len() as u32);
    }
    Ok(migrated)
}
