//! The world `aggregator`: from a plugin's type to the component's exports.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::aggregator::exports::paceline::plugin::aggregation::{Output, Shape};
use crate::bindings::common::paceline::plugin::columns::{Batch, Column, Kind, Packed};
use crate::panic::report_panics;
use crate::state::{Format, slices};
use crate::text::{count, joined};
use crate::{Columns, Fields, Settings};

/// Folds records and their scores into the states of groups. The struct that implements it holds its settings.
///
/// ```
/// use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Settings)]
/// struct Best;
///
/// #[derive(Fields)]
/// struct Beat {
///     second: i64,
/// }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct State {
///     best: f64,
///     second: i64,
/// }
///
/// #[derive(Outputs)]
/// struct Standing {
///     output: f64,
///     second: i64,
/// }
///
/// impl Aggregator for Best {
///     const STATE_FORMAT: &'static str = "best/1";
///
///     type Row<'a> = Beat;
///     type State = State;
///     type Outputs = Standing;
///
///     fn fold(&self, state: &mut State, row: Beat, score: f64) {
///         self.merge(state, State { best: score, second: row.second });
///     }
///
///     fn merge(&self, left: &mut State, right: State) {
///         // Of equal scores the first second counts, whichever side it is on.
///         if right.best.total_cmp(&left.best).then(left.second.cmp(&right.second)).is_gt() {
///             *left = right;
///         }
///     }
///
///     fn finish(&self, state: &State) -> Standing {
///         Standing { output: state.best, second: state.second }
///     }
/// }
///
/// aggregator!(Best);
/// ```
///
/// The state is encoded with serde in the [postcard](https://docs.rs/postcard) format, after four bytes that are a hash
/// of `STATE_FORMAT`. Postcard stores neither names nor types, so a state's type may be changed only together with the
/// name of its format. A [`Migration`](trait@crate::Migration) converts the states that are already stored.
pub trait Aggregator: Settings {
    /// The name of the states' format: 1 to 64 ASCII letters, digits, `.`, `_`, `-` and `/`, such as `best/1`.
    ///
    /// The host stores the name beside every state, and passes a state only to a plugin with the same state format.
    /// Change the name with every change of `State` or of a type in it, and when `fold` gives a field of it another
    /// meaning.
    const STATE_FORMAT: &'static str;

    /// The fields that `fold` reads: a struct that derives [`Fields`](macro@crate::Fields).
    type Row<'a>: Fields<'a>;
    /// The state of a group. The state of a new group is the default.
    type State: Default + Serialize + DeserializeOwned;
    /// The outputs of a group: a struct that derives [`Outputs`](macro@crate::Outputs).
    type Outputs: Outputs;

    /// Folds one record into the state of its group. Records come in stream order.
    fn fold(&self, state: &mut Self::State, row: Self::Row<'_>, score: f64);

    /// Merges two states of one group that were folded apart. Must be associative and commutative.
    fn merge(&self, left: &mut Self::State, right: Self::State);

    /// Computes the outputs of a group from its state.
    fn finish(&self, state: &Self::State) -> Self::Outputs;
}

/// The outputs of a group: a struct of `bool`, `i64`, `f64` and `String` fields that derives `Outputs`. Each field is
/// written to the attribute of its name; `#[output(name = "…")]` gives another name. A number that is not finite is not
/// written.
pub trait Outputs {
    #[doc(hidden)]
    fn outputs() -> Vec<Output>;
    #[doc(hidden)]
    fn columns(rows: Vec<Self>) -> Vec<Column>
    where
        Self: Sized;
}

/// A type that an output may have.
#[doc(hidden)]
pub trait IntoOutput: Sized {
    const KIND: Kind;
    fn column(values: impl Iterator<Item = Self>) -> Column;
}

impl IntoOutput for bool {
    const KIND: Kind = Kind::Boolean;
    fn column(values: impl Iterator<Item = Self>) -> Column {
        Column::Booleans(values.collect())
    }
}

impl IntoOutput for i64 {
    const KIND: Kind = Kind::Integer;
    fn column(values: impl Iterator<Item = Self>) -> Column {
        Column::Integers(values.collect())
    }
}

impl IntoOutput for f64 {
    const KIND: Kind = Kind::Number;
    fn column(values: impl Iterator<Item = Self>) -> Column {
        Column::Numbers(values.collect())
    }
}

impl IntoOutput for String {
    const KIND: Kind = Kind::Text;
    fn column(values: impl Iterator<Item = Self>) -> Column {
        let mut packed = Packed { ends: Vec::new(), bytes: Vec::new() };
        for value in values {
            packed.bytes.extend_from_slice(value.as_bytes());
            packed.ends.push(packed.bytes.len() as u32);
        }
        Column::Texts(packed)
    }
}

/// Exports a type that implements [`Aggregator`](trait@crate::Aggregator) as an aggregator.
///
/// `aggregator!(T)` exports the aggregator alone. `aggregator!(T, migration)` exports the type's
/// [`Migration`](trait@crate::Migration) as well.
#[macro_export]
macro_rules! aggregator {
    ($aggregator:ty) => {
        // A native linker rejects the names that components export. Unit tests don't need them.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::aggregator::exports::paceline::plugin::aggregation;

            struct Component;

            impl aggregation::Guest for Component {
                fn describe() -> ::core::result::Result<aggregation::Shape, $crate::glue::String> {
                    $crate::glue::describe_aggregator::<$aggregator>()
                }

                fn fold(
                    batch: $crate::glue::Batch,
                    scores: $crate::glue::Vec<f64>,
                    groups: $crate::glue::Vec<u32>,
                    states: $crate::glue::Packed,
                ) -> ::core::result::Result<$crate::glue::Packed, $crate::glue::String> {
                    $crate::glue::fold::<$aggregator>(&batch, &scores, &groups, &states)
                }

                fn merge(
                    left: $crate::glue::Packed,
                    right: $crate::glue::Packed,
                ) -> ::core::result::Result<$crate::glue::Packed, $crate::glue::String> {
                    $crate::glue::merge::<$aggregator>(&left, &right)
                }

                fn finish(
                    states: $crate::glue::Packed,
                ) -> ::core::result::Result<$crate::glue::Vec<$crate::glue::Column>, $crate::glue::String> {
                    $crate::glue::finish::<$aggregator>(&states)
                }
            }

    $crate::bindings::aggregator::export_aggregator!(Component with_types_in $crate::bindings::aggregator);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::glue::describe_aggregator::<$aggregator>());
    };
    ($aggregator:ty, migration) => {
        $crate::aggregator!($aggregator);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::migration::exports::paceline::plugin::migration::Guest for Component {
                fn describe() -> ::core::result::Result<$crate::glue::Vec<$crate::glue::String>, $crate::glue::String> {
                    $crate::glue::describe_migration::<$aggregator>()
                }

                fn migrate(
                    from_format: $crate::glue::String,
                    states: $crate::glue::Packed,
                ) -> ::core::result::Result<$crate::glue::Packed, $crate::glue::String> {
                    $crate::glue::migrate::<$aggregator>(&from_format, &states)
                }
            }

    $crate::bindings::migration::export_migration!(Component with_types_in $crate::bindings::migration);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::glue::describe_migration::<$aggregator>());
    };
}

#[doc(hidden)]
pub fn describe_aggregator<A: Aggregator>() -> Result<Shape, String> {
    report_panics();
    A::read()?;
    Ok(Shape {
        fields: <A::Row<'_> as Fields<'_>>::Columns::fields(),
        outputs: A::Outputs::outputs(),
        state_format: A::STATE_FORMAT.to_owned(),
    })
}

#[doc(hidden)]
pub fn fold<A: Aggregator>(batch: &Batch, scores: &[f64], groups: &[u32], states: &Packed) -> Result<Packed, String> {
    report_panics();
    let aggregator = A::read()?;
    let columns = <A::Row<'_> as Fields<'_>>::Columns::read(batch)?;
    if scores.len() != columns.rows() || groups.len() != columns.rows() {
        let (scores, groups, rows) = (count(scores.len()), count(groups.len()), count(columns.rows()));
        return Err(joined(&["the host passed ", &scores, " scores and ", &groups, " groups for ", &rows, " records"]));
    }
    let format = Format::new(A::STATE_FORMAT);
    let mut states = format.unpack::<A::State>(states)?;
    for (row, (&score, &group)) in scores.iter().zip(groups).enumerate() {
        let state = states.get_mut(group as usize).ok_or("the host passed the index of a group that has no state")?;
        aggregator.fold(state, A::Row::row(&columns, row), score);
    }
    format.pack(&states)
}

#[doc(hidden)]
pub fn merge<A: Aggregator>(left: &Packed, right: &Packed) -> Result<Packed, String> {
    report_panics();
    let aggregator = A::read()?;
    if left.ends.len() != right.ends.len() {
        let (left, right) = (count(left.ends.len()), count(right.ends.len()));
        return Err(joined(&["the host passed ", &left, " states to merge with ", &right]));
    }
    let format = Format::new(A::STATE_FORMAT);
    let mut merged = Packed { ends: Vec::new(), bytes: Vec::new() };
    for (left, right) in slices(left).zip(slices(right)) {
        // An empty state is that of a group without records: the result is the other side, unchanged.
        match (left, right) {
            ([], one) | (one, []) => merged.bytes.extend_from_slice(one),
            (left, right) => {
                let mut state = format.decode::<A::State>(left)?;
                aggregator.merge(&mut state, format.decode(right)?);
                format.encode(&state, &mut merged.bytes)?;
            }
        }
        merged.ends.push(merged.bytes.len() as u32);
    }
    Ok(merged)
}

#[doc(hidden)]
pub fn finish<A: Aggregator>(states: &Packed) -> Result<Vec<Column>, String> {
    report_panics();
    let aggregator = A::read()?;
    let states = Format::new(A::STATE_FORMAT).unpack::<A::State>(states)?;
    let rows = states.iter().map(|state| aggregator.finish(state)).collect();
    Ok(A::Outputs::columns(rows))
}
